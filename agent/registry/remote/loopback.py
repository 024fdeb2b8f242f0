"""Which hosts are this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, no port) never leaves this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""Who may have sent a request to a loopback port: programs, and not web pages.

Pure. A page can make the name of its own site point to 127.0.0.1 (DNS rebinding), and then a
browser lets it read what is answered there. The request carries that name, which no program of
the host uses.
"""

import re
from ipaddress import ip_address

_HOST = re.compile(r"(?:\[(?P<bracketed>[^\]]*)\]|(?P<plain>[^:\[\]]*))(?::[0-9]*)?")


def is_local(host: str) -> bool:
    """Whether a Host header names an address or `localhost`; also when it is empty.

    HTTP/1.0 has no such header, and every browser sends one.
    """
    match = _HOST.fullmatch(host.strip())
    if match is None:
        return False
    name = match["plain"] if match["bracketed"] is None else match["bracketed"]
    return name.lower() in ("", "localhost") or _is_address(name)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

"""Text of the three files that a container gets from its host: hosts, resolv.conf, hostname."""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from agent.task.definition import HostEntry

_LOCAL = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def hosts_file(
    hostname: str,
    addresses: Iterable[str],
    extra_hosts: Iterable[HostEntry],
    known: str = "",
) -> str:
    """``/etc/hosts``: loopback names, ``extraHosts``, the container's own name at its addresses.

    ``known`` is the text that it begins with instead of the loopback names, if any.
    """
    extra = "".join(f"{entry.ip_address}\t{entry.hostname}\n" for entry in extra_hosts)
    own = "".join(f"{address}\t{hostname}\n" for address in addresses)
    return (known or _LOCAL).removesuffix("\n") + "\n" + extra + own


def address_hostname(address: str) -> str:
    """A host name made of an address, as EC2 makes private DNS names: ``ip-10-0-1-7``."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        groups = (f"{int(each, 16):x}" for each in parsed.exploded.split(":"))
        return f"ip-{'-'.join(groups)}"
    return f"ip-{address.replace('.', '-')}"


def hostname_file(hostname: str) -> str:
    """``/etc/hostname``."""
    return f"{hostname}\n"


def resolv_conf(host_text: str, servers: Iterable[str], search_domains: Iterable[str]) -> str:
    """``/etc/resolv.conf``: the host's, with ``dnsServers`` and ``dnsSearchDomains`` in place.

    Each of the two lists replaces the host's lines of its kind if it is not empty.
    """
    given = [f"nameserver {server}" for server in servers]
    search = " ".join(search_domains)
    replaced = ({"nameserver"} if given else set()) | ({"search", "domain"} if search else set())
    kept = [line for line in host_text.splitlines() if _keyword(line) not in replaced]
    lines = given + ([f"search {search}"] if search else []) + kept
    return "".join(f"{line}\n" for line in lines)


def without_loopback(host_text: str) -> str:
    """A host's resolv.conf for a network namespace of its own.

    A resolver on the host's loopback can't be reached from there, so its lines go. If no other
    server is left the text stays as it is: a public server is not ours to choose, and an operator
    sees the cause in the file. Give ``dnsServers`` or point the agent at the resolver's upstream
    file (systemd-resolved: ``/run/systemd/resolve/resolv.conf``).
    """
    kept = [line for line in host_text.splitlines() if not _is_loopback_server(line)]
    if not any(_keyword(line) == "nameserver" for line in kept):
        return host_text
    return "".join(f"{line}\n" for line in kept)


def _keyword(line: str) -> str:
    return line.split(maxsplit=1)[0] if line.strip() else ""


def _is_loopback_server(line: str) -> bool:
    words = line.split()
    if len(words) < 2 or words[0] != "nameserver":
        return False
    try:
        return ip_address(words[1].partition("%")[0]).is_loopback
    except ValueError:
        return False

"""What the plugins work with: open sockets, the namespace thread, the state directory."""

from dataclasses import dataclass
from pathlib import Path

from cni import rtnetlink
from cni.netlink import NetlinkSocket
from cni.netns import NamespaceThread
from cni.nft import PortsMap


@dataclass(frozen=True, slots=True)
class Context:
    """The host, as the plugins reach it. For one thread at a time, always in one namespace.

    `state_dir` holds addresses in use and must not outlive a reboot (below /run), as the
    interfaces do not either.
    """

    links: NetlinkSocket
    ports: PortsMap
    namespaces: NamespaceThread
    state_dir: Path

    def close(self) -> None:
        """Close the sockets and end the thread; nothing that was attached is touched."""
        self.links.close()
        self.ports.close()
        self.namespaces.stop()


def open_context(state_dir: Path, table: str) -> Context:
    """Return a context whose host is the calling thread's network namespace.

    `table` is the nftables table that `ruleset.ensure_table` makes.
    """
    return Context(
        links=rtnetlink.open_socket(),
        ports=PortsMap(table),
        namespaces=NamespaceThread(),
        state_dir=state_dir,
    )

"""What the plugins work with: open sockets, the namespace thread, the state directory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cni.kernel import nfnetlink, rtnetlink
from cni.kernel.netlink import NetlinkSocket
from cni.kernel.netns import NamespaceThread


@dataclass(frozen=True, slots=True)
class Context:
    """The host, as the plugins reach it. For one thread at a time, always in one namespace.

    `links` speaks rtnetlink, `firewall` nfnetlink. `state_dir` holds what the plugins must
    remember of interfaces; it must not outlive a reboot (below /run), as those do not either.
    `environ` is what other plugins are run with: the caller's environment, with its `CNI_PATH`.
    """

    links: NetlinkSocket
    firewall: NetlinkSocket
    namespaces: NamespaceThread
    state_dir: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def close(self) -> None:
        """Close the sockets and end the thread; nothing that was attached is touched."""
        self.links.close()
        self.firewall.close()
        self.namespaces.stop()


def open_context(state_dir: Path) -> Context:
    """Return a context whose host is the calling thread's network namespace."""
    return Context(
        links=rtnetlink.open_socket(),
        firewall=nfnetlink.open_socket(),
        namespaces=NamespaceThread(),
        state_dir=state_dir,
    )

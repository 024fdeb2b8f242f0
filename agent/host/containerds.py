"""Which containerd an agent uses: the host's, that of hostler-containerd.service, or its own."""

from __future__ import annotations

from pathlib import Path

from agent.settings import Settings

HOST_CONTAINERD = Path("/run/containerd/containerd.sock")
"""The host's own."""
SERVICE_CONTAINERD = Path("/run/hostler-containerd")
"""What hostler-containerd.service makes when it is first started, and what stays until a reboot."""
BUNDLES = "io.containerd.runtime.v2.task"
"""The folder of containerd's state with one for each namespace; all of them go with a reboot."""


def own_root(settings: Settings) -> Path:
    """What must survive a reboot of the agent's own containerd."""
    return settings.state_dir / "containerd"


def own_state(settings: Settings) -> Path:
    """What a reboot may take of it."""
    return settings.run_dir / "containerd"


def own_socket(settings: Settings) -> Path:
    """Where it serves."""
    return own_state(settings) / "containerd.sock"


def _has_tasks(state: Path, namespace: str) -> bool:
    """Whether the containerd with this state directory has shims: each has a bundle there."""
    try:
        return any((state / BUNDLES / namespace).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def shared_containerd(
    settings: Settings, host: Path = HOST_CONTAINERD, service: Path = SERVICE_CONTAINERD
) -> Path | None:
    """Where the containerd serves that is to be used; None if it is one of the agent's own.

    One that has tasks is kept, whichever others have come since: those would know nothing of the
    tasks. So that of hostler-containerd.service counts from its first start on, whether or not it
    serves just now. Blocking.
    """
    match settings.containerd:
        case "embedded":
            return None
        case "auto":
            own, other = own_state(settings), service / host.name
            for folder, socket in ((host.parent, host), (service, other), (own, None)):
                if _has_tasks(folder, settings.containerd_namespace):
                    return socket
            if host.exists():
                return host
            return other if service.exists() else None
        case path:
            return Path(path)


def has_containerd(settings: Settings) -> bool:
    """Whether there is one to ask: a shared one, or one of our own that ever was. Blocking."""
    return shared_containerd(settings) is not None or own_root(settings).exists()

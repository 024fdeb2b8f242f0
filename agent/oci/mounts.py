"""The ``mounts`` of the runtime spec: kernel file systems, tmpfs, then files and volumes.

Later mounts cover earlier ones, so what the task asks for comes last, parents before children.
"""

from typing import Any

from agent.oci.edits import EditedMount
from agent.oci.inputs import BindMount, SpecInputs
from agent.oci.process import INIT, wants_init
from agent.task.definition import Tmpfs

_SHM = "/dev/shm"  # noqa: S108 - a mount point, not a temporary file
_DEFAULT_SHM_MIB = 64


def mounts(inputs: SpecInputs) -> list[dict[str, Any]]:
    """All mounts of a container in the order in which they are made."""
    parameters = inputs.container.linux_parameters
    recursive = inputs.host.recursive_read_only
    asked = [_bind(mount, recursive=recursive) for mount in inputs.mounts]
    asked += [_tmpfs(tmpfs) for tmpfs in parameters.tmpfs]
    asked += [_edited(mount) for mount in inputs.edits.mounts]
    if wants_init(inputs) and inputs.init_path is not None:
        asked.append(_bind(BindMount(inputs.init_path, INIT, read_only=True)))
    asked.sort(key=lambda mount: str(mount["destination"]).rstrip("/").count("/"))
    return [*_kernel(inputs), *_shared_memory(inputs), *asked]


def _kernel(inputs: SpecInputs) -> list[dict[str, Any]]:
    access = "rw" if inputs.container.privileged else "ro"
    return [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
            "gid=5",
        ),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", access),
        _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", access),
    ]  # fmt: skip


def _shared_memory(inputs: SpecInputs) -> list[dict[str, Any]]:
    """POSIX queues belong to the IPC namespace, whosever it is; shared memory is a file system."""
    queues = _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev")
    if inputs.ipc_mode == "none":
        return [queues]
    if inputs.shared.memory is not None:
        return [queues, _bind(BindMount(inputs.shared.memory, _SHM))]
    if inputs.ipc_mode == "host":
        return [queues, _bind(BindMount(_SHM, _SHM))]
    size = inputs.container.linux_parameters.shared_memory_size or _DEFAULT_SHM_MIB
    options = ("nosuid", "noexec", "nodev", "mode=1777", f"size={size}m")
    return [queues, {**_mount(_SHM, "tmpfs", *options), "source": "shm"}]


def _tmpfs(tmpfs: Tmpfs) -> dict[str, Any]:
    """Safe defaults and the size first: an option of the definition comes later and wins.

    The runtimes don't know ``defaults``, which stands for nothing (mount(8)).
    """
    asked = [each for each in tmpfs.mount_options if each != "defaults"]
    options = ("nosuid", "nodev", "noexec", f"size={tmpfs.size}m", *asked)
    return _mount(tmpfs.container_path, "tmpfs", *options)


def _edited(mount: EditedMount) -> dict[str, Any]:
    options = list(mount.options)
    if mount.type == "bind" and not {"bind", "rbind"} & set(options):
        options.append("rbind")
    return {
        "destination": mount.destination,
        "type": mount.type,
        "source": mount.source,
        "options": options,
    }


def _mount(destination: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": kind, "options": list(options)}


def _bind(mount: BindMount, *, recursive: bool = False) -> dict[str, Any]:
    """With all that is mounted below it. ``recursive``: that is read-only too where this is.

    A runtime that does not know ``rro`` passes it over and keeps to ``ro``.
    """
    access = ["ro", "rro"] if recursive else ["ro"]
    return {
        "destination": mount.destination,
        "type": "bind",
        "source": mount.source,
        "options": ["rbind", "rprivate", *(access if mount.read_only else ["rw"])],
    }

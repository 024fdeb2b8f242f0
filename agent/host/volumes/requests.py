"""What is to be mounted for a volume, in the words of mount(8): from driver options or from EFS.

Looks at nothing: host names are still to be resolved (``server``), as the kernel's NFS and SMB
clients want an address.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agent.task.definition import EfsVolume

NETWORK_TYPES = frozenset(("nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "afs"))
"""File systems whose server may hang."""

_EFS_OPTIONS = "nfsvers=4.1,rsize=1048576,wsize=1048576,hard,timeo=600,retrans=2,noresvport"
"""As ECS's agent mounts EFS (AWS's advice for it)."""

_CHINA = "cn-"


@dataclass(frozen=True, slots=True)
class MountRequest:
    """``device`` of file system ``type`` with the comma-separated ``options``.

    A password for the server may be among them: they are shown nowhere.
    """

    type: str
    device: str
    options: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """The host in ``addr=``, else the server in the device; "" if there is none to resolve.

        NFS and SMB only. Docker resolves ``addr=`` alone; the mount helpers, which are not used
        here, do it for the device.
        """
        if self.type not in ("nfs", "nfs4", "cifs", "smb3"):
            return ""
        given = _options(self.options).get("addr", "")
        return given or _server(self.type, self.device)

    def at(self, address: str) -> MountRequest:
        """The same with the address of its server in ``addr=`` (``ip=`` does it for SMB too)."""
        kept = [each for each in self.options.split(",") if each and not each.startswith("addr=")]
        return replace(self, options=",".join([*kept, f"addr={address}"]))


def of_driver(options: Mapping[str, str]) -> MountRequest | None:
    """What Docker's local driver would mount; None for a plain directory."""
    if not options.get("device"):
        return None
    return MountRequest(options.get("type", "none"), options["device"], options.get("o", ""))


def of_efs(efs: EfsVolume, region: str, servers: Mapping[str, str]) -> MountRequest:
    """EFS by plain NFS 4.1.

    ``servers`` has other NFS servers by the ids of file systems, each ``HOST`` or ``HOST:/PATH``.
    """
    other = servers.get(efs.file_system_id)
    domain = "amazonaws.com.cn" if region.startswith(_CHINA) else "amazonaws.com"
    server = other or f"{efs.file_system_id}.efs.{region}.{domain}"
    host, export = _split(server)
    path = posixpath.normpath(f"{export}/{efs.root_directory}")
    return MountRequest("nfs4", f"{host}:/{path.lstrip('/')}", _EFS_OPTIONS)


def _options(text: str) -> dict[str, str]:
    pairs = (each.partition("=") for each in text.split(","))
    return {name: value for name, _, value in pairs}


def _split(server: str) -> tuple[str, str]:
    """Host and exported path; an IPv6 address stands in brackets."""
    found = re.fullmatch(r"(\[[^\]]+\]|[^:]+)(?::(/.*))?", server)
    return (found[1], found[2] or "/") if found else (server, "/")


def _server(kind: str, device: str) -> str:
    if kind in ("cifs", "smb3"):
        return device.replace("\\", "/").lstrip("/").partition("/")[0]
    found = re.match(r"\[([^\]]+)\]:|([^:/]+):", device)
    return (found[1] or found[2]) if found else ""

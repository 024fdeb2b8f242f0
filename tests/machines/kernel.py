"""Debian's generic kernel for virtual machines: fetched by apt, unpacked, and made small.

The image is cut out of its self-extracting file, since an emulated processor takes seconds to
unpack it; of the modules only those are kept that the machines need, since udev would load others.
"""

from __future__ import annotations

import lzma
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FETCH_S: Final = 300.0
METAPACKAGE: Final = "linux-image-amd64"
"""Depends on the newest kernel of the release."""

_XZ = b"\xfd7zXZ\x00"

_KEPT = (
    *(f"net/{each}" for each in ("8021q", "802", "bridge", "core", "ipv4", "ipv6", "llc")),
    *(f"net/{each}" for each in ("netfilter", "netlink", "packet", "sched", "unix", "9p")),
    *("lib", "crypto"),
    *(f"fs/{each}" for each in ("9p", "ext4", "jbd2", "overlayfs", "netfs", "fscache", "nls")),
    "fs/mbcache.ko",
    *(f"drivers/{each}" for each in ("virtio", "char/hw_random", "block/virtio_blk.ko")),
    *(f"drivers/net/{each}.ko" for each in ("virtio_net", "net_failover", "dummy", "veth")),
    *(f"drivers/net/{each}" for each in ("macvlan.ko", "tun.ko", "ifb.ko", "ipvlan")),
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """An uncompressed kernel image, and the directory that has ``lib/modules/VERSION``."""

    version: str
    image: Path
    modules: Path


def kernel(cache: Path) -> Kernel:
    """The kernel, made in ``cache`` unless it is there. Raises CalledProcessError."""
    package = _newest()
    made = cache / package
    version = package.removeprefix("linux-image-")
    if not (made / "done").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        unpacked = _unpacked(package, made)
        (made / "vmlinux").write_bytes(_cut_out(unpacked / "boot" / f"vmlinuz-{version}"))
        _keep(unpacked / "lib/modules" / version, made / "lib/modules" / version)
        subprocess.run(["depmod", "-b", made, version], check=True, timeout=FETCH_S)
        shutil.rmtree(unpacked)
        (made / "done").touch()
    return Kernel(version, made / "vmlinux", made)


def _newest() -> str:
    """The package of the kernel that this release has now."""
    command = ["apt-cache", "depends", "--important", METAPACKAGE]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=FETCH_S)
    words = ran.stdout.split()
    return next(each for each in words if each.startswith("linux-image-") and each != METAPACKAGE)


def _unpacked(package: str, into: Path) -> Path:
    command = ["apt-get", "-o", "APT::Sandbox::User=root", "download", package]
    subprocess.run(command, cwd=into, check=True, timeout=FETCH_S, stdout=subprocess.DEVNULL)
    (file,) = into.glob("*.deb")
    at = into / "unpacked"
    subprocess.run(["dpkg-deb", "-x", file, at], check=True, timeout=FETCH_S)
    file.unlink()
    return at


def _cut_out(bzimage: Path) -> bytes:
    """The ELF image in Debian's file, which is packed by xz. Raises ValueError, LZMAError."""
    packed = bzimage.read_bytes()
    return lzma.LZMADecompressor().decompress(packed[packed.index(_XZ) :])


def _keep(found: Path, kept: Path) -> None:
    """What of the modules the machines need."""
    kept.mkdir(parents=True)
    for each in found.glob("modules.*"):
        shutil.copy2(each, kept)
    for name in _KEPT:
        source, target = found / "kernel" / name, kept / "kernel" / name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)

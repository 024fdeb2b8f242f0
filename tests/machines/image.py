"""The root directory of a machine: this host's distribution, with all that Hostler's package needs.

Made by mmdebstrap from wherever this host has its own packages from. There is no kernel in it.
"""

from __future__ import annotations

import platform
import shutil
import sys
from pathlib import Path

import pytest

from tests.machines import outside
from tests.machines.kept import kept

BUILD_S = 600.0
"""At most; it takes half a minute when the machine has nothing else to do."""

# A shell, systemd and what any Debian is expected to have, and no more.
_SYSTEM = (
    *("apt", "base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils"),
    *("dpkg", "findutils", "grep", "gzip", "hostname", "init-system-helpers", "libc-bin", "login"),
    *("mount", "ncurses-base", "passwd", "perl-base", "sed", "sysvinit-utils", "tar", "util-linux"),
    *("dbus", "kmod", "procps", "systemd", "systemd-sysv", "udev", "usr-is-merged"),
)
_NEEDED = (
    *("busybox-static", "catatonit", "containerd", "curl", "iproute2", "nftables", "python3"),
    "runc",
)

# Much to unpack or to compile that no test reads. The second hook lets packages that are
# installed later have it all.
_UNREAD = (
    *("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"),
    *("/usr/lib/udev/hwdb.d/*", "/usr/bin/containerd-stress"),
)
_HOOKS = (
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    '--customize-hook=rm "$1"/etc/*/*.d/99mmdebstrap',
    # Nothing of the network of the host that made it.
    '--customize-hook=rm -r "$1/etc/apt/sources.list.d"; mkdir "$1/etc/apt/sources.list.d"',
    '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/apt/sources.list"',
    '--customize-hook=echo debian >"$1/etc/hostname"',
)

needed = pytest.mark.skipif(
    shutil.which("mmdebstrap") is None, reason="needs mmdebstrap (Debian and Ubuntu have it)"
)


def tree(*packages: str) -> Path:
    """Such a directory, with these packages too; kept for later runs, so nobody may change it.

    Raises RuntimeError with what mmdebstrap said, or TimeoutError.
    """
    release = platform.freedesktop_os_release()
    included = ",".join(sorted({*_SYSTEM, *_NEEDED, *packages}))
    command = [
        *("mmdebstrap", "--mode=root", "--variant=custom", f"--include={included}"),
        *("--aptopt=Apt::Install-Recommends false", "--dpkgopt=force-unsafe-io"),
        *(f"--dpkgopt=path-exclude={each}" for each in _UNREAD),
        *_HOOKS,
        release["VERSION_CODENAME"],
    ]
    recipe = "\n".join([release["ID"], platform.machine(), *command])
    return kept(release["ID"], recipe, lambda path, lock: _build(command, path, lock))


def _build(command: list[str], path: Path, lock: int) -> None:
    # What it mounts and starts ends with it.
    alone = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
    outside.make([*alone, *command, str(path), *map(str, _sources())], lock, BUILD_S)


def _sources() -> list[Path]:
    """Where this host's packages come from, as apt has it written down."""
    place = Path("/etc/apt")
    found = [place / "sources.list", *sorted((place / "sources.list.d").glob("*"))]
    return [each for each in found if each.suffix in (".list", ".sources") and each.is_file()]


if __name__ == "__main__":
    sys.stdout.write(f"{tree(*sys.argv[1:])}\n")

"""Kernel settings under /proc/sys/net, of the calling thread's network namespace.

References: proc_sys_net(5), Documentation/networking/ip-sysctl.rst of the kernel.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_ROOT: Final = "/proc/sys/net"
_LONGEST: Final = 4096


def read(name: str) -> str:
    """Return a setting by its path below /proc/sys/net, such as `ipv4/ip_forward`."""
    # Without the layers of a file object: some are read for every container.
    descriptor = os.open(f"{_ROOT}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST).decode().strip()
    finally:
        os.close(descriptor)


def ensure(name: str, value: str) -> None:
    """Set it unless it is so: writing the same value again is not without effect for some."""
    if read(name) == value:
        return
    descriptor = os.open(f"{_ROOT}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def has_ipv6() -> bool:
    """Whether the kernel has IPv6, be it switched on or off for an interface."""
    return Path(_ROOT, "ipv6").is_dir()


def ensure_ipv6(name: str, value: str) -> None:
    """Set one below `ipv6`, where the kernel has IPv6 at all."""
    with suppress(FileNotFoundError):
        ensure(f"ipv6/{name}", value)


def names(directory: str) -> list[str]:
    """Return what there are settings of, such as the interfaces of `ipv6/conf`."""
    return sorted(each.name for each in Path(_ROOT, directory).iterdir())

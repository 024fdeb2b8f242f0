"""Kernel settings under /proc/sys/net, of the calling thread's network namespace.

References: proc_sys_net(5), Documentation/networking/ip-sysctl.rst of the kernel.
"""

from pathlib import Path
from typing import Final

_ROOT: Final = Path("/proc/sys/net")


def read(name: str) -> str:
    """Return a setting by its path below /proc/sys/net, such as `ipv4/ip_forward`."""
    return (_ROOT / name).read_text().strip()


def ensure(name: str, value: str) -> None:
    """Set it unless it is so: writing the same value again is not without effect for some."""
    if read(name) != value:
        (_ROOT / name).write_text(value)

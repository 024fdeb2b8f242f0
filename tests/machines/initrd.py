"""The first root of a virtual machine: static busybox, the modules of its disk, and a script.

Debian's own takes its tools to find any disk; this one knows which it is.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tests.machines.kernel import Kernel

DEADLINE_S: Final = 60.0
BUSYBOX: Final = Path("/bin/busybox")

_FIRST = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
"""What the disk needs. Everything later is udev's and the kernel's own affair."""

_INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for each in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$each; done
/bin/busybox umount /proc
/bin/busybox mount -t ext4 -o rw,noatime /dev/vda /root
/bin/busybox mount --move /dev /root/dev
exec /bin/busybox switch_root /root /lib/systemd/systemd
"""


def initrd(kernel: Kernel) -> Path:
    """The archive for this kernel, made beside it. Raises CalledProcessError, KeyError."""
    made = kernel.image.with_name("initrd")
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for each in ("bin", "dev", "proc", "root", "modules"):
            (tree / each).mkdir()
        shutil.copy2(BUSYBOX, tree / "bin")
        files = _in_order(kernel)
        for file in files:
            shutil.copy2(file, tree / "modules")
        (tree / "modules/order").write_text("".join(f"{each.name}\n" for each in files))
        (tree / "init").write_text(_INIT)
        (tree / "init").chmod(0o755)
        made.write_bytes(_archive(tree))
    return made


def _in_order(kernel: Kernel) -> list[Path]:
    """The files of these modules and of all that they need, those first that others need."""
    top = kernel.modules / "lib/modules" / kernel.version
    needs = {}
    for line in (top / "modules.dep").read_text().splitlines():
        file, _, rest = line.partition(":")
        # depmod lists what a module needs with the innermost last.
        needs[Path(file).stem] = [*reversed(rest.split()), file]
    found = dict.fromkeys(each for name in _FIRST for each in needs[name])
    return [top / each for each in found]


def _archive(tree: Path) -> bytes:
    names = "\n".join(str(each.relative_to(tree)) for each in sorted(tree.rglob("*")))
    command = ["cpio", "--create", "--format=newc", "--quiet"]
    packed = subprocess.run(
        command, cwd=tree, input=names.encode(), capture_output=True, check=True, timeout=DEADLINE_S
    )
    return packed.stdout

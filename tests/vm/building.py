"""The disk of the machines: Debian, with Hostler's package as its provisioning script installs it.

All of that runs natively, in a container; the machine only has to boot.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from tests.machines import image, nspawn, package
from tests.machines.disk import SHARE, disk
from tests.machines.kernel import Kernel

PROVISION: Final = Path(__file__).parents[2] / "vagrant/provision.sh"
PROVISION_S: Final = 120.0
PACKAGES: Final = ("apparmor", "iputils-ping")
"""What the jobs use, besides what any machine has."""

SLOW_S: Final = 400
"""For the agent to start; it takes a second on any real host."""

_ONLY_IN_CONTAINERS: Final = (
    "root/hostler.deb",
    "etc/systemd/system/sysinit.target.wants/writable-cgroups.service",
    "etc/systemd/system/writable-cgroups.service",
)
_FILES: Final = {
    "etc/hostler/hostler.config": f"""\
HOSTLER_ENIS={SHARE}/enis.json
HOSTLER_MEMORY=4096
HOSTLER_CPU=8192
ECS_TASK_PIDS_LIMIT=100
""",
    "etc/systemd/system/hostler.service.d/machine.conf": f"""\
[Unit]
RequiresMountsFor={SHARE}
[Service]
TimeoutStartSec={SLOW_S}
WatchdogSec={SLOW_S}
""",
}


def built(kernel: Kernel, made: Path) -> None:
    """Writes the disk to ``made``, with the Hostler of this checkout."""
    with nspawn.copy_of(image.tree(*PACKAGES)) as root:
        shutil.copy(package.built(), root / "root/hostler.deb")
        shutil.copy(PROVISION, root / "root")
        with nspawn.booted(root) as machine:
            machine.run("sh", "/root/provision.sh", "/root/hostler.deb", deadline_s=PROVISION_S)
        for each in _ONLY_IN_CONTAINERS:
            (root / each).unlink()
        disk(root, kernel, made, _FILES)

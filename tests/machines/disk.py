"""Disks of virtual machines: a Debian root directory with a kernel's modules and a job to do.

A machine mounts a directory of its host, runs the job that it finds there, and powers itself off.
What only costs an emulated processor time, and no test looks at, is left out of the boot.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.machines.kernel import Kernel

DEADLINE_S: Final = 120.0
SIZE: Final = "2G"
"""Of the file system. Its file is sparse."""

SHARE: Final = "/mnt/host"
"""Where the machine sees the directory of its host."""

TAG: Final = "host"

_UNITS = {
    "mnt-host.mount": f"""\
[Unit]
DefaultDependencies=no
After=systemd-modules-load.service
[Mount]
What={TAG}
Where={SHARE}
Type=9p
Options=trans=virtio,version=9p2000.L,msize=262144
""",
    "journal-out.service": f"""\
[Unit]
Description=The journal, told to the host
RequiresMountsFor={SHARE}
[Service]
ExecStart=journalctl --follow --no-tail --output=short-monotonic
StandardOutput=append:{SHARE}/journal
""",
    "job.service": f"""\
[Unit]
Description=The job of this machine
RequiresMountsFor={SHARE}
Wants=journal-out.service
After=journal-out.service multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'cd {SHARE} && sh -eu ./job; echo $? > ended'
StandardOutput=append:{SHARE}/output
StandardError=append:{SHARE}/output
[Install]
WantedBy=multi-user.target
""",
}

_MASKED = """
apt-daily.timer apt-daily-upgrade.timer apparmor.service dpkg-db-backup.timer e2scrub_all.timer
e2scrub_reap.service fstrim.timer getty.target kmod-static-nodes.service ldconfig.service
modprobe@.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount
dev-hugepages.mount dev-mqueue.mount systemd-ask-password-console.path
systemd-ask-password-wall.path systemd-binfmt.service systemd-firstboot.service
systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-journal-flush.service
systemd-logind.service systemd-machine-id-commit.service systemd-network-generator.service
systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service
systemd-tmpfiles-clean.timer systemd-update-done.service systemd-update-utmp.service
systemd-update-utmp-runlevel.service
"""


def disk(tree: Path, kernel: Kernel, made: Path, files: Mapping[str, str]) -> None:
    """Writes a file system to ``made``: ``tree`` with all that is above, and these files.

    ``tree`` is changed.

    Raises CalledProcessError, OSError.
    """
    shutil.copytree(kernel.modules / "lib/modules", tree / "usr/lib/modules", dirs_exist_ok=True)
    etc = tree / "etc"
    (etc / "machine-id").write_text(f"{'5a' * 16}\n")
    (etc / "fstab").write_text("")
    (etc / "systemd/journald.conf").write_text("[Journal]\nStorage=volatile\n")
    (etc / "modules-load.d").mkdir(exist_ok=True)
    (etc / "modules-load.d/machine.conf").write_text("9pnet_virtio\n9p\n")
    (etc / "containerd").mkdir(exist_ok=True)
    (etc / "containerd/config.toml").write_text(
        'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
    )
    units = etc / "systemd/system"
    for name, text in _UNITS.items():
        (units / name).write_text(text)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "job.service").symlink_to("../job.service")
    for name in _MASKED.split():
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    _make(tree, made)


def _make(tree: Path, made: Path) -> None:
    made.unlink(missing_ok=True)
    subprocess.run(["truncate", "--size", SIZE, made], check=True, timeout=DEADLINE_S)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree), str(made)]
    subprocess.run(command, check=True, timeout=DEADLINE_S)

"""A Vagrant box without a kernel, for hosts without KVM: ``python -m tests.machines.box DIR``.

Under emulation a usual box takes minutes to boot. This one is booted by libvirt with a kernel and
an initrd beside it; what that needs of the lab's Vagrantfile is printed, for the shell.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

from tests.machines.image import tree
from tests.machines.initrd import initrd
from tests.machines.kept import PLACE
from tests.machines.kernel import kernel

DEADLINE_S: Final = 300.0
NAME: Final = "hostler-lab"
SIZE_GIB: Final = 2
"""Of the file system. What is empty takes no room."""

PACKAGES: Final = ("openssh-server", "sudo", "prometheus")

_KEYS: Final = "share/rubygems-integration/all/gems/vagrant-*/keys/vagrant.pub"
"""Below /usr: the key that everybody has, for machines that nobody else reaches."""

_FILES = {
    # Only Vagrant's own NIC: the others are its affair, or a task's. Its files sort first.
    "etc/systemd/network/99-first.network": "[Match]\nName=eth0\n[Network]\nDHCP=ipv4\n",
    "etc/ssh/sshd_config.d/lab.conf": "UseDNS no\n",
    "etc/sudoers.d/vagrant": "vagrant ALL=(ALL) NOPASSWD: ALL\n",
    "etc/containerd/config.toml": 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n',
    # What takes a second on a real host.
    "etc/systemd/system.conf.d/slow.conf": "[Manager]\nDefaultTimeoutStartSec=15min\n",
    "etc/systemd/system/hostler.service.d/slow.conf": "[Service]\nWatchdogSec=15min\n",
    "etc/machine-id": "",
    "etc/fstab": "",
}
_ENABLED = ("systemd-networkd", "ssh")
# What takes an emulated processor long. Not systemd-user-sessions, without which nobody may log in.
_MASKED = (
    *("apparmor.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "getty.target"),
    *("modprobe@.service", "proc-sys-fs-binfmt_misc.automount", "systemd-binfmt.service"),
    *("systemd-pstore.service", "systemd-update-utmp.service", "dev-hugepages.mount"),
    "systemd-hwdb-update.service",
)
_BOX = """\
Vagrant.configure("2") do |config|
  config.ssh.insert_key = false
  config.vm.provider(:libvirt) { |libvirt| libvirt.driver = "qemu" }
end
"""


def box(made: Path) -> str:
    """Fills ``made``, and tells what to set for the lab's Vagrantfile, as shell commands.

    Raises CalledProcessError, RuntimeError, OSError.
    """
    made.mkdir(parents=True)
    root = made / "root"
    subprocess.run(["cp", "-a", tree(*PACKAGES), root], check=True, timeout=DEADLINE_S)
    booted = kernel(PLACE)
    shutil.copytree(booted.modules / "lib/modules", root / "usr/lib/modules", dirs_exist_ok=True)
    _settle(root)
    _image(root, made / "box.img")
    shutil.rmtree(root)
    _pack(made)
    for name, file in (("vmlinux", booted.image), ("initrd", initrd(booted))):
        shutil.copy2(file, made / name)
    chosen = {
        "LAB_BOX": NAME,
        "LAB_DRIVER": "qemu",
        "LAB_KERNEL": made / "vmlinux",
        "LAB_INITRD": made / "initrd",
        "LAB_CMDLINE": "'console=ttyS0 quiet net.ifnames=0 mitigations=off nokaslr audit=0'",
    }
    exports = " ".join(f"{name}={value}" for name, value in chosen.items())
    return f"vagrant box add --force --name {NAME} {made / 'hostler.box'}\nexport {exports}\n"


def _settle(root: Path) -> None:
    """Somebody to log in, and a system that boots without delay."""
    for name, text in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    units = root / "etc/systemd/system"
    for name in _MASKED:
        (units / name).unlink(missing_ok=True)
        (units / name).symlink_to("/dev/null")
    _inside(root, "systemctl", "enable", *_ENABLED)
    _inside(root, "useradd", "--create-home", "--shell", "/bin/bash", "vagrant")
    (public,) = Path("/usr").glob(_KEYS)
    keys = root / "home/vagrant/.ssh/authorized_keys"
    keys.parent.mkdir()
    shutil.copy(public, keys)
    _inside(root, "chown", "-R", "vagrant:", "/home/vagrant/.ssh")


def _inside(root: Path, *command: str) -> None:
    subprocess.run(["chroot", root, *command], check=True, timeout=DEADLINE_S)


def _image(root: Path, image: Path) -> None:
    raw = image.with_suffix(".raw")
    subprocess.run(["truncate", "--size", f"{SIZE_GIB}G", raw], check=True, timeout=DEADLINE_S)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", root, raw],
        check=True,
        timeout=DEADLINE_S,
    )
    subprocess.run(
        ["qemu-img", "convert", "-O", "qcow2", raw, image], check=True, timeout=DEADLINE_S
    )
    raw.unlink()


def _pack(made: Path) -> None:
    """Vagrant's own form of a box for libvirt."""
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": SIZE_GIB}
    (made / "metadata.json").write_text(json.dumps(about))
    (made / "Vagrantfile").write_text(_BOX)
    with tarfile.open(made / "hostler.box", "w") as packed:
        for name in ("metadata.json", "Vagrantfile", "box.img"):
            packed.add(made / name, name)
            (made / name).unlink()


def main() -> None:
    """The program of this module."""
    parser = argparse.ArgumentParser(prog="python -m tests.machines.box", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR", help="not there yet; made")
    made: Path = parser.parse_args().directory.absolute()
    if made.exists():
        parser.error(f"{made} is there already")
    sys.stdout.write(box(made))


if __name__ == "__main__":
    main()

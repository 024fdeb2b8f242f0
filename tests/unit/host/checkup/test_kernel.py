"""What the kernel's files tell: each check on a sound host and on one that lacks something."""

from __future__ import annotations

import pytest

from agent.host.checkup import kernel
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, warnings

RELEASE = "6.1.0-1-test"


@pytest.fixture
def sound(host: Host) -> Host:
    for each in kernel.NAMESPACES:
        host.write(f"/proc/self/ns/{each}")
    host.write("/proc/filesystems", "nodev\ttmpfs\nnodev\tmqueue\nnodev\toverlay\n\text4\n")
    host.write("/proc/sys/kernel/osrelease", RELEASE + "\n")
    host.write("/proc/sys/kernel/seccomp/actions_avail", "kill_process errno allow\n")
    host.write("/proc/modules", "veth 1 0 - Live 0x0\n")
    host.folder(f"/lib/modules/{RELEASE}")
    return host


def test_a_sound_kernel(sound: Host) -> None:
    outcomes = list(kernel.check(sound.subject))
    assert findings(outcomes) == []
    assert "namespaces: ipc, mnt, net, pid, uts" in facts(outcomes)
    assert "AppArmor is not in force" in facts(outcomes)


@pytest.mark.parametrize("name", kernel.NAMESPACES)
def test_a_namespace_that_the_kernel_lacks(sound: Host, name: str) -> None:
    sound.remove(f"/proc/self/ns/{name}")
    outcomes = list(kernel.check(sound.subject))
    assert errors(outcomes) == [
        f"the kernel has no {name} namespaces: no container can be isolated"
    ]
    assert "CONFIG_" in cure(outcomes)


def test_a_file_system_that_is_a_module_not_loaded_yet(sound: Host) -> None:
    sound.write("/proc/filesystems", "nodev\ttmpfs\nnodev\tmqueue\n")
    dep = f"/lib/modules/{RELEASE}/modules.dep"
    sound.write(dep, "kernel/fs/overlayfs/overlay.ko.xz: kernel/x.ko\n")
    outcomes = list(kernel.check(sound.subject))
    assert findings(outcomes) == []
    assert "file system overlay, a module that is loaded when it is needed" in facts(outcomes)
    sound.write(dep, "kernel/x.ko: kernel/fs/overlay.ko\n")  # needed by one, and not there
    assert len(errors(kernel.check(sound.subject))) == 1


def test_a_file_system_that_is_not_there(sound: Host) -> None:
    sound.write("/proc/filesystems", "nodev\ttmpfs\nnodev\tmqueue\n")
    outcomes = list(kernel.check(sound.subject))
    assert errors(outcomes) == ["the kernel has no file system overlay: containers can't start"]
    assert "CONFIG_OVERLAY_FS" in cure(outcomes)
    sound.set(snapshotter="native")
    assert findings(kernel.check(sound.subject)) == []


def test_modules_that_an_upgrade_took_away(sound: Host) -> None:
    (sound.root / f"lib/modules/{RELEASE}").rmdir()
    outcomes = list(kernel.check(sound.subject))
    assert len(warnings(outcomes)) == 1
    assert "reboot" in cure(outcomes)
    sound.write("/run/systemd/container", "systemd-nspawn")  # modules are its host's
    assert findings(kernel.check(sound.subject)) == []
    sound.remove("/run/systemd/container")
    sound.write("/proc/modules", "")  # it loads none
    assert findings(kernel.check(sound.subject)) == []


def test_no_seccomp(sound: Host) -> None:
    sound.remove("/proc/sys/kernel/seccomp/actions_avail")
    outcomes = list(kernel.check(sound.subject))
    assert len(errors(outcomes)) == 1
    assert "CONFIG_SECCOMP_FILTER" in cure(outcomes)


def test_apparmor_in_force(sound: Host) -> None:
    sound.write("/sys/module/apparmor/parameters/enabled", "Y\n")
    assert "AppArmor is in force" in facts(kernel.check(sound.subject))

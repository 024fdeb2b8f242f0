"""The lab's Vagrantfile: Vagrant itself says whether its settings exist, for both providers."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROVIDERS = ("libvirt", "virtualbox")
CHOICES = {
    "nothing": {},
    "everything": {
        "LAB_BOX": "lab",
        "LAB_CPUS": "1",
        "LAB_MEMORY": "2048",
        "LAB_DRIVER": "qemu",
        "LAB_KERNEL": "/boot/vmlinux",
        "LAB_INITRD": "/boot/initrd",
        "LAB_CMDLINE": "quiet",
        "LAB_HOSTS": "9",
        "LAB_DEB": "/dev/null",
    },
}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """For a copy of the lab, so that nothing is written into the checkout.

    A Debian can't have VirtualBox, and Vagrant asks of it no more than its version here.
    """
    if shutil.which("vagrant") is None:
        pytest.skip("vagrant is not installed: the packages vagrant and vagrant-libvirt")
    shutil.copytree(ROOT / "vagrant", tmp_path / "vagrant", ignore=shutil.ignore_patterns(".*"))
    program = tmp_path / "bin" / "VBoxManage"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 7.0.6r155176\n")
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "VAGRANT_CWD": str(tmp_path / "vagrant"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
        "LC_ALL": "C.UTF-8",
    }


def validate(environ: dict[str, str], provider: str) -> tuple[int, str]:
    ran = subprocess.run(
        ["vagrant", "validate"],
        env=environ | {"VAGRANT_DEFAULT_PROVIDER": provider},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_vagrant_takes_it(environ: dict[str, str], provider: str, choices: dict[str, str]) -> None:
    code, said = validate(environ | choices, provider)
    assert code == 0, said


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_setting_that_does_not_exist_is_seen(environ: dict[str, str], provider: str) -> None:
    file = Path(environ["VAGRANT_CWD"], "Vagrantfile")
    given = file.read_text()
    file.write_text(given.replace(f"{provider}.memory", f"{provider}.memroy"))
    assert file.read_text() != given
    code, said = validate(environ, provider)
    assert code != 0
    assert "The following settings shouldn't exist: memroy" in said


@pytest.mark.parametrize("hosts", ["0", "10", "two"])
def test_a_number_of_hosts_that_cannot_be_is_refused(environ: dict[str, str], hosts: str) -> None:
    code, _ = validate(environ | {"LAB_HOSTS": hosts}, "libvirt")
    assert code != 0

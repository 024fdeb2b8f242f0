"""What is gathered of this host, compared with what the kernel says elsewhere."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import facts
from agent.oci.edits import DeviceNode
from agent.oci.inputs import DEFAULT_NOFILE, SelinuxLabels
from agent.task.definition.linux_rules import CAPABILITIES


def test_a_device_has_the_kernels_numbers() -> None:
    found = facts.device(Path("/dev/null"))
    assert (found.type, found.major, found.minor) == ("c", 1, 3)


def test_a_file_is_no_device(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="is not a device"):
        facts.device(tmp_path / "file")


def test_a_missing_device_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        facts.device(tmp_path / "none")


def test_a_file_system_of_trees_is_reported_as_version_1(tmp_path: Path) -> None:
    assert facts.gather(Cgroups(tmp_path)).cgroup_version == 1
    (tmp_path / "cgroup.controllers").touch()
    assert facts.gather(Cgroups(tmp_path)).cgroup_version == 2


def test_only_known_capabilities_are_given_and_no_terminals(tmp_path: Path) -> None:
    gathered = facts.gather(Cgroups(tmp_path))
    assert gathered.capabilities <= CAPABILITIES
    paths = {each.path for each in gathered.devices}
    assert "/dev/null" in paths
    assert not any(each.startswith("/dev/pts/") for each in paths)


def test_a_device_that_is_unplugged_meanwhile_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = facts.device

    def device(path: Path) -> DeviceNode:
        return known(tmp_path / "gone" if path == Path("/dev/null") else path)

    monkeypatch.setattr(facts, "device", device)
    paths = {each.path for each in facts.gather(Cgroups(tmp_path)).devices}
    assert "/dev/null" not in paths
    assert "/dev/zero" in paths


def test_limits_of_open_files_are_no_higher_than_may_be_set(tmp_path: Path) -> None:
    gathered = facts.gather(Cgroups(tmp_path))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if "SYS_RESOURCE" in gathered.capabilities:
        assert gathered.nofile[1] == DEFAULT_NOFILE[1]
    else:
        assert gathered.nofile[1] <= hard
    assert gathered.nofile[0] <= gathered.nofile[1]


def test_apparmor_is_in_force_where_the_kernel_says_so(tmp_path: Path) -> None:
    assert not facts.apparmor(tmp_path)
    parameter = tmp_path / "module/apparmor/parameters/enabled"
    parameter.parent.mkdir(parents=True)
    parameter.write_text("N\n")
    assert not facts.apparmor(tmp_path)
    parameter.write_text("Y\n")
    assert facts.apparmor(tmp_path)


def test_selinux_labels_are_those_of_the_policy(tmp_path: Path) -> None:
    sys, etc = tmp_path / "sys", tmp_path / "etc"
    assert facts.selinux(sys, etc) is None
    (sys / "fs/selinux").mkdir(parents=True)
    (sys / "fs/selinux/enforce").write_text("1")
    assert facts.selinux(sys, etc) == SelinuxLabels()
    contexts = etc / "mls/contexts"
    contexts.mkdir(parents=True)
    (etc / "config").write_text("# comment\nSELINUX=enforcing\nSELINUXTYPE=mls\n")
    (contexts / "lxc_contexts").write_text('process = "u:r:box_t:s0"\ncontent = "x"\n')
    assert facts.selinux(sys, etc) == SelinuxLabels("u:r:box_t:s0", SelinuxLabels().file)

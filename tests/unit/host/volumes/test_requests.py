"""What is to be mounted, from driver options and from EFS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.volumes.requests import MountRequest, of_driver, of_efs
from agent.task.definition import EfsVolume


def efs(root: str = "/") -> EfsVolume:
    return EfsVolume.model_validate({"fileSystemId": "fs-1", "rootDirectory": root})


def test_no_options_are_a_plain_directory() -> None:
    assert of_driver({}) is None


def test_options_are_what_mount_takes() -> None:
    found = of_driver({"type": "none", "device": "/srv", "o": "bind,ro"})
    assert found == MountRequest("none", "/srv", "bind,ro")
    assert of_driver({"type": "tmpfs", "device": "tmpfs"}) == MountRequest("tmpfs", "tmpfs", "")


@pytest.mark.parametrize(
    ("region", "servers", "root", "device"),
    [
        ("eu-west-1", {}, "/", "fs-1.efs.eu-west-1.amazonaws.com:/"),
        ("eu-west-1", {}, "", "fs-1.efs.eu-west-1.amazonaws.com:/"),
        ("cn-north-1", {}, "/web/", "fs-1.efs.cn-north-1.amazonaws.com.cn:/web"),
        ("", {"fs-1": "10.0.0.5"}, "/web", "10.0.0.5:/web"),
        ("", {"fs-1": "nas:/export"}, "/web", "nas:/export/web"),
        ("", {"fs-1": "[fd00::5]:/export/"}, "/", "[fd00::5]:/export"),
    ],
)
def test_efs_is_a_file_server(region: str, servers: dict[str, str], root: str, device: str) -> None:
    found = of_efs(efs(root), region, servers)
    assert (found.type, found.device) == ("nfs4", device)
    assert {"nfsvers=4.1", "hard", "timeo=600", "retrans=2", "noresvport"} <= set(
        found.options.split(",")
    )


@pytest.mark.parametrize(
    ("request_", "server"),
    [
        (MountRequest("nfs", ":/x", "addr=nas,rw"), "nas"),
        (MountRequest("nfs", "nas:/x"), "nas"),
        (MountRequest("nfs4", "[fd00::5]:/x", "rw"), "fd00::5"),
        (MountRequest("nfs4", ":/x"), ""),
        (MountRequest("cifs", "//nas/share/x", "username=u"), "nas"),
        (MountRequest("cifs", "\\\\nas\\share"), "nas"),
        (MountRequest("ext4", "/dev/sdb", "addr=nas"), ""),
        (MountRequest("none", "nas:/x", "bind"), ""),
    ],
)
def test_only_the_kernels_own_network_clients_have_a_server(
    request_: MountRequest, server: str
) -> None:
    assert request_.server == server


WORDS = st.sampled_from(["rw", "nfsvers=4.1", "addr=nas", "addr=10.0.0.1", "addrx=1", ""])


@given(st.lists(WORDS))
def test_an_address_stands_there_once_and_all_else_stays(words: list[str]) -> None:
    found = MountRequest("nfs", ":/x", ",".join(words)).at("10.0.0.9").options.split(",")
    assert [each for each in found if each.startswith("addr=")] == ["addr=10.0.0.9"]
    kept = [each for each in words if each and not each.startswith("addr=")]
    assert [each for each in found if not each.startswith("addr=")] == kept

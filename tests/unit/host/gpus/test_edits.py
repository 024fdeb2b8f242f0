"""From what CDI says of a device to changes of a runtime spec."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.host.gpus import edits
from agent.oci.edits import DeviceNode, EditedMount, EditedNode, Edits, Hook
from agent.oci.errors import SpecError
from tests.unit.host.gpus.test_specifications import KIND, written

NULL = DeviceNode("/dev/null", "c", 1, 3, 0o666, 0, 0)


def of_device(folder: Path, **own: Any) -> Edits:
    devices = [{"name": "0", "containerEdits": own}]
    return edits.of([f"{KIND}=0"], [written(folder, devices=devices)])


def test_a_node_is_as_on_the_host_unless_told(tmp_path: Path) -> None:
    assert of_device(tmp_path, deviceNodes=[{"path": "/dev/null"}]).nodes == (EditedNode(NULL),)
    moved = {"path": "/dev/gpu0", "hostPath": "/dev/null", "permissions": "rw"}
    changed = {**moved, "fileMode": 0o600, "uid": 7, "gid": 8}
    (node,) = of_device(tmp_path, deviceNodes=[changed]).nodes
    assert node == EditedNode(DeviceNode("/dev/gpu0", "c", 1, 3, 0o600, 7, 8), "rw")


def test_a_node_with_numbers_need_not_be_there(tmp_path: Path) -> None:
    given = {"path": "/dev/none-of-ours", "type": "b", "major": 8, "minor": 1}
    (node,) = of_device(tmp_path, deviceNodes=[given]).nodes
    assert (node.node.type, node.node.major, node.node.minor) == ("b", 8, 1)


def test_a_node_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="none-of-ours"):
        of_device(tmp_path, deviceNodes=[{"path": "/dev/none-of-ours"}])


def test_everything_else_is_taken_as_it_is(tmp_path: Path) -> None:
    found = of_device(
        tmp_path,
        env=["A=1=2", "B="],
        mounts=[{"hostPath": "/a", "containerPath": "/b", "options": ["ro"]}],
        hooks=[{"hookName": "createContainer", "path": "/h", "args": ["h"], "timeout": 3}],
        additionalGids=[44],
    )
    assert found == Edits(
        env={"A": "1=2", "B": ""},
        mounts=(EditedMount("/a", "/b", ("ro",), "bind"),),
        hooks=(Hook("createContainer", "/h", ("h",), (), 3),),
        additional_gids=(44,),
    )


def test_a_container_without_gpus_reads_nothing() -> None:
    assert edits.of((), [Path("/nowhere")]) == Edits()


def test_a_device_that_is_gone_is_told_with_the_cause(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(SpecError, match=rf"GPU {KIND}=9 is in no .* any more: .*broken.json"):
        edits.of([f"{KIND}=9"], [tmp_path])
    with pytest.raises(SpecError, match=r"of nowhere any more$"):
        edits.of([f"{KIND}=9"], [])

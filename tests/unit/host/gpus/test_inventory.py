"""Which devices are GPUs, each once, and which of them are free."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.host.gpus import inventory
from agent.host.gpus.inventory import Gpu, Gpus
from agent.host.gpus.specifications import ContainerEdits, Device, NodeEdit
from tests.unit.host.gpus.test_specifications import KIND, written

NVIDIA = "nvidia.com/gpu"


def device(name: str, *nodes: str, kind: str = NVIDIA) -> Device:
    edits = ContainerEdits(device_nodes=tuple(NodeEdit(path=each) for each in nodes))
    return Device(f"{kind}={name}", (ContainerEdits(), edits))


def names(gpus: tuple[Gpu, ...]) -> list[str]:
    return [each.name for each in gpus]


def test_a_gpu_with_several_names_is_one_and_goes_by_its_uuid() -> None:
    every = [
        device("0", "/dev/nvidia0"),
        device("1", "/dev/nvidia1"),
        device("GPU-aa", "/dev/nvidia0"),
        device("all", "/dev/nvidia0", "/dev/nvidia1"),
    ]
    gpus = inventory.of_kind(every, NVIDIA)
    assert names(gpus) == [f"{NVIDIA}=GPU-aa", f"{NVIDIA}=1"]
    assert gpus[0].known_as == {f"{NVIDIA}=0", f"{NVIDIA}=GPU-aa"}


def test_all_of_one_gpu_is_that_gpu() -> None:
    every = [device("all", "/dev/nvidia0"), device("0", "/dev/nvidia0")]
    assert names(inventory.of_kind(every, NVIDIA)) == [f"{NVIDIA}=0"]


def test_parts_of_a_gpu_are_gpus_and_other_kinds_are_not() -> None:
    every = [
        device("0:0", "/dev/nvidia0", "/dev/cap1"),
        device("0:1", "/dev/nvidia0", "/dev/cap2"),
        device("0", "/dev/net0", kind="example.com/nic"),
    ]
    assert names(inventory.of_kind(every, NVIDIA)) == [f"{NVIDIA}=0:0", f"{NVIDIA}=0:1"]


def test_devices_without_nodes_are_told_apart_by_their_names() -> None:
    assert len(inventory.of_kind([device("a"), device("b")], NVIDIA)) == 2


def test_a_gpu_is_free_unless_any_of_its_names_is_claimed() -> None:
    gpus = (Gpu("x=GPU-a", frozenset({"x=0", "x=GPU-a"})), Gpu("x=1", frozenset({"x=1"})))
    assert inventory.free(gpus, ()) == list(gpus)
    assert inventory.free(gpus, {"x=0"}) == [gpus[1]]


def test_a_container_is_told_its_gpus_without_their_kind() -> None:
    given = {"app": ("nvidia.com/gpu=GPU-a", "nvidia.com/gpu=1")}
    assert inventory.environment(given, "app") == {"NVIDIA_VISIBLE_DEVICES": "GPU-a,1"}
    assert inventory.environment(given, "side") == {}


def test_gpus_are_found_when_they_are_enabled(tmp_path: Path) -> None:
    gpus, why = Gpus(enabled=True, directories=(written(tmp_path),)).find()
    assert (names(gpus), why) == ([f"{KIND}=0"], "")


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        (Gpus(), "ECS_ENABLE_GPU_SUPPORT"),
        (Gpus(enabled=True, directories=(Path("/nowhere"),)), "no CDI specification in /nowhere"),
    ],
)
def test_without_any_the_cause_is_told(gpus: Gpus, words: str) -> None:
    found, why = gpus.find()
    assert found == ()
    assert words in why


def test_a_kind_that_is_asked_for_is_the_only_one(tmp_path: Path) -> None:
    directory = written(tmp_path)
    found, why = Gpus(enabled=True, directories=(directory,), kind="other.com/gpu").find()
    assert found == ()
    assert "other.com/gpu" in why


def test_what_is_wrong_with_a_specification_is_the_cause(tmp_path: Path) -> None:
    (tmp_path / "gpu.json").write_text("{")
    _, why = Gpus(enabled=True, directories=(tmp_path,)).find()
    assert "gpu.json" in why

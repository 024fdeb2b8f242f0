"""Which images tasks refer to, and until when they did."""

from __future__ import annotations

from dataclasses import replace

from agent.containerd.client import Containerd
from agent.host.images.records import USED_AT
from agent.host.images.stock import usage
from agent.task.model import Image, TaskId, first_progress
from agent.task.records import Pin
from tests import worlds
from tests.unit.host.images.shelf import Shelf

PINNED = "x.io/c@sha256:" + "c" * 64
TASK = worlds.task(
    worlds.container("a", image="a"),
    worlds.container("b", image="x.io/b:1"),
    worlds.container("c", image=PINNED),
    worlds.container("d", image="Not A Name"),
)
PROGRESS = (
    first_progress(TASK)
    .having("a", pin=Pin("sha256:pinned"))
    .having("b", image=Image("x.io/b:1", "sha256:id", "sha256:digest"))
)


def test_a_task_refers_to_names_and_to_what_they_meant_for_it() -> None:
    other = replace(TASK, id=TaskId("f" * 32))
    needed = usage.needed([(TASK, PROGRESS), (other, first_progress(other))])
    both, one = frozenset({TASK.id, other.id}), frozenset({TASK.id})
    assert needed == {
        "docker.io/library/a:latest": both,
        "x.io/b:1": both,
        PINNED: both,
        "sha256:" + "c" * 64: both,
        "sha256:pinned": one,
        "sha256:digest": one,
        "sha256:id": one,
    }
    assert usage.needed([]) == {}


async def test_the_images_of_a_forgotten_task_were_used_until_now(
    client: Containerd, shelf: Shelf
) -> None:
    shelf.image("docker.io/library/a:latest", layers=("a",), pulled_at="5")
    digest = shelf.image("x.io/b:2", "x.io/b@sha256:0", layers=("b",), used_at="6")
    shelf.image("x.io/other:1", layers=("c",))
    image = Image("x.io/b:1", "sha256:id", digest)
    await usage.note_end(client, TASK, PROGRESS.having("b", image=image), 12.34567)
    assert {name: dict(each.labels) for name, each in shelf.records.items()} == {
        "docker.io/library/a:latest": {"hostler/pulled-at": "5", USED_AT: "12.346"},
        "x.io/b:2": {USED_AT: "12.346"},
        "x.io/b@sha256:0": {USED_AT: "12.346"},
        "x.io/other:1": {},
    }

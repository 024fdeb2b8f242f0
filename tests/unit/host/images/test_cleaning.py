"""Removing images from a containerd, and when that is done."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import looptime
import pytest

from agent.containerd.client import Containerd
from agent.containerd.errors import NotFound, Unavailable
from agent.host.images.stock.claims import Claimed, Claims
from agent.host.images.stock.cleaning import Cleaner
from agent.host.images.stock.retention import Decision, Disk, Rules
from agent.task.model import TaskId
from agent.task.units import size
from tests.fakes.containerd import serving
from tests.unit.host.images.shelf import Shelf

TASK = TaskId("0" * 32)
NOW = 1_700_000_000.0
LONG_AGO = str(NOW - 11 * 86400)


@dataclass
class World:
    """A cleaner, and what it works with."""

    client: Containerd
    shelf: Shelf
    claims: Claims = field(default_factory=Claims)
    needed: dict[str, frozenset[TaskId]] = field(default_factory=dict)

    def cleaner(self, **rules: object) -> Cleaner:
        return Cleaner(
            self.client,
            self.claims,
            lambda: dict(self.needed),
            Rules(**rules),  # type: ignore[arg-type]
            lambda: NOW,
        )

    def need(self, name: str) -> None:
        self.needed[name] = frozenset({TASK})


@pytest.fixture
def world(client: Containerd, shelf: Shelf) -> World:
    return World(client, shelf)


def told(decisions: Iterable[Decision]) -> list[tuple[str, bool, str]]:
    return [(each.image.names[0], each.removed, each.why) for each in decisions]


async def test_what_nobody_needs_goes_with_all_its_names(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.shelf.image(
        "x.io/a:1", "x.io/a:2", "x.io/a@sha256:0", layers=("a", "b"), pulled_at=LONG_AGO
    )
    world.shelf.image("x.io/c:1", layers=("a",), pulled_at=LONG_AGO)
    world.need("x.io/c:1")
    cleaner = world.cleaner()
    decisions = await cleaner.carry_out(await cleaner.due(Disk(1, 99)))
    assert told(decisions) == [
        ("x.io/a:1", True, "no task needs it, pulled 11 days ago"),
        ("x.io/c:1", False, "a task refers to it"),
    ]
    assert list(world.shelf.records) == ["x.io/c:1"]
    assert world.shelf.deleted == [
        ("x.io/a:1", False),
        ("x.io/a:2", False),
        ("x.io/a@sha256:0", True),
    ]
    # Of the two layers the second is in nothing else: it, its snapshot, config and manifest go.
    assert decisions[0].frees > 1001
    assert caplog.messages == [
        "removed image x.io/a:1, x.io/a:2, x.io/a@sha256:0"
        f" ({size(decisions[0].frees)}): no task needs it, pulled 11 days ago"
    ]


async def test_pruning_takes_what_may_go_whatever_its_age(world: World) -> None:
    world.shelf.image("x.io/a:1", pulled_at=str(NOW))
    world.shelf.image("x.io/b:1", layers=("b",))
    world.shelf.image("x.io/kept:1", layers=("k",))
    cleaner = world.cleaner(kept=frozenset({"x.io/kept:1"}), off="off")
    assert [each[1] for each in told(await cleaner.unneeded(3600.0))] == [True, False, False]
    await cleaner.carry_out(await cleaner.unneeded(0.0))
    assert list(world.shelf.records) == ["x.io/kept:1"]


async def test_a_task_that_came_after_the_decision_keeps_its_image(world: World) -> None:
    world.shelf.image("x.io/a:1", pulled_at=LONG_AGO)
    cleaner = world.cleaner()
    decisions = await cleaner.due(Disk(1, 99))
    world.need("x.io/a:1")
    assert told(await cleaner.carry_out(decisions)) == [("x.io/a:1", False, "a task refers to it")]
    assert list(world.shelf.records) == ["x.io/a:1"]


async def test_what_a_pull_builds_on_stays(world: World) -> None:
    world.shelf.image("x.io/a:1", layers=("base", "a"), pulled_at=LONG_AGO)
    cleaner = world.cleaner()
    decisions = await cleaner.due(Disk(1, 99))
    layer = world.shelf.blob("", b"base")["digest"]
    async with world.claims.on("x.io/new:1", layer):
        (decision,) = await cleaner.carry_out(decisions)
    assert (decision.removed, decision.frees) == (False, 0)
    assert "in use by a pull or a load" in decision.why
    assert list(world.shelf.records) == ["x.io/a:1"]


async def test_whoever_looks_for_an_image_waits_until_it_is_gone(world: World) -> None:
    world.shelf.image("x.io/a:1", pulled_at=LONG_AGO)
    cleaner = world.cleaner()
    decisions = await cleaner.due(Disk(1, 99))
    going, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_name: str) -> None:
        going.set()
        await go_on.wait()

    async def look() -> list[str]:
        async with world.claims.on("x.io/a:1"):
            return list(world.shelf.records)

    world.shelf.on_delete = slow
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(cleaner.carry_out(decisions))
        await going.wait()
        looking = group.create_task(look())
        await asyncio.sleep(0)
        assert not looking.done()
        go_on.set()
    assert looking.result() == []


async def test_a_tag_that_has_moved_on_meanwhile_is_left_alone(world: World) -> None:
    world.shelf.image("x.io/a:1", "x.io/a@sha256:0", pulled_at=LONG_AGO)
    cleaner = world.cleaner()
    decisions = await cleaner.due(Disk(1, 99))
    world.shelf.image("x.io/a:1", layers=("new",))
    await cleaner.carry_out(decisions)
    assert list(world.shelf.records) == ["x.io/a:1"]
    assert world.shelf.deleted == [("x.io/a@sha256:0", True)]


async def test_what_is_gone_already_is_no_error(world: World) -> None:
    world.shelf.image("x.io/a:1", pulled_at=LONG_AGO)
    cleaner = world.cleaner()
    decisions = await cleaner.due(Disk(1, 99))

    async def first(name: str) -> None:
        world.shelf.records.pop(name, None)

    world.shelf.on_delete = first
    assert (await cleaner.carry_out(decisions))[0].removed


async def test_what_can_not_be_removed_is_said_once_and_the_rest_goes(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.shelf.image("x.io/a:1", pulled_at=LONG_AGO)
    world.shelf.image("x.io/b:1", layers=("b",), pulled_at=LONG_AGO)
    world.shelf.refused = {"x.io/a:1"}
    cleaner = world.cleaner()
    for _ in range(2):
        decisions = await cleaner.carry_out(await cleaner.due(Disk(1, 99)))
        assert told(decisions)[0] == ("x.io/a:1", False, "containerd: not this one")
    assert list(world.shelf.records) == ["x.io/a:1"]
    warnings = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    (warning,) = warnings
    assert warning.startswith("image x.io/a:1 can't be removed: ")


async def test_some_names_of_an_image_are_removed_by_hand(world: World) -> None:
    world.shelf.image("x.io/a:1", "x.io/a:2")
    cleaner = world.cleaner()
    (image,) = (await cleaner.facts()).images
    await cleaner.remove(image, ("x.io/a:2",))
    assert world.shelf.deleted == [("x.io/a:2", True)]
    async with world.claims.on(image.digest):
        with pytest.raises(Claimed):
            await cleaner.remove(image, image.names)


async def test_the_disk_is_that_of_the_snapshots(world: World, tmp_path: Path) -> None:
    disk = await world.cleaner().disk()
    found = os.statvfs(tmp_path)
    free = (disk.used + disk.available) / found.f_frsize
    assert abs(free - (found.f_blocks - found.f_bfree + found.f_bavail)) < found.f_blocks / 100
    assert 0 <= disk.percent() <= 100


async def test_a_snapshotter_that_does_not_say_where_it_is_is_an_error(tmp_path: Path) -> None:
    shelf = Shelf("")
    async with serving(shelf, tmp_path / "s"), Containerd(tmp_path / "s", "ns") as client:
        with pytest.raises(NotFound, match="does not tell where snapshotter overlayfs is"):
            await World(client, shelf).cleaner().disk()


class Timed(Cleaner):
    """A cleaner of nothing that remembers when it cleaned up. ``disks`` are what it sees."""

    def __init__(self, disks: Callable[[float], Disk], rules: Rules) -> None:
        super().__init__(None, Claims(), dict, rules, lambda: NOW)  # type: ignore[arg-type]
        self._disks = disks
        self.at: list[float] = []

    async def disk(self) -> Disk:
        return self._disks(asyncio.get_running_loop().time())

    async def due(self, disk: Disk) -> tuple[Decision, ...]:
        self.at.append(asyncio.get_running_loop().time())
        return ()


def cycles(disks: Callable[[float], Disk], rules: Rules, until: float) -> list[float]:
    """When images are cleaned up, in simulated seconds."""
    cleaner = Timed(disks, rules)

    async def simulate() -> None:
        async with asyncio.timeout(until):
            await cleaner.run()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        try:
            runner.run(simulate())
        except TimeoutError:
            return cleaner.at
    return [*cleaner.at, -1]


ROOM = Disk(50, 50)
FULL = Disk(90, 10)


def test_images_are_cleaned_up_in_every_interval() -> None:
    assert cycles(lambda _: ROOM, Rules(interval_s=1800.0), 6000) == [1800, 3600, 5400]


def test_a_full_disk_does_not_wait_for_the_interval() -> None:
    disks = lambda at: FULL if 100 < at < 130 else ROOM  # noqa: E731
    assert cycles(disks, Rules(interval_s=1800.0), 4000) == [120, 1920, 3720]


def test_switched_off_there_is_nothing_to_wait_for() -> None:
    assert cycles(lambda _: FULL, Rules(off="off"), 4000) == [-1]


def test_a_disk_that_stays_full_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    disks = lambda at: ROOM if 500 < at < 600 else FULL  # noqa: E731
    assert len(cycles(disks, Rules(), 1000)) == 15
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(said) == 2
    assert said[0].startswith("the disk of images is 90 % full, and no more images may go")


def test_without_containerd_it_goes_on_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    def disks(at: float) -> Disk:
        if at < 1000:
            raise Unavailable("containerd is away")
        return ROOM

    assert cycles(disks, Rules(interval_s=1800.0), 2000) == [1800]
    said = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert said == ["images can't be cleaned up now: containerd is away"]

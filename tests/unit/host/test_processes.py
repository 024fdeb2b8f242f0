"""What a creation finds that was cut short before it, by what containerd and the shims say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from agent.containerd.errors import ContainerdError, NotFound, Unavailable
from agent.containerd.types import Process, Status
from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import bundles, processes, shims
from agent.host.containers.processes import Processes
from agent.task import names
from tests.worlds import container, task

TASK = task(container("web"), container("side"))
WEB, SIDE = (names.container_id(TASK.id, each) for each in ("web", "side"))


@dataclass
class FakeRuntime:
    """containerd's tasks; each creation ends with the next of ``answers``, or well."""

    namespace: str = "test"
    socket: Path = Path("/nowhere.sock")
    known: set[str] = field(default_factory=set)
    answers: list[ContainerdError] = field(default_factory=list)
    created: list[str] = field(default_factory=list)

    @property
    def tasks(self) -> FakeRuntime:
        return self

    async def get(self, key: str) -> Process:
        if key not in self.known:
            raise NotFound(key, "no such task")
        return Process(key, "", 1, Status.STOPPED)

    async def create(self, key: str, root: object, *, timeout: float, **stdio: object) -> int:
        if self.answers:
            raise self.answers.pop(0)
        self.created.append(key)
        return 1


@dataclass
class Shims:
    """Those that are there, and those that were ended as they had no process."""

    there: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)

    def end_idle(self, *asked: object) -> list[int]:
        self.ended += self.there
        return self.there


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Shims:
    found = Shims()
    monkeypatch.setattr(shims, "end_idle", found.end_idle)
    monkeypatch.setattr(shims, "of", lambda *asked: found.there)
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Time passes by itself only here."""
    now = [1000.0]
    monkeypatch.setattr(processes, "monotonic", lambda: now[0])

    def pass_by(seconds: float) -> None:
        now[0] += seconds

    return pass_by


def making(runtime: FakeRuntime, folder: Path) -> Processes:
    return Processes(cast(Any, runtime), Cgroups(folder), 1.0)


def in_the_way(folder: Path, key: str) -> ContainerdError:
    said = f"failed to start shim: mkdir {folder}/test/{key}: file exists"
    return ContainerdError(f"Tasks.Create({key}): {said}", said)


async def test_a_first_creation_asks_for_nothing_else(tmp_path: Path, found: Shims) -> None:
    runtime, found.there = FakeRuntime(), [7]
    await making(runtime, tmp_path).create(TASK, WEB, ())
    assert (runtime.created, found.ended) == ([WEB], [])


async def test_a_shim_that_containerd_has_lost_is_ended_first(tmp_path: Path, found: Shims) -> None:
    runtime, found.there = FakeRuntime(), [7]
    each = making(runtime, tmp_path)
    each.expect_rest(TASK.id)
    await each.create(TASK, WEB, ())
    assert (runtime.created, found.ended) == ([WEB], [7])


async def test_a_shim_that_serves_one_of_the_task_is_left_alone(
    tmp_path: Path, found: Shims
) -> None:
    """Be it that it only knows how one ended."""
    runtime, found.there = FakeRuntime(known={SIDE}), [7]
    each = making(runtime, tmp_path)
    each.expect_rest(TASK.id)
    await each.create(TASK, WEB, ())
    assert (runtime.created, found.ended) == ([WEB], [])


@pytest.mark.parametrize(
    ("there", "wait_s", "removed"),
    [([], 0.0, False), ([], 3.1, True), ([7], 3.1, False), ([7], 15.1, True)],
    ids=["at once", "nobody is there", "somebody is there", "for long"],
)
async def test_a_directory_in_the_way_is_removed_when_nobody_can_be_undoing(
    tmp_path: Path,
    found: Shims,
    later: Callable[[float], None],
    there: list[int],
    wait_s: float,
    removed: bool,
) -> None:
    bundle = tmp_path / "test" / WEB
    bundle.mkdir(parents=True)
    runtime = FakeRuntime(known={SIDE}, answers=[in_the_way(tmp_path, WEB)])
    found.there = there
    each = making(runtime, tmp_path)
    each.expect_rest(TASK.id)
    later(wait_s)
    if removed:
        await each.create(TASK, WEB, ())
    else:
        with pytest.raises(Unavailable, match="file exists"):
            await each.create(TASK, WEB, ())
    assert bundle.exists() is not removed
    assert runtime.created == ([WEB] if removed else [])


async def test_what_containerd_left_as_it_ended_nobody_undoes(
    tmp_path: Path, found: Shims, later: Callable[[float], None]
) -> None:
    """It may have been long since the agent started: the time counts from then."""
    (tmp_path / "test" / WEB).mkdir(parents=True)
    runtime = FakeRuntime(answers=[Unavailable("gone"), *[in_the_way(tmp_path, WEB)] * 2])
    found.there = [7]
    each = making(runtime, tmp_path)
    each.expect_rest(TASK.id)
    later(100.0)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await each.create(TASK, WEB, ())
        later(1.6)
    later(0.1)
    await each.create(TASK, WEB, ())
    assert runtime.created == [WEB]


async def test_a_directory_that_comes_again_is_the_reason(
    tmp_path: Path, found: Shims, later: Callable[[float], None]
) -> None:
    runtime = FakeRuntime(answers=[in_the_way(tmp_path, WEB)] * 2)
    each = making(runtime, tmp_path)
    each.expect_rest(TASK.id)
    later(20.0)
    with pytest.raises(ContainerdError, match="file exists") as told:
        await each.create(TASK, WEB, ())
    assert not isinstance(told.value, Unavailable)


@pytest.mark.parametrize(
    "said",
    [
        f"mkdir /run/c/other/{WEB}: file exists",
        f"mkdir /run/c/test/{SIDE}: file exists",
        f"mkdir /run/c/test/{WEB}: no space left on device",
        f"mkdir test/{WEB}: file exists",
    ],
)
def test_other_directories_are_not_taken_for_it(said: str) -> None:
    assert bundles.in_the_way(said, "test", WEB) is None

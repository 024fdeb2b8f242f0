"""Tests of when samples are taken, over a host made of files."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace

import looptime
import pytest

import metadata.stats.sampler
from metadata.source import CgroupFacts, TaskFacts
from metadata.stats.sampler import Sampler
from tests.unit.metadata.facts import FULL, FULL_TASK, PAUSE, SECOND, Picture
from tests.unit.metadata.kernel import FileHost

WEB = replace(FULL, cgroup=CgroupFacts("/web", 4242))
OTHER = replace(FULL, docker_id="0ther", cgroup=CgroupFacts("/other"))
TASK = replace(FULL_TASK, containers=(WEB, OTHER, PAUSE))
DEADLINE_S = 10.0


@pytest.fixture
async def sampler(host: FileHost) -> AsyncIterator[Sampler]:
    sampler = Sampler(host.cgroups, host.proc, lambda: host.now)
    yield sampler
    sampler.close()
    await asyncio.to_thread(sampler._thread.shutdown)


@dataclass
class Watched(Picture):
    """A picture that says when somebody looks at it."""

    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def tasks(self) -> list[TaskFacts]:
        self.looks.release()
        return self.every


async def test_a_container_without_a_sample_is_sampled_at_once(sampler: Sampler) -> None:
    assert sampler.fresh("5b1e") is None
    found = await sampler.refreshed(TASK)
    assert set(found) == {"5b1e"}
    assert sampler.fresh("5b1e") is found["5b1e"]
    assert sampler.fresh("0ther") is None


async def test_a_sample_is_fresh_for_two_seconds(host: FileHost, sampler: Sampler) -> None:
    await sampler.refreshed(TASK)
    host.now += 2 * SECOND - 1
    assert sampler.fresh("5b1e") is not None
    host.now += 1
    assert sampler.fresh("5b1e") is None
    host.now -= 3600 * SECOND
    assert sampler.fresh("5b1e") is None


async def test_askers_at_the_same_time_share_one_sample(sampler: Sampler) -> None:
    first, second = await asyncio.gather(sampler.refreshed(TASK), sampler.refreshed(TASK))
    assert first == second
    assert second["5b1e"].previous is None


async def test_a_kernel_that_does_not_answer_delays_nobody_for_long(
    host: FileHost,
    sampler: Sampler,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata.stats.sampler, "_READ_TIMEOUT_S", 0.1)
    path = host.cgroups / "web" / "cpu.stat"
    path.unlink()
    os.mkfifo(path)  # opening it waits until somebody writes
    assert await sampler.refreshed(TASK) == {}
    assert await sampler.refreshed(TASK) == {}
    assert caplog.text.count("takes too long") == 2
    assert sampler._thread._work_queue.qsize() == 0
    os.close(os.open(path, os.O_WRONLY))


async def test_a_host_without_figures_is_told_and_survived(
    host: FileHost, sampler: Sampler, caplog: pytest.LogCaptureFixture
) -> None:
    (host.proc / "stat").unlink()
    assert await sampler.refreshed(TASK) == {}
    assert "can't take statistics" in caplog.text


async def test_running_samples_everything_and_ends_cleanly(
    host: FileHost, sampler: Sampler
) -> None:
    source = Watched([TASK])
    host.run("other")
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        running = group.create_task(sampler.run(source))
        await source.looks.acquire()
        await asyncio.wait([sampler._job] if sampler._job else [running])
        running.cancel()
    assert sampler.fresh("5b1e") is not None
    assert sampler.fresh("0ther") is not None


async def test_closing_leaves_no_file_and_no_thread(host: FileHost) -> None:
    sampler = Sampler(host.cgroups, host.proc, lambda: host.now)
    await sampler.refreshed(TASK)
    assert host.open_files() > 0
    sampler.close()
    await asyncio.to_thread(sampler._thread.shutdown)
    assert host.open_files() == 0


class Inline(Executor):
    """Does the work at once, so that simulated time waits for it."""

    def submit(self, work: Callable[..., None], /, *given: object, **_: object) -> Future[None]:  # type: ignore[override]
        done: Future[None] = Future()
        work(*given)
        done.set_result(None)
        return done


@dataclass
class Timed(Picture):
    """A picture that remembers at what times it was looked at."""

    looks: list[float] = field(default_factory=list)

    def tasks(self) -> list[TaskFacts]:
        self.looks.append(asyncio.get_running_loop().time())
        return self.every


@pytest.fixture
def simulated() -> Iterator[asyncio.AbstractEventLoop]:
    loop = looptime.new_event_loop()
    yield loop
    loop.close()


def looks(
    loop: asyncio.AbstractEventLoop, host: FileHost, asking_at: list[float], until: float
) -> list[float]:
    """When the host is swept, if it is asked at these times. Of simulated seconds."""
    source = Timed([TASK])

    async def simulate() -> None:
        sampler = Sampler(host.cgroups, host.proc, lambda: host.now, interval_s=10.0)
        sampler._thread.shutdown()
        sampler._thread = Inline()  # type: ignore[assignment]
        async with asyncio.TaskGroup() as group:
            running = group.create_task(sampler.run(source))
            for moment in asking_at:
                await asyncio.sleep(moment - loop.time())
                sampler.fresh("5b1e")
            await asyncio.sleep(until - loop.time())
            running.cancel()
        sampler._sweeper.close()

    loop.run_until_complete(simulate())
    return source.looks


def test_an_idle_host_is_swept_every_interval(
    simulated: asyncio.AbstractEventLoop, host: FileHost
) -> None:
    assert looks(simulated, host, [], until=35) == [0, 10, 20, 30]


def test_asking_brings_a_sweep_at_once_and_then_one_each_second_for_a_minute(
    simulated: asyncio.AbstractEventLoop, host: FileHost
) -> None:
    every = looks(simulated, host, [14.5], until=100)
    quick = [14.5 + second for second in range(60)]
    assert every == pytest.approx([0, 10, *quick, 83.5, 93.5])


def test_asking_again_and_again_adds_no_sweeps(
    simulated: asyncio.AbstractEventLoop, host: FileHost
) -> None:
    often = [10 + number / 10 for number in range(3, 40)]
    every = looks(simulated, host, often, until=14.9)
    assert every == pytest.approx([0, 10, 11, 12, 13, 14])

"""Tests of when samples are taken, kept and forgotten, over a host made of files."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

import metadata.stats.sampler
from metadata.source import CgroupFacts
from metadata.stats.sampler import Sampler
from tests.unit.metadata.facts import FULL, MOMENT, SECOND
from tests.unit.metadata.kernel import FileHost

WEB = replace(FULL, cgroup=CgroupFacts("/web", 4242))
OTHER = replace(FULL, docker_id="0ther", cgroup=CgroupFacts("/other"))


@pytest.fixture
async def sampler(host: FileHost) -> AsyncIterator[Sampler]:
    sampler = Sampler(host.cgroups, host.proc, lambda: host.now)
    yield sampler
    sampler.close()


async def test_first_sample_is_taken_when_asked(sampler: Sampler) -> None:
    samples = (await sampler.refresh([WEB]))["5b1e"]
    assert samples.previous is None
    assert samples.latest.at == MOMENT
    assert samples.latest.usage.cpu.total_ns == 1000
    assert samples.latest.host_memory == 1 << 20
    assert samples.latest.networks is not None
    assert set(samples.latest.networks) == {"eth0", "eth0.7"}


async def test_a_sample_serves_for_a_second(host: FileHost, sampler: Sampler) -> None:
    first = await sampler.refresh([WEB])
    host.run("web", usage_us=50)
    host.now += SECOND - 1
    assert await sampler.refresh([WEB]) == first
    host.now += 1
    second = (await sampler.refresh([WEB]))["5b1e"]
    assert second.latest.usage.cpu.total_ns == 50_000
    assert second.previous == first["5b1e"].latest


async def test_askers_at_the_same_time_share_one_sample(sampler: Sampler) -> None:
    first, second = await asyncio.gather(sampler.refresh([WEB]), sampler.refresh([WEB]))
    assert first == second
    assert second["5b1e"].previous is None


async def test_a_clock_set_back_does_not_stop_sampling(host: FileHost, sampler: Sampler) -> None:
    await sampler.refresh([WEB])
    host.now -= 3600 * SECOND
    assert (await sampler.refresh([WEB]))["5b1e"].latest.at == host.now


async def test_a_container_that_is_gone_has_no_samples_any_more(
    host: FileHost, sampler: Sampler
) -> None:
    await sampler.refresh([WEB])
    shutil.rmtree(host.cgroups / "web")
    host.now += SECOND
    assert await sampler.refresh([WEB]) == {}
    host.run("web")
    assert (await sampler.refresh([WEB]))["5b1e"].previous is None


async def test_only_containers_with_a_cgroup_are_measured(sampler: Sampler) -> None:
    assert await sampler.refresh([OTHER, replace(WEB, cgroup=None)]) == {}
    assert set(await sampler.refresh([OTHER, WEB])) == {"5b1e"}


async def test_a_process_that_is_gone_leaves_no_network(host: FileHost, sampler: Sampler) -> None:
    shutil.rmtree(host.proc / "4242")
    assert (await sampler.refresh([WEB]))["5b1e"].latest.networks is None


async def test_containers_nobody_asks_about_are_forgotten(host: FileHost, sampler: Sampler) -> None:
    host.run("other")
    await sampler.refresh([OTHER])
    host.now += 299 * SECOND
    await sampler.refresh([WEB])
    assert set(sampler._kept) == {"0ther", "5b1e"}
    host.now += SECOND
    await sampler.refresh([WEB])
    assert set(sampler._kept) == {"5b1e"}


async def test_a_kernel_that_does_not_answer_delays_nobody_for_long(
    host: FileHost,
    sampler: Sampler,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metadata.stats.sampler, "_SWEEP_TIMEOUT_S", 0.1)
    path = host.cgroups / "web" / "cpu.stat"
    path.unlink()
    os.mkfifo(path)  # opening it waits until somebody writes
    assert await sampler.refresh([WEB]) == {}
    assert "takes too long" in caplog.text
    os.close(os.open(path, os.O_WRONLY))

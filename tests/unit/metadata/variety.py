"""Tasks of all shapes: what an answer may have is there in one of them and missing in another."""

from __future__ import annotations

import time
from dataclasses import replace

from metadata.agentapi.faults import Faults
from metadata.agentapi.protection import Protection
from metadata.agentapi.room import AgentApi
from metadata.credentials.keys import Keys, Need
from metadata.credentials.vault import Vault
from metadata.front.limits import Buckets
from metadata.source import (
    ContainerFacts,
    HealthFacts,
    InterfaceFacts,
    LimitsFacts,
    NetworkFacts,
    PortFacts,
    RoleFacts,
    Source,
    TaskFacts,
    VolumeFacts,
)
from metadata.stats.cgroup import V2, CpuUsage, Limits, MemoryUsage, Usage
from metadata.stats.render import Sample, Samples
from metadata.stats.sampler import Sampler
from metadata.stats.sweep import Kept, Moment, Reading
from tests.unit.metadata.agentapi.asking import HURRY, Agent
from tests.unit.metadata.facts import (
    AWSVPC,
    BARE,
    BARE_TASK,
    FULL,
    FULL_TASK,
    INSTANCE,
    PAUSE,
    PULLED,
    Picture,
)
from tests.unit.metadata.test_stats import FIRST, SECOND_ONE

EMPTIES = replace(
    FULL,
    networks=(NetworkFacts("awsvpc", (), (), InterfaceFacts()), NetworkFacts("")),
    health=HealthFacts(),
    ports=(PortFacts(0, ""),),
    volumes=(VolumeFacts(""),),
)
ROLE = "arn:aws:iam::111122223333:role/shop"
SHAPES = {
    "full": replace(FULL, associations={"kind": {"name": '{"given": [1]}'}}),
    "bare": BARE,
    "own": replace(FULL, networks=(AWSVPC,)),
    "host": replace(FULL, networks=(NetworkFacts("host"),), labels={}),
    "empties": EMPTIES,
}

_LIMITS = {
    "full": LimitsFacts(512, 512),
    "bare": None,
    "own": LimitsFacts(512),
    "host": LimitsFacts(0, 512),
    "empties": None,
}

_NOTHING = replace(
    FIRST,
    usage=Usage(
        cpu=CpuUsage(0, 0, 0, (), 0, 0, 0),
        memory=MemoryUsage(0, None, None, None, {}),
        processes=None,
        process_limit=None,
        io_bytes=(),
        io_operations=(),
    ),
    networks=None,
)
SAMPLES = {
    "bare": Samples(_NOTHING),
    "full": Samples(SECOND_ONE, FIRST),
    "own": Samples(FIRST),
}


def container(shape: str) -> ContainerFacts:
    """With the shape's name as its ids."""
    return replace(SHAPES[shape], endpoint_id=shape, docker_id=shape, cgroup=FULL.cgroup)


def task(shape: str) -> TaskFacts:
    """The task of that container. It is in awsvpc mode, as version 2 answers no others."""
    return replace(
        BARE_TASK if shape == "bare" else FULL_TASK,
        containers=(container(shape), PAUSE, PULLED),
        network_mode="awsvpc",
        limits=_LIMITS[shape],
        tags={} if shape == "bare" else {"owner": "shop"},
        role=None if shape == "bare" else RoleFacts(f"role-{shape}", ROLE),
    )


def picture(*shapes: str) -> Picture:
    """Tasks of these shapes, of one owner."""
    tags = {} if shapes == ("bare",) else {"rack": "7"}
    return Picture([task(shape) for shape in shapes], replace(INSTANCE, tags=tags))


def agent_api(source: Source) -> AgentApi:
    """What tasks may ask of an agent that does as it is asked."""
    agent = Agent()
    return AgentApi(Protection(source, agent), Faults(source, agent, Buckets(HURRY)))


async def vault(source: Source) -> Vault:
    """With credentials of all tasks' roles."""

    async def obtain(need: Need) -> Keys:
        return Keys("AKID1", f"secret of {need.id}", "token", None)

    made = Vault(obtain, time.time)
    for each in source.tasks():
        if each.role is not None:
            await made.obtain(Need(each.role.id, each.role.arn, each.arn))
    return made


class KnownSamples(Sampler):
    """Knows what was measured, by runtime id."""

    def fresh(self, docker_id: str) -> Kept | None:
        samples = SAMPLES.get(docker_id)
        if samples is None:
            return None
        previous = None if samples.previous is None else _reading(samples.previous)
        return Kept(_reading(samples.latest), previous)

    async def refreshed(self, task: TaskFacts) -> dict[str, Kept]:
        return {}


def _reading(sample: Sample) -> Reading:
    moment = Moment(sample.at, b"", sample.host_memory)
    return Reading(moment, V2, [], Limits(), None, _sample=sample)

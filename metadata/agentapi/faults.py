"""Network faults that a task has the agent make, to see how it takes them.

Bodies, codes and the order of checks are those of ECS's `fault/v1`; what a fault does to the
network is for the agent. A fault of a task with its own interface meets that task only. One of a
task in host mode meets the whole host and all that is on it: whoever sets `enableFaultInjection` in
the definition of such a task allows that.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from metadata.agentapi.bodies import (
    BlackholeBody,
    BodyError,
    LatencyBody,
    LossBody,
    Network,
    parsed,
)
from metadata.front.asking import TOO_MANY, Answer, Asking, BodyRefused, shown
from metadata.front.limits import Buckets, Rate
from metadata.source import ContainerFacts, Source, TaskFacts

DEADLINE_S: Final = 5.0
RATE: Final = Rate(per_second=0.2, burst=1)
"""For each operation on each fault, beside the limit on everything."""

OPERATIONS: Final = ("start", "stop", "status")
_MODES: Final = ("awsvpc", "host")


@dataclass(frozen=True, slots=True)
class Blackhole:
    """What is sent to a port comes to nothing, but for what is sent to the `exempt` networks."""

    port: int
    protocol: Literal["tcp", "udp"]
    traffic: Literal["ingress", "egress"]
    exempt: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is disturbed: so many percent of the flows to the networks, but for the `exempt`."""

    networks: tuple[Network, ...] = ()
    exempt: tuple[Network, ...] = ()
    flows_percent: int = 100


@dataclass(frozen=True, slots=True)
class Latency:
    """What leaves comes later. There is one at a time: to stop it no more needs to be said."""

    delay_ms: int = 0
    jitter_ms: int = 0
    target: Target = Target()


@dataclass(frozen=True, slots=True)
class Loss:
    """Some of what leaves is lost; the rest as `Latency`."""

    percent: int = 0
    target: Target = Target()


Fault: TypeAlias = Blackhole | Latency | Loss


class AlreadyRunning(Exception):
    """There is latency or loss already; only one of them can be."""


class FaultFailed(Exception):
    """The agent could not do it, and nothing half-made is left; the text says why."""


class Injector(Protocol):
    """Who makes faults where the task's network is. All raise FaultFailed."""

    async def start(self, task: TaskFacts, fault: Fault) -> None:
        """The fault is there; a blackhole that was there stays as it was. Raises AlreadyRunning."""

    async def stop(self, task: TaskFacts, fault: Fault) -> None:
        """The fault is not there."""

    async def running(self, task: TaskFacts, fault: Fault) -> bool:
        """Whether the fault is there."""


class Faults:
    """Answers for all tasks."""

    def __init__(
        self,
        source: Source,
        injector: Injector,
        buckets: Buckets | None = None,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._source = source
        self._injector = injector
        self._buckets = buckets or Buckets(RATE)
        self._deadline_s = deadline_s

    async def answer(self, asking: Asking, endpoint_id: str, name: str, operation: str) -> Answer:
        """What comes of one of the `OPERATIONS` on one of the `FAULTS`."""
        task = self._source.task(asking.owner, endpoint_id)
        # An unknown id is refused anyway, and would cost one that is known its bucket.
        if task is not None and not self._buckets.admit(asking.owner, asking.path):
            return TOO_MANY
        try:
            fault = FAULTS[name](operation, await asking.body())
        except (BodyError, BodyRefused) as error:
            return _error(400, f"{operation} {name}: {error}")
        container = None if task is None else task.container(asking.owner, endpoint_id)
        if task is None or container is None:
            return _error(404, f"{operation} {name}: no container has the id {endpoint_id!r}")
        refusal = _refusal(task, container)
        if refusal is not None:
            return _error(refusal[0], f"{operation} {name}: {refusal[1]}")
        return await self._done(task, fault, name, operation)

    async def _done(self, task: TaskFacts, fault: Fault, name: str, operation: str) -> Answer:
        try:
            async with asyncio.timeout(self._deadline_s):
                return shown({"Status": await self._carried_out(task, fault, operation)})
        except TimeoutError:
            return _error(500, f"{operation} {name}: request timed out")
        except AlreadyRunning as error:
            return _error(409, f"{operation} {name}: {error}")
        except FaultFailed as error:
            return _error(500, f"{operation} {name}: internal error: {error}")

    async def _carried_out(self, task: TaskFacts, fault: Fault, operation: str) -> str:
        match operation:
            case "start":
                await self._injector.start(task, fault)
                return "running"
            case "stop":
                await self._injector.stop(task, fault)
                return "stopped"
            case _:
                return "running" if await self._injector.running(task, fault) else "not-running"


def _refusal(task: TaskFacts, container: ContainerFacts) -> tuple[int, str] | None:
    """Status and reason, for a task that can't have faults."""
    if not task.fault_injection:
        return 400, (
            f"fault injection is not enabled for task {task.arn}: "
            "set enableFaultInjection to true in its definition"
        )
    # In bridge mode ECS never comes to speak of the mode.
    if task.network_mode == "bridge" or not container.networks:
        return 500, f"there is no network configuration for task {task.arn}"
    if task.network_mode not in _MODES:
        return 400, f"network mode {task.network_mode} has no faults: use {' or '.join(_MODES)}"
    return None


def _blackhole(_: str, text: bytes) -> Fault:
    body = parsed(BlackholeBody, text)
    return Blackhole(body.port, body.protocol, body.traffic_type, body.sources_to_filter)


def _latency(operation: str, text: bytes) -> Fault:
    if operation != "start":
        return Latency()
    body = parsed(LatencyBody, text)
    target = Target(body.sources, body.sources_to_filter, body.flows_percent)
    return Latency(body.delay_milliseconds, body.jitter_milliseconds, target)


def _loss(operation: str, text: bytes) -> Fault:
    if operation != "start":
        return Loss()
    body = parsed(LossBody, text)
    return Loss(body.loss_percent, Target(body.sources, body.sources_to_filter, body.flows_percent))


FAULTS: Final[Mapping[str, Callable[[str, bytes], Fault]]] = {
    "network-blackhole-port": _blackhole,
    "network-latency": _latency,
    "network-packet-loss": _loss,
}
"""What a path may name, and how an operation's body is read; each raises BodyError."""


def _error(status: int, text: str) -> Answer:
    return shown({"Error": text}, status)

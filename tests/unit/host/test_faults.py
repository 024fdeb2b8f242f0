"""In which namespace and on which interfaces a task's faults are made, and what a failure is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.host.network import faults
from agent.host.network.faults import HostFaults
from agent.task.model import TASK_SANDBOX, TaskId
from agent.task.names import Names
from cni.errors import CNIError, Code
from cni.faults import blackhole, shaping
from cni.kernel import routes, rtnetlink
from cni.kernel.loopback import METADATA_ADDRESS as METADATA
from cni.kernel.routes import KernelRoute
from metadata.agentapi.faults import (
    AlreadyRunning,
    Blackhole,
    Fault,
    FaultFailed,
    Latency,
    Loss,
    Target,
)
from tests.unit.cni.faults.trafficcontrol import TrafficControl
from tests.unit.metadata.facts import FULL_TASK

OF = Names(Path("/run/x"), Path("/var/x"), "/hostler", "hv")
ID = TaskId("f" * 32)
TASK = replace(FULL_TASK, arn=f"arn:aws:ecs:xx:1:task/lab/{ID}", network_mode="awsvpc")
ON_HOST = replace(TASK, network_mode="host")
INSIDE = OF.netns(ID, TASK_SANDBOX)
HOLE = Blackhole(8080, "tcp", "egress", (ip_network("10.0.0.0/8"),))
LATE = Latency(200, 50, Target((ip_network("10.0.0.0/8"),), (ip_network("10.1.0.0/16"),), 40))
LOST = Loss(6, Target((ip_network("2001:db8::1"),)))
ETH0 = 3


class Links:
    """An rtnetlink socket of the namespace at a path."""

    def __init__(self, at: Path | None) -> None:
        self.at = at
        self.open = True

    def __enter__(self) -> Links:
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False


class World:
    """Thread, runtime and namespaces at once; each namespace has blackholes and a kernel."""

    def __init__(self) -> None:
        self.holes: dict[Path | None, dict[Any, tuple[Any, ...]]] = {}
        self.kernels: dict[Path | None, TrafficControl] = {}
        self.links: list[Links] = []
        self.routes: list[KernelRoute] = []
        self.fails: Exception | None = None
        self.shared = False
        self._at: Path | None = None

    async def run(self, work: Callable[[Any], Any]) -> Any:
        if self.fails is not None:
            raise self.fails
        namespaces = SimpleNamespace(call=self._call)
        context = SimpleNamespace(namespaces=namespaces, links=Links(None))
        return work(SimpleNamespace(context=context))

    def kernel(self, at: Path | None) -> TrafficControl:
        return self.kernels.setdefault(at, TrafficControl())

    def open_links(self) -> Links:
        self.links.append(Links(self._at))
        return self.links[-1]

    @contextmanager
    def controlling(self, links: Links) -> Iterator[TrafficControl]:
        assert links.open
        yield self.kernel(links.at)

    def start(self, table: str, hole: Any, exempt: tuple[Any, ...]) -> None:
        self._here(table).setdefault(hole, tuple(exempt))

    def stop(self, table: str, hole: Any) -> None:
        self._here(table).pop(hole, None)

    def running(self, table: str, hole: Any) -> bool:
        return hole in self._here(table)

    def stop_all(self, table: str) -> None:
        self._here(table).clear()

    def _here(self, table: str) -> dict[Any, tuple[Any, ...]]:
        assert table == "tab"
        return self.holes.setdefault(self._at, {})

    def _call(self, at: Path | None, work: Callable[[], Any]) -> Any:
        self._at = at
        try:
            return work()
        finally:
            self._at = None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    for name in ("start", "stop", "running", "stop_all"):
        monkeypatch.setattr(blackhole, name, getattr(made, name))
    monkeypatch.setattr(shaping, "controlling", made.controlling)
    monkeypatch.setattr(shaping, "suspected", lambda links: bool(made.kernel(links.at).qdiscs))
    monkeypatch.setattr(rtnetlink, "open_socket", made.open_links)
    monkeypatch.setattr(rtnetlink, "require_link", lambda _, name: eth0(name))
    monkeypatch.setattr(routes, "get_routes", lambda _: made.routes)
    monkeypatch.setattr(routes, "is_local", lambda _, address: made.shared and address is METADATA)
    return made


def eth0(name: str) -> Any:
    assert name == "eth0"
    return SimpleNamespace(index=ETH0)


@pytest.fixture
def injector(world: World) -> HostFaults:
    thread: Any = world
    return HostFaults(thread, OF, "tab")


def default(index: int, dst: str = "0.0.0.0/0", **more: Any) -> KernelRoute:
    return KernelRoute(ip_network(dst), None, index, **{"table": 254, **more})


@pytest.mark.parametrize(("task", "at"), [(TASK, INSIDE), (ON_HOST, None)])
async def test_a_blackhole_is_in_the_tasks_namespace_or_on_the_host(
    world: World, injector: HostFaults, task: Any, at: Path | None
) -> None:
    assert not await injector.running(task, HOLE)
    await injector.start(task, HOLE)
    wanted = blackhole.Blackhole(8080, "tcp", "egress")
    assert world.holes == {at: {wanted: (ip_network("10.0.0.0/8"),)}}
    assert await injector.running(task, replace(HOLE, exempt=()))
    assert not await injector.running(task, replace(HOLE, traffic="ingress"))
    await injector.stop(task, replace(HOLE, exempt=()))
    assert world.holes == {at: {}}


async def test_latency_and_loss_are_on_the_tasks_own_interface(
    world: World, injector: HostFaults
) -> None:
    await injector.start(TASK, LATE)
    expected = TrafficControl()
    shaping.start(
        expected,
        [ETH0],
        shaping.Shaping((ip_network("10.0.0.0/8"),), (ip_network("10.1.0.0/16"),), 40, 200, 50),
    )
    assert world.kernels[INSIDE].qdiscs == expected.qdiscs
    assert world.kernels[INSIDE].filters == expected.filters
    await injector.stop(TASK, Latency())
    assert world.kernels[INSIDE].qdiscs == []
    await injector.start(TASK, LOST)
    losses = {each.options["loss"] for each in world.kernels[INSIDE].qdiscs if each.kind == "netem"}
    assert losses == {6}
    assert set(world.kernels) == {INSIDE}
    assert not any(each.open for each in world.links)


@pytest.mark.parametrize(("runs", "other"), [(LATE, LOST), (LOST, LATE)])
async def test_latency_and_loss_exclude_each_other(
    world: World, injector: HostFaults, runs: Fault, other: Fault
) -> None:
    await injector.start(TASK, runs)
    before = list(world.kernels[INSIDE].qdiscs)
    for fault in (runs, other):
        with pytest.raises(AlreadyRunning, match=r"there is (latency|loss) already"):
            await injector.start(TASK, fault)
    assert await injector.running(TASK, runs)
    assert not await injector.running(TASK, other)
    await injector.stop(TASK, other)
    assert world.kernels[INSIDE].qdiscs == before


async def test_on_the_host_they_are_on_the_interfaces_of_the_default_routes(
    world: World, injector: HostFaults
) -> None:
    world.routes = [
        default(5),
        default(5, "::/0"),
        default(6, "::/0"),
        default(7, table=100),
        default(8, "10.0.0.0/8"),
        default(9, blackhole=True),
        default(0),
    ]
    await injector.start(ON_HOST, LATE)
    assert shaping.found(world.kernels[None]) == {5: "latency", 6: "latency"}
    world.routes = []  # what is there is found without them
    assert await injector.running(ON_HOST, LATE)
    await injector.stop(ON_HOST, LATE)
    assert world.kernels[None].qdiscs == []


async def test_a_host_without_a_default_route_has_none(world: World, injector: HostFaults) -> None:
    with pytest.raises(FaultFailed, match="no default route"):
        await injector.start(ON_HOST, LATE)
    assert not await injector.running(ON_HOST, LATE)


@pytest.mark.parametrize(
    "error",
    [CNIError(Code.IO_FAILURE, "nft refused the rules"), FileNotFoundError("no namespace")],
)
@pytest.mark.parametrize("fault", [HOLE, LATE, LOST])
async def test_a_failure_is_told_and_logged(
    world: World,
    injector: HostFaults,
    caplog: pytest.LogCaptureFixture,
    fault: Fault,
    error: Exception,
) -> None:
    world.fails = error
    with caplog.at_level(logging.WARNING):
        for work in (injector.start, injector.stop, injector.running):
            with pytest.raises(FaultFailed, match=str(error)):
                await work(TASK, fault)
    assert len(caplog.records) == 3


@pytest.mark.parametrize("fault", [HOLE, LATE])
async def test_too_long_is_no_failure_of_the_kernels(
    world: World, injector: HostFaults, fault: Fault
) -> None:
    world.fails = TimeoutError()
    with pytest.raises(TimeoutError):
        await injector.start(TASK, fault)


async def test_a_kernel_that_lacks_what_it_takes(world: World, injector: HostFaults) -> None:
    world.kernel(INSIDE).lacks = frozenset({"netem"})
    with pytest.raises(FaultFailed, match="the kernel of this host has no qdisc netem"):
        await injector.start(TASK, LATE)
    assert world.kernels[INSIDE].qdiscs == []


async def test_all_that_is_on_the_host_itself_can_be_withdrawn(
    world: World, injector: HostFaults
) -> None:
    world.routes = [default(5)]
    for task in (ON_HOST, TASK):
        await injector.start(task, HOLE)
        await injector.start(task, LATE)
    await world.run(lambda runtime: faults.withdraw(runtime, "tab"))
    await world.run(lambda runtime: faults.withdraw(runtime, "tab"))
    for task, there in ((ON_HOST, False), (TASK, True)):
        assert await injector.running(task, HOLE) is there
        assert await injector.running(task, LATE) is there


async def test_latency_stays_while_another_agent_has_tasks_on_the_host(
    world: World, injector: HostFaults
) -> None:
    world.routes, world.shared = [default(5)], True
    for fault in (HOLE, LATE):
        await injector.start(ON_HOST, fault)
    await world.run(lambda runtime: faults.withdraw(runtime, "tab"))
    assert not await injector.running(ON_HOST, HOLE)
    assert await injector.running(ON_HOST, LATE)

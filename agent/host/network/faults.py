"""Network faults that tasks ask for: in which namespace, on which interfaces.

A task in awsvpc mode has them in its own namespace, where they end with it. One in host mode has
them on the host itself, and so has everybody else there: only tasks whose definition says
``enableFaultInjection`` get this far.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.host.network.networkthread import NetworkThread
from agent.host.network.sandbox import IFNAME
from agent.task.model import TASK_SANDBOX, TaskId
from agent.task.names import Names
from cni.errors import CNIError
from cni.faults import blackhole, shaping
from cni.faults.shaping import Control, Shaping
from cni.kernel import routes, rtnetlink, rtnl
from cni.kernel.loopback import METADATA_ADDRESS
from cni.kernel.netlink import NetlinkSocket
from cni.runtime.chain import Runtime
from metadata.agentapi.faults import AlreadyRunning, Blackhole, Fault, FaultFailed, Latency, Loss
from metadata.source import TaskFacts

log = logging.getLogger(__name__)

T = TypeVar("T")


def withdraw(runtime: Runtime, table: str) -> None:
    """The host itself has no faults any more. Raises CNIError, OSError.

    Latency and loss stay while tasks of another agent are on the host's network: they may be
    theirs, and have no name that would tell.
    """
    blackhole.stop_all(table)
    links = runtime.context.links
    if shaping.suspected(links) and not routes.is_local(links, METADATA_ADDRESS):
        with shaping.controlling(links) as control:
            for index in shaping.found(control):
                shaping.remove(control, index)


class HostFaults:
    """``metadata.agentapi.faults.Injector``. ``table`` names the nftables table in each namespace.

    Nothing is remembered: what there is, is in the kernel, so it is found again by the next agent.
    All is done one after the other, in a ``thread`` that may be kept busy for a moment.
    """

    def __init__(self, thread: NetworkThread, names: Names, table: str) -> None:
        self._thread = thread
        self._names = names
        self._table = table

    async def start(self, task: TaskFacts, fault: Fault) -> None:
        """The fault is there. Raises AlreadyRunning, FaultFailed, TimeoutError."""
        if isinstance(fault, Blackhole):
            hole, exempt = _hole(fault), fault.exempt
            await self._inside(task, lambda: blackhole.start(self._table, hole, exempt))
            return
        wanted = _shaping(fault)

        def start(links: NetlinkSocket, control: Control) -> None:
            for kind in shaping.found(control).values():
                raise AlreadyRunning(f"there is {kind} already: stop it first")
            indexes = _outward(links) if task.network_mode == "host" else _own(links)
            shaping.start(control, indexes, wanted)

        await self._controlling(task, start)

    async def stop(self, task: TaskFacts, fault: Fault) -> None:
        """The fault is not there. Raises FaultFailed, TimeoutError."""
        if isinstance(fault, Blackhole):
            hole = _hole(fault)
            await self._inside(task, lambda: blackhole.stop(self._table, hole))
            return

        def stop(_: NetlinkSocket, control: Control) -> None:
            for index, kind in shaping.found(control).items():
                if kind == _kind(fault):
                    shaping.remove(control, index)

        await self._controlling(task, stop)

    async def running(self, task: TaskFacts, fault: Fault) -> bool:
        """Whether the fault is there. Raises FaultFailed, TimeoutError."""
        if isinstance(fault, Blackhole):
            hole = _hole(fault)
            return await self._inside(task, lambda: blackhole.running(self._table, hole))

        def running(_: NetlinkSocket, control: Control) -> bool:
            return _kind(fault) in shaping.found(control).values()

        return await self._controlling(task, running)

    async def _inside(self, task: TaskFacts, work: Callable[[], T]) -> T:
        path = self._namespace(task)
        return await self._run(task, lambda runtime: runtime.context.namespaces.call(path, work))

    async def _controlling(self, task: TaskFacts, work: Callable[[NetlinkSocket, Control], T]) -> T:
        path = self._namespace(task)

        def controlled(runtime: Runtime) -> T:
            with (
                runtime.context.namespaces.call(path, rtnetlink.open_socket) as links,
                shaping.controlling(links) as control,
            ):
                return work(links, control)

        return await self._run(task, controlled)

    async def _run(self, task: TaskFacts, work: Callable[[Runtime], T]) -> T:
        try:
            return await self._thread.run(work)
        except TimeoutError:
            raise
        except (CNIError, OSError) as error:
            log.warning("a network fault failed: %s", error, extra={"TASK_ARN": task.arn})
            raise FaultFailed(str(error)) from error

    def _namespace(self, task: TaskFacts) -> Path | None:
        """The task's; None is the host's."""
        if task.network_mode == "host":
            return None
        return self._names.netns(TaskId(task.arn.rpartition("/")[2]), TASK_SANDBOX)


def _own(links: NetlinkSocket) -> list[int]:
    return [rtnetlink.require_link(links, IFNAME).index]


def _outward(links: NetlinkSocket) -> list[int]:
    """The interfaces that default routes lead to. Raises FaultFailed if there are none."""
    found = {
        each.index
        for each in routes.get_routes(links)
        if each.dst.prefixlen == 0 and each.table == rtnl.RT_TABLE_MAIN and not each.blackhole
    } - {0}
    if not found:
        raise FaultFailed("this host has no default route, so no interface to disturb")
    return sorted(found)


def _hole(fault: Blackhole) -> blackhole.Blackhole:
    return blackhole.Blackhole(fault.port, fault.protocol, fault.traffic)


def _kind(fault: Latency | Loss) -> str:
    return "latency" if isinstance(fault, Latency) else "loss"


def _shaping(fault: Latency | Loss) -> Shaping:
    target = fault.target
    where = (target.networks, target.exempt, target.flows_percent)
    if isinstance(fault, Latency):
        return Shaping(*where, delay_ms=fault.delay_ms, jitter_ms=fault.jitter_ms)
    return Shaping(*where, loss_percent=fault.percent)

"""Ports of the host for the ports of a container, as a task definition maps them.

Dynamic ones are chosen here, before the plugins run: a CNI result can't report a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agent.task.definition import ContainerDefinition
from agent.task.network import PortBinding
from cni.errors import PortTaken
from cni.portmap.hostports import Cursor, PortRange, choose
from cni.portmap.mappings import PortMapping, Protocol

T = TypeVar("T")

_ATTEMPTS = 5

Taken = Collection[tuple[Protocol, int]]


class HostPorts:
    """Chooses from ``bounds`` (first and last; None is the kernel's range), in turn.

    None of ``reserved`` is chosen.
    """

    def __init__(
        self,
        run_dir: Path,
        bounds: tuple[int, int] | None,
        reserved: Iterable[tuple[str, int]] = (),
    ) -> None:
        self._reserved = frozenset((Protocol(protocol), port) for protocol, port in reserved)
        self._bounds = PortRange(*bounds) if bounds else None
        self._cursor = Cursor(run_dir / "last-port")

    def publishing(
        self,
        container: ContainerDefinition,
        published: Callable[[], Taken],
        publish: Callable[[Sequence[PortMapping]], T],
    ) -> tuple[T, tuple[PortBinding, ...]]:
        """What ``publish`` gave for the container's mappings, and which host ports those got.

        A dynamic port that turns out to be taken is chosen anew, past all that are ``published``.
        Raises PortTaken for a fixed one, CNIError.
        """
        wanted = tuple(_wanted(container))
        fixed = {
            (each.protocol.value, port)
            for each in wanted
            if each.host_port
            for port in each.host_ports
        }
        taken: Taken = self._reserved
        for last in (False,) * (_ATTEMPTS - 1) + (True,):
            chosen = choose(wanted, taken, self._bounds, self._cursor)
            try:
                return publish(chosen), tuple(map(_binding, chosen))
            except PortTaken as error:
                if last or (error.protocol, error.port) in fixed:
                    raise
                taken = self._reserved.union(published())
        raise AssertionError("the last attempt returns or raises")


def _wanted(container: ContainerDefinition) -> Iterator[PortMapping]:
    for each in container.port_mappings:
        protocol = Protocol(each.protocol)
        if each.container_port_range is not None:
            first, last = map(int, each.container_port_range.split("-"))
            yield PortMapping(first, protocol=protocol, count=last - first + 1)
        elif each.container_port is not None:
            yield PortMapping(each.container_port, each.host_port or 0, protocol)


def _binding(mapping: PortMapping) -> PortBinding:
    return PortBinding(
        mapping.protocol.value, mapping.container_port, mapping.host_port, count=mapping.count
    )

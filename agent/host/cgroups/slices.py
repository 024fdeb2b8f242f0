"""Slices of systemd, over D-Bus: where systemd is told of a task's cgroup and its limits.

Each call has a connection of its own to systemd's private socket, which root may use with no bus
daemon running; one kept open would be cut whenever systemd executes itself anew. Blocking.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from socket import socket as Socket
from time import monotonic
from typing import Any, TypeVar

from jeepney import DBusAddress, DBusErrorResponse, HeaderFields, Message, Parser, new_method_call
from jeepney.auth import AuthenticationError
from jeepney.io.blocking import prep_socket
from jeepney.wrappers import unwrap_msg

from agent.host.cgroups.kernel import CgroupError, weight
from agent.task.limits import TaskLimits

BOOTED = Path("/run/systemd/system")
"""There if systemd is the first process (sd_booted(3))."""

SOCKET = Path("/run/systemd/private")
DEADLINE_S = 10.0
_KNOCK_S = 0.003
_CHUNK = 65536

_MANAGER = DBusAddress(
    "/org/freedesktop/systemd1",
    bus_name="org.freedesktop.systemd1",
    interface="org.freedesktop.systemd1.Manager",
)
_PEER = DBusAddress("/", bus_name="org.freedesktop.systemd1", interface="org.freedesktop.DBus.Peer")
_RUNTIME = True
"""Properties are forgotten with the unit, at the latest when the host starts again."""
_EXISTS = "org.freedesktop.systemd1.UnitExists"
_NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"

Property = tuple[str, tuple[str, Any]]
T = TypeVar("T")


class Slices:
    """systemd, as far as slices go."""

    def __init__(self, socket: Path = SOCKET) -> None:
        self._socket = socket

    def check(self) -> None:
        """systemd answers. Raises CgroupError."""
        self._asking("reach it", lambda manager: manager.call("ListJobs"))

    def ensure(self, name: str, limits: TaskLimits) -> None:
        """The slice is active and has these limits. Raises CgroupError."""
        wanted = list(_properties(name, limits))

        def ensure(manager: _Manager) -> None:
            try:
                job = manager.call(
                    "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", wanted, []
                )
            except DBusErrorResponse as error:
                if error.name != _EXISTS:
                    raise
                changeable = [each for each in wanted if each[0] != "DefaultDependencies"]
                manager.call("SetUnitProperties", "sba(sv)", name, _RUNTIME, changeable)
            else:
                manager.until_done(job)

        self._asking(f"make {name}", ensure)

    def stop(self, name: str) -> None:
        """The slice is not active, and what was in it has ended. Raises CgroupError."""

        def stop(manager: _Manager) -> None:
            try:
                manager.until_done(manager.call("StopUnit", "ss", name, "replace"))
            except DBusErrorResponse as error:
                if error.name != _NO_SUCH_UNIT:
                    raise

        self._asking(f"stop {name}", stop)

    def _asking(self, what: str, work: Callable[[_Manager], T]) -> T:
        try:
            with prep_socket(str(self._socket), timeout=DEADLINE_S) as socket:
                return work(_Manager(socket))
        except DBusErrorResponse as error:
            told = error.data[0] if error.data else error.name
            raise CgroupError(f"systemd can't {what}: {told}") from error
        except (OSError, AuthenticationError) as error:  # TimeoutError among them
            raise CgroupError(f"can't ask systemd at {self._socket} to {what}: {error}") from error


class _Manager:
    """systemd's manager object at the other end of ``socket``.

    jeepney's own connections begin with a call that only a bus understands.
    """

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._parser = Parser()
        self._serials = count(1)
        self._ended: set[str] = set()
        self._heard = False
        self._deadline = monotonic() + DEADLINE_S

    def call(self, method: str, signature: str | None = None, *arguments: Any) -> Any:
        """What the method gives first. Raises DBusErrorResponse, OSError."""
        serial = next(self._serials)
        self._socket.sendall(
            new_method_call(_MANAGER, method, signature, arguments).serialise(serial)
        )
        while True:
            for message in self._received():
                if message.header.fields.get(HeaderFields.reply_serial) == serial:
                    answer = unwrap_msg(message)
                    return answer[0] if answer else None

    def until_done(self, job: str) -> None:
        """systemd is done with the job, however that ended: what came of it shows in the cgroup."""
        while job not in self._ended:
            self._received()

    def _read(self) -> bytes:
        """The next bytes, until the deadline.

        A call that reaches systemd together with the end of the authentication lies unread in its
        buffer until more comes (seen with 252), so until it has said anything we knock.
        """
        while (left := self._deadline - monotonic()) > 0:
            self._socket.settimeout(left if self._heard else min(left, _KNOCK_S))
            try:
                return self._socket.recv(_CHUNK)
            except TimeoutError:
                self._socket.sendall(new_method_call(_PEER, "Ping").serialise(next(self._serials)))
        raise TimeoutError(f"no answer in {DEADLINE_S:.0f} s")

    def _received(self) -> list[Message]:
        """What came meanwhile. Of all signals those are kept that jobs are done."""
        data = self._read()
        if not data:
            raise ConnectionResetError("it ended the connection")
        self._heard = True
        messages: list[Message] = self._parser.feed(data)
        for each in messages:
            if each.header.fields.get(HeaderFields.member) == "JobRemoved":
                self._ended.add(each.body[1])
        return messages


def _properties(name: str, limits: TaskLimits) -> Iterator[Property]:
    """As systemd.resource-control(5) has them; older versions of cgroups get what they have."""
    yield "Description", ("s", f"Task of Hostler ({name})")
    # The runtime's scopes have none either: at shutdown they all end together.
    yield "DefaultDependencies", ("b", False)
    yield "CPUAccounting", ("b", True)
    yield "MemoryAccounting", ("b", True)
    yield "TasksAccounting", ("b", True)
    if limits.quota_us is not None:
        yield "CPUQuotaPeriodUSec", ("t", limits.period_us)
        yield "CPUQuotaPerSecUSec", ("t", limits.quota_us * 1_000_000 // limits.period_us)
    if limits.shares is not None:
        yield "CPUWeight", ("t", weight(limits.shares))
    if limits.memory is not None:
        yield "MemoryMax", ("t", limits.memory)
    if limits.pids is not None:
        yield "TasksMax", ("t", limits.pids)

"""The agent as the service that is shipped, under a real systemd, and its API from this host."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from agent.cli.client import Client as Api
from agent.task.model import TaskId
from agent.task.names import Names
from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.agent import ROOT
from tests.system.tasks import Json, eventually

SHIPPED = ROOT / "systemd"
NAMES = Names(Path("/run/hostler"), Path("/var/lib/hostler"), "/hostler", "hv")
UNITS = sorted(each.name for each in SHIPPED.iterdir() if each.is_file())
SERVICE = "hostler.service"
CONTAINERD = "hostler-containerd.service"
HARDENED = "hardened/hostler.conf"
"""What the agent's service may be forbidden where containerd is another service."""
NEWER = "newer/hostler.conf"
"""What newer versions of systemd do for it."""
_HERE = f"WorkingDirectory={ROOT}\nProtectHome=no\n"  # the interpreter may be in somebody's home
_PRIVATE = "PrivateTmp=yes\n"
_SHOWN = f"BindReadOnlyPaths={ROOT} {sys.prefix}\n"  # they may be in the /tmp that it hides


def here(unit: str) -> str:
    """The shipped unit, with this checkout and its interpreter in place of what is installed."""
    text = (SHIPPED / unit).read_text().replace("/opt/hostler/bin/python", sys.executable)
    text = text.replace("/opt/hostler/bin/hostler", f"{sys.executable} -m agent")
    text = text.replace(_PRIVATE, _PRIVATE + _SHOWN)
    return re.sub("(?m)^ProtectHome=.*\n", "", text).replace("[Service]\n", f"[Service]\n{_HERE}")


@contextmanager
def serving(
    *, unified: bool | None = None, files: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Machine]:
    """A machine in which the agent serves with these settings (``unified``: see nspawn).

    ``files`` are more of them in /etc/systemd/system.
    """
    units = {each: here(each) for each in UNITS} | dict(files or {})
    off = {"HOSTLER_API_LISTEN": "off", "HOSTLER_INTROSPECTION_LISTEN": "off"}
    lines = [f"Environment={name}={value}\n" for name, value in {**off, **settings}.items()]
    units[f"{SERVICE}.d/test.conf"] = "[Service]\n" + "".join(lines)
    with nspawn.machine(units, SERVICE, unified=unified) as machine:
        yield machine


def reload(machine: Machine) -> None:
    """The agent's successor serves. Between request and answer the unit may seem to be active."""
    socket = machine.root / "run/hostler/api.sock"

    def made() -> int | None:
        with suppress(FileNotFoundError):  # between one and the next
            return socket.stat().st_ctime_ns
        return None

    before = made()
    machine.run("systemctl", "reload", SERVICE)
    eventually(lambda: made() not in (None, before), "another socket")
    eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "a successor")


def call(machine: Machine, name: str, **body: object) -> Json:
    """Answer of an API call."""
    return Api(machine.root / "run/hostler/api.sock").call(name, body)


def run(machine: Machine, *containers: Json, **fields: object) -> Json:
    """A task that was just accepted."""
    definition = {"family": "test", "containerDefinitions": containers, **fields}
    registered = call(machine, "RegisterTaskDefinition", **definition)["taskDefinition"]
    answer = call(machine, "RunTask", taskDefinition=registered["taskDefinitionArn"])
    task: Json = answer["tasks"][0]
    return task


def until(machine: Machine, task: Json, status: str) -> Json:
    """The task once it has this status."""
    eventually(lambda: bool(shown(machine, task)["lastStatus"] == status), f"a task {status}")
    return shown(machine, task)


def shown(machine: Machine, task: Json) -> Json:
    """The task as DescribeTasks shows it."""
    found: Json = call(machine, "DescribeTasks", tasks=[task["taskArn"]])["tasks"][0]
    return found


def closed(machine: Machine, task: Json) -> Json:
    """The task once nothing is left of it."""

    def over() -> bool:
        return bool(call(machine, "Hostler.WatchTask", task=task["taskArn"])["closed"])

    eventually(over, "a closed task")
    return until(machine, task, "STOPPED")


def end(machine: Machine, task: Json) -> None:
    """It was stopped, and nothing is left of it."""
    call(machine, "StopTask", task=task["taskArn"], force=True)
    closed(machine, task)


def id_of(task: Json) -> TaskId:
    return TaskId(task["taskArn"].rpartition("/")[2])


def namespace_of(machine: Machine, task: Json) -> Path:
    """The network namespace of its container ``app``, as this host sees the file."""
    return machine.root / NAMES.netns(id_of(task), "app").relative_to("/")


def said(machine: Machine, task: Json, container: str = "app") -> str:
    """What a container has written so far."""
    answer = call(machine, "Hostler.GetLogs", task=task["taskArn"], container=container)
    return "".join(each["text"] for each in answer["entries"])

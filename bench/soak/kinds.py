"""The kinds of tasks of a soak: what each is, how it is asked to end, and how it must end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.peers.spec import MEMORY_MIB

Json = dict[str, Any]

_LIVES = "trap 'exit 0' TERM; echo up; sleep 100000 & wait"
_DEAF = "trap '' TERM; echo up; sleep 100000 & wait; sleep 100000 & wait"
USER, ESSENTIAL = "UserInitiated", "EssentialContainerExited"


@dataclass(frozen=True, slots=True)
class Kind:
    """``stops``: it is asked to, once it runs and, with ``healthy``, is well.

    ``early``: it is asked so at any time, whether it runs or not. ``force``: without patience.
    ``codes`` are the exit codes by container, unless it may be stopped before it ran.
    """

    name: str
    definition: Json
    stops: bool = True
    early: bool = False
    force: bool = False
    healthy: bool = False
    codes: Mapping[str, int] = field(default_factory=dict)

    def wrong(self, task: Mapping[str, Any]) -> str:
        """What is not as it should be of a closed task; "" if nothing."""
        code = USER if self.stops else ESSENTIAL
        if task["lastStatus"] != "STOPPED":
            return f"is {task['lastStatus']}"
        if task.get("stopCode") != code:
            return f"stopCode {task.get('stopCode')} ({task.get('stoppedReason')})"
        found = {each["name"]: each.get("exitCode") for each in task["containers"]}
        if not self.early and found != self.codes:
            return f"exit codes {found}, not {dict(self.codes)}"
        return ""


def _container(name: str, script: str, **fields: Any) -> Json:
    command = ["sh", "-c", script]
    return {
        "name": name,
        "image": "hostler/hello",
        "memory": MEMORY_MIB,
        "command": command,
    } | fields


def _definition(name: str, *containers: Json, mode: str = "none", **fields: Any) -> Json:
    return {
        "family": f"soak-{name}",
        "networkMode": mode,
        "containerDefinitions": list(containers),
        **fields,
    }


def _after(name: str, condition: str) -> list[Json]:
    return [{"containerName": name, "condition": condition}]


_CHECK = {"command": ["CMD", "true"], "interval": 5, "startPeriod": 60}
_PORTS = [{"containerPort": 80}, {"containerPort": 53, "protocol": "udp"}]
_NOTES = [{"sourceVolume": "notes", "containerPath": "/notes"}]

KINDS = (
    Kind(
        "ports",
        _definition("ports", _container("a", _LIVES, portMappings=_PORTS), mode="bridge"),
        codes={"a": 0},
    ),
    Kind("exits", _definition("exits", _container("a", "exit 3")), stops=False, codes={"a": 3}),
    Kind(
        "several",
        _definition(
            "several",
            _container("init", "echo one >> /notes/init", essential=False, mountPoints=_NOTES),
            _container("a", _LIVES, mountPoints=_NOTES, dependsOn=_after("init", "SUCCESS")),
            _container("b", "exit 4", essential=False, dependsOn=_after("a", "START")),
            mode="bridge",
            volumes=[{"name": "notes"}],
        ),
        codes={"init": 0, "a": 0, "b": 4},
    ),
    Kind(
        "health",
        _definition("health", _container("a", _LIVES, healthCheck=_CHECK)),
        healthy=True,
        codes={"a": 0},
    ),
    Kind("deaf", _definition("deaf", _container("a", _DEAF, stopTimeout=2)), codes={"a": 137}),
    Kind(
        "forced",
        _definition("forced", _container("a", _DEAF), mode="bridge"),
        force=True,
        codes={"a": 137},
    ),
    Kind("early", _definition("early", _container("a", _LIVES), mode="bridge"), early=True),
    Kind(
        "earlyforced",
        _definition("earlyforced", _container("a", _LIVES), _container("b", _LIVES)),
        early=True,
        force=True,
    ),
)

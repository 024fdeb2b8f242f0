"""The agent is killed at every point of a task's life, one after the other: the end is the same.

Which points there are, a run without a crash finds out, so that new actions are killed over too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.system.crashing import Nursery, Point
from tests.system.crashlab import (
    Crash,
    End,
    Reference,
    WatchedAgent,
    containerd_killed_at_each,
    crash_at_each,
    uninterrupted,
    watched_agent,
)
from tests.system.rolelab import ROLE, write_roles
from tests.system.tasks import SERVES, WAITS, Task, needs, output, run, shell

AT_ONCE = 3
"""Agents that are killed side by side: most of a task's life is waiting."""

KEYS = "[default]\naws_access_key_id = AKID\naws_secret_access_key = secret\n"
ENDS = f"trap 'echo down; exit 9' TERM; echo up; {WAITS}"
NOTES = [{"sourceVolume": "notes", "containerPath": "/notes"}]
DATA = [{"sourceVolume": "data", "containerPath": "/data"}]
SECRET = [{"name": "KEY", "valueFrom": "lab/key"}]


def live(task: Task) -> None:
    """The task starts, runs, is asked to stop, and is gone."""
    if task.shown()["desiredStatus"] != "STOPPED":
        task.until_running()
        task.until_log("app")
        task.until_step("exited", "side")
        task.stop(reason="enough")
    task.until_closed()


BRIDGE = Reference(
    {
        "family": "bridge",
        "containerDefinitions": [
            shell(
                "app",
                f"echo began >> /notes/app; {ENDS}",
                portMappings=[{"containerPort": 80}],
                mountPoints=NOTES,
            ),
            shell(
                "side",
                "echo began >> /notes/side; echo side; echo so; exit 3",
                essential=False,
                dependsOn=needs("app", "START"),
                mountPoints=NOTES,
            ),
        ],
        "volumes": [{"name": "notes"}],
    },
    live,
    {},
)

AWSVPC = Reference(
    {
        "family": "awsvpc",
        "networkMode": "awsvpc",
        "taskRoleArn": ROLE,
        "containerDefinitions": [
            shell("app", ENDS),
            shell("side", "echo side; exit 3", essential=False, dependsOn=needs("app", "START")),
        ],
    },
    live,
    {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}},
)

CHECK = {"command": ["CMD", "true"], "interval": 300, "startPeriod": 300, "timeout": 60}
CHECKED = Reference(
    {
        "family": "checked",
        "networkMode": "none",
        "containerDefinitions": [
            shell("app", ENDS, healthCheck=CHECK),
            shell("side", "echo side; exit 3", essential=False, dependsOn=needs("app", "HEALTHY")),
        ],
    },
    live,
    {},
    about=("Probe",),
)
"""The first probe is a second after the start, so this one is killed over nothing else."""

REFERENCES = (BRIDGE, AWSVPC, CHECKED)


@contextmanager
def an_agent(number: int, nursery: Nursery, secrets: Path) -> Iterator[WatchedAgent]:
    """With a NIC and roles for tasks in awsvpc mode, and a folder of secrets."""
    nic = f"k{number}-{os.getpid()}"
    output("ip", "link", "add", nic, "type", "veth", "peer", "name", f"{nic}x")
    try:
        output("ip", "link", "set", nic, "up")
        settings = {
            "HOSTLER_SECRETS_DIR": str(secrets),
            "HOSTLER_ENI_PARENT": nic,
            "HOSTLER_ENI_SUBNET": f"10.77.{number}.0/24",
            "HOSTLER_ENI_RANGE": f"10.77.{number}.10-10.77.{number}.250",
        }
        with watched_agent(nursery, **settings) as agent:
            write_roles(agent, KEYS)
            yield agent
    finally:
        output("ip", "link", "delete", nic)


def write_secret(folder: Path) -> None:
    """It stands in for one that AWS would have."""
    path = folder / SECRET[0]["valueFrom"]
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text("hush")


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[list[WatchedAgent]]:
    write_secret(tmp_path)
    nursery = Nursery()
    with ExitStack() as stack:
        stack.callback(nursery.close)
        yield [
            stack.enter_context(an_agent(number, nursery, tmp_path)) for number in range(AT_ONCE)
        ]


Kill = Callable[[WatchedAgent, Sequence[Crash]], Iterator[tuple[Crash, End]]]


def same_ends(agents: list[WatchedAgent], kill: Kill, wanted: Callable[[Point], bool]) -> None:
    """At each point that is wanted something is killed, and the task's end must be the usual one.

    And each agent has a task that must not notice.
    """
    neighbours = [run(each, shell("app", SERVES), family="neighbour") for each in agents]
    for each in neighbours:
        each.until_running()
    pids = [each.pid("app") for each in neighbours]
    crashes, ends = list[Crash](), dict[str, End]()
    for reference in REFERENCES:
        points, ends[reference.family] = uninterrupted(agents[0], reference)
        crashes += [Crash(reference, each) for each in points if wanted(each)]
        assert not ends[reference.family].left

    def share(number: int) -> list[tuple[Crash, End]]:
        return list(kill(agents[number], crashes[number::AT_ONCE]))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = [each for results in pool.map(share, range(AT_ONCE)) for each in results]
    assert ends["bridge"].logs == {"app": ["up\n", "down\n"], "side": ["side\n", "so\n"]}
    wrong = [
        f"killed {crash.point} of {crash.reference.family}: {end}"
        for crash, end in found
        if end != ends[crash.reference.family]
    ]
    assert len(found) == len(crashes)
    assert not wrong, "\n".join(wrong)
    assert [each.pid("app") for each in neighbours] == pids
    assert all(each.story().count(("app", "started")) == 1 for each in neighbours)
    for agent in agents:
        agent.end_tasks()


@pytest.mark.timeout(1800)
def test_killed_at_each_point_a_task_comes_to_the_same_end(agents: list[WatchedAgent]) -> None:
    same_ends(agents, crash_at_each, lambda point: True)


@pytest.mark.timeout(1800)
def test_containerd_killed_in_each_call_makes_no_difference(agents: list[WatchedAgent]) -> None:
    """But for where it makes a snapshot: it may leave a directory that is in its own way."""

    def wanted(point: Point) -> bool:
        amid = point.when == "calling" and not point.call.endswith("/Prepare")
        return point.family == "bridge" and amid

    same_ends(agents, containerd_killed_at_each, wanted)

"""The service units, by systemd's own judgement and under a real systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.task.model import TaskId
from agent.task.names import Names
from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.manager import clients
from tests.system.servicelab import SERVICE, UNITS, call, here, run, serving, until
from tests.system.tasks import SERVES, eventually, shell

pytestmark = nspawn.needed

RESTARTS, RELOADS, KILLS = 3, 3, 2
NAMES = Names(Path("/run/hostler"), Path("/var/lib/hostler"), "/hostler", "hv")


@pytest.mark.parametrize("unit", sorted(each.name for each in UNITS.iterdir()))
def test_systemd_has_nothing_to_say_of_a_unit(unit: str, tmp_path: Path) -> None:
    for each in UNITS.iterdir():  # they name each other
        (tmp_path / each.name).write_text(here(each.name))
    command = ["systemd-analyze", "verify", str(tmp_path / unit)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with serving(ECS_TASK_METADATA_RPS_LIMIT="1000000,1000000") as machine:
        yield machine


def kept(machine: Machine) -> int:
    """How many descriptors systemd keeps for the agent."""
    return int(machine.shown(SERVICE, "NFileDescriptorStore"))


def test_systemd_never_gives_the_agent_up(machine: Machine) -> None:
    assert machine.shown(SERVICE, "StartLimitIntervalUSec") == "0"


def test_the_state_stays_roots_when_the_log_router_is_restarted(machine: Machine) -> None:
    machine.run("systemctl", "restart", "hostler-logs.service")
    assert (machine.root / "var/lib/hostler").stat().st_mode & 0o777 == 0o700


@pytest.mark.timeout(240)
def test_no_request_is_refused_while_systemd_restarts_the_agent(machine: Machine) -> None:
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    inside = NAMES.netns(TaskId(task["taskArn"].rpartition("/")[2]), "app")
    namespace = machine.root / inside.relative_to("/")
    assert kept(machine) == 1
    pid = machine.pid_in(namespace)
    with clients((task["taskArn"], pid, namespace)) as (asking,):
        asking.until_answered()
        for _ in range(RESTARTS):
            machine.run("systemctl", "restart", SERVICE)
            asking.until_answered()
        main = machine.shown(SERVICE, "MainPID")
        for _ in range(RELOADS):
            machine.run("systemctl", "reload", SERVICE)
            eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "the agent")
            asking.until_answered()
        assert machine.shown(SERVICE, "MainPID") == main
        assert asking.errors == []
        for _ in range(KILLS):
            machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", SERVICE)
            asking.until_answered()
        assert not any(isinstance(each, ConnectionRefusedError) for each in asking.errors)
        assert len(asking.errors) <= KILLS
    eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "the agent")
    assert kept(machine) == 1
    assert machine.shown(SERVICE, "NRestarts") == str(KILLS)
    call(machine, "StopTask", task=task["taskArn"], force=True)
    eventually(lambda: kept(machine) == 0 and not namespace.exists(), "its socket dropped")

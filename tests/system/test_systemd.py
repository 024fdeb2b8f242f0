"""The service units, by systemd's own judgement and under a real systemd."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import nspawn
from tests.machines.nspawn import Machine, systemd_version
from tests.system.manager import clients
from tests.system.servicelab import (
    CONTAINERD,
    HARDENED,
    NEWER,
    SERVICE,
    SHIPPED,
    UNITS,
    call,
    here,
    namespace_of,
    reload,
    run,
    serving,
    until,
)
from tests.system.tasks import SERVES, eventually, shell

pytestmark = nspawn.needed
from_254 = pytest.mark.skipif(systemd_version() < 254, reason="needs systemd 254")

RESTARTS, RELOADS, KILLS = 3, 3, 2


def analyzed(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze's word on units in ``folder``: all are there, as they name each other."""
    for each in UNITS:
        (folder / each).write_text(here(each))
    return subprocess.run(
        ["systemd-analyze", *command], cwd=folder, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_has_nothing_to_say_of_a_unit(unit: str, tmp_path: Path) -> None:
    ran = analyzed(tmp_path, "verify", str(tmp_path / unit))
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize("drop_in", [HARDENED, pytest.param(NEWER, marks=from_254)])
def test_nor_of_what_may_be_added_to_the_agents(drop_in: str, tmp_path: Path) -> None:
    (tmp_path / f"{SERVICE}.d").mkdir()
    (tmp_path / f"{SERVICE}.d/more.conf").write_text((SHIPPED / drop_in).read_text())
    ran = analyzed(tmp_path, "verify", str(tmp_path / SERVICE))
    assert (ran.returncode, ran.stderr) == (0, "")


@pytest.mark.parametrize(
    ("unit", "drop_in", "most"),
    [
        ("hostler-logs.service", None, 12),
        # What it may not do no container may do: see the units themselves.
        (SERVICE, None, 96),
        (SERVICE, HARDENED, 67),
        (CONTAINERD, None, 96),
    ],
)
def test_a_service_is_exposed_no_more_than_it_was(
    unit: str, drop_in: str | None, most: int, tmp_path: Path
) -> None:
    """Tenths, of 10: systemd-analyze(1), security."""
    if drop_in is not None:
        (tmp_path / f"{unit}.d").mkdir()
        (tmp_path / f"{unit}.d/more.conf").write_text((SHIPPED / drop_in).read_text())
    judged = ("security", "--offline=true", "--no-pager")
    ran = analyzed(tmp_path, *judged, f"--threshold={most}", str(tmp_path / unit))
    assert ran.returncode == 0, ran.stdout[-200:]
    stricter = analyzed(tmp_path, *judged, "--threshold=5", str(tmp_path / unit))
    assert stricter.returncode == 1, "the threshold means nothing"


def test_the_group_and_the_folders_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    root = f"--root={tmp_path}"
    for command in (
        ["systemd-sysusers", root, str(SHIPPED / "sysusers.d/hostler.conf")],
        ["systemd-tmpfiles", root, "--create", str(SHIPPED / "tmpfiles.d/hostler.conf")],
    ):
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
    assert "hostler:x:" in (tmp_path / "etc/group").read_text()
    modes = {
        each: (tmp_path / each).stat().st_mode & 0o777
        for each in ("run/hostler", "var/lib/hostler", "var/log/hostler")
    }
    assert modes == {"run/hostler": 0o711, "var/lib/hostler": 0o700, "var/log/hostler": 0o700}


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


def test_an_agent_that_ends_without_tasks_leaves_the_router_that_is_a_service(
    machine: Machine,
) -> None:
    before = machine.shown("hostler-logs.service", "MainPID")
    machine.run("systemctl", "restart", SERVICE)
    assert machine.shown("hostler-logs.service", "MainPID") == before != "0"


@pytest.mark.timeout(240)
def test_no_request_is_refused_while_systemd_restarts_the_agent(machine: Machine) -> None:
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    namespace = namespace_of(machine, task)
    eventually(lambda: kept(machine) == 1, "its socket kept")
    pid = machine.pid_in(namespace)
    with clients((task["taskArn"], pid, namespace)) as (asking,):
        asking.until_answered()
        for _ in range(RESTARTS):
            machine.run("systemctl", "restart", SERVICE)
            asking.until_answered()
        main = machine.shown(SERVICE, "MainPID")
        for _ in range(RELOADS):
            reload(machine)
            asking.until_answered()
        assert machine.shown(SERVICE, "MainPID") == main
        assert asking.errors == []
        for _ in range(KILLS):
            machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", SERVICE)
            asking.until_answered()
        assert not any(isinstance(each, ConnectionRefusedError) for each in asking.errors)
        assert len(asking.errors) <= KILLS
    eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "the agent")
    eventually(lambda: kept(machine) == 1, "its socket kept, and no other")
    assert machine.shown(SERVICE, "NRestarts") == str(KILLS)
    call(machine, "StopTask", task=task["taskArn"], force=True)
    eventually(lambda: kept(machine) == 0 and not namespace.exists(), "its socket dropped")

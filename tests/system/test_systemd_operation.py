"""What an operator has of systemd: reload, watchdog, journal, credentials, and the group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.servicelab import (
    SERVICE,
    SHIPPED,
    call,
    closed,
    end,
    namespace_of,
    reload,
    run,
    said,
    serving,
    until,
)
from tests.system.tasks import SERVES, Json, eventually, shell

pytestmark = nspawn.needed

CONFIG = Path("etc/hostler/hostler.config")
WATCHED_S = 8


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with serving() as machine:
        yield machine


def drop_in(machine: Machine, text: str) -> None:
    """The agent's service has this as well, and was started anew."""
    (machine.root / f"etc/systemd/system/{SERVICE}.d/zz.conf").write_text(text)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", SERVICE)


def configure(machine: Machine, text: str) -> None:
    """The configuration file says so, and the agent was told to reload."""
    (machine.root / CONFIG).parent.mkdir(exist_ok=True)
    (machine.root / CONFIG).write_text(text)
    machine.run("systemctl", "reload", SERVICE)


def restart(machine: Machine) -> None:
    """The service was started anew, and serves."""
    machine.run("systemctl", "restart", SERVICE)


def journal(machine: Machine, *matches: str) -> list[Json]:
    """The entries that match."""
    machine.run("journalctl", "--sync")
    printed = machine.run("journalctl", "--all", "--output=json", "--no-pager", *matches)
    return [json.loads(each) for each in printed.splitlines()]


def test_a_wrong_configuration_leaves_the_agent_as_it_is_and_a_right_one_is_taken(
    machine: Machine,
) -> None:
    main = machine.shown(SERVICE, "MainPID")
    wrong = "y" * 300_000
    configure(machine, f"ECS_CLUSTER=new\nHOSTLER_STATE_DIR={wrong}\n")
    refused = "not reloaded: HOSTLER_STATE_DIR=yyy"
    eventually(lambda: refused in machine.shown(SERVICE, "StatusText"), "a refusal")
    assert machine.shown(SERVICE, "ActiveState") == "active"
    found = journal(machine, f"_SYSTEMD_UNIT={SERVICE}", "PRIORITY=3")
    assert [each["LOGGER"] for each in found] == ["agent.service.renewal"]
    assert wrong in found[0]["MESSAGE"], "too large for a datagram, and complete"
    assert call(machine, "DescribeClusters")["clusters"][0]["clusterName"] == "default"
    configure(machine, "ECS_CLUSTER=new\n")
    eventually(lambda: "not reloaded" not in machine.shown(SERVICE, "StatusText"), "a reload")
    eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "the agent")
    assert call(machine, "DescribeClusters")["clusters"][0]["clusterName"] == "new"
    assert machine.shown(SERVICE, "MainPID") == main
    (machine.root / CONFIG).unlink()
    machine.run("systemctl", "restart", SERVICE)


def test_with_a_wrong_configuration_it_fails_once_says_why_and_its_tasks_run_on(
    machine: Machine,
) -> None:
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))
    (machine.root / CONFIG).write_text("ECS_LOGLEVEL=loud\n")
    machine.run("sh", "-c", f"! systemctl restart {SERVICE}")
    shown = {
        each: machine.shown(SERVICE, each)
        for each in ("ActiveState", "ExecMainStatus", "NRestarts")
    }
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    machine.run("journalctl", "--sync")
    said = machine.run("sh", "-c", f"systemctl status {SERVICE} || true")
    assert "hostler: ECS_LOGLEVEL=loud (/etc/hostler/hostler.config line 1): must be" in said
    (machine.root / CONFIG).unlink()
    machine.run("systemctl", "start", SERVICE)
    assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)


@pytest.mark.parametrize("name", ["HOSTLER_API_LISTEN", "HOSTLER_INTROSPECTION_LISTEN"])
def test_an_address_that_is_not_to_be_had_leaves_the_agent_as_it_is(
    machine: Machine, name: str
) -> None:
    drop_in(machine, f"[Service]\nUnsetEnvironment={name}\n")
    main = machine.shown(SERVICE, "MainPID")
    try:
        configure(machine, f"{name}=192.0.2.1:51690\n")
        refused = f"not reloaded: {name}: can't listen on 192.0.2.1 port 51690: Cannot assign"
        eventually(lambda: refused in machine.shown(SERVICE, "StatusText"), "a refusal")
        assert call(machine, "DescribeClusters")["clusters"]
        assert machine.shown(SERVICE, "NRestarts") == "0"
        assert machine.shown(SERVICE, "MainPID") == main
    finally:
        (machine.root / CONFIG).unlink()
        drop_in(machine, "")


def test_the_journal_has_a_tasks_whole_story_under_its_arn(machine: Machine) -> None:
    task = run(machine, shell("app", "true"))
    closed(machine, task)
    entries = journal(machine, f"TASK_ARN={task['taskArn']}")
    steps = [each.get("STEP") for each in entries]
    assert {"network", "started", "exited", "stopped"} <= set(steps), steps
    started = next(each for each in entries if each.get("STEP") == "started")
    assert started["CONTAINER_NAME"] == "app"
    assert started["TASK_FAMILY"] == "test"
    assert started["LOGGER"] == "agent.engine.supervisor"
    assert started["PRIORITY"] == "6"
    assert started["SYSLOG_IDENTIFIER"] == "hostler"
    assert started["_SYSTEMD_UNIT"] == SERVICE
    by_container = journal(machine, f"TASK_ARN={task['taskArn']}", "CONTAINER_NAME=app")
    assert len(by_container) < len(entries)


def test_an_agent_that_hangs_is_replaced_and_its_tasks_run_on(machine: Machine) -> None:
    drop_in(machine, f"[Service]\nWatchdogSec={WATCHED_S}\n")
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))

    def pinged() -> int:
        return int(machine.shown(SERVICE, "WatchdogTimestampMonotonic"))

    first = pinged()
    eventually(lambda: pinged() > first + WATCHED_S * 1_000_000, "pings for longer than it takes")
    assert machine.shown(SERVICE, "NRestarts") == "0"
    main = machine.shown(SERVICE, "MainPID")
    machine.run("kill", "-STOP", main)
    eventually(lambda: machine.shown(SERVICE, "NRestarts") == "1", "another agent")
    eventually(lambda: machine.shown(SERVICE, "ActiveState") == "active", "that it serves")
    assert machine.shown(SERVICE, "MainPID") != main
    found = journal(machine, f"_SYSTEMD_UNIT={SERVICE}", f"_PID={main}")
    assert any("Fatal Python error: Aborted" in each["MESSAGE"] for each in found)
    assert until(machine, task, "RUNNING")["containers"][0]["lastStatus"] == "RUNNING"
    assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)


def test_containers_get_secrets_that_systemd_has_decrypted(machine: Machine) -> None:
    kept = machine.root / "etc/credstore.encrypted"
    kept.mkdir(exist_ok=True)
    name = "shop_db-password"
    machine.run(
        *("sh", "-c", 'echo "correct horse" | systemd-creds encrypt "$@"', "sh"),
        *(f"--name={name}", "-", f"/etc/credstore.encrypted/{name}"),
    )
    assert b"correct horse" not in (kept / name).read_bytes()
    drop_in(machine, f"[Service]\nLoadCredentialEncrypted={name}\n")
    secret = {"name": "DB_PASSWORD", "valueFrom": "/shop/db-password"}
    tells = 'echo "it is: $DB_PASSWORD"; trap "exit 0" TERM; sleep 3600 & wait'
    task = run(machine, {**shell("app", tells), "secrets": [secret]})
    eventually(lambda: "it is: correct horse" in said(machine, task), "the secret")
    reload(machine)
    again = run(machine, {**shell("app", tells), "secrets": [secret]})
    eventually(lambda: "it is: correct horse" in said(machine, again), "the secret after a reload")
    for each in (task, again):
        end(machine, each)


def test_what_the_agent_mounts_is_seen_by_all_of_the_machine(machine: Machine) -> None:
    """Also with credentials, for which systemd makes mounts of its own."""
    main = machine.shown(SERVICE, "MainPID")
    of_first, of_agent = (
        machine.run("readlink", f"/proc/{each}/ns/mnt").strip() for each in ("1", main)
    )
    assert of_first == of_agent


def test_a_containerd_of_the_agents_own_restricts_no_container(machine: Machine) -> None:
    asks = "grep -E '^(NoNewPrivs|Seccomp_filters|CapBnd)' /proc/self/status"
    task = run(machine, {**shell("app", asks), "privileged": True})
    closed(machine, task)  # its log is complete
    first = machine.run("grep", "-E", "^(NoNewPrivs|Seccomp_filters|CapBnd)", "/proc/1/status")
    assert sorted(said(machine, task).splitlines()) == sorted(first.splitlines())


def test_tasks_keep_their_containerd_when_the_host_gets_one_of_its_own(machine: Machine) -> None:
    """Another would know nothing of them: they would run on, and be taken for stopped."""
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))
    its, socket = "its-containerd.service", machine.root / "run/containerd/containerd.sock"
    (machine.root / "etc/systemd/system" / its).write_text(
        "[Service]\nType=notify\nKillMode=process\nDelegate=yes\n"
        "ExecStart=containerd --root /var/lib/hostler/its\n"
    )
    machine.run("systemctl", "start", its)
    assert socket.is_socket()
    for start_again in (reload, restart):
        start_again(machine)
        assert "stopCode" not in until(machine, task, "RUNNING")
        assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)
    restart(machine)
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))
    assert "hostler" in machine.run("ctr", "namespaces", "ls", "--quiet").split()
    machine.run("systemctl", "stop", its)
    assert not socket.exists(), "it can be found by that alone"
    machine.run("systemctl", "restart", "--no-block", SERVICE)
    machine.run("systemctl", "start", its)
    eventually(lambda: machine.shown(SERVICE, "SubState") == "running", "the agent")
    assert "stopCode" not in until(machine, task, "RUNNING")
    assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)
    machine.run("systemctl", "stop", its)
    restart(machine)


def test_with_the_group_its_members_may_use_the_socket(machine: Machine) -> None:
    socket = "/run/hostler/api.sock"
    assert machine.run("stat", "-c", "%a %U %G", socket) == "600 root root\n"
    machine.run("systemd-sysusers", str(SHIPPED / "sysusers.d/hostler.conf"))
    machine.run("systemctl", "restart", SERVICE)
    assert machine.run("stat", "-c", "%a %U %G", socket) == "660 root hostler\n"

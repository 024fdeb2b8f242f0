"""The agent beside a containerd that is a service, and forbidden what it does not need then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent.task import names
from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.servicelab import (
    CONTAINERD,
    HARDENED,
    SERVICE,
    SHIPPED,
    call,
    closed,
    end,
    id_of,
    namespace_of,
    reload,
    run,
    said,
    serving,
    until,
)
from tests.system.tasks import SERVES, eventually, shell

pytestmark = nspawn.needed

STATUS = "grep -E '^(NoNewPrivs|Seccomp_filters|CapBnd)' "


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    more = {
        f"{SERVICE}.d/containerd.conf": f"[Unit]\nWants={CONTAINERD}\n",
        f"{SERVICE}.d/hardened.conf": (SHIPPED / HARDENED).read_text(),
    }
    with serving(files=more) as machine:
        yield machine


def until_active(machine: Machine) -> None:
    """Both services are."""

    def active() -> bool:
        return all(machine.shown(each, "ActiveState") == "active" for each in (CONTAINERD, SERVICE))

    eventually(active, "both services")


def test_the_agent_uses_it_and_its_tasks_outlive_every_restart(machine: Machine) -> None:
    assert machine.shown(CONTAINERD, "ActiveState") == "active"
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))
    listed = machine.run(
        *("ctr", "--address", "/run/hostler-containerd/containerd.sock"),
        *("--namespace", "hostler", "tasks", "ls", "--quiet"),
    )
    assert listed.split() == [names.container_id(id_of(task), "app")]
    assert not (machine.root / "run/hostler/containerd").exists(), "it has one of its own as well"
    reload(machine)
    assert machine.pid_in(namespace_of(machine, task)) == before
    for command in (
        ("restart", CONTAINERD),
        ("restart", SERVICE),
        ("kill", "-s", "KILL", "--kill-who=main", CONTAINERD),
        ("restart", CONTAINERD, SERVICE),
    ):
        machine.run("systemctl", *command)
        until_active(machine)
        another = run(machine, shell("app", "true"))
        until(machine, another, "STOPPED")
        end(machine, another)
        assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)


def test_an_agent_that_comes_while_it_is_down_waits_for_it(machine: Machine) -> None:
    """Another containerd would know nothing of the tasks."""
    task = until(machine, run(machine, shell("app", SERVES)), "RUNNING")
    before = machine.pid_in(namespace_of(machine, task))
    machine.run("systemctl", "stop", CONTAINERD)
    main = machine.shown(SERVICE, "MainPID")
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", SERVICE)
    eventually(lambda: machine.shown(SERVICE, "MainPID") not in (main, "0"), "another agent")
    assert machine.shown(SERVICE, "ActiveState") == "activating"
    assert machine.pid_in(namespace_of(machine, task)) == before
    machine.run("systemctl", "start", CONTAINERD)
    until_active(machine)
    assert not (machine.root / "run/hostler/containerd").exists()
    assert until(machine, task, "RUNNING")["lastStatus"] == "RUNNING"
    assert machine.pid_in(namespace_of(machine, task)) == before
    end(machine, task)


def test_what_the_agent_may_not_do_containers_may_but_they_get_no_capability_that_it_has_not(
    machine: Machine,
) -> None:
    main = machine.shown(SERVICE, "MainPID")
    asked = [f"{STATUS} /proc/{each}/status" for each in (main, "1")]
    of_agent, of_first = (statuses(machine.run("sh", "-c", each)) for each in asked)
    assert (of_agent["NoNewPrivs"], of_first["NoNewPrivs"]) == ("1", "0")
    assert int(of_agent["Seccomp_filters"]) > int(of_first["Seccomp_filters"])
    assert of_agent["CapBnd"] < of_first["CapBnd"]
    task = run(machine, {**shell("app", f"{STATUS} /proc/self/status"), "privileged": True})
    closed(machine, task)  # its log is complete
    inside = statuses(said(machine, task))
    assert inside == {**of_first, "CapBnd": of_agent["CapBnd"]}


def test_what_it_may_not_do_keeps_it_from_looking_at_nothing(machine: Machine) -> None:
    told = call(machine, "Hostler.Diagnose")
    assert told["unseen"] == []
    assert "clock" in {each["check"] for each in (*told["facts"], *told["findings"])}


def statuses(text: str) -> dict[str, str]:
    return dict(line.split(":\t") for line in text.splitlines())


def test_what_it_mounts_is_still_seen_by_all_of_the_machine(machine: Machine) -> None:
    main = machine.shown(SERVICE, "MainPID")
    assert machine.run("readlink", f"/proc/{main}/ns/mnt") == machine.run(
        "readlink", "/proc/1/ns/mnt"
    )


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_tasks_of_all_kinds_work_for_an_agent_that_may_do_little(
    machine: Machine, mode: str
) -> None:
    """With secrets, volumes, limits, published ports, metadata, and a health check."""
    secret = machine.root / "etc/hostler/secrets/shop"
    secret.mkdir(parents=True, exist_ok=True)
    (secret / "key").write_text("battery staple")
    for each in (secret / "key", secret, secret.parent):
        each.chmod(0o600 if each.is_file() else 0o700)
    asks = f'echo "$KEY"; touch /data/file; wget -qO- "$ECS_CONTAINER_METADATA_URI_V4"; {SERVES}'
    ports = {"portMappings": [{"containerPort": 8080}]} if mode == "bridge" else {}
    container = {
        **shell("app", asks),
        **ports,
        "secrets": [{"name": "KEY", "valueFrom": "/shop/key"}],
        "mountPoints": [{"sourceVolume": "data", "containerPath": "/data"}],
        "healthCheck": {"command": ["CMD-SHELL", "test -e /data/file"], "interval": 5},
        "ulimits": [{"name": "nofile", "softLimit": 100, "hardLimit": 100}],
    }
    task = run(machine, container, networkMode=mode, volumes=[{"name": "data"}], memory="64")
    eventually(lambda: "up" in said(machine, task), "its words")
    assert "battery staple" in said(machine, task)
    assert '"DockerName"' in said(machine, task)
    eventually(
        lambda: (
            call(machine, "DescribeTasks", tasks=[task["taskArn"]])["tasks"][0]["healthStatus"]
            == "HEALTHY"
        ),
        "a healthy task",
    )
    end(machine, task)

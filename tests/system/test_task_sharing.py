"""What containers of a task share or have apart: namespaces, links, no network, standard input."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.task import names
from agent.task.model import TaskId
from tests.system.agent import Agent, running_agent
from tests.system.tasks import (
    SERVES,
    Task,
    ctr,
    eventually,
    names_of,
    needs,
    output,
    run,
    shell,
)

PARENT = f"d{os.getpid()}"
SUBNET = "198.18.77.0/24"
BOTH = {"pidMode": "task", "ipcMode": "task"}


@pytest.fixture(scope="module")
def parent() -> Iterator[None]:
    """An interface that tasks in awsvpc mode get children of."""
    output("ip", "link", "add", PARENT, "type", "veth", "peer", "name", f"{PARENT}x")
    for each in (PARENT, f"{PARENT}x"):
        output("ip", "link", "set", each, "up")
    yield
    output("ip", "link", "delete", PARENT)


@pytest.fixture(scope="module")
def agent(parent: None) -> Iterator[Agent]:
    with running_agent(HOSTLER_ENI_PARENT=PARENT, HOSTLER_ENI_SUBNET=SUBNET) as agent:
        yield agent


def pause_pid(task: Task) -> int:
    """Process id of the task's pause process, from the runtime."""
    rows = [line.split() for line in ctr(task.agent, "tasks", "list")]
    return next(int(row[1]) for row in rows if row[0] == names.pause_id(task.id))


def pinned(task: Task) -> list[str]:
    """What is mounted of the task's namespaces."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return [each for each in mounts if "/pinned/" in each and task.id in each]


@pytest.mark.parametrize("mode", ["bridge", "host", "none", "awsvpc"])
def test_containers_share_processes_and_memory_in_every_network_mode(
    agent: Agent, mode: str
) -> None:
    first = shell(
        "first",
        f"echo one > /dev/shm/note; touch /dev/mqueue/line; readlink /proc/self/ns/ipc; {SERVES}",
        systemControls=[{"namespace": "kernel.msgmax", "value": "4321"}],
        linuxParameters={"sharedMemorySize": 7},
        healthCheck={"command": ["CMD-SHELL", "test -e /dev/shm/note"], "startPeriod": 10},
        essential=False,
    )
    script = """
    until ps | grep -q '[s]leep 3600$'; do usleep 10000; done  # the other's last word
    readlink /proc/self/ns/ipc; cat /dev/shm/note /proc/sys/kernel/msgmax; ls /dev/mqueue
    df -m /dev/shm | tail -n 1 | awk '{print $2}'
    tr '\\0' ' ' < /proc/1/cmdline; echo; ps | grep -c '[s]leep 3600$'
    """
    second = shell(
        "second",
        script,
        dependsOn=needs("first", "HEALTHY"),
        linuxParameters={"initProcessEnabled": True},
    )
    task = run(agent, first, second, networkMode=mode, **BOTH)
    task.until_closed()
    assert task.exit_codes()["second"] == 0, task
    ipc = task.log("first")[0]
    assert [each.strip() for each in task.log("second")] == [
        *(ipc.strip(), "one", "4321", "line", "7", "/pause -P", "1")
    ]
    assert [*task.leftovers(), *pinned(task)] == []


def test_what_is_not_shared_stays_apart(agent: Agent) -> None:
    show = "readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc"
    one = shell("one", show, essential=False)
    two = shell("two", show, dependsOn=needs("one", "COMPLETE"))
    task = run(agent, one, two, pidMode="task")
    task.until_closed()
    (pid_one, ipc_one), (pid_two, ipc_two) = task.log("one"), task.log("two")
    assert pid_one == pid_two
    assert ipc_one != ipc_two
    assert [*task.leftovers(), *pinned(task)] == []


def test_a_container_that_ends_takes_its_other_processes_along(agent: Agent) -> None:
    left = shell("left", "sleep 7531 & echo up", essential=False)
    script = "while ps | grep -q 'slee[p] 7531'; do usleep 10000; done; echo gone"
    task = run(
        agent, left, shell("app", script, dependsOn=needs("left", "COMPLETE")), pidMode="task"
    )
    task.until_closed()
    assert task.log("app") == ["gone\n"]


def test_the_end_of_the_pause_process_ends_the_task_and_is_told(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES), shell("side", SERVES, essential=False), **BOTH)
    for each in ("app", "side"):
        task.until_log(each)
    os.kill(pause_pid(task), signal.SIGKILL)
    shown = task.until_closed()
    assert shown["stopCode"] == "EssentialContainerExited"
    assert task.exit_codes() == {"app": 137, "side": 137}
    assert task.container("app")["reason"] == (
        "PidNamespaceError: the pause process of the task's PID namespace has ended"
    )
    assert [*task.leftovers(), *pinned(task)] == []


def test_the_namespaces_outlive_the_agent_and_not_the_task(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES), **BOTH)
    task.until_running()
    task.until_log("app")
    pid, before = pause_pid(task), pinned(task)
    assert len(before) == 3
    agent.kill9()
    stray = names_of(agent).pinned("pid", TaskId("f" * 32))
    stray.touch()
    agent.start()
    assert (pause_pid(task), pinned(task)) == (pid, before)
    assert not stray.exists()
    assert f"removed what a task that is gone had left: shared {stray}" in agent.said()
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    assert [*task.leftovers(), *pinned(task)] == []


def test_a_linked_container_is_reached_by_its_names(agent: Agent) -> None:
    db = shell(
        "db",
        f"httpd -p 8080 -h /var/www; {SERVES}",
        hostname="base-1",
        portMappings=[{"containerPort": 8080}, {"containerPort": 9000, "protocol": "udp"}],
        environment=[{"name": "PASSWORD", "value": "secret"}],
        essential=False,
        stopTimeout=2,
    )
    script = """
    until wget -qO- http://store:8080/ 2>/dev/null; do usleep 10000; done
    for host in db base-1; do wget -qO- http://$host:8080/; done
    env | grep ^STORE_ | sort; grep -w store /etc/hosts
    """
    task = run(agent, db, shell("web", script, links=["db:store"]))
    task.until_closed()
    assert task.exit_codes()["web"] == 0, task.log("web")
    *pages, hosts = (each.strip() for each in task.log("web"))
    address, *known_as = hosts.split()
    assert pages[:3] == ["Hello from Hostler"] * 3
    assert known_as[:3] == ["store", "db", "base-1"]
    assert known_as[3].startswith("ecs-test-")
    variables = dict(each.split("=", 1) for each in pages[3:])
    assert variables.pop("STORE_NAME").endswith("/store")
    assert variables == {
        "STORE_PORT": f"tcp://{address}:8080",
        "STORE_PORT_8080_TCP": f"tcp://{address}:8080",
        "STORE_PORT_8080_TCP_ADDR": address,
        "STORE_PORT_8080_TCP_PORT": "8080",
        "STORE_PORT_8080_TCP_PROTO": "tcp",
        "STORE_PORT_9000_UDP": f"udp://{address}:9000",
        "STORE_PORT_9000_UDP_ADDR": address,
        "STORE_PORT_9000_UDP_PORT": "9000",
        "STORE_PORT_9000_UDP_PROTO": "udp",
    }
    assert task.leftovers() == []


def test_a_container_without_network_has_loopback_only(agent: Agent) -> None:
    alone = shell("alone", "echo $(ls /sys/class/net)", disableNetworking=True, essential=False)
    script = "echo $(ls /sys/class/net)"
    task = run(agent, alone, shell("app", script, dependsOn=needs("alone", "SUCCESS")))
    task.until_closed()
    assert (task.log("alone"), task.log("app")) == (["lo\n"], ["eth0 lo\n"])
    assert task.leftovers() == []


@pytest.mark.parametrize("terminal", [True, False])
def test_an_interactive_container_waits_for_input(agent: Agent, *, terminal: bool) -> None:
    script = "echo up; read line; echo got $line; exit 4"
    app = shell("app", script, interactive=True, pseudoTerminal=terminal)
    task = run(agent, app)
    task.until_log("app")
    agent.restart()
    task.until_running()
    with (names_of(agent).container_dir(task.id, "app") / "stdin").open("w") as stdin:
        stdin.write("this\n")
    task.until_closed()
    assert task.exit_codes() == {"app": 4}
    assert "got this" in "".join(task.log("app"))
    assert task.leftovers() == []


def test_any_other_container_finds_its_input_at_an_end(agent: Agent) -> None:
    task = run(agent, shell("app", "cat; echo ended"))
    task.until_closed()
    assert task.log("app") == ["ended\n"]
    eventually(lambda: not task.leftovers(), "nothing of the task")

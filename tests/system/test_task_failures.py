"""What can't work: the reason that a user reads, nothing left behind, nobody else disturbed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from agent.cli.errors import CommandError
from tests.system.agent import Agent, running_agent
from tests.system.lyingregistry import lying_registry
from tests.system.tasks import SERVES, Task, containerd_socket, eventually, run, shell


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@pytest.fixture(scope="module")
def neighbour(agent: Agent) -> Task:
    """A task that must not notice anything."""
    task = run(agent, shell("app", SERVES), family="neighbour")
    task.until_running()
    return task


@pytest.fixture(autouse=True)
def undisturbed(neighbour: Task) -> Iterator[None]:
    pid = neighbour.pid("app")
    yield
    assert neighbour.shown()["lastStatus"] == "RUNNING"
    assert neighbour.pid("app") == pid


def failed(task: Task, *words: str) -> None:
    """The task failed to start for a reason with these words, and left nothing."""
    shown = task.until_closed()
    assert shown["stopCode"] == "TaskFailedToStart", task
    for word in words:
        assert word in shown["stoppedReason"], task
        assert word in task.container("app")["reason"], task
    assert task.leftovers() == []


@contextmanager
def listening(kind: socket.SocketKind) -> Iterator[int]:
    """A port of the host that a program has."""
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("0.0.0.0", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        yield taken.getsockname()[1]


def test_a_command_that_is_not_there(agent: Agent) -> None:
    task = run(agent, shell("app", "") | {"command": ["no-such-program"]})
    failed(task, "CannotStartContainerError", "no-such-program", "not found")


def test_a_working_directory_that_is_a_file(agent: Agent) -> None:
    task = run(agent, shell("app", "true", workingDirectory="/etc/passwd"))
    failed(task, "CannotStartContainerError", "not a directory")


def test_an_unknown_user(agent: Agent) -> None:
    task = run(agent, shell("app", "true", user="nobody-here"))
    failed(task, "CannotCreateContainerError", "nobody-here")


def test_an_image_that_is_not_there(agent: Agent) -> None:
    with lying_registry({}) as host:
        task = run(agent, shell("app", "true") | {"image": f"{host}/none:1"})
        failed(task, "CannotPullImageManifestError", f"{host}/none:1", "hostler image load")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_a_program_has(agent: Agent, kind: socket.SocketKind) -> None:
    protocol = "tcp" if kind is socket.SOCK_STREAM else "udp"
    with listening(kind) as port:
        mapping = {"containerPort": 80, "hostPort": port, "protocol": protocol}
        task = run(agent, shell("app", "true", portMappings=[mapping]))
        failed(task, "CannotStartContainerError", f"host port {port}/{protocol}", "in use")


def test_a_port_that_another_task_has(agent: Agent) -> None:
    with listening(socket.SOCK_STREAM) as port:
        pass
    app = shell("app", SERVES, portMappings=[{"containerPort": 80, "hostPort": port}])
    holder = run(agent, app)
    answer = agent.call("RunTask", taskDefinition="test")
    assert answer["tasks"] == []
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:PORTS"]
    holder.end()
    run(agent, app).end()


def test_more_memory_than_the_host_has(agent: Agent) -> None:
    mebibytes = psutil.virtual_memory().total // 2**20 + 1
    app = shell("app", "true", memory=mebibytes)
    agent.call("RegisterTaskDefinition", family="big", containerDefinitions=[app])
    answer = agent.call("RunTask", taskDefinition="big")
    assert answer["tasks"] == []
    assert [each["reason"] for each in answer["failures"]] == ["RESOURCE:MEMORY"]


def test_memory_below_the_least_is_refused_at_registration(agent: Agent) -> None:
    app = shell("app", "true", memory=1)
    with pytest.raises(CommandError, match=r"containerDefinitions\[0\]\.memory"):
        agent.call("RegisterTaskDefinition", family="small", containerDefinitions=[app])


def test_a_volume_below_a_file(agent: Agent) -> None:
    mount = {"sourceVolume": "data", "containerPath": "/data"}
    volume = {"name": "data", "host": {"sourcePath": "/etc/passwd/below"}}
    task = run(agent, shell("app", "true", mountPoints=[mount]), volumes=[volume])
    failed(task, "VolumeError", "volume data")


def test_one_container_of_two_takes_the_other_down(agent: Agent) -> None:
    bad = shell("app", "") | {"command": ["no-such-program"]}
    task = run(agent, shell("side", SERVES, stopTimeout=2), bad)
    failed(task, "CannotStartContainerError")


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_for_logs_stops_no_container(agent: Agent) -> None:
    state = Path(agent.settings["HOSTLER_STATE_DIR"])
    with tiny_disk(state / "logs"):
        lines = 40_000
        task = run(agent, shell("app", f"seq 1 {lines}; echo done >&2; exit 6"))
        task.until_closed()
        assert task.exit_codes() == {"app": 6}
        kept = task.log("app")
        assert 0 < len(kept) < lines
        assert kept[:3] == ["1\n", "2\n", "3\n"]
        assert task.leftovers() == []
    again = run(agent, shell("app", "echo works"))
    again.until_closed()
    assert again.log("app") == ["works\n"]


def test_containerd_killed_while_tasks_run_changes_nothing_for_them(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES))
    task.until_log("app")
    pid = task.pid("app")
    before = kill_containerd(agent)
    eventually(lambda: containerd_pid(agent) not in (0, before), "a new containerd")
    eventually(lambda: answers(agent), "containerd answers")
    assert task.pid("app") == pid
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    assert task.leftovers() == []


def test_an_exit_while_containerd_is_away_is_noticed(agent: Agent, tmp_path: Path) -> None:
    volume = {"name": "host", "host": {"sourcePath": str(tmp_path)}}
    mount = {"sourceVolume": "host", "containerPath": "/host"}
    (tmp_path / "go").unlink(missing_ok=True)
    os.mkfifo(tmp_path / "go")
    app = shell("app", "read x < /host/go; echo gone; exit 8", mountPoints=[mount])
    task = run(agent, app, volumes=[volume])
    task.until_running()
    pid = task.pid("app")
    kill_containerd(agent)
    (tmp_path / "go").write_text("now\n")
    eventually(lambda: not alive(pid), "the container's end")
    task.until_closed()
    assert task.exit_codes() == {"app": 8}
    assert task.log("app") == ["gone\n"]
    assert task.leftovers() == []


def test_a_task_accepted_while_containerd_is_away_runs_when_it_is_back(agent: Agent) -> None:
    kill_containerd(agent)
    task = run(agent, shell("app", "echo late; exit 5"))
    task.until_closed()
    assert task.exit_codes() == {"app": 5}
    assert task.log("app") == ["late\n"]


def kill_containerd(agent: Agent) -> int:
    """The agent's containerd has been told to end at once; gives its process id."""
    pid = containerd_pid(agent)
    assert pid, "there is no containerd"  # 0 would be all processes of ours
    os.kill(pid, signal.SIGKILL)
    return pid


def containerd_pid(agent: Agent) -> int:
    """Process id of the agent's own containerd, 0 while there is none."""
    state = containerd_socket(agent).parent
    for process in psutil.process_iter(["cmdline"]):
        if str(state / "config.toml") in (process.info["cmdline"] or ()):
            return int(process.pid)
    return 0


def answers(agent: Agent) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return probe.connect_ex(str(containerd_socket(agent))) == 0


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

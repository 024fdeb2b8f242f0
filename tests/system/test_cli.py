"""The command line against a real agent: tasks run, stop and fail as people see it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.trial import private_settings
from agent.registry import hello
from tests.system.agent import ROOT, Agent, running_agent
from tests.system.lyingregistry import lying_registry

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.timeout(300),
]

EXAMPLES = ROOT / "examples"
END_S = 60.0


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as one:
        yield one


def definition(script: str, **facts: Any) -> str:
    """A task definition of one container that runs ``script``."""
    container = {"name": "main", "image": "hostler/hello", "memory": 32, "stopTimeout": 30}
    command = {"command": ["sh", "-c", script]}
    return json.dumps(
        {
            "family": "cli",
            "networkMode": "none",
            "containerDefinitions": [container | command | facts],
        }
    )


def following(command: list[str], awaited: str) -> subprocess.Popen[str]:
    """The command, started, once it has printed ``awaited``. Ctrl-C is to be sent by signal."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if awaited in line:
            return process
    pytest.fail(f"{awaited!r} was never printed")


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    """What it prints after that signal, to its end."""
    process.send_signal(number)
    return process.communicate(timeout=END_S)[0]


def test_hello_runs_to_its_end(agent: Agent) -> None:
    ran = agent.cli("run", str(EXAMPLES / "hello.json"))
    assert (ran.returncode, ran.stderr) == (0, "")
    for part in (" ms  web     healthy", "client  | Hello from Hostler", "asked to stop", "closed"):
        assert part in ran.stdout


def test_batch_as_aws_prints_it_runs_to_its_end(agent: Agent) -> None:
    ran = agent.cli("run", str(EXAMPLES / "taskdefs/batch.json"))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "total 500500" in ran.stdout


SHIPPED = "shipper  | "
"""Printed once the sidecar's app is in its loop: before its trap is set it is deaf to SIGTERM."""


@pytest.mark.parametrize(
    ("name", "awaited", "code"), [("sidecar", SHIPPED, 0), ("web", " healthy", 143)]
)
def test_services_as_aws_prints_them_run_until_ctrl_c(
    agent: Agent, name: str, awaited: str, code: int
) -> None:
    process = following(agent.command("run", str(EXAMPLES / f"taskdefs/{name}.json")), awaited)
    out = interrupt(process)
    assert process.returncode == code, out
    assert "UserInitiated: Task stopped by user" in out


def test_the_exit_code_is_the_containers(agent: Agent) -> None:
    assert agent.cli("run", "-", input=definition("exit 7")).returncode == 7


def test_a_second_ctrl_c_kills_what_ignores_the_first(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "stubborn.json"
    file.write_text(definition("trap '' TERM; echo deaf; while :; do sleep 1; done"))
    process = following(agent.command("run", str(file)), "| deaf")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert any("SIGTERM" in line for line in process.stdout)
    out = interrupt(process)
    assert process.returncode == 128 + signal.SIGKILL, out


def test_a_third_ctrl_c_leaves_the_task_alone(agent: Agent) -> None:
    process = following(agent.command("run", str(EXAMPLES / "taskdefs/web.json")), "accepted")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    interrupt(process)
    assert process.returncode in (130, 1, 137, 143)  # it may have come to its end before


def test_a_command_that_is_not_there_is_named(agent: Agent) -> None:
    given = definition("", command=["/no/such/program"])
    ran = agent.cli("run", "-", input=given)
    assert ran.returncode == 1
    assert "TaskFailedToStart" in ran.stdout
    assert "/no/such/program" in ran.stdout


def test_an_image_that_is_not_there_is_named(agent: Agent) -> None:
    with lying_registry({}) as host:
        ran = agent.cli("run", "-", input=definition("", image=f"{host}/none:1"))
    assert ran.returncode == 1
    assert "CannotPullImageManifestError: " in ran.stdout
    said = f"{host}/none:1 not found at {host} (MANIFEST_UNKNOWN); the image is not on this host"
    assert said in ran.stdout


def test_a_host_port_is_given_out_once(agent: Agent) -> None:
    document = json.loads(
        definition("exec sleep 60", portMappings=[{"containerPort": 1, "hostPort": 20999}])
    )
    given = json.dumps(document | {"networkMode": "bridge"})
    first = agent.cli("run", "-", "--detach", input=given)
    second = agent.cli("run", "-", "--detach", input=given)
    agent.cli("stop", first.stdout.strip(), "--force", "--wait")
    assert (first.returncode, second.returncode) == (0, 125)
    assert "RESOURCE:PORTS" in second.stderr


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("{", "standard input is not JSON"),
        ('{"family": "x"}', "ClientException: containerDefinitions"),
        (definition("", memory=-1), "memory"),
        (definition("", dependsOn=[{"containerName": "no", "condition": "START"}]), "dependsOn"),
    ],
)
def test_a_bad_definition_is_refused_with_its_place(agent: Agent, given: str, why: str) -> None:
    ran = agent.cli("run", "-", input=given)
    assert (ran.returncode, ran.stdout) == (125, "")
    assert why in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_detached_task_is_seen_followed_and_stopped(agent: Agent) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo up; echo bad >&2; while :; do sleep 1 & wait; done"
    task = agent.cli("run", "-", "-d", input=definition(script)).stdout.strip()
    follower = following(agent.command("logs", task[:6], "--follow"), "bad")
    assert task[:12] in agent.cli("ps").stdout
    assert agent.cli("stop", task[:8], "--wait").stdout == f"{task}\n"
    assert "bye" in follower.communicate(timeout=END_S)[0]
    assert task[:12] not in agent.cli("ps").stdout
    assert "STOPPED (3)" in agent.cli("ps", "--all").stdout
    logs = agent.cli("logs", task, "main")
    assert (logs.stdout, logs.stderr) == ("up\nbye\n", "bad\n")
    assert agent.cli("logs", task, "--tail", "1").stdout == "bye\n"
    told = json.loads(agent.cli("inspect", task).stdout)
    assert told["task"]["stopCode"] == "UserInitiated"
    assert told["timeline"][-1]["what"] == "closed"


def test_an_archive_is_loaded_and_listed(agent: Agent, tmp_path: Path) -> None:
    archive = tmp_path / "hello.tar"
    archive.write_bytes(hello.build(hello.find_busybox()))
    assert agent.cli("image", "load", str(archive)).stdout == "docker.io/hostler/hello:latest\n"
    assert "docker.io/hostler/hello  latest  sha256:" in agent.cli("image", "ls").stdout


def test_what_is_no_archive_is_refused(agent: Agent) -> None:
    ran = agent.cli("image", "load", str(EXAMPLES / "hello.json"))
    assert ran.returncode == 125
    assert ran.stderr.startswith("hostler: ClientException: ")


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--state-dir", "/dev/null/x"], "can't open the state store /dev/null/x/state.db"),
        (["--containerd", "/none.sock"], "/none.sock"),
        (["--run-dir", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_what_keeps_the_agent_from_starting_is_said(
    short_path: Path, flags: list[str], why: str
) -> None:
    settings = private_settings(short_path)
    command = [sys.executable, "-m", "agent", "agent", *flags]
    given = {**os.environ, **settings, "ECS_LOGLEVEL": "error"}
    ran = subprocess.run(
        command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 1
    assert why in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A temporary directory with room for the names of unix sockets, which may have 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="ht-"))
    yield path
    shutil.rmtree(path)


def trial(root: Path, file: Path) -> list[str]:
    """A trial with its temporary files below ``root``."""
    return ["env", f"TMPDIR={root}", sys.executable, "-m", "agent", "trial", str(file)]


def test_a_trial_runs_hello_and_leaves_nothing(short_path: Path) -> None:
    command = trial(short_path, EXAMPLES / "hello.json")
    ran = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "client  | Hello from Hostler" in ran.stdout
    assert list(short_path.iterdir()) == []
    assert str(short_path) not in Path("/proc/self/mountinfo").read_text()


def test_ctrl_c_ends_a_trial_gracefully(short_path: Path) -> None:
    process = following(trial(short_path, EXAMPLES / "taskdefs/sidecar.json"), SHIPPED)
    out = interrupt(process)
    assert process.returncode == 0, out
    assert list(short_path.iterdir()) == []

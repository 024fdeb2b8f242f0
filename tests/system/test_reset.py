"""``hostler reset`` on what a killed agent leaves: all goes but state, and never under a user."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.errors import FAILED
from agent.cli.reset import SOMETHING_LEFT
from cni.kernel import routes, rtnetlink
from cni.kernel.loopback import METADATA_ADDRESS
from tests.system.agent import ROOT, Agent
from tests.system.tasknet import link
from tests.system.tasks import SERVES, Task, output, run, shell

NIC, MAC = f"r{os.getpid()}", "02:00:00:00:04:01"
"""One end of a veth pair stands in for a NIC."""

Ran = subprocess.CompletedProcess[str]


@pytest.fixture
def nic() -> Iterator[None]:
    output("ip", "link", "add", NIC, "address", MAC, "type", "veth", "peer", "name", f"{NIC}x")
    yield
    output("ip", "link", "delete", NIC)


@pytest.fixture
def agent(nic: None, tmp_path: Path) -> Iterator[Agent]:
    """One that serves; what the test leaves of it is a failure of its own."""
    file = tmp_path / "interfaces.json"
    entry = {"mac": MAC, "addresses": ["10.0.1.8/24"], "subnet": "nic"}
    file.write_text(json.dumps({"interfaces": [entry]}))
    agent = Agent(Path(tempfile.mkdtemp(prefix="ht-")), {"HOSTLER_ENIS": str(file)})
    try:
        agent.start()
        yield agent
    finally:
        sys.stderr.write(agent.said())
        if agent.running:
            agent.kill9()
        agent.remove()


def reset(agent: Agent, *arguments: str, **settings: str) -> Ran:
    """The command with the agent's settings, to its end."""
    given = [f"--set={name}={text}" for name, text in {**agent.settings, **settings}.items()]
    return subprocess.run(
        [sys.executable, "-m", "agent", "reset", *arguments, *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def everything(agent: Agent) -> list[Task]:
    """Tasks that make all that an agent makes on a host, and run."""
    published = [{"containerPort": 80, "hostPort": 0}]
    memory = {"driverOpts": {"type": "tmpfs", "device": "tmpfs"}, "scope": "shared"}
    volume = {
        "name": f"kept{os.getpid()}",
        "dockerVolumeConfiguration": {**memory, "autoprovision": True},
    }
    mounted = {"mountPoints": [{"sourceVolume": volume["name"], "containerPath": "/kept"}]}
    tasks = [
        run(agent, shell("web", SERVES, portMappings=published)),
        run(agent, shell("app", SERVES), networkMode="host"),
        run(agent, shell("own", SERVES), networkMode="awsvpc"),
        run(agent, shell("one", SERVES, **mounted), volumes=[volume], ipcMode="task"),
        run(agent, shell("two", SERVES), pidMode="task"),
    ]
    for each in tasks:
        each.until_running()
    return tasks


def on_loopback() -> bool:
    """Whether this host's loopback has the metadata address."""
    with rtnetlink.open_socket() as links:
        return routes.is_local(links, METADATA_ADDRESS)


def test_nothing_is_touched_while_an_agent_answers(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES))
    task.until_running()
    for arguments in ([], ["--force"]):
        ran = reset(agent, *arguments)
        assert ran.returncode == FAILED
        assert f"an agent answers on {agent.socket}: empty it with 'hostler drain'" in ran.stderr
    assert task.shown()["lastStatus"] == "RUNNING"
    agent.end_all()
    assert agent.left_behind() == []


def test_nothing_is_touched_while_an_agent_starts(agent: Agent) -> None:
    """It has its state long before it answers; after a crash systemd starts it at once."""
    task = run(agent, shell("app", SERVES))
    task.until_running()
    agent.kill9()
    with Path(agent.settings["HOSTLER_STATE_DIR"], "state.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ran = reset(agent, "--force")
    assert ran.returncode == FAILED
    assert "an agent that starts or ends has " in ran.stderr
    agent.start()
    assert task.shown()["lastStatus"] == "RUNNING"
    agent.end_all()
    assert agent.left_behind() == []


def test_wrong_settings_are_an_obstacle_without_force(agent: Agent) -> None:
    task = run(agent, shell("web", SERVES, portMappings=[{"containerPort": 80, "hostPort": 0}]))
    task.until_running()
    agent.kill9()
    wrong = {"HOSTLER_BRIGDE": "lab0", "ECS_LOGLEVEL": "loud"}

    refused = reset(agent, **wrong)
    assert refused.returncode == FAILED
    assert "HOSTLER_BRIGDE (the command line) is no setting of Hostler" in refused.stderr
    assert refused.stderr.endswith("; with --force what is wrong counts as not set\n")
    assert agent.left_behind() != []

    ran = reset(agent, "--force", **wrong)
    assert ran.returncode == 0, ran.stderr
    warnings = ran.stderr.splitlines()
    assert [each.split()[2].partition("=")[0] for each in warnings] == list(wrong)
    assert all(each.endswith("; it counts as not set") for each in warnings)
    assert "nothing of Hostler is left on this host" in ran.stdout
    assert agent.left_behind() == []


@pytest.mark.timeout(180)
def test_all_goes_but_state_when_the_agent_was_killed(agent: Agent) -> None:
    tasks = everything(agent)
    log = tasks[0].until_log("web")
    agent.kill9()

    refused = reset(agent)
    assert refused.returncode == FAILED
    assert "containers run, of " in refused.stderr
    assert all(each.id in refused.stderr for each in tasks)
    assert on_loopback()

    ran = reset(agent, "--force")
    assert ran.returncode == 0, ran.stderr
    for each in tasks:
        assert f"removed containers of task {each.id}" in ran.stdout
    assert agent.left_behind() == []
    assert not on_loopback()
    assert not Path(agent.settings["HOSTLER_RUN_DIR"]).exists()
    nic = link(NIC)
    assert nic is not None
    assert (nic["address"], nic.get("ifalias")) == (MAC, None)

    again = reset(agent)
    assert (again.returncode, again.stderr) == (0, "")
    assert "containers" not in again.stdout

    agent.start()  # what is state has stayed
    for each in tasks:
        stopped = each.until_stopped()
        assert stopped["stopCode"] == "TaskFailedToStart" or stopped["stoppedReason"]
    assert tasks[0].log("web") == log
    agent.end_all()
    assert agent.left_behind() == []


def test_images_go_only_when_asked(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES))
    task.until_running()
    agent.end_all()
    assert "image" not in reset(agent).stdout
    ran = reset(agent, "--images", "--json")
    assert ran.returncode == 0
    removed = json.loads(ran.stdout)["removed"]
    assert any(each.startswith("image ") and "hello" in each for each in removed)
    assert "containerd's namespace hostler" in removed
    again = json.loads(reset(agent, "--images", "--json").stdout)
    assert not [each for each in again["removed"] if each.startswith("image ")]
    blobs = Path(agent.settings["HOSTLER_STATE_DIR"]) / "containerd"
    assert not list(blobs.glob("io.containerd.content.v1.content/blobs/*/*"))
    assert not list(blobs.glob("io.containerd.snapshotter.v1.overlayfs/snapshots/*"))


def test_somebody_elses_file_in_the_run_directory_stays_and_is_named(agent: Agent) -> None:
    agent.end_all()
    run_dir = Path(agent.settings["HOSTLER_RUN_DIR"])
    (run_dir / "notes.txt").write_text("mine")
    ran = reset(agent)
    assert ran.returncode == SOMETHING_LEFT
    assert f"not removed: {run_dir} has what is not Hostler's: notes.txt" in ran.stderr
    assert [each.name for each in run_dir.iterdir()] == ["notes.txt"]


def test_without_containerd_nothing_is_done_unless_forced(agent: Agent) -> None:
    agent.end_all()
    run_dir = Path(agent.settings["HOSTLER_RUN_DIR"])
    away = {"HOSTLER_CONTAINERD": str(agent.root / "nobody.sock")}
    refused = reset(agent, **away)
    assert refused.returncode == FAILED
    assert "containerd can't be asked what runs" in refused.stderr
    assert run_dir.exists()
    forced = reset(agent, "--force", **away)
    assert forced.returncode == SOMETHING_LEFT
    assert "not removed: containers: " in forced.stderr
    assert not run_dir.exists()

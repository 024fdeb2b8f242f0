"""``hostler doctor`` on this machine: with an agent, with one that hangs, and with none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.trial import private_settings
from agent.host.checkup import host
from tests.system import netlab
from tests.system.agent import AILMENTS, ROOT, Agent, running_agent
from tests.system.tasknet import sealed_agent
from tests.system.tasks import SERVES, run, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

Report = dict[str, list[dict[str, str]]]

TRIED = {"parent", "peer", "child"}
"""Interfaces that are made to see whether they can be."""

NAMES = {*AILMENTS, "containerd", *(name for name, _ in host.CHECKS)}


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as one:
        yield one


def report(agent: Agent, *arguments: str) -> Report:
    told: Report = json.loads(agent.cli("doctor", "--json", *arguments).stdout)
    return told


def of(told: Report, kind: str, check: str) -> list[str]:
    return [each.get("what") or each["why"] for each in told[kind] if each["check"] == check]


def test_a_running_agent_looks_at_everything(agent: Agent) -> None:
    told = report(agent)
    assert told["unseen"] == []
    assert agent.ailments() == []
    seen = {each["check"] for kind in ("findings", "facts") for each in told[kind]}
    # Where nothing is wrong these have nothing to say.
    silent = {"limits", "roles", *AILMENTS}
    assert seen >= NAMES - silent
    assert not TRIED & {name for _, name in socket.if_nameindex()}, "it left what it tried"


def test_the_host_of_these_tests_can_run_containers(agent: Agent) -> None:
    """Else it is the check that is wrong: the other tests run some."""
    told = report(agent)
    for check in ("kernel", "networks", "cgroups", "programs", "runtimes", "containerd"):
        assert of(told, "findings", check) == []
        assert of(told, "facts", check)
    (version, *_) = of(told, "facts", "containerd")
    said = subprocess.run(["containerd", "--version"], capture_output=True, text=True, check=True)
    assert version.removeprefix("it is ") in said.stdout
    assert any(str(agent.root) in each for each in of(told, "facts", "disk"))
    assert any(str(agent.root) in each for each in of(told, "facts", "containerd"))


def test_what_an_admin_turned_off_is_found_and_named(tmp_path: Path) -> None:
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    with netlab.lab(tmp_path) as lab, sealed_agent(lab) as agent:
        task = run(agent, shell("app", SERVES, portMappings=[{"containerPort": 80}]))
        task.until_running()
        assert of(report(agent), "findings", "forwarding") == []
        lab.on_host(lambda: switch.write_text("0"))
        (found,) = of(report(agent), "findings", "forwarding")
        bridge = agent.settings["HOSTLER_BRIDGE"]
        assert found.startswith(f"net.ipv4.ip_forward is 0: containers on {bridge} reach nothing")
        lab.on_host(lambda: switch.write_text("1"))
        task.end()


def test_an_agent_that_hangs_is_found_and_so_is_the_host(agent: Agent) -> None:
    os.kill(agent.pid, signal.SIGSTOP)
    try:
        ran = alone("doctor", "--json", "--socket", str(agent.socket), agent=agent, patience="0.5")
    finally:
        os.kill(agent.pid, signal.SIGCONT)
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    (found,) = of(told, "findings", "agent")
    assert found.startswith(f"the agent on {agent.socket} did not answer within")
    assert of(told, "facts", "kernel")
    assert of(told, "facts", "containerd"), "it answers, so it is asked"


def alone(
    *arguments: str, agent: Agent, patience: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """``hostler`` with the agent's settings in its environment, as a unit would have them."""
    code = "import sys; from agent.cli.main import main; main(sys.argv[1:])"
    if patience:
        impatient = f"client.ANSWER_S = checkup.DIAGNOSE_S = {patience}"
        code = f"from agent.cli import checkup, client; {impatient}; {code}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, **agent.settings, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def nobody(tmp_path: Path) -> Any:
    """The settings of an agent that was never started."""
    return Agent(tmp_path, {})


def test_without_an_agent_the_host_is_looked_at(nobody: Agent, tmp_path: Path) -> None:
    ran = alone("doctor", agent=nobody)
    assert (ran.returncode, ran.stderr) == (1, "")
    assert f"agent: no agent answers on {nobody.socket}: tasks run on, but nobody" in ran.stdout
    assert "orphans: could not be looked at: only a running agent" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert not TRIED & {name for _, name in socket.if_nameindex()}
    assert sorted(each.name for each in tmp_path.iterdir()) == [], "nothing was made either"


def test_without_an_agent_the_line_that_keeps_it_from_starting_is_told(nobody: Agent) -> None:
    ran = alone("doctor", agent=nobody, HOSTLER_BRIDGE_SUBNET="10.0.0.0/33")
    assert ran.returncode == 1
    assert "configuration: an agent can't start with it: HOSTLER_BRIDGE_SUBNET=10.0.0.0/33" in (
        ran.stdout
    )
    assert "kernel: could not" not in ran.stdout


def test_who_is_not_root_sees_less_and_is_told_so(nobody: Agent) -> None:
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("setpriv is not installed")
    code = "import sys; from agent.cli.main import main; main(sys.argv[1:])"
    nobody_at_all = ["--reuid=65534", "--regid=65534", "--clear-groups"]
    ran = subprocess.run(
        [program, *nobody_at_all, sys.executable, "-c", code, "doctor", "--json"],
        cwd=ROOT,
        env={**os.environ, **private_settings(Path("/nowhere"))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    unread = "Permission denied" in ran.stderr or "No module named 'agent'" in ran.stderr
    if unread and not ran.stdout:
        pytest.skip("this checkout is root's alone")
    told = json.loads(ran.stdout)
    assert ran.returncode == 1
    assert of(told, "unseen", "networks") == [
        "interfaces of kind bridge: only root may try",
        "interfaces of kind veth: only root may try",
        "traffic control: only root may try",
        "nftables: only root may try",
    ]

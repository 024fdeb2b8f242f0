"""``hostler doctor`` and ``support-bundle`` under a real systemd: its units and its journal."""

from __future__ import annotations

import json
import secrets
import sys
import tarfile
from collections.abc import Iterator

import pytest

from tests.machines import nspawn
from tests.machines.nspawn import Machine
from tests.system.agent import ROOT
from tests.system.servicelab import SERVICE, run, serving, until
from tests.system.tasks import SERVES, eventually, shell

pytestmark = nspawn.needed

ROUTER = "hostler-logs.service"
CANARY = f"canary-journal-{secrets.token_hex(12)}"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with serving() as machine:
        yield machine


def hostler(machine: Machine, *arguments: str) -> tuple[int, str]:
    """Exit code and output of ``hostler`` in the machine."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from agent.cli.main import main; main()"
    ran = machine.tried(sys.executable, "-c", code, *arguments)
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, ran.stdout


def found(machine: Machine, kind: str, check: str) -> list[str]:
    told = json.loads(hostler(machine, "doctor", "--json")[1])
    return [each.get("what", each.get("why")) for each in told[kind] if each["check"] == check]


def test_the_shipped_units_are_what_is_needed(machine: Machine) -> None:
    assert found(machine, "findings", "units") == []
    assert found(machine, "unseen", "units") == []
    facts = found(machine, "facts", "units")
    assert f"{SERVICE} is active (running)" in facts
    assert f"{ROUTER} is active (running)" in facts
    assert any(each.startswith("systemd keeps 0 metadata sockets of at most ") for each in facts)


def test_a_fresh_host_has_nothing_wrong(machine: Machine) -> None:
    assert hostler(machine, "doctor") == (0, "nothing is wrong\n")


def test_a_unit_that_was_changed_for_the_worse_is_named(machine: Machine) -> None:
    folder = machine.root / f"etc/systemd/system/{SERVICE}.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "90-worse.conf").write_text("[Service]\nKillMode=control-group\n")
    try:
        (stale,) = found(machine, "findings", "units")
        assert stale == f"the file of {SERVICE} has changed since systemd read it"
        machine.run("systemctl", "daemon-reload")
        (worse,) = found(machine, "findings", "units")
        assert worse.startswith(f"{SERVICE} has KillMode=control-group: tasks would not outlive")
        assert "90-worse.conf" in hostler(machine, "doctor")[1], "where it comes from"
    finally:
        (folder / "90-worse.conf").unlink()
        machine.run("systemctl", "daemon-reload")
    assert found(machine, "findings", "units") == []


def test_a_failed_log_router_is_named(machine: Machine) -> None:
    folder = machine.root / f"run/systemd/system/{ROUTER}.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "fails.conf").write_text("[Service]\nExecStart=\nExecStart=/bin/false\nRestart=no\n")
    machine.run("systemctl", "daemon-reload")
    try:
        machine.tried("systemctl", "restart", ROUTER)
        eventually(lambda: machine.shown(ROUTER, "ActiveState") == "failed", "a failed router")
        assert found(machine, "findings", "units") == [
            f"{ROUTER} has failed (exit-code): containers wait once their pipes are full"
        ]
    finally:
        (folder / "fails.conf").unlink()
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "restart", ROUTER)
    assert found(machine, "findings", "units") == []


def test_the_bundle_has_the_units_and_their_journal_without_secrets(machine: Machine) -> None:
    container = shell(
        "app", f"echo {CANARY}; {SERVES}", environment=[{"name": "A", "value": CANARY}]
    )
    until(machine, run(machine, container), "RUNNING")
    unit = machine.root / f"run/systemd/system/{SERVICE}.d/secret.conf"
    unit.parent.mkdir(parents=True, exist_ok=True)
    unit.write_text(f"[Service]\nEnvironment=DB_PW={CANARY}\n")
    machine.run("systemctl", "daemon-reload")
    try:
        code, out = hostler(machine, "support-bundle", "-o", "/root/bundle.tar.gz")
    finally:
        unit.unlink()
        machine.run("systemctl", "daemon-reload")
    assert (code, "Before you pass it on" in out) == (0, True)
    with tarfile.open(machine.root / "root/bundle.tar.gz") as tar:
        files = {each.name.partition("/")[2]: tar.extractfile(each) for each in tar.getmembers()}
        texts = {name: file.read().decode() for name, file in files.items() if file}
    assert [name for name, text in texts.items() if CANARY in text] == []
    assert "serves /run/hostler/api.sock" in texts[f"journal/{SERVICE}.log"]
    assert "ActiveState=active" in texts[f"units/{SERVICE}.txt"]
    assert "Environment=(hidden)" in texts[f"units/{SERVICE}.txt"]


def test_without_the_agent_the_cure_is_in_the_journal(machine: Machine) -> None:
    machine.run("systemctl", "stop", SERVICE)
    try:
        code, out = hostler(machine, "doctor")
    finally:
        machine.run("systemctl", "start", SERVICE)
    assert code == 1
    assert "agent: no agent answers on /run/hostler/api.sock: tasks run on" in out
    assert "'journalctl -u hostler -n 50 --no-pager' says why it ended" in out

"""Stopping: which signal, how long until SIGKILL, and what ECS says of it afterwards."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.client import Client
from agent.registry import hello
from tests.system.agent import Agent, running_agent
from tests.system.lyingregistry import lying_registry
from tests.system.tasks import SERVES, WAITS, Task, needs, run, shell

STUBBORN = f"trap '' TERM; echo up; {WAITS}; {WAITS}"
DEFAULT_TIMEOUT_S = 2.0
LATE_S = 20.0
"""What is to happen at a time may happen so much later on a busy machine."""


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent(ECS_CONTAINER_STOP_TIMEOUT=f"{DEFAULT_TIMEOUT_S:g}s") as agent:
        yield agent


def killed_after(task: Task, container: str) -> float:
    """Seconds from SIGTERM to SIGKILL."""
    kill = task.at(container, "signalled", "SIGKILL")
    return kill - task.at(container, "signalled", "SIGTERM")


def test_sigkill_comes_when_stop_timeout_has_passed(agent: Agent) -> None:
    task = run(agent, shell("app", STUBBORN, stopTimeout=5))
    task.until_running()
    task.stop(reason="enough")
    shown = task.until_closed()
    assert 5.0 <= killed_after(task, "app") < 5.0 + LATE_S, task
    assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "enough")
    assert task.exit_codes() == {"app": 137}
    assert task.leftovers() == []


def test_without_stop_timeout_the_agents_setting_counts(agent: Agent) -> None:
    task = run(agent, shell("app", STUBBORN))
    task.until_running()
    task.stop()
    task.until_closed()
    assert DEFAULT_TIMEOUT_S <= killed_after(task, "app") < DEFAULT_TIMEOUT_S + LATE_S, task


def test_what_exits_on_sigterm_is_gone_at_once(agent: Agent) -> None:
    task = run(agent, shell("app", f"trap 'exit 9' TERM; echo up; {WAITS}", stopTimeout=60))
    task.until_log("app")
    task.stop()
    shown = task.until_closed()
    assert task.exit_codes() == {"app": 9}
    assert shown["stoppedAt"] - task.at("app", "signalled", "SIGTERM") < LATE_S, task
    assert ("app", "signalled", "SIGKILL") not in {
        (each["container"], each["what"], each["detail"]) for each in task.timeline()
    }


def test_a_forced_stop_kills_at_once(agent: Agent) -> None:
    task = run(agent, shell("app", STUBBORN, stopTimeout=60))
    task.until_running()
    task.stop(force=True)
    shown = task.until_closed()
    assert task.exit_codes() == {"app": 137}
    assert shown["stoppedAt"] - shown["stoppingAt"] < LATE_S, task


def test_force_may_follow_a_graceful_stop(agent: Agent) -> None:
    task = run(agent, shell("app", STUBBORN, stopTimeout=60))
    task.until_running()
    task.stop(reason="the first reason stays")
    task.until_step("signalled", "app", "SIGTERM")
    task.stop(force=True, reason="another")
    shown = task.until_closed()
    assert task.exit_codes() == {"app": 137}
    assert shown["stoppedReason"] == "the first reason stays"


def test_the_images_stop_signal_arrives(agent: Agent, tmp_path: Path) -> None:
    script = f"trap 'echo usr2; exit 12' USR2; trap 'exit 15' TERM; echo up; {WAITS}"
    with lying_registry({}) as host:  # it has none, so the one that is loaded has to do
        name = f"{host}/usr2:latest"
        Client(agent.socket).load_image([_with_stop_signal("SIGUSR2", name)])
        task = run(agent, shell("app", script) | {"image": name})
        task.until_log("app")
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 12}
    assert task.log("app") == ["up\n", "usr2\n"]


def test_a_task_that_is_stopped_before_it_runs_never_runs(agent: Agent) -> None:
    first = shell("first", SERVES, essential=False)
    task = run(agent, first, shell("second", "echo ran", dependsOn=needs("first", "COMPLETE")))
    task.until_log("first")
    task.stop()
    task.until_closed()
    assert task.log("second") == []
    assert ("second", "started") not in task.story()
    assert task.leftovers() == []


def test_stopping_again_changes_nothing(agent: Agent) -> None:
    task = run(agent, shell("app", "exit 3"))
    before = task.until_closed()
    task.stop(reason="too late")
    assert task.shown() == before


def _member(tar: tarfile.TarFile, path: str) -> bytes:
    file = tar.extractfile(path)
    assert file is not None
    return file.read()


def _with_stop_signal(signal: str, name: str) -> bytes:
    """hello under another name, as a Docker archive whose config has a STOPSIGNAL."""
    with tarfile.open(fileobj=io.BytesIO(hello.build(hello.find_busybox()))) as layout:

        def blob(digest: str) -> bytes:
            return _member(layout, f"blobs/{digest.replace(':', '/')}")

        index = json.loads(_member(layout, "index.json"))
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        config = json.loads(blob(manifest["config"]["digest"]))
        layer = blob(manifest["layers"][0]["digest"])
    config["config"]["StopSignal"] = signal
    archive = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        "manifest.json": json.dumps(archive).encode(),
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()

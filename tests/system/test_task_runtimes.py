"""Tasks under named runtimes: crun beside runc, and a shim that is not runc's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.errors import CommandError
from agent.task import names
from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, Json, Task, ctr, eventually, run, shell, shims

CRUN = shutil.which("crun")
SHIM = shutil.which("containerd-shim-runc-v2")
OUT_OF_MEMORY = "OutOfMemoryError: Container killed due to memory usage"

# crun refuses hosts with controllers of version 1 and the unified tree beside them.
_CRUN = f"""#!/bin/sh
echo "$@" >>{{told}}
[ -e /sys/fs/cgroup/unified/cgroup.procs ] || exec {CRUN} "$@"
exec unshare -m sh -c 'umount /sys/fs/cgroup/unified && exec {CRUN} "$@"' crun "$@"
"""
_SHIM = f"""#!/bin/sh
echo "$@" >>{{told}}
exec {SHIM} "$@"
"""
_STRANGE = "io.containerd.hostlertest.v1"

pytestmark = pytest.mark.skipif(CRUN is None, reason="needs crun")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs that say in a file how they were called."""
    made = tmp_path_factory.mktemp("runtimes")
    for name, text in (("crun", _CRUN), ("containerd-shim-hostlertest-v1", _SHIM)):
        (made / name).write_text(text.format(told=made / f"{name}.told"))
        (made / name).chmod(0o755)
    runtimes = {"small": {"binary": str(made / "crun")}, "strange": {"shim": _STRANGE}}
    (made / "runtimes.json").write_text(json.dumps(runtimes))
    return made


@pytest.fixture(scope="module")
def agent(folder: Path) -> Iterator[Agent]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder), prepend=":")
        with running_agent(HOSTLER_RUNTIMES=str(folder / "runtimes.json")) as agent:
            yield agent


def info(agent: Agent, task: Task, name: str) -> Json:
    """containerd's record of a container."""
    found: Json = json.loads(
        "\n".join(ctr(agent, "containers", "info", names.container_id(task.id, name)))
    )
    return found


def test_containers_of_one_task_have_each_its_runtime_and_share_a_shim(
    agent: Agent, folder: Path
) -> None:
    crun = shell("crun", SERVES, dockerLabels={"hostler.runtime": "small"})
    task = run(agent, crun, shell("runc", SERVES))
    for each in ("crun", "runc"):
        task.until_log(each)
    eventually(lambda: len(shims(agent)) == 1, "one shim")
    key = names.container_id(task.id, "crun")
    assert f"start {key}" in (folder / "crun.told").read_text()
    assert info(agent, task, "crun")["Labels"]["hostler.runtime"] == "small"
    shown = json.loads(agent.cli("inspect", task.id).stdout)
    assert shown["runtimes"] == {"crun": "small", "runc": "runc"}
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"crun": 0, "runc": 0}
    assert task.leftovers() == []


def test_limits_hold_under_crun(agent: Agent) -> None:
    greedy = shell("app", "exec tail -n 1 < /dev/zero", memory=16)
    definition = {"family": "test", "containerDefinitions": [greedy]}
    task = Task(agent, agent.run(definition, tags=[{"key": "hostler:runtime", "value": "small"}]))
    task.until_closed()
    app = task.container("app")
    assert (app["exitCode"], app["reason"]) == (137, OUT_OF_MEMORY)


def test_a_shim_of_another_name_runs_its_containers_each_on_its_own(
    agent: Agent, folder: Path
) -> None:
    definition = {"family": "strange", "containerDefinitions": [shell("a", SERVES)]}
    tag = {"key": "hostler:runtime", "value": "strange"}
    task = Task(agent, agent.run(definition, tags=[tag]))
    task.until_log("a")
    key = names.container_id(task.id, "a")
    assert f"-id {key} start" in (folder / "containerd-shim-hostlertest-v1.told").read_text()
    record = info(agent, task, "a")
    assert record["Runtime"]["Name"] == _STRANGE
    assert "io.containerd.runc.v2.group" not in record["Spec"].get("annotations", {})
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"a": 0}
    assert task.leftovers() == []


def test_a_runtime_that_is_not_there_is_refused_with_those_that_are(agent: Agent) -> None:
    definition = {"family": "test", "containerDefinitions": [shell("app", "true")]}
    with pytest.raises(CommandError, match=r"no runtime 'nosuch' .* crun, runc, small, strange"):
        agent.run(definition, tags=[{"key": "hostler:runtime", "value": "nosuch"}])


def test_tasks_outlive_the_change_of_what_their_runtime_is_called(
    agent: Agent, folder: Path
) -> None:
    task = run(agent, shell("app", SERVES, dockerLabels={"hostler.runtime": "small"}))
    task.until_log("app")
    kept = (folder / "runtimes.json").read_text()
    (folder / "runtimes.json").write_text("{}")
    agent.restart()
    assert task.shown()["lastStatus"] == "RUNNING"
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    (folder / "runtimes.json").write_text(kept)
    agent.restart()


def with_file(folder: Path, runtime: str) -> Json:
    """A container under the runtime with a variable that must be on no disk."""
    (folder / "app.env").write_text("KEY=hush-5b1e\n")
    files = [{"type": "s3", "value": str(folder / "app.env")}]
    labels = {"hostler.runtime": runtime}
    return shell("app", SERVES, dockerLabels=labels, environmentFiles=files)


def test_crun_keeps_no_private_variable_in_its_state(agent: Agent, folder: Path) -> None:
    task = run(agent, with_file(folder, "small"))
    task.until_running()
    task.until_log("app")
    assert "KEY=hush-5b1e" in Path(f"/proc/{task.pid('app')}/environ").read_text().split("\0")
    state = Path("/run/containerd/runc/hostler") / names.container_id(task.id, "app")
    kept = {each.name: each.read_bytes() for each in state.iterdir() if each.is_file()}
    assert "config.json" in kept
    assert not any(b"hush-5b1e" in each for each in kept.values())
    task.stop()
    task.until_closed()
    assert task.exit_codes() == {"app": 0}
    assert task.leftovers() == []


def test_a_shim_that_would_put_private_variables_on_the_disk_gets_none(
    agent: Agent, folder: Path
) -> None:
    ended = run(agent, with_file(folder, "strange")).until_closed()
    assert ended["stoppedReason"] == (
        "CannotCreateContainerError: runtime strange can't give it secrets or environmentFiles "
        f"past the disk: that needs runc's shim, and this one has {_STRANGE}"
    )

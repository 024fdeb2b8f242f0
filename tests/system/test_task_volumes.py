"""Volumes of every kind: what containers see of them, and what is left when the tasks are gone."""

from __future__ import annotations

import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.volumes import mountpoints
from tests.system import imagelab
from tests.system.agent import Agent, running_agent
from tests.system.layerlab import busybox, directory, file, layer, symlink
from tests.system.tasks import SERVES, Json, names_of, needs, run, shell

SERVERS = {"fs-0123": "127.0.0.1:/export"}


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    settings = {"HOSTLER_EFS_SERVERS": json.dumps(SERVERS)}
    with running_agent(ECS_IMAGE_PULL_BEHAVIOR="prefer-cached", **settings) as agent:
        yield agent


def docker(name: str, scope: str = "task", **fields: object) -> Json:
    return {"name": name, "dockerVolumeConfiguration": {"scope": scope, **fields}}


def shared(name: str, **options: str) -> Json:
    return docker(name, "shared", autoprovision=True, driverOpts=options)


def at(path: str, volume: str = "data", **fields: object) -> Json:
    return {"mountPoints": [{"sourceVolume": volume, "containerPath": path, **fields}]}


def below(folder: Path) -> list[str]:
    """What is mounted below it."""
    return [str(each.relative_to(folder)) for each in mountpoints.at_or_below(folder)]


def data(agent: Agent, name: str) -> Path:
    return names_of(agent).shared_volumes / name / "data"


def test_containers_of_a_task_share_its_volume(agent: Agent) -> None:
    task = run(
        agent,
        shell("writes", "echo hello > /a/file", essential=False, **at("/a")),
        shell("reads", "cat /b/file", dependsOn=needs("writes", "SUCCESS"), **at("/b")),
        volumes=[docker("data")],
    )
    task.until_closed()
    assert task.log("reads") == ["hello\n"]
    kept = names_of(agent).volumes(task.id) / "data" / "file"
    assert kept.read_text() == "hello\n"  # until the task is forgotten


def test_a_shared_volume_outlives_tasks_and_is_removed_by_hand_only(agent: Agent) -> None:
    volumes = [shared("kept")]
    writes = shell("writes", "echo hello > /d/file", **at("/d", "kept"))
    run(agent, writes, volumes=volumes).until_closed()
    reads = shell("reads", f"cat /d/file; {SERVES}", **at("/d", "kept"))
    task = run(agent, reads, volumes=volumes)
    assert task.until_log("reads")[0] == "hello\n"
    refused = agent.cli("volume", "rm", "kept")
    assert refused.returncode == 125
    assert f"in use by task {task.id}" in refused.stderr
    task.end()
    assert agent.cli("volume", "rm", "kept").stdout == "kept\n"
    assert not data(agent, "kept").parent.exists()


def test_a_shared_volume_that_is_missing_is_the_tasks_reason(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES, **at("/d")), volumes=[docker("data", "shared")])
    reason = task.until_closed()["stoppedReason"]
    assert "CannotInspectVolumeError: get data: no such volume" in reason
    assert task.leftovers() == []
    assert agent.cli("volume", "create", "data").returncode == 0
    again = run(agent, shell("app", "exit 7", **at("/d")), volumes=[docker("data", "shared")])
    again.until_closed()
    assert again.exit_codes() == {"app": 7}


def test_tasks_share_one_file_system_as_long_as_one_of_them_runs(agent: Agent) -> None:
    volumes = [shared("memory", type="tmpfs", device="tmpfs", o="size=1m")]
    first = run(agent, shell("app", f"touch /m/f; {SERVES}", **at("/m", "memory")), volumes=volumes)
    first.until_log("app")
    second = run(agent, shell("app", f"ls /m; {SERVES}", **at("/m", "memory")), volumes=volumes)
    assert second.until_log("app")[0] == "f\n"
    first.end()
    assert below(data(agent, "memory")) == ["."]
    agent.kill9()
    agent.start()
    assert below(data(agent, "memory")) == ["."]
    second.end()
    assert below(agent.root) == []
    assert list(data(agent, "memory").iterdir()) == []


def test_what_mount_says_no_to_is_the_tasks_reason(agent: Agent, tmp_path: Path) -> None:
    options = {"type": "none", "device": str(tmp_path / "none"), "o": "bind"}
    one, other = docker("data", driverOpts=options), shared("other", type="tmpfs", device="t")
    task = run(agent, shell("app", SERVES, **at("/d")), volumes=[other, one])
    reason = task.until_closed()["stoppedReason"]
    assert "CannotCreateVolumeError: volume data: mounting" in reason
    assert "does not exist" in reason
    assert below(agent.root) == []


def test_efs_is_asked_for_by_nfs(agent: Agent) -> None:
    efs = {"fileSystemId": "fs-0123", "rootDirectory": "/web"}
    volumes = [{"name": "data", "efsVolumeConfiguration": efs}]
    task = run(agent, shell("app", SERVES, **at("/d")), volumes=volumes)
    reason = task.until_closed()["stoppedReason"]
    assert "CannotCreateVolumeError: volume data: mounting 127.0.0.1:/export/web: " in reason
    assert below(agent.root) == []


def test_a_disk_is_mounted_for_a_task(agent: Agent, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with disk.open("wb") as file:
        file.truncate(4 << 20)
    subprocess.run(["mkfs.ext4", "-q", disk], check=True)
    volumes = [
        docker("data", driverOpts={"type": "ext4", "device": str(disk), "o": "loop,noatime"})
    ]
    run(agent, shell("app", "echo hello > /d/file", **at("/d")), volumes=volumes).until_closed()
    task = run(agent, shell("app", "cat /d/file", **at("/d")), volumes=volumes)
    task.until_closed()
    assert task.log("app") == ["hello\n"]
    assert below(agent.root) == []


def test_mounts_are_taken_over_from_a_container(agent: Agent) -> None:
    both = {
        "mountPoints": [
            {"sourceVolume": "one", "containerPath": "/one"},
            {"sourceVolume": "two", "containerPath": "/two", "readOnly": True},
        ]
    }
    task = run(
        agent,
        shell("source", "echo 1 > /one/f", essential=False, **both),
        shell(
            "takes",
            "cat /one/f; touch /one/g && echo written; touch /two/g || echo refused",
            volumesFrom=[{"sourceContainer": "source"}],
            dependsOn=needs("source", "SUCCESS"),
            essential=False,
        ),
        shell(
            "reads",
            "cat /one/f; touch /one/h || echo refused",
            volumesFrom=[{"sourceContainer": "takes", "readOnly": True}],
            dependsOn=needs("takes", "SUCCESS"),
        ),
        volumes=[{"name": "one"}, {"name": "two"}],
    )
    task.until_closed()
    said = [[line for line in task.log(each) if ":" not in line] for each in ("takes", "reads")]
    assert said == [["1\n", "written\n", "refused\n"], ["1\n", "refused\n"]]


def test_a_new_volume_has_what_the_image_has_there(agent: Agent, tmp_path: Path) -> None:
    built = imagelab.image(
        busybox(),
        layer(
            directory("srv", mode=0o755),
            directory("srv/data", mode=0o750).owned(1000, 100),
            file("srv/data/file", b"of the image\n").owned(1000, 100),
            symlink("linked", "srv/data"),
        ),
    )
    imagelab.write_layout(built, tmp_path / "layout", "test/fill:1")
    archive = tmp_path / "archive.tar"
    with tarfile.open(archive, mode="w") as tar:
        tar.add(tmp_path / "layout", ".")
    assert agent.cli("image", "load", str(archive)).returncode == 0

    def app(script: str, path: str) -> Json:
        return shell("app", script, user="1000", **at(path)) | {"image": "test/fill:1"}

    script = "cat /srv/data/file && touch /srv/data/mine && stat -c '%a %u %g' /srv/data"
    task = run(agent, app(script, "/srv/data"), volumes=[{"name": "data"}])
    task.until_closed()
    assert task.log("app") == ["of the image\n", "750 1000 100\n"]

    volumes = [shared("data-of-fill")]
    for script in ("echo mine > /linked/file", "cat /linked/file"):
        fields = {"mountPoints": [{"sourceVolume": "data-of-fill", "containerPath": "/linked"}]}
        task = run(agent, app(script, "/x") | fields, volumes=volumes)
        task.until_closed()
    assert task.log("app") == ["mine\n"]


def test_read_only_holds_for_what_is_mounted_below(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", tmp_path / "below"], check=True)
    try:
        volumes = [{"name": "data", "host": {"sourcePath": str(tmp_path)}}]
        script = "touch /d/f || echo no; touch /d/below/f || echo neither"
        task = run(agent, shell("app", script, **at("/d", readOnly=True)), volumes=volumes)
        task.until_closed()
    finally:
        mountpoints.detach(tmp_path)
    assert [line for line in task.log("app") if ":" not in line] == ["no\n", "neither\n"]


def test_proc_is_not_for_volumes(agent: Agent) -> None:
    task = run(agent, shell("app", SERVES, **at("/proc/sys")), volumes=[{"name": "data"}])
    assert "proc" in task.until_closed()["stoppedReason"]


def test_a_crash_leaves_nothing_mounted(agent: Agent) -> None:
    volumes = [
        shared("crash", type="tmpfs", device="tmpfs"),
        docker("data", driverOpts={"type": "tmpfs", "device": "tmpfs"}),
    ]
    mounts = {"mountPoints": [*at("/a", "crash")["mountPoints"], *at("/b")["mountPoints"]]}
    for what in ("accepted", "created"):
        task = run(agent, shell("app", SERVES, **mounts), volumes=volumes)
        task.until_step(what)
        agent.kill9()
        agent.start()
        task.stop(force=True)
        task.until_closed()
        assert below(agent.root) == [], what
        assert list(names_of(agent).mounts_dir.iterdir()) == []

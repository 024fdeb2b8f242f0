"""Volumes in a definition: what is refused, and what a container mounts in the end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.task.definition import (
    DefinitionError,
    mount_points,
    normal_path,
    read_task_definition,
)
from tests.unit.task.test_definition import task, web


def problems(data: dict[str, Any]) -> dict[str, str]:
    try:
        read_task_definition(data)
    except DefinitionError as error:
        return {each.path: each.message for each in error.problems}
    return {}


VOLUMES: list[tuple[dict[str, Any], str]] = [
    ({"host": {"sourcePath": "x"}}, "host.sourcePath"),
    ({"host": {"sourcePath": "/srv/../etc"}}, "host.sourcePath"),
    (
        {"dockerVolumeConfiguration": {"autoprovision": True}},
        "dockerVolumeConfiguration.autoprovision",
    ),
    (
        {"dockerVolumeConfiguration": {"driverOpts": {"size": "1g"}}},
        "dockerVolumeConfiguration.driverOpts.size",
    ),
    (
        {"dockerVolumeConfiguration": {"driverOpts": {"type": "nfs"}}},
        "dockerVolumeConfiguration.driverOpts.type",
    ),
    (
        {"dockerVolumeConfiguration": {"driverOpts": {"device": "/dev/sdb"}}},
        "dockerVolumeConfiguration.driverOpts.device",
    ),
    (
        {"dockerVolumeConfiguration": {"driverOpts": {"o": "ro"}}},
        "dockerVolumeConfiguration.driverOpts.o",
    ),
    ({"efsVolumeConfiguration": {"fileSystemId": "a b"}}, "efsVolumeConfiguration.fileSystemId"),
    (
        {"efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "web"}},
        "efsVolumeConfiguration.rootDirectory",
    ),
    (
        {"efsVolumeConfiguration": {"fileSystemId": "fs-1", "rootDirectory": "/a/.."}},
        "efsVolumeConfiguration.rootDirectory",
    ),
]


@pytest.mark.parametrize(("fields", "path"), VOLUMES)
def test_a_limit_of_a_volume_is_kept(fields: dict[str, Any], path: str) -> None:
    assert list(problems(task(volumes=[{"name": "v", **fields}]))) == [f"volumes[0].{path}"]


def mounted(*paths: str, tmpfs: tuple[str, ...] = ()) -> dict[str, Any]:
    return task(
        web(
            mountPoints=[{"sourceVolume": "v", "containerPath": each} for each in paths],
            linuxParameters={"tmpfs": [{"containerPath": each, "size": 1} for each in tmpfs]},
        ),
        volumes=[{"name": "v"}],
    )


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (mounted("/"), "mountPoints[0].containerPath"),
        (mounted("/a/.."), "mountPoints[0].containerPath"),
        (mounted("/a", "//a/."), "mountPoints[1].containerPath"),
        (mounted("/a", tmpfs=("/a/",)), "linuxParameters.tmpfs[0].containerPath"),
        (mounted(tmpfs=("/a", "/a")), "linuxParameters.tmpfs[1].containerPath"),
        (mounted(tmpfs=("a",)), "linuxParameters.tmpfs[0].containerPath"),
    ],
)
def test_every_place_is_mounted_once(data: dict[str, Any], path: str) -> None:
    assert list(problems(data)) == [f"containerDefinitions[0].{path}"]


def test_places_below_each_other_are_no_contradiction() -> None:
    assert problems(mounted("/a", "/a/b", tmpfs=("/a/b/c",))) == {}


@given(st.text(st.sampled_from("/.a"), min_size=1))
def test_one_place_has_one_name(written: str) -> None:
    path = normal_path(f"/{written}")
    assert path == normal_path(path)
    assert path.startswith("/")
    assert not path.startswith("//")


def container(name: str, *points: str, **taken: bool) -> dict[str, Any]:
    """Mounts ``volume:path[:ro]``; takes over from others, read-only or not."""
    found = [each.split(":") for each in points]
    return web(
        name=name,
        mountPoints=[
            {"sourceVolume": each[0], "containerPath": each[1], "readOnly": len(each) > 2}
            for each in found
        ],
        volumesFrom=[{"sourceContainer": name, "readOnly": ro} for name, ro in taken.items()],
    )


def in_the_end(name: str, *containers: dict[str, Any]) -> list[str]:
    volumes = [{"name": each} for each in ("v", "w")]
    definition = read_task_definition(task(*containers, volumes=volumes)).definition
    return [
        f"{each.source_volume}:{each.container_path}{':ro' if each.read_only else ''}"
        for each in mount_points(definition, name)
    ]


def test_mounts_are_taken_over_through_several_containers() -> None:
    chain = (
        container("a", "v:/v", "w:/w:ro"),
        container("b", a=False),
        container("c", b=True),
    )
    assert in_the_end("b", *chain) == ["v:/v", "w:/w:ro"]
    assert in_the_end("c", *chain) == ["v:/v:ro", "w:/w:ro"]


def test_what_a_container_mounts_itself_beats_what_it_takes_over() -> None:
    a, b = container("a", "v:/x"), container("b", "w:/x/:ro", a=False)
    assert in_the_end("b", a, b) == ["w:/x/:ro"]


def test_of_two_sources_the_later_wins() -> None:
    sources = container("a", "v:/x"), container("b", "w:/x")
    assert in_the_end("c", *sources, container("c", a=False, b=True)) == ["w:/x:ro"]
    assert in_the_end("c", *sources, container("c", b=True, a=False)) == ["v:/x"]

"""The machine put together: who is alive, whose sockets are kept, what goes with the last task."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import machine
from agent.host import containerds
from agent.host.leftovers.strays import Stray
from agent.host.network.metadata_sockets import HOST_OWNER, Place
from agent.registry.logins.login import Login
from agent.settings import Settings
from agent.task import names
from agent.task.model import TASK_SANDBOX, Intent, TaskId
from metadata.source import Owner
from tests.fakes.store import MemoryStore
from tests.worlds import container, running, task


class Host:
    """A network side that counts what it is told, with what it finds left of tasks."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Host:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.told.append(("closed",))

    async def remove_orphans(self, alive: Collection[str], tasks: Collection[TaskId]) -> list[str]:
        self.told.append(("remove orphans of", list(alive), list(tasks)))
        return ["interface hv0"]

    async def open_firewall(self) -> None:
        self.told.append(("open firewall",))

    async def remove(self) -> None:
        self.told.append(("remove",))


async def test_all_sandboxes_of_tasks_that_are_not_closed_are_alive() -> None:
    bridge = task(container("web"), container("db"), task_id="1" * 32)
    shared = task(container("web"), container("db"), task_id="2" * 32, mode="awsvpc")
    over = task(container("web"), task_id="3" * 32)
    store = MemoryStore(bridge, shared, over)
    await store.save(over.id, replace(store.progress(over.id), closed_at=1.0))
    assert list(machine._alive(store)) == [
        names.container_id(bridge.id, "web"),
        names.container_id(bridge.id, "db"),
        names.container_id(shared.id, TASK_SANDBOX),
    ]


async def test_sockets_may_have_been_left_in_all_sandboxes_that_are_attached() -> None:
    bridge = task(container("web"), container("db"), task_id="1" * 32)
    shared = task(container("web"), container("db"), task_id="2" * 32, mode="awsvpc")
    host = task(container("web"), task_id="3" * 32, mode="host")
    over = task(container("web"), task_id="4" * 32)
    store, of = MemoryStore(bridge, shared, host, over), Settings().names
    for each in (bridge, shared, host, over):
        await store.save(each.id, running(Intent(each)))
    await store.save(bridge.id, store.progress(bridge.id).having_network("db", detached=True))
    await store.save(over.id, replace(store.progress(over.id), closed_at=1.0))
    web, whole = names.container_id(bridge.id, "web"), names.container_id(shared.id, TASK_SANDBOX)
    assert list(machine.places(of, store)) == [
        Place(web, Owner(bridge.id), of.netns(bridge.id, "web")),
        Place(whole, Owner(shared.id), of.netns(shared.id, TASK_SANDBOX)),
        Place(names.container_id(host.id, "web"), HOST_OWNER, None),
    ]


@pytest.mark.parametrize(("over", "unknown"), [(True, False), (False, False), (True, True)])
async def test_networks_are_cleaned_at_the_start_and_go_with_the_last_task(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    over: bool,
    unknown: bool,
) -> None:
    made, host = task(container("web")), Host()
    strays = [Stray(TaskId("f" * 32), (), ("web",))] * unknown
    theirs = [each for stray in strays for each in stray.sandboxes]
    keepers = [each.task_id for each in strays]
    store = MemoryStore(made)
    monkeypatch.setattr(machine, "open_networking", lambda *_: host)
    unused: Any = None
    settings = replace(Settings(), run_dir=tmp_path)
    settings.names.netns_dir.mkdir()
    for each in theirs:
        settings.names.netns_of(each).touch()
    async with machine._networking(settings, store, unused, unused, strays):
        alive = [names.container_id(made.id, "web"), *theirs]
        assert host.told == [
            ("remove orphans of", alive, [made.id, *keepers]),
            ("open firewall",),
        ]
        assert "removed what a task that is gone had left: interface hv0" in caplog.text
        if over:
            await store.save(made.id, replace(store.progress(made.id), closed_at=1.0))
    last = over and not unknown
    assert host.told[2:] == [("remove",)] * last + [("closed",)]


async def test_logins_are_where_the_settings_say(tmp_path: Path) -> None:
    logins = {"lab.example": {"username": "docker", "password": "x"}}
    (tmp_path / "config.json").write_text(json.dumps({"auths": logins}))
    (tmp_path / "secret").touch(mode=0o600)
    (tmp_path / "secret").write_text('{"username": "container", "password": "x"}')
    settings = replace(
        Settings(),
        docker_config=tmp_path / "config.json",
        engine_auth_type="docker",
        engine_auth_data='{"team.example": {"username": "engine", "password": "x"}}',
        secrets_dir=tmp_path,
    )
    telling: Any = SimpleNamespace(credentials=SimpleNamespace(vault=None))
    own = {"image": "own.example/app", "repositoryCredentials": {"credentialsParameter": "secret"}}
    async with AsyncExitStack() as stack:
        keyrings = machine._keyrings(settings, telling, stack)
        keyring = keyrings.of(task(container("web", **own)), "web")
        for host, name in (("lab", "docker"), ("team", "engine"), ("own", "container")):
            assert await keyring.login(f"{host}.example", "app") == Login(name, "x")


@pytest.mark.parametrize(
    ("setting", "host", "service", "expected"),
    [
        ("auto", False, False, None),
        ("auto", True, False, "host.sock"),
        ("auto", True, True, "host.sock"),
        ("auto", False, True, "service/host.sock"),
        ("embedded", True, True, None),
        ("/path.sock", True, True, "/path.sock"),
    ],
)
def test_which_containerd_is_used(
    tmp_path: Path, setting: str, host: bool, service: bool, expected: str | None
) -> None:
    if host:
        (tmp_path / "host.sock").touch()
    if service:
        (tmp_path / "service").mkdir()
    settings = Settings(containerd=setting, run_dir=tmp_path / "run")
    found = containerds.shared_containerd(settings, tmp_path / "host.sock", tmp_path / "service")
    assert found == (None if expected is None else tmp_path / expected)


@pytest.mark.parametrize(
    ("setting", "tasks", "expected"),
    [
        ("auto", {}, "host/c.sock"),
        ("auto", {"run/containerd": "hostler"}, None),
        ("auto", {"service": "hostler"}, "service/c.sock"),
        ("auto", {"down": "hostler"}, "down/c.sock"),
        ("auto", {"service": "hostler", "run/containerd": "hostler"}, "service/c.sock"),
        ("auto", {"host": "hostler", "run/containerd": "hostler"}, "host/c.sock"),
        ("auto", {"service": "k8s.io", "run/containerd": "other"}, "host/c.sock"),
        ("embedded", {"host": "hostler"}, None),
        ("/path.sock", {"run/containerd": "hostler"}, "/path.sock"),
    ],
)
def test_the_containerd_that_has_the_tasks_is_kept_when_others_come(
    tmp_path: Path, setting: str, tasks: dict[str, str], expected: str | None
) -> None:
    for each in ("host", "service"):
        (tmp_path / each).mkdir()
    (tmp_path / "host/c.sock").touch()
    for folder in ("run/containerd", "service"):
        (tmp_path / folder / containerds.BUNDLES / "hostler").mkdir(parents=True)  # had some once
    for folder, namespace in tasks.items():
        (tmp_path / folder / containerds.BUNDLES / namespace / "bundle").mkdir(parents=True)
    settings = Settings(containerd=setting, run_dir=tmp_path / "run")
    host = tmp_path / ("down/c.sock" if "down" in tasks else "host/c.sock")
    found = containerds.shared_containerd(settings, host, tmp_path / "service")
    assert found == (None if expected is None else tmp_path / expected)

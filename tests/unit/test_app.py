"""What the composition root makes of the host's networks: what RunTask may name, who is alive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import app
from agent.doors.admission import NetworkRules
from agent.engine.bell import Bell
from agent.host.metadata_sockets import HOST_OWNER, Place
from agent.host.strays import Stray
from agent.registry.logins.login import Login
from agent.settings import Settings
from agent.task import names
from agent.task.model import TASK_SANDBOX, Intent, TaskId
from metadata.source import Owner
from tests.fakes.store import MemoryStore
from tests.worlds import container, running, task


def networking(settings: Settings, subnets: Collection[str] = ()) -> Any:
    """A network side with such a provider and the security groups web and db."""
    provider = SimpleNamespace(subnets=subnets)
    return SimpleNamespace(
        settings=settings,
        interfaces=SimpleNamespace(provider=provider),
        groups=SimpleNamespace(names={"web", "db"}),
    )


def test_tasks_may_name_the_providers_subnets_and_the_hosts_groups() -> None:
    given = replace(Settings(), eni_provider="pool")
    rules = app._rules(networking(given, subnets=["subnet-1"]))
    assert rules == NetworkRules(["subnet-1"], {"web", "db"})


def test_where_no_interface_is_in_a_subnet_any_may_be_named() -> None:
    assert app._rules(networking(Settings())).known_subnets is None


def test_security_groups_of_ec2_are_known_to_ec2_alone() -> None:
    given = replace(Settings(), eni_provider="ec2")
    rules = app._rules(networking(given, subnets=["subnet-1"]))
    assert rules == NetworkRules(["subnet-1"], None)


async def test_all_sandboxes_of_tasks_that_are_not_closed_are_alive() -> None:
    bridge = task(container("web"), container("db"), task_id="1" * 32)
    shared = task(container("web"), container("db"), task_id="2" * 32, mode="awsvpc")
    over = task(container("web"), task_id="3" * 32)
    store = MemoryStore(bridge, shared, over)
    await store.save(over.id, replace(store.progress(over.id), closed_at=1.0))
    assert list(app._alive(store)) == [
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
    assert list(app._places(of, store)) == [
        Place(web, Owner(bridge.id), of.netns(bridge.id, "web")),
        Place(whole, Owner(shared.id), of.netns(shared.id, TASK_SANDBOX)),
        Place(names.container_id(host.id, "web"), HOST_OWNER, None),
    ]


async def test_each_change_of_the_hosts_links_rings_for_those_that_wait() -> None:
    rung = asyncio.Semaphore(0)
    fleet: Any = SimpleNamespace(ring_waiting=rung.release)
    links = Bell()
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(app._await_links(links, fleet))
        for _ in range(3):
            links.ring()
            await rung.acquire()
        waiting.cancel()


async def test_executables_find_the_agents_own_thread_and_context(tmp_path: Path) -> None:
    class Thread:
        context = "the open sockets"

        async def run(self, work: Callable[[object], bytes]) -> bytes:
            return b"in the thread: " + work("a runtime")

    host: Any = SimpleNamespace(settings=replace(Settings(), run_dir=tmp_path), thread=Thread())
    server: Any = app._plugins(host)
    async with server:
        assert (tmp_path / "cni.sock").is_socket()
    assert not (tmp_path / "cni.sock").exists()
    assert await server._call(lambda: b"done") == b"in the thread: done"
    with server._open_context() as context:
        assert context == "the open sockets"


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
    monkeypatch.setattr(app, "open_networking", lambda *_: host)
    unused: Any = None
    settings = replace(Settings(), run_dir=tmp_path)
    settings.names.netns_dir.mkdir()
    for each in theirs:
        settings.names.netns_of(each).touch()
    async with app._networking(settings, store, unused, unused, strays):
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
        keyrings = app._keyrings(settings, telling, stack)
        keyring = keyrings.of(task(container("web", **own)), "web")
        for host, name in (("lab", "docker"), ("team", "engine"), ("own", "container")):
            assert await keyring.login(f"{host}.example", "app") == Login(name, "x")

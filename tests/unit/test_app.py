"""What the composition root makes of the host's networks: what RunTask may name, who is alive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent import app
from agent.doors.admission import NetworkRules
from agent.engine.bell import Bell
from agent.settings import Settings


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

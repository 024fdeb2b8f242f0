"""Which metadata sockets are open, and when the host's loopback has the address."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from agent.host.metadata_sockets import HOST_OWNER, MetadataSockets
from cni.kernel import portshare
from metadata.source import Owner

KEY, PATH, OWNER = "c1", Path("/netns/c1"), Owner("task-one")


class World:
    """Thread, namespaces and door at once; a socket is the namespace that it is in."""

    def __init__(self) -> None:
        self.listened: list[tuple[Any, ...]] = []
        self.open: dict[str, tuple[object, Owner]] = {}
        self.on_host = False
        self.fails: list[OSError] = []
        self._inside: Path | None = None

    async def run(self, work: Callable[[Any], Any]) -> Any:
        await asyncio.sleep(0)
        self._fail()
        return work(self)

    @property
    def context(self) -> Any:
        return self

    @property
    def namespaces(self) -> Any:
        return self

    def call(self, path: Path | None, work: Callable[[], Any]) -> Any:
        self._inside = path
        return work()

    def listen(self, address: IPv4Address, port: int, behind: int, table: str) -> object:
        self.listened.append((self._inside, str(address), port, behind, table))
        self.on_host |= self._inside is None
        return self._inside

    def withdraw(self, address: IPv4Address, table: str) -> None:
        assert (str(address), table) == ("169.254.170.2", "tab")
        self.on_host = False

    async def serve(self, sock: object, owner: Owner, key: str) -> None:
        await asyncio.sleep(0)
        if key in self.open:
            raise ValueError(f"{key} is served already")
        self.open[key] = (sock, owner)

    async def close(self, key: str) -> None:
        await asyncio.sleep(0)
        self.open.pop(key, None)

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(portshare, "listen", made.listen)
    monkeypatch.setattr(portshare, "withdraw", made.withdraw)
    return made


@pytest.fixture
def sockets(world: World) -> MetadataSockets:
    return MetadataSockets(cast(Any, world), cast(Any, world), "tab")


async def test_a_sandbox_is_answered_at_the_address_of_ecs_in_its_namespace(
    world: World, sockets: MetadataSockets
) -> None:
    assert not sockets.serves(KEY)
    await sockets.serve(KEY, OWNER, PATH)
    assert sockets.serves(KEY)
    assert world.open == {KEY: (PATH, OWNER)}
    assert world.listened == [(PATH, "169.254.170.2", 80, 51679, "tab")]


async def test_one_that_is_answered_is_not_answered_twice(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.serve(KEY, OWNER, PATH)
    await sockets.serve(KEY, OWNER, PATH)
    assert len(world.listened) == 1


async def test_one_that_is_closed_can_be_answered_again(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.close(KEY)
    await sockets.serve(KEY, OWNER, PATH)
    await sockets.close(KEY)
    assert not sockets.serves(KEY)
    assert world.open == {}
    await sockets.serve(KEY, OWNER, PATH)
    assert sockets.serves(KEY)


async def test_a_socket_that_cant_be_opened_is_not_served(
    world: World, sockets: MetadataSockets
) -> None:
    world.fails = [OSError("address in use")]
    with pytest.raises(OSError, match="address in use"):
        await sockets.serve(KEY, OWNER, PATH)
    assert not sockets.serves(KEY)
    await sockets.serve(KEY, OWNER, PATH)
    assert sockets.serves(KEY)


async def test_what_was_cut_short_at_the_door_is_closed_before_another_try(
    world: World, sockets: MetadataSockets
) -> None:
    world.open[KEY] = (PATH, OWNER)  # taken over, but its caller was cancelled
    await sockets.close(KEY)
    await sockets.serve(KEY, OWNER, PATH)
    assert sockets.serves(KEY)


async def test_all_on_the_hosts_network_share_one(world: World, sockets: MetadataSockets) -> None:
    await asyncio.gather(*(sockets.serve_on_host(each) for each in "abc"))
    assert all(map(sockets.serves, "abc"))
    assert world.open == {HOST_OWNER: (None, HOST_OWNER)}
    assert len(world.listened) == 1


async def test_the_last_to_leave_the_host_takes_the_address_away(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.serve_on_host("a")
    await sockets.serve_on_host("b")
    await sockets.leave_host("a")
    await sockets.leave_host("a")
    assert (sockets.serves("a"), sockets.serves("b"), world.on_host) == (False, True, True)
    await sockets.leave_host("b")
    assert (world.open, world.on_host) == ({}, False)


async def test_one_that_never_came_leaves_another_programs_address_alone(
    world: World, sockets: MetadataSockets
) -> None:
    world.on_host = True
    await sockets.leave_host("a")
    assert world.on_host


async def test_an_address_that_cant_be_taken_away_is_tried_again(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.serve_on_host("a")
    world.fails = [OSError("netlink is busy")]
    with pytest.raises(OSError, match="busy"):
        await sockets.leave_host("a")
    await sockets.leave_host("a")
    assert (world.open, world.on_host) == ({}, False)


async def test_who_comes_while_the_address_cant_be_taken_away_is_answered(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.serve_on_host("a")
    world.fails = [OSError("netlink is busy")]
    with pytest.raises(OSError, match="busy"):
        await sockets.leave_host("a")
    await sockets.serve_on_host("b")
    await sockets.leave_host("a")
    assert sockets.serves("b")
    assert HOST_OWNER in world.open
    assert world.on_host

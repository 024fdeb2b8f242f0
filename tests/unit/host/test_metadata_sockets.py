"""Which metadata sockets are open and kept, and when the host's loopback has the address."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, cast

import pytest

from agent.host.network.metadata_sockets import (
    HOST_OWNER,
    MetadataFront,
    MetadataSockets,
    Place,
    taken_up,
)
from cni.kernel import loopback, portshare
from metadata.source import Owner

KEY, PATH, OWNER = "c1", Path("/netns/c1"), Owner("task-one")
ON_HOST = Path("/proc/1/ns/net")
HERE = Place(KEY, OWNER, PATH)
LOOPBACK_KEY, ON_LOOPBACK = "host, loopback", "a socket on 127.0.0.1"
HOST_DOORS = {HOST_OWNER: (ON_HOST, HOST_OWNER), LOOPBACK_KEY: (ON_LOOPBACK, HOST_OWNER)}


class World:
    """Thread, namespaces and door at once; a socket is the namespace that it is in."""

    def __init__(self) -> None:
        self.listened: list[tuple[Any, ...]] = []
        self.open: dict[str, tuple[object, Owner]] = {}
        self.on_host = False
        self.restored: list[Path | None] = []
        self.fails: list[OSError] = []
        self.kept: dict[str, object] = {}
        self.kept_on_loopback = False
        self.taken: OSError | None = None
        self.listened_on_loopback = 0
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
        return self._inside or ON_HOST

    def listen_on(self, address: IPv4Address, port: int) -> object:
        assert (str(address), port) == ("127.0.0.1", 51679)
        self.listened_on_loopback += 1
        if self.taken is not None:
            raise self.taken
        return ON_LOOPBACK

    def restore(self, address: IPv4Address, port: int, behind: int, table: str) -> None:
        assert (str(address), port, behind, table) == ("169.254.170.2", 80, 51679, "tab")
        self.restored.append(self._inside)

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

    def find(self, key: str, path: Path | None, address: tuple[str, int]) -> object:
        if address == ("127.0.0.1", 51679):
            assert (key, path) == (HOST_OWNER, None)
            return ON_LOOPBACK if self.kept_on_loopback else None
        assert address == ("169.254.170.2", 51679)
        found = self.kept.get(key)
        return found if found == (path or ON_HOST) else None

    async def keep(self, key: str, sock: object) -> None:
        await asyncio.sleep(0)
        if sock == ON_LOOPBACK:
            self.kept_on_loopback = True
        else:
            self.kept[key] = sock

    async def drop(self, key: str) -> None:
        await asyncio.sleep(0)
        assert key not in self.open, "answered while nobody keeps it"
        self.kept.pop(key, None)
        if key == HOST_OWNER:
            assert LOOPBACK_KEY not in self.open, "answered while nobody keeps it"
            self.kept_on_loopback = False

    async def drop_all_but(self, keys: set[str]) -> None:
        await asyncio.sleep(0)
        self.kept = {key: each for key, each in self.kept.items() if key in keys}

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(portshare, "listen", made.listen)
    monkeypatch.setattr(portshare, "restore", made.restore)
    monkeypatch.setattr(portshare, "withdraw", made.withdraw)
    monkeypatch.setattr(loopback, "listen_on", made.listen_on)
    return made


@pytest.fixture
def sockets(world: World) -> MetadataSockets:
    return MetadataSockets(cast(Any, world), front(world), "tab")


def front(world: World, **served: set[str]) -> MetadataFront:
    return MetadataFront(cast(Any, world), cast(Any, world), **served)


async def taken(world: World, *places: Place) -> tuple[MetadataSockets, MetadataFront]:
    """The sockets of an agent that has just begun, and what it began with."""
    world.open.clear()
    found = await taken_up(cast(Any, world), cast(Any, world), places)
    return MetadataSockets(cast(Any, world), found, "tab"), found


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
    assert world.open == HOST_DOORS
    assert len(world.listened) == world.listened_on_loopback == 1


async def test_a_taken_port_of_the_loopback_is_told_with_who_may_have_it(
    world: World, sockets: MetadataSockets
) -> None:
    world.taken = OSError(errno.EADDRINUSE, "Address already in use")
    with pytest.raises(
        OSError, match=r"^127\.0\.0\.1:51679, where .* is taken: does another agent"
    ):
        await sockets.serve_on_host("a")
    assert (world.open, world.listened) == ({}, [])
    world.taken = OSError(errno.ENOBUFS, "No buffer space available")
    with pytest.raises(OSError, match="No buffer space"):
        await sockets.serve_on_host("a")
    assert not sockets.serves("a")
    world.taken = None
    await sockets.serve_on_host("a")
    assert world.open == HOST_DOORS


async def test_without_the_address_of_ecs_the_loopback_is_left_too(
    world: World, sockets: MetadataSockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> object:
        raise OSError("address in use")

    with monkeypatch.context() as taken:
        taken.setattr(portshare, "listen", refuse)
        with pytest.raises(OSError, match="address in use"):
            await sockets.serve_on_host("a")
    assert (world.open, world.kept, world.kept_on_loopback) == ({}, {}, False)
    await sockets.serve_on_host("a")
    assert world.open == HOST_DOORS


async def test_what_a_turn_cut_short_left_on_the_host_is_served_once(
    world: World, sockets: MetadataSockets
) -> None:
    world.open = dict(HOST_DOORS)  # taken over, but their caller was cancelled
    world.kept, world.kept_on_loopback = {HOST_OWNER: ON_HOST}, True
    await sockets.serve_on_host("a")
    assert world.open == HOST_DOORS
    assert (world.listened, world.listened_on_loopback) == ([], 0)


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


async def test_a_socket_is_kept_from_its_opening_until_it_is_closed(
    world: World, sockets: MetadataSockets
) -> None:
    await sockets.serve(KEY, OWNER, PATH)
    await sockets.serve_on_host("a")
    await sockets.serve_on_host("b")
    assert world.kept == {KEY: PATH, HOST_OWNER: ON_HOST}
    await sockets.close(KEY)
    await sockets.leave_host("a")
    assert world.kept == {HOST_OWNER: ON_HOST}
    await sockets.leave_host("b")
    assert (world.kept, world.kept_on_loopback) == ({}, False)


async def test_one_that_was_opened_in_a_turn_cut_short_is_served(
    world: World, sockets: MetadataSockets
) -> None:
    world.kept[KEY] = PATH
    await sockets.serve(KEY, OWNER, PATH)
    assert world.open == {KEY: (PATH, OWNER)}
    assert world.listened == []


async def test_what_the_agent_before_left_is_served_at_once(world: World) -> None:
    world.kept, world.kept_on_loopback = {KEY: PATH, HOST_OWNER: ON_HOST}, True
    places = [Place("a", HOST_OWNER, None), HERE, Place("b", HOST_OWNER, None)]
    sockets, found = await taken(world, *places)
    assert world.open == {KEY: (PATH, OWNER), HOST_OWNER: (ON_HOST, HOST_OWNER)}
    assert (found.in_sandbox, found.on_host) == ({KEY}, {"a", "b"})
    assert not any(map(sockets.serves, (KEY, "a", "b"))), "who knows what else is gone"
    for _ in range(2):
        await sockets.serve(KEY, OWNER, PATH)
        await sockets.serve_on_host("a")
        await sockets.serve_on_host("b")
    assert all(map(sockets.serves, (KEY, "a", "b")))
    assert (world.listened, world.restored) == ([], [PATH, None])
    assert world.listened_on_loopback == 0
    assert world.open == {KEY: (PATH, OWNER), **HOST_DOORS}
    await sockets.leave_host("a")
    assert HOST_OWNER in world.open
    await sockets.leave_host("b")
    await sockets.close(KEY)
    assert (world.open, world.kept) == ({}, {})


async def test_what_was_taken_up_can_be_closed_before_it_is_sure(world: World) -> None:
    world.kept = {KEY: PATH, HOST_OWNER: ON_HOST}
    sockets, _ = await taken(world, HERE, Place("a", HOST_OWNER, None))
    await sockets.close(KEY)
    await sockets.leave_host("a")
    assert (world.open, world.kept) == ({}, {})
    await sockets.serve(KEY, OWNER, PATH)
    await sockets.serve_on_host("a")
    assert len(world.listened) == 2


async def test_of_what_was_left_only_what_is_wanted_is_kept(world: World) -> None:
    world.kept = {KEY: PATH, "gone": Path("/netns/gone"), HOST_OWNER: ON_HOST}
    sockets, _ = await taken(world, HERE)
    assert world.open == {KEY: (PATH, OWNER)}
    assert world.kept == {KEY: PATH}
    assert not sockets.serves("gone")


@pytest.mark.parametrize("place", [HERE, Place("a", HOST_OWNER, None)])
async def test_a_sandbox_is_never_answered_on_anothers_socket(world: World, place: Place) -> None:
    other = Path("/netns/other")
    world.kept = {KEY: other, HOST_OWNER: other}
    sockets, _ = await taken(world, place)
    assert (world.open, world.kept) == ({}, {})
    assert not sockets.serves(place.key)

"""Which image a container gets: the behaviours, and one version for all of a task."""

from __future__ import annotations

import asyncio

import pytest

from agent.containerd.errors import ContainerdError
from agent.host.images.fetching import PullFailed
from agent.host.images.local import ImageMissing
from agent.host.images.stock.claims import Claimed
from agent.registry import descriptor, hello
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.task.images import Layer, Obtained
from agent.task.model import Task
from agent.task.records import Pin
from tests.unit.host.images.registry import NAME, World, digest, exactly
from tests.unit.host.images.simulated import at_once
from tests.worlds import container, task

AWAY = RegistryUnavailable("no answer")
DENIED = RegistryError("denied")
SHORT = "registry.test/shop/web:1"


def one(image: str = SHORT, **fields: object) -> Task:
    return task(container("web", image=image, **fields))


def two(**fields: object) -> Task:
    """Two containers with the same image; ``fields`` are of the second."""
    return task(container("web", image=SHORT), container("side", image=SHORT, **fields))


async def test_what_is_not_here_is_known_by_its_digest_before_it_is_pulled() -> None:
    world = World(one())
    assert await world.turn() == Pin(digest(1), descriptor.MANIFEST, 7)
    assert world.puller.pulled == []
    gave = await world.turn()
    assert isinstance(gave, Obtained)
    assert (gave.image.name, gave.image.digest, gave.pulled) == (NAME, digest(1), True)
    assert gave.layers == (Layer("sha256:new", 10, 1.0, 2.0),), "of what was here nothing came"
    assert world.registry.asked == [NAME], "the digest is asked for once"
    assert world.puller.pulled == [f"{NAME} 1"]


async def test_the_version_is_kept_when_the_tag_moves_before_the_pull() -> None:
    world = World(one())
    await world.turn()
    world.registry.tags[NAME] = 2
    assert (await world.obtain()).image.digest == digest(1)


async def test_what_is_known_already_is_obtained_at_once() -> None:
    world = World(one())
    await world.obtain()
    other = World(one())
    other.shelf.versions, other.shelf.pulled = world.shelf.versions, world.shelf.pulled
    gave = await other.turn()
    assert isinstance(gave, Obtained)
    assert gave.pulled


@pytest.mark.parametrize("behavior", ["default", "always", "once", "prefer-cached"])
@pytest.mark.parametrize("name", ["hostler/hello", "hostler/hello:latest"])
async def test_nobody_is_asked_for_hello(behavior: str, name: str) -> None:
    world = World(one(name), behavior)
    gave = await world.turn()
    assert isinstance(gave, Obtained)
    assert (gave.image.name, gave.pulled) == (hello.NAME, False)
    assert world.registry.asked == []


async def test_nobody_is_asked_for_a_hello_that_is_not_ours() -> None:
    world = World(one("hostler/hello:mine"))
    with pytest.raises(ImageMissing):
        await world.turn()
    assert world.registry.asked == []


@pytest.mark.parametrize(
    ("behavior", "pulled", "asked"),
    [
        ("default", False, True),
        ("default", True, True),
        ("always", True, True),
        ("once", False, True),
        ("once", True, False),
        ("prefer-cached", False, False),
        ("prefer-cached", True, False),
    ],
)
async def test_an_image_that_is_here(behavior: str, pulled: bool, asked: bool) -> None:
    world = World(one(), behavior)
    world.registry.tags[NAME] = 2
    world.shelf.put(1)
    if pulled:
        world.shelf.pulled.add(NAME)
    gave = await world.obtain()
    assert gave.pulled is asked
    assert gave.image.digest == digest(2 if asked else 1)


async def test_what_clean_up_removed_is_pulled_again_under_once() -> None:
    world = World(one(), "once")
    await world.obtain()
    world.shelf.versions.clear()
    other = World(one(), "once")
    other.shelf.pulled = world.shelf.pulled
    assert (await other.obtain()).pulled


@pytest.mark.parametrize("error", [AWAY, DENIED])
def test_the_image_on_this_host_will_do_by_default(error: RegistryError) -> None:
    world = World(one())
    world.registry.error = error
    world.shelf.put(1)
    gave, _ = at_once(world.obtain())
    assert (gave.image.digest, gave.pulled) == (digest(1), False)
    assert gave.note == f"the image on this host, as {error}"
    assert gave.failure == f"CannotPullImageManifestError: image {NAME}: {error}"
    assert world.progress.pull_started_at is None


def test_it_will_also_do_when_the_pull_fails() -> None:
    world = World(one())
    world.registry.tags[NAME] = 2
    world.shelf.put(1)
    world.puller.error = AWAY
    gave, _ = at_once(world.obtain())
    assert gave.image.digest == digest(1)
    assert "no answer" in gave.note


def test_it_will_also_do_when_the_disk_is_full() -> None:
    world = World(one())
    world.registry.tags[NAME] = 2
    world.shelf.put(1)
    world.puller.error = ContainerdError("content.Write", "no space left on device")
    gave, _ = at_once(world.obtain())
    assert gave.image.digest == digest(1)
    assert "no space" in gave.note


@pytest.mark.parametrize("behavior", ["always", "once"])
def test_an_older_version_that_is_here_is_not_denied(behavior: str) -> None:
    world = World(one(), behavior)
    world.registry.tags[NAME] = 2
    world.shelf.put(1)
    world.puller.error = DENIED
    with pytest.raises(PullFailed, match=f"^image {NAME}: denied$"):
        at_once(world.obtain())


def test_an_image_for_another_machine_will_not_do() -> None:
    world = World(one())
    world.registry.error = DENIED
    world.shelf.put(1)
    world.shelf.broken.add(NAME)
    with pytest.raises(PullFailed, match="denied"):
        at_once(world.obtain())


@pytest.mark.parametrize("behavior", ["always", "once"])
def test_under_strict_behaviours_it_will_not_do(behavior: str) -> None:
    world = World(one(), behavior)
    world.registry.error = DENIED
    world.shelf.put(1)
    with pytest.raises(PullFailed, match=f"^image {NAME}: denied$") as caught:
        at_once(world.obtain())
    assert caught.value.name == "CannotPullImageManifestError"


@pytest.mark.parametrize("behavior", ["default", "always", "once", "prefer-cached"])
def test_an_image_that_is_nowhere_can_be_loaded(behavior: str) -> None:
    world = World(one(), behavior)
    world.registry.error = AWAY
    with pytest.raises(PullFailed, match=r"no answer.*'hostler image load FILE'"):
        at_once(world.obtain())


def test_a_registry_that_hangs_is_asked_for_a_minute_where_there_is_something_else() -> None:
    world = World(one())
    world.registry.slow_s = 1e6
    world.shelf.put(1)
    gave, took_s = at_once(world.obtain())
    assert gave.image.digest == digest(1)
    assert took_s == pytest.approx(60.0, abs=0.1)


# one version for all of a task


async def test_containers_get_the_same_version_though_the_tag_moves() -> None:
    world = World(two())
    await world.obtain("web")
    world.registry.tags[NAME] = 2
    gave = await world.obtain("side")
    assert gave.image.digest == digest(1)
    assert world.registry.asked == [NAME, exactly(1)], "its own login is asked for that version"


async def test_a_moved_tag_is_left_alone_by_who_is_bound_to_another_version() -> None:
    world = World(two())
    await world.obtain("web")
    world.shelf.put(2)
    assert (await world.obtain("side")).image.digest == digest(1)
    assert world.shelf.versions[NAME] == 2


async def test_containers_that_ask_at_the_same_time_get_the_same_version() -> None:
    world = World(two())
    first = world.images.obtain(world.task, "web", world.progress)
    gave = [await first]
    world.registry.tags[NAME] = 2
    gave.append(await world.images.obtain(world.task, "side", world.progress))
    assert [isinstance(each, Pin) and each.digest for each in gave] == [digest(1), digest(2)]
    world.hear("side", gave[1])
    world.hear("web", gave[0])
    found = [(await world.obtain(each)).image.digest for each in ("web", "side")]
    assert found == [digest(2)] * 2


async def test_who_wants_the_tag_gets_what_it_means_now() -> None:
    world = World(two(versionConsistency="disabled"))
    await world.obtain("web")
    world.registry.tags[NAME] = 2
    assert (await world.obtain("side")).image.digest == digest(2)


@pytest.mark.parametrize("behavior", ["default", "once", "prefer-cached"])
async def test_what_is_bound_is_found_here_by_its_digest(behavior: str) -> None:
    world = World(two(), behavior)
    await world.obtain("web")
    world.shelf.put(2)
    world.registry.error = DENIED
    assert (await world.obtain("side")).image.digest == digest(1)


async def test_another_version_will_not_do_for_who_is_bound() -> None:
    world = World(two())
    await world.obtain("web")
    world.shelf.versions = {NAME: 2}
    world.registry.error = DENIED
    with pytest.raises(PullFailed, match="denied"):
        await world.obtain("side")


def test_who_had_to_use_what_is_here_binds_the_others() -> None:
    world = World(two())
    world.registry.tags[NAME] = 2
    world.shelf.put(1)
    world.puller.error = DENIED

    async def scenario() -> list[str]:
        await world.turn("web")
        await world.turn("side")
        first = await world.obtain("web")
        world.puller.error = None
        return [first.image.digest, (await world.obtain("side")).image.digest]

    found, _ = at_once(scenario())
    assert found == [digest(1)] * 2


async def test_a_digest_in_the_definition_is_no_tag() -> None:
    world = World(one(f"registry.test/shop/web:1@{digest(3)}"))
    world.shelf.put(1)
    gave = await world.obtain()
    assert gave.image.digest == digest(3)
    assert world.registry.asked == [exactly(3)]
    assert world.shelf.versions[NAME] == 1


@pytest.mark.parametrize("behavior", ["default", "prefer-cached"])
def test_an_image_that_is_here_has_a_digest_too(behavior: str) -> None:
    world = World(one(f"registry.test/shop/web:1@{digest(1)}"), behavior)
    world.shelf.put(1)
    world.registry.error = AWAY
    gave, _ = at_once(world.obtain())
    assert gave.image.digest == digest(1)


async def test_a_name_that_is_none_is_missing() -> None:
    with pytest.raises(ImageMissing):
        await World(one("No Such/Name")).obtain()


async def test_a_pull_that_is_dropped_is_dropped_at_once() -> None:
    world = World(one())
    await world.turn()
    world.puller.slow_s = 3600.0
    pulling = asyncio.get_running_loop().create_task(world.obtain())
    async with asyncio.timeout(60):
        await world.puller.running.wait()
    assert world.pulls.of(NAME)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert not world.puller.running.is_set()
    assert world.pulls.of(NAME) == ()


async def test_a_version_that_a_tag_means_now_is_not_removed_as_it_comes() -> None:
    world = World(one())
    world.shelf.put(1, exactly(1))
    world.puller.slow_s = 60.0
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        obtaining = group.create_task(world.obtain())
        await world.puller.running.wait()
        with pytest.raises(Claimed), world.shelf.claims.removing({digest(1)}):
            pytest.fail("it was removed")
        obtaining.cancel()
    with world.shelf.claims.removing({digest(1)}):
        pass

"""Images that people ask for."""

from __future__ import annotations

import asyncio

import pytest

from agent.host.images.byhand import HandPuller
from agent.host.images.fetching import PullFailed
from agent.host.images.local import ImageMissing
from agent.host.images.stock.claims import Claimed
from agent.registry import hello
from agent.task.model import Image
from tests import worlds
from tests.unit.host.images.registry import NAME, Keys, World, digest


class Hand:
    """Somebody who pulls, on a host with a shelf, from the registry of a ``World``."""

    def __init__(self) -> None:
        self.world = World(worlds.task(worlds.container("web", image=NAME)))
        self.claims = self.world.shelf.claims
        self.keyrings: list[Keys] = []
        self.puller = HandPuller(self.world.shelf, self.world.fetcher, self._keyring)

    def _keyring(self) -> Keys:
        self.keyrings.append(Keys())
        return self.keyrings[-1]


@pytest.fixture
def hand() -> Hand:
    return Hand()


async def test_the_image_comes_as_its_registry_has_it_now(hand: Hand) -> None:
    hand.world.shelf.put(1)
    hand.world.registry.tags[NAME] = 2
    assert await hand.puller.pull(NAME) == Image(NAME, "sha256:config", digest(2))
    assert hand.world.puller.pulled == [f"{NAME} 2"]


async def test_a_digest_means_that_version(hand: Hand) -> None:
    exact = NAME.replace(":1", f"@{digest(3)}")
    hand.world.shelf.put(3, exact)
    assert (await hand.puller.pull(exact)).digest == digest(3)


async def test_each_pull_looks_for_logins_anew(hand: Hand) -> None:
    await hand.puller.pull(NAME)
    await hand.puller.pull(NAME)
    assert len(hand.keyrings) == 2


async def test_hello_is_not_asked_for(hand: Hand) -> None:
    assert (await hand.puller.pull(hello.NAME)).name == hello.NAME
    assert not hand.world.registry.asked


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("No Name", ImageMissing, "No Name"),
        ("registry.test/none:1", PullFailed, "is not in its registry"),
    ],
)
async def test_what_can_not_be_had_is_said(
    hand: Hand, name: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        await hand.puller.pull(name)


async def test_what_is_being_pulled_is_not_removed(hand: Hand) -> None:
    hand.world.puller.slow_s = 60.0
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        pulling = group.create_task(hand.puller.pull(NAME))
        await hand.world.puller.running.wait()
        for each in (NAME, digest(1)):
            with pytest.raises(Claimed), hand.claims.removing({each}):
                pytest.fail("it was removed")
        pulling.cancel()
    with hand.claims.removing({NAME, digest(1)}):
        pass

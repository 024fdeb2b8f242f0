"""What ECS calls the ways in which a pull fails, and how long it is tried."""

from __future__ import annotations

import pytest

from agent.containerd.errors import ContainerdError, Unavailable
from agent.host.images.fetching import Limits, PullFailed
from agent.registry.errors import RegistryError, RegistryUnavailable
from tests.unit.host.images.registry import NAME, World, digest
from tests.unit.host.images.simulated import at_once
from tests.worlds import container, task

AWAY = RegistryUnavailable("no answer")
TAG = task(container("web", image=NAME))
DIGEST = task(container("web", image=f"registry.test/shop/web@{digest(1)}"))
ECR = task(container("web", image="111122223333.dkr.ecr.xx-test-1.amazonaws.com/shop/web"))


def failed(world: World) -> tuple[str, str, float]:
    """Name, text, and how long it took."""

    async def obtain() -> PullFailed:
        with pytest.raises(PullFailed) as caught:
            await world.obtain()
        return caught.value

    error, took_s = at_once(obtain())
    return error.name, str(error), took_s


def test_a_tag_that_cant_be_resolved(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "agent.host.images.retries")
    world = World(TAG)
    world.registry.error = AWAY
    name, text, took_s = failed(world)
    assert len(caplog.messages) == 8, "as many as there are tries to come"
    assert caplog.messages[0] == f"image {NAME}: no answer; next try in 0.0 s"
    assert (name, len(world.registry.asked)) == ("CannotPullImageManifestError", 9)
    assert text.startswith(f"image {NAME}: no answer; ")
    assert 13.6 < took_s < 13.6 * 1.2


def test_a_digest_that_cant_be_found_is_a_failure_of_the_pull() -> None:
    world = World(DIGEST)
    world.registry.error = AWAY
    name, _, took_s = failed(world)
    assert (name, len(world.registry.asked)) == ("CannotPullContainerError", 5)
    assert 12.7 < took_s < 12.7 * 1.2


def test_an_image_that_is_not_there_is_not_asked_for_again() -> None:
    world = World(TAG)
    world.registry.error = RegistryError("no such image")
    name, text, took_s = failed(world)
    assert (name, took_s, len(world.registry.asked)) == ("CannotPullImageManifestError", 0.0, 1)
    assert text.startswith(f"image {NAME}: no such image; ")


def test_a_registry_that_does_not_answer_is_left_after_its_time() -> None:
    world = World(TAG)
    world.registry.slow_s = 1e6
    name, text, took_s = failed(world)
    assert name == "CannotPullImageManifestError"
    assert "did not answer within 60 s" in text
    assert 9 * 60 < took_s < 9 * 60 + 20


def test_a_manifest_is_asked_for_five_times() -> None:
    world = World(TAG)

    async def scenario() -> None:
        await world.turn()
        world.registry.error = RegistryUnavailable("it broke off")
        with pytest.raises(PullFailed, match="it broke off") as caught:
            await world.turn()
        assert caught.value.name == "CannotPullContainerError"

    _, took_s = at_once(scenario())
    assert 12.7 < took_s < 12.7 * 1.2


def test_what_succeeds_in_the_end_has_succeeded() -> None:
    world = World(TAG)

    async def scenario() -> bool:
        world.registry.errors = [AWAY] * 8
        await world.turn()
        world.registry.errors = [AWAY] * 4
        return (await world.obtain()).pulled

    assert at_once(scenario())[0]


def test_what_a_layer_is_found_to_be_ends_the_pull() -> None:
    world = World(TAG)
    world.puller.error = RegistryError("layer sha256:1: a path leads out of it")
    name, _, took_s = failed(world)
    assert (name, took_s) == ("CannotPullContainerError", 0.0)


def test_what_containerd_cant_do_is_a_failure_of_the_pull() -> None:
    world = World(TAG)
    world.puller.error = ContainerdError("content.Write of x: no space", "no space left on device")
    name, text, _ = failed(world)
    assert name == "CannotPullContainerError"
    assert text.startswith(f"image {NAME}: no space left on device")


def test_a_containerd_that_is_away_is_none() -> None:
    world = World(TAG)
    world.puller.error = Unavailable("it is away")
    with pytest.raises(Unavailable):
        at_once(world.obtain())


def test_a_pull_that_takes_too_long() -> None:
    world = World(TAG, limits=Limits(pull_s=30.0, manifest_s=60.0))
    world.puller.slow_s = 1e6
    name, text, took_s = failed(world)
    assert name == "DockerTimeoutError"
    assert "it could not be pulled within 30 s" in text
    assert took_s == pytest.approx(30.0, abs=0.1)


def test_the_last_failure_is_told_when_the_time_is_over() -> None:
    world = World(TAG, limits=Limits(pull_s=6.0, manifest_s=60.0))
    world.registry.error = RegistryUnavailable("it broke off")
    name, text, _ = failed(world)
    assert name == "DockerTimeoutError"
    assert "within 6 s: it broke off" in text


@pytest.mark.parametrize("error", [AWAY, RegistryError("no such role")])
def test_a_login_that_ecr_refuses_is_not_asked_for_again(error: RegistryError) -> None:
    world = World(ECR)
    world.rings.errors["web"] = error
    name, text, took_s = failed(world)
    assert (name, took_s) == ("CannotPullECRContainerError", 0.0)
    assert f": {error};" in text


def test_a_login_that_cant_be_had() -> None:
    world = World(TAG)
    world.rings.errors["web"] = RegistryError("there is no such secret")
    name, text, _ = failed(world)
    assert name == "CannotPullContainerAuthError"
    assert ": there is no such secret;" in text


def test_a_bug_is_no_failed_pull() -> None:
    world = World(TAG)
    world.puller.error = TimeoutError()
    with pytest.raises(TimeoutError):
        at_once(world.obtain())

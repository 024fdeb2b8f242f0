"""Which version of an image each container of a task gets, and what its timeline says of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.task.actions import Done, Never, News, ObtainImage, Result
from agent.task.images import MOST_LAYERS, Layer, Obtained, agreed, settled, version
from agent.task.learn import learn
from agent.task.model import Image, Intent, Progress, StopCode, StopRequest, Task, first_progress
from agent.task.records import TIMELINE_LIMIT, Pin
from agent.task.runs import give_up
from agent.task.stopping import Rules
from tests.worlds import IMAGE, container, task, view

OLD, NEW = "sha256:" + "0" * 64, "sha256:" + "1" * 64
SAME = task(container("web"), container("side", essential=False))


def image(digest: str) -> Image:
    return replace(IMAGE, digest=digest)


def heard(
    name: str,
    result: Result,
    progress: Progress | None = None,
    *,
    made: Task = SAME,
    at: float = 2.0,
    rules: Rules | None = None,
) -> Progress:
    news = News(ObtainImage(name), at - 1.0, at, result)
    known = progress or first_progress(made)
    return learn(Intent(made), known, view(made, {}), (news,), at, rules or Rules())


def told(progress: Progress) -> list[tuple[str, str, str]]:
    return [(each.what, each.container, each.detail) for each in progress.timeline[1:]]


def test_a_pull_is_told_when_it_begins_and_when_the_image_is_there() -> None:
    pin = Pin(NEW, "manifest", 7)
    began = heard("web", Done(pin))
    assert began.containers["web"].pin == pin
    assert (began.pull_started_at, began.pull_stopped_at) == (2.0, None)
    ended = heard("web", Done(Obtained(image(NEW), pulled=True)), began, at=5.0)
    assert ended.containers["web"].image == image(NEW)
    assert (ended.pull_started_at, ended.pull_stopped_at) == (2.0, 5.0)
    assert told(ended) == [
        ("pulling", "web", "hostler/hello 111111111111"),
        ("image", "web", IMAGE.name),
    ]


def test_the_times_are_those_of_the_first_and_the_last_pull() -> None:
    progress = heard("web", Done(Obtained(image(NEW), pulled=True)))
    progress = heard("side", Done(Obtained(image(NEW), pulled=True)), progress, at=5.0)
    assert (progress.pull_started_at, progress.pull_stopped_at) == (1.0, 5.0)


def test_an_image_that_was_here_is_no_pull() -> None:
    progress = heard("web", Done(Obtained(IMAGE)))
    assert (progress.pull_started_at, progress.pull_stopped_at) == (None, None)


def test_a_pull_that_fails_has_ended_too() -> None:
    progress = heard("web", Done(Pin(NEW)))
    progress = heard("web", Never("CannotPullContainerError", "no"), progress, at=5.0)
    assert (progress.pull_started_at, progress.pull_stopped_at) == (2.0, 5.0)
    early = heard("web", Never("CannotPullImageManifestError", "no"))
    assert (early.pull_started_at, early.pull_stopped_at) == (None, None)


def test_what_was_used_instead_is_told() -> None:
    progress = heard("web", Done(Obtained(IMAGE, note="the registry is away")))
    assert told(progress)[0] == ("fallback", "web", "the registry is away")


def test_what_was_got_round_stays_the_reason() -> None:
    """Of a pull that failed it is also told when it ended."""
    failure = "CannotPullContainerError: the registry is away"
    progress = heard("web", Done(Pin(NEW)))
    progress = heard("web", Done(Obtained(IMAGE, note="so", failure=failure)), progress, at=5.0)
    assert progress.containers["web"].reason == failure
    assert not progress.containers["web"].ended
    assert (progress.pull_started_at, progress.pull_stopped_at) == (2.0, 5.0)
    assert give_up(progress, "web", "it can't start", 6.0).containers["web"].reason == (
        "it can't start"
    )


def test_who_learns_a_digest_first_leads() -> None:
    progress = heard("web", Done(Pin(OLD, "manifest", 7)))
    assert agreed(SAME, progress, "side") == OLD
    progress = heard("side", Done(Pin(NEW, "manifest", 7)), progress)
    assert progress.containers["side"].pin == Pin(OLD), "its own login has yet to ask for that"


def test_who_has_an_image_has_settled_its_version() -> None:
    progress = heard("web", Done(Pin(NEW)))
    progress = heard("side", Done(Obtained(image(OLD))), progress)
    assert progress.containers["side"].image == image(OLD), "a pin settles nothing"
    assert version(SAME, progress, "web") == OLD
    progress = heard("web", Done(Obtained(image(NEW), pulled=True)), progress)
    assert progress.containers["web"].image is None
    assert progress.containers["web"].pin == Pin(OLD)
    progress = heard("web", Done(Obtained(image(OLD))), progress)
    assert progress.containers["web"].image == image(OLD)


@pytest.mark.parametrize("loose", ["web", "side"])
def test_a_container_may_ask_not_to_be_bound(loose: str) -> None:
    made = task(
        *(
            container(each, versionConsistency="disabled" if each == loose else "enabled")
            for each in ("web", "side")
        )
    )
    progress = heard("web", Done(Obtained(image(OLD))), made=made)
    assert (settled(made, progress, "side"), agreed(made, progress, "side")) == ("", "")
    progress = heard("side", Done(Obtained(image(NEW))), progress, made=made)
    assert progress.containers["side"].image == image(NEW)


def test_other_words_are_another_image() -> None:
    made = task(container("web"), container("side", image="hostler/hello:latest"))
    progress = heard("web", Done(Obtained(image(OLD))), made=made)
    assert version(made, progress, "side") == ""


def layer(number: int, size: int, ended_at: float = 2.0) -> Layer:
    return Layer(f"sha256:{number:012}" + "0" * 52, size, 1.0, ended_at)


def test_each_layer_is_told_in_the_order_they_came() -> None:
    layers = (layer(1, 1_500_000, ended_at=1.75), layer(2, 999, ended_at=1.5))
    progress = heard("web", Done(Obtained(IMAGE, pulled=True, layers=layers)))
    steps = [each for each in progress.timeline if each.what == "layer"]
    assert [(each.at, each.took_s, each.detail) for each in steps] == [
        (1.5, 0.5, "000000000002 999 B"),
        (1.75, 0.75, "000000000001 1.5 MB"),
    ]


def test_small_layers_of_many_share_a_step() -> None:
    layers = tuple(layer(number, 1000 + number) for number in range(MOST_LAYERS + 3))
    progress = heard("web", Done(Obtained(IMAGE, pulled=True, layers=layers)))
    assert [each[0] for each in told(progress)] == ["layer"] * MOST_LAYERS + ["layers", "image"]
    assert told(progress)[-2][2] == "3 smaller ones 3 kB"


def test_ten_containers_with_images_of_many_layers_leave_room_in_the_timeline() -> None:
    names = [f"c{number}" for number in range(10)]
    made = task(*(container(name, image=f"registry.test/{name}") for name in names))
    progress = first_progress(made)
    for name in names:
        layers = tuple(layer(number, 1000) for number in range(127))
        progress = heard(name, Done(Pin(NEW)), progress, made=made)
        gift = Obtained(image(NEW), pulled=True, layers=layers)
        progress = heard(name, Done(gift), progress, made=made)
    assert len(progress.timeline) < TIMELINE_LIMIT / 2


def test_an_image_that_cant_be_had_ends_its_container() -> None:
    progress = heard("side", Never("CannotPullContainerError", "no"))
    assert progress.containers["side"].reason == "CannotPullContainerError: no"
    assert progress.stop is None


def test_under_strict_rules_it_ends_the_task() -> None:
    strict = Rules(pull_strict=True)
    progress = heard("side", Never("CannotPullContainerError", "no"), rules=strict)
    assert progress.stop is not None
    assert progress.stop.code is StopCode.FAILED_TO_START
    assert progress.stop.reason == "CannotPullContainerError: no"


def test_who_asked_for_a_stop_before_is_its_cause() -> None:
    asked = Intent(SAME, stop=StopRequest(1.0, "enough"))
    news = News(ObtainImage("side"), 1.0, 2.0, Never("CannotPullContainerError", "no"))
    first, looked = first_progress(SAME), view(SAME, {})
    progress = learn(asked, first, looked, (news,), 2.0, Rules(pull_strict=True))
    assert progress.stop is not None
    assert progress.stop.code is StopCode.USER

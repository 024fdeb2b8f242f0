"""Which images go, and what is said of each: tables, and laws over any images."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.images.stock import retention
from agent.host.images.stock.retention import Decision, Disk, Needed, Rules, Stored
from agent.registry import hello
from agent.settings import Settings
from agent.task.model import TaskId

NOW = 1_000_000.0
HOUR = 3600.0
EMPTY = Disk(used=10, available=90)
TASK = TaskId("0" * 32)


def image(name: str, **facts: object) -> Stored:
    """An image with a tag, pulled ten hours ago; it holds one layer of its own, of 10 bytes."""
    tag = f"example.com/{name}:1"
    plain = Stored(f"sha256:{name}", f"sha256:config-{name}", (tag,), size=10)
    old = replace(plain, pulled_at=NOW - 10 * HOUR, pieces=frozenset({name}))
    return replace(old, **facts)  # type: ignore[arg-type]


def cycle(
    images: Collection[Stored],
    rules: Rules | None = None,
    *,
    needed: Needed | None = None,
    disk: Disk = EMPTY,
    weights: Mapping[str, int] | None = None,
) -> tuple[Decision, ...]:
    found = (
        weights if weights is not None else {piece: 10 for each in images for piece in each.pieces}
    )
    return retention.cycle(images, found, needed or {}, rules or Rules(), NOW, disk)


def gone(decisions: Collection[Decision]) -> list[str]:
    """The first name of each image that goes, in that order."""
    return [each.image.names[0] for each in decisions if each.removed]


def why(decisions: Collection[Decision], of: Stored) -> str:
    return next(each.why for each in decisions if each.image.digest == of.digest)


def test_the_least_recently_used_goes_first_up_to_the_number() -> None:
    images = [
        image("a", used_at=NOW - 1 * HOUR),
        image("b", used_at=NOW - 3 * HOUR),
        image("c", used_at=None, pulled_at=NOW - 2 * HOUR),
    ]
    decisions = cycle(images, Rules(per_cycle=2))
    assert gone(decisions) == ["example.com/b:1", "example.com/c:1"]
    assert why(decisions, images[0]) == (
        "others go first: 2 in each cycle (ECS_NUM_IMAGES_DELETE_PER_CYCLE)"
    )
    assert why(decisions, images[1]) == "no task needs it, pulled 10 hours ago"
    assert [each.frees for each in decisions] == [10, 10, 0]


@pytest.mark.parametrize(("age", "goes"), [(HOUR - 1, False), (HOUR, True)])
def test_an_image_stays_for_some_time_after_it_was_pulled(age: float, goes: bool) -> None:
    one = image("a", pulled_at=NOW - age, used_at=NOW - 100 * HOUR)
    decisions = cycle([one])
    assert bool(gone(decisions)) is goes
    if not goes:
        assert why(decisions, one) == (
            "it was pulled 59 minutes ago, less than 60 minutes (ECS_IMAGE_MINIMUM_CLEANUP_AGE)"
        )


@pytest.mark.parametrize("key", ["example.com/a:1", "sha256:a", "sha256:config-a"])
def test_what_a_task_refers_to_by_name_digest_or_id_stays(key: str) -> None:
    decisions = cycle([image("a")], needed={key: frozenset({TASK})})
    assert [(each.removed, each.why) for each in decisions] == [(False, "a task refers to it")]
    two = frozenset({TASK, TaskId("1" * 32)})
    assert cycle([image("a")], needed={key: two})[0].why == "2 tasks refer to it"


def test_an_image_that_can_not_be_read_is_needed_by_nobody_without_an_id() -> None:
    broken = image("a", id="")
    assert gone(cycle([broken], needed={"": frozenset({TASK})}))


def test_hello_stays_and_so_does_what_is_excluded() -> None:
    images = [
        image("hello", names=(hello.NAME,)),
        image("a", names=("docker.io/library/a:1", "example.com/z:1")),
        image("b"),
    ]
    settings = replace(Settings(), kept_images=frozenset({"a:1", " b:1", "example.com/b"}))
    decisions = cycle(images, retention.rules(settings))
    assert gone(decisions) == ["example.com/b:1"]  # neither trimmed nor guessed
    assert "docker.io/library/a:1 is in ECS_EXCLUDE_UNTRACKED_IMAGE" in why(decisions, images[1])
    assert "busybox" in why(decisions, images[0])


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"image_cleanup_disabled": True}, "ECS_DISABLE_IMAGE_CLEANUP"),
        ({"pull_behavior": "prefer-cached"}, "ECS_IMAGE_PULL_BEHAVIOR=prefer-cached"),
    ],
)
def test_switched_off_nothing_goes_however_full_the_disk(
    facts: dict[str, object], said: str
) -> None:
    rules = retention.rules(replace(Settings(), **facts))  # type: ignore[arg-type]
    (decision,) = cycle([image("a")], rules, disk=Disk(99, 1))
    assert not decision.removed
    assert said in decision.why


def test_the_settings_become_rules() -> None:
    settings = replace(
        Settings(),
        image_min_age_s=1.0,
        images_per_cycle=2,
        untracked_image_cleanup=True,
        untracked_image_min_age_s=3.0,
        image_disk_high=50,
        image_disk_low=40,
    )
    assert retention.rules(settings) == Rules(
        min_age_s=1.0,
        per_cycle=2,
        untracked=True,
        untracked_min_age_s=3.0,
        disk_high=50,
        disk_low=40,
    )


UNTRACKED = Rules(untracked=True, per_cycle=2)


def loaded(name: str, **facts: object) -> Stored:
    """An image from an archive, made ten hours ago."""
    return replace(image(name, **facts), pulled_at=None, created_at=NOW - 10 * HOUR)


def test_untracked_images_stay_unless_they_are_to_be_cleaned_up() -> None:
    decisions = cycle([loaded("a")], disk=Disk(99, 1))
    assert not gone(decisions)
    assert "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP is off" in decisions[0].why


def test_untracked_images_go_smallest_first_with_what_is_left_of_the_number() -> None:
    images = [loaded("a", size=30), loaded("b", size=20), loaded("c", size=10), image("d")]
    decisions = cycle(images, replace(UNTRACKED, per_cycle=3))
    assert gone(decisions) == ["example.com/d:1", "example.com/c:1", "example.com/b:1"]
    assert "others go first" in why(decisions, images[0])


def test_one_untracked_image_goes_even_when_the_number_is_used_up() -> None:
    images = [image("a"), image("b"), loaded("c"), loaded("d")]
    assert gone(cycle(images, UNTRACKED)) == [
        "example.com/a:1",
        "example.com/b:1",
        "example.com/c:1",
    ]


def test_an_untracked_image_counts_once_for_each_tag() -> None:
    many = loaded("a", size=1, names=("x.io/a:1", "x.io/a:2", "x.io/a@sha256:a"))
    images = [many, loaded("b")]
    assert gone(cycle(images, UNTRACKED)) == ["x.io/a:1"]
    assert len(gone(cycle(images, replace(UNTRACKED, per_cycle=3)))) == 2


@pytest.mark.parametrize(
    ("created", "goes", "said"),
    [
        (NOW - 600, False, "it was made 10 minutes ago, less than 60 minutes (NON_ECS_IMAGE"),
        (NOW - 2 * HOUR, True, "made 2 hours ago"),
        (None, True, "made nobody knows when"),
    ],
)
def test_the_age_of_an_untracked_image_is_since_it_was_made(
    created: float | None, goes: bool, said: str
) -> None:
    (decision,) = cycle([replace(loaded("a"), created_at=created)], UNTRACKED)
    assert decision.removed is goes
    assert said in decision.why


def test_a_full_disk_takes_young_images_and_more_than_the_number_until_it_has_room() -> None:
    images = [
        image("a", used_at=NOW - 4 * HOUR),
        image("b", used_at=NOW - 3 * HOUR),
        image("c", pulled_at=NOW - 60),
        image("d", pulled_at=NOW - 50),
    ]
    rules = Rules(per_cycle=1)
    decisions = cycle(images, rules, disk=Disk(90, 10))
    assert gone(decisions) == ["example.com/a:1", "example.com/b:1"]  # 90 - 20 = 70 %
    assert "the disk is 90 % full (HOSTLER_IMAGE_DISK_HIGH)" in why(decisions, images[1])
    assert len(gone(cycle(images, rules, disk=Disk(99, 1)))) == 3
    assert len(gone(cycle(images, rules, disk=Disk(85, 15)))) == 1  # not fuller than the mark


def test_a_full_disk_takes_untracked_images_last_if_they_may_go_at_all() -> None:
    young = replace(loaded("a"), created_at=NOW)
    images = [young, image("b", pulled_at=NOW)]
    full = Disk(99, 1)
    assert gone(cycle(images, UNTRACKED, disk=full)) == ["example.com/b:1", "example.com/a:1"]
    assert gone(cycle(images, Rules(), disk=full)) == ["example.com/b:1"]


def test_shared_layers_are_freed_with_the_last_image_that_has_them() -> None:
    images = [image("a", pieces=frozenset({"base", "a"})), image("b", pieces=frozenset({"base"}))]
    decisions = cycle(images, weights={"base": 1000, "a": 1})
    assert [each.frees for each in decisions] == [1, 1000]
    held = cycle(images, weights={"base": 1000}, needed={"sha256:b": frozenset({TASK})})
    assert [each.frees for each in held] == [0, 0]  # what has no weight is not there


def prune(*images: Stored, kept: frozenset[str] = frozenset(), older: float = 0.0) -> list[str]:
    return gone(retention.prune(images, {}, {}, kept, NOW, older))


def test_prune_takes_all_that_may_go() -> None:
    young = image("b", pulled_at=NOW - 1)
    assert prune(image("a"), young, loaded("c")) == [
        "example.com/c:1",
        "example.com/a:1",
        "example.com/b:1",
    ]
    assert prune(image("a"), image("b"), kept=frozenset({"example.com/a:1"})) == ["example.com/b:1"]
    assert prune(image("h", names=(hello.NAME,))) == []
    needed = {"sha256:a": frozenset({TASK})}
    assert not gone(retention.prune([image("a")], {}, needed, frozenset(), NOW))


def test_prune_may_leave_what_is_younger() -> None:
    images = [image("a"), image("b", pulled_at=NOW - 60), replace(loaded("c"), created_at=NOW - 60)]
    assert prune(*images, older=HOUR) == ["example.com/a:1"]
    decisions = retention.prune(images, {}, {}, frozenset(), NOW, HOUR)
    assert why(decisions, images[1]) == "it was pulled 60 seconds ago, less than 60 minutes"
    assert why(decisions, images[2]) == "it was made 60 seconds ago, less than 60 minutes"


TIMES = st.none() | st.floats(0, NOW + HOUR)
NAMES = st.sampled_from(["x.io/a:1", "x.io/b:1", "x.io/c:1", hello.NAME, "x.io/a@sha256:d"])


@st.composite
def worlds(draw: st.DrawFn) -> list[Stored]:
    """Images that share names with nobody, and pieces with anybody."""
    count = draw(st.integers(0, 8))
    pieces = st.frozensets(st.sampled_from("pqrstu"))
    return [
        Stored(
            f"sha256:{number}",
            f"id-{number % 5}",
            tuple(f"{each}{number}" if each != hello.NAME or number else each for each in names),
            size=draw(st.integers(0, 100)),
            created_at=draw(TIMES),
            pulled_at=draw(TIMES),
            used_at=draw(TIMES),
            pieces=draw(pieces),
        )
        for number in range(count)
        for names in [draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))]
    ]


RULES = st.builds(
    Rules,
    off=st.sampled_from(["", "", "off"]),
    min_age_s=st.floats(0, 2 * HOUR),
    per_cycle=st.integers(1, 5),
    untracked=st.booleans(),
    untracked_min_age_s=st.floats(0, 2 * HOUR),
    kept=st.frozensets(st.sampled_from(["x.io/a:10", "x.io/b:11", "x.io/c:12"])),
)
NEEDS = st.dictionaries(
    st.sampled_from(["x.io/a:10", "sha256:1", "sha256:2", "id-3"]), st.just(frozenset({TASK}))
)
DISKS = st.builds(Disk, st.integers(0, 1000), st.integers(0, 1000))
WEIGHTS = st.dictionaries(st.sampled_from("pqrstu"), st.integers(0, 500))


@given(worlds(), RULES, NEEDS, DISKS, WEIGHTS)
def test_laws_of_every_cycle(
    images: list[Stored], rules: Rules, needs: Needed, disk: Disk, weights: dict[str, int]
) -> None:
    decisions = cycle(images, rules, needed=needs, disk=disk, weights=weights)
    assert {each.image for each in decisions} == set(images)
    assert len(decisions) == len(images)
    assert all(each.why for each in decisions)
    removed = [each.image for each in decisions if each.removed]
    for each in removed:
        assert not each.wanted_by(needs)
        assert hello.NAME not in each.names
        assert not rules.kept.intersection(each.names)
        assert not rules.off
        assert each.pulled_at is not None or rules.untracked
    assert cycle(images[::-1], rules, needed=needs, disk=disk, weights=weights) == decisions
    if disk.percent() <= rules.disk_high:
        tracked = [each for each in removed if each.pulled_at is not None]
        assert len(tracked) <= rules.per_cycle
        assert tracked == sorted(tracked, key=lambda each: each.last_used)
        assert all(NOW - (each.pulled_at or 0) >= rules.min_age_s for each in tracked)
        others = [each for each in removed if each.pulled_at is None]
        assert others == sorted(others, key=lambda each: each.size)
        units = sum(max(1, len(each.tags)) for each in others[:-1])
        assert units < max(1, rules.per_cycle - len(tracked)) or not others


@given(worlds(), RULES, NEEDS, DISKS, WEIGHTS)
def test_a_disk_that_stays_too_full_has_nothing_left_to_give(
    images: list[Stored], rules: Rules, needs: Needed, disk: Disk, weights: dict[str, int]
) -> None:
    decisions = cycle(images, rules, needed=needs, disk=disk, weights=weights)
    removed = {each.image for each in decisions if each.removed}
    left = [each for each in images if each not in removed]
    held = frozenset[str]().union(*(each.pieces for each in left))
    pieces = frozenset[str]().union(*(each.pieces for each in removed)) - held
    assert sum(each.frees for each in decisions) == sum(weights.get(each, 0) for each in pieces)
    freed = sum(each.frees for each in decisions)
    if rules.off or disk.percent() <= rules.disk_high or disk.percent(freed) < rules.disk_low:
        return
    for each in left:
        stays = (
            each.wanted_by(needs)
            or hello.NAME in each.names
            or rules.kept.intersection(each.names)
            or (each.pulled_at is None and not rules.untracked)
        )
        assert stays


@given(worlds(), NEEDS, st.floats(0, 2 * HOUR))
def test_pruning_again_removes_nothing(
    images: list[Stored], needs: Needed, older_than_s: float
) -> None:
    first = retention.prune(images, {}, needs, frozenset(), NOW, older_than_s)
    left = [each.image for each in first if not each.removed]
    assert all(not each.image.wanted_by(needs) for each in first if each.removed)
    assert not gone(retention.prune(left, {}, needs, frozenset(), NOW, older_than_s))

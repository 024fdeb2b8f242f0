"""Which images may go, and why each goes or stays. Pure.

The rules are the ECS agent's (task-lifecycle of ECS: image clean-up): an image goes when no task
refers to it any more, some time after it was pulled, the least recently used first, a few in each
cycle. Untracked images, which nobody pulled through this agent, stay unless the operator wants them
cleaned up too; then the smallest go first. Hostler adds the disk: while that is fuller than wanted,
age and number don't protect an image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agent.registry import hello, reference
from agent.settings import Settings
from agent.task.model import TaskId
from agent.task.units import span

Needed = Mapping[str, frozenset[TaskId]]
"""By name, digest or id of an image: the tasks that refer to it."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An image on this host with all its records: the names that point at ``digest``.

    ``id`` is the digest of its config, "" if that can't be read. An image is tracked, and
    ``pulled_at`` known, if this agent pulled it under every name it has. ``used_at`` is when the
    last task was forgotten that used it. ``pieces`` are the blobs and snapshots that it holds,
    ``size`` is that of its layers as they are stored. Times are epoch seconds, sizes bytes.
    """

    digest: str
    id: str
    names: tuple[str, ...]
    size: int = 0
    created_at: float | None = None
    pulled_at: float | None = None
    used_at: float | None = None
    pieces: frozenset[str] = frozenset()

    @property
    def tags(self) -> tuple[str, ...]:
        """The names that are not just its digest."""
        return tuple(each for each in self.names if "@" not in each)

    @property
    def last_used(self) -> float:
        """When it was last pulled or used."""
        return max(self.pulled_at or 0.0, self.used_at or 0.0)

    def wanted_by(self, needed: Needed) -> frozenset[TaskId]:
        """The tasks that need it."""
        keys = (*self.names, self.digest, self.id)
        return frozenset[TaskId]().union(*(needed.get(each, ()) for each in keys if each))


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator wants. ``off`` says why nothing is cleaned up, "" if it is.

    ``kept`` are names that stay in any case, as they were written and as containerd has them.
    ``disk_high`` and ``disk_low`` are percents.
    """

    off: str = ""
    interval_s: float = 1800.0
    min_age_s: float = 3600.0
    per_cycle: int = 5
    untracked: bool = False
    untracked_min_age_s: float = 3600.0
    kept: frozenset[str] = frozenset()
    disk_high: int = 85
    disk_low: int = 75


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that images are on, in bytes. What is kept for root counts as neither."""

    used: int
    available: int

    def percent(self, freed: int = 0) -> float:
        """How full it is, or would be after ``freed`` bytes less."""
        return 100 * (self.used - freed) / max(1, self.used + self.available)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of an image. ``frees`` are bytes that nothing else holds; 0 if it stays."""

    image: Stored
    why: str
    frees: int = 0
    removed: bool = False


def rules(settings: Settings) -> Rules:
    """The rules that follow from the settings."""
    off = ""
    if settings.image_cleanup_disabled:
        off = "clean-up is switched off (ECS_DISABLE_IMAGE_CLEANUP)"
    elif settings.pull_behavior == "prefer-cached":
        off = "clean-up is switched off by ECS_IMAGE_PULL_BEHAVIOR=prefer-cached"
    return Rules(
        off=off,
        interval_s=settings.image_cleanup_interval_s,
        min_age_s=settings.image_min_age_s,
        per_cycle=settings.images_per_cycle,
        untracked=settings.untracked_image_cleanup,
        untracked_min_age_s=settings.untracked_image_min_age_s,
        kept=settings.kept_images | {_canonical(each) for each in settings.kept_images},
        disk_high=settings.image_disk_high,
        disk_low=settings.image_disk_low,
    )


def cycle(
    images: Collection[Stored],
    weights: Mapping[str, int],
    needed: Needed,
    rules: Rules,
    now: float,
    disk: Disk,
) -> tuple[Decision, ...]:
    """What the agent's own clean-up does: first what goes, in that order, then what stays.

    ``weights`` are the bytes of each piece.
    """
    plan = _Plan(images, weights)
    for each in images:
        plan.kept[each.digest] = rules.off or _always(each, needed, rules.kept)
    free = [each for each in images if not plan.kept[each.digest]]
    tracked = sorted((each for each in free if each.pulled_at is not None), key=_least_used)
    untracked = sorted((each for each in free if each.pulled_at is None), key=_smallest)
    _go_by_age(plan, tracked, rules, now)
    _go_by_age_untracked(plan, untracked, rules, now)
    _go_for_space(plan, [*tracked, *(untracked if rules.untracked else ())], rules, disk)
    return plan.decisions


def prune(
    images: Collection[Stored],
    weights: Mapping[str, int],
    needed: Needed,
    kept_names: frozenset[str],
    now: float,
    older_than_s: float = 0.0,
) -> tuple[Decision, ...]:
    """What goes when a person asks for it: every image that no task needs and no rule keeps.

    Those that were pulled, or made if nobody pulled them, within ``older_than_s`` stay.
    """
    plan = _Plan(images, weights)
    for each in sorted(images, key=_least_used):
        always = _always(each, needed, kept_names)
        age = now - (each.created_at or 0.0 if each.pulled_at is None else each.pulled_at)
        if always or age < older_than_s:
            too_young = f"it was {_since(each, now)}, less than {span(older_than_s)}"
            plan.kept[each.digest] = always or too_young
        else:
            plan.remove(each, f"no task needs it, {_since(each, now)}")
    return plan.decisions


class _Plan:
    """What goes, in order, and what that frees: a piece goes with the last image that holds it.

    ``kept`` says by digest why an image stays.
    """

    def __init__(self, images: Iterable[Stored], weights: Mapping[str, int]) -> None:
        self._weights = weights
        self._images = sorted(images, key=lambda each: each.names)
        self._holders = Counter(piece for each in self._images for piece in each.pieces)
        self._removed: dict[str, Decision] = {}
        self.kept: dict[str, str] = {}
        self.freed = 0

    @property
    def count(self) -> int:
        """How many go."""
        return len(self._removed)

    def remove(self, image: Stored, why: str) -> None:
        """The image goes, whatever was said before."""
        self._holders.subtract(image.pieces)
        gone = (each for each in image.pieces if self._holders[each] == 0)
        frees = sum(self._weights.get(each, 0) for each in gone)
        self.freed += frees
        self._removed[image.digest] = Decision(image, why, frees, removed=True)

    def goes(self, image: Stored) -> bool:
        """Whether it was removed."""
        return image.digest in self._removed

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What goes, in that order, and then what stays, by name."""
        stays = (each for each in self._images if not self.goes(each))
        kept = (Decision(each, self.kept[each.digest]) for each in stays)
        return (*self._removed.values(), *kept)


def _go_by_age(plan: _Plan, images: Iterable[Stored], rules: Rules, now: float) -> None:
    for each in images:
        young = now - (each.pulled_at or 0.0) < rules.min_age_s
        if young or plan.count >= rules.per_cycle:
            least = f"less than {span(rules.min_age_s)} (ECS_IMAGE_MINIMUM_CLEANUP_AGE)"
            too_young = f"it was {_since(each, now)}, {least}"
            plan.kept[each.digest] = too_young if young else _others_first(rules)
        else:
            plan.remove(each, f"no task needs it, {_since(each, now)}")


def _go_by_age_untracked(plan: _Plan, images: Iterable[Stored], rules: Rules, now: float) -> None:
    """One is left of the cycle's number at least, and an image takes one for each of its tags."""
    left = max(1, rules.per_cycle - plan.count)
    for each in images:
        young = now - (each.created_at or 0.0) < rules.untracked_min_age_s
        if not rules.untracked:
            plan.kept[each.digest] = (
                "it was not pulled by this agent (ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP is off)"
            )
        elif young or left <= 0:
            least = f"less than {span(rules.untracked_min_age_s)}"
            too_young = f"it was {_since(each, now)}, {least} (NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE)"
            plan.kept[each.digest] = too_young if young else _others_first(rules)
        else:
            plan.remove(each, f"no task needs it, {_since(each, now)}")
            left -= max(1, len(each.tags))


def _go_for_space(plan: _Plan, images: Iterable[Stored], rules: Rules, disk: Disk) -> None:
    full = disk.percent()
    if full <= rules.disk_high:
        return
    for each in images:
        if not plan.goes(each) and disk.percent(plan.freed) >= rules.disk_low:
            why = f"no task needs it, and the disk is {full:.0f} % full (HOSTLER_IMAGE_DISK_HIGH)"
            plan.remove(each, why)


def _always(image: Stored, needed: Needed, kept_names: frozenset[str]) -> str:
    """Why the image may not go at all; "" if it may."""
    if tasks := image.wanted_by(needed):
        return in_use(tasks)
    if hello.NAME in image.names:
        return "it is Hostler's own, made of this host's busybox whenever it is missing"
    excluded = kept_names.intersection(image.names)
    return f"{min(excluded)} is in ECS_EXCLUDE_UNTRACKED_IMAGE" if excluded else ""


def frees(image: Stored, images: Iterable[Stored], weights: Mapping[str, int]) -> int:
    """Bytes that only this one of the images holds."""
    others = (each.pieces for each in images if each.digest != image.digest)
    return sum(weights.get(each, 0) for each in image.pieces.difference(*others))


def in_use(tasks: Collection[TaskId]) -> str:
    """Why an image stays that these tasks need."""
    return "a task refers to it" if len(tasks) == 1 else f"{len(tasks)} tasks refer to it"


def _others_first(rules: Rules) -> str:
    return f"others go first: {rules.per_cycle} in each cycle (ECS_NUM_IMAGES_DELETE_PER_CYCLE)"


def _since(image: Stored, now: float) -> str:
    if image.pulled_at is not None:
        return f"pulled {span(now - image.pulled_at)} ago"
    if not image.created_at:
        return "made nobody knows when"
    return f"made {span(now - image.created_at)} ago"


def _least_used(image: Stored) -> tuple[float, tuple[str, ...]]:
    return image.last_used, image.names


def _smallest(image: Stored) -> tuple[int, tuple[str, ...]]:
    return image.size, image.names


def _canonical(name: str) -> str:
    try:
        return str(reference.parse(name))
    except reference.InvalidReference:
        return name

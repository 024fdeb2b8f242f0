"""What RunTask needs to know before it accepts tasks: is it a repeat, could the host ever run it,
does it have the networks.

A task that others leave no memory or CPU for is accepted and waits (``engine.queue``). A port or an
interface that a running task has is refused at once, as ECS does: nobody knows when it comes free.
Pure, over the feed's pictures. RunTask itself is in ``tasks``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from agent.doors.errors import Conflict, InvalidParameter
from agent.doors.requests import RunTask
from agent.engine.feed import Picture
from agent.task import capacity, status
from agent.task.capacity import Capacity, Item, Need, Resource
from agent.task.model import GROUPS_TAG, Task


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """What may be named for a task's network. None: any name is taken, somebody else knows them."""

    known_subnets: Collection[str] | None = None
    known_groups: Collection[str] | None = ()


def repeated(asked: RunTask, pictures: Iterable[Picture]) -> list[Picture]:
    """The tasks that this very request has made already (field ``clientToken``).

    Raises Conflict when the token was used for another request.
    """
    made = [
        each
        for each in pictures
        if asked.client_token and each.intent.task.client_token == asked.client_token
    ]
    if not all(_same(asked, each) for each in made):
        arns = ", ".join(each.intent.task.arn for each in made)
        raise Conflict(f"The clientToken is in use for another request, which started {arns}.")
    return made


def refusal(need: Need, host: Capacity, kept: Counter[Item]) -> str:
    """The resource, in ECS's words, for want of which the task is refused, or nothing."""
    beside = {item: kept[item] + amount for item, amount in capacity.places(need).items()}
    lacking = capacity.never(need, host) or capacity.never(beside, host)
    if lacking is None:
        return ""
    return lacking.value if isinstance(lacking, Resource) else "PORTS"


def kept(pictures: Iterable[Picture], need_of: Callable[[Task], Need]) -> Counter[Item]:
    """Ports and interfaces of tasks that go on running, or have yet to begin."""
    places: Counter[Item] = Counter()
    for each in pictures:
        if status.desired(each.intent, each.progress) == "RUNNING":
            for item, amount in capacity.places(need_of(each.intent.task)).items():
                places[item] += amount
    return places


def check_network(asked: RunTask, task: Task, rules: NetworkRules) -> None:
    """Raises InvalidParameter if the network that is asked for ``task`` can't be had here."""
    mode, groups = task.definition.network_mode, task.groups
    if asked.network_configuration.awsvpc_configuration is not None and not task.awsvpc:
        raise InvalidParameter(
            "Network Configuration is not valid for the given networkMode of this task definition."
        )
    if asked.awsvpc.assign_public_ip == "ENABLED":
        raise InvalidParameter(
            "assignPublicIp: ENABLED is not supported: an interface has the addresses that this"
            " host's administrator gave it; use DISABLED"
        )
    if mode == "host" and groups:
        raise InvalidParameter(
            f"tag {GROUPS_TAG}: tasks in network mode host have no network of their own to guard"
        )
    _check_known("subnet", task.subnets, rules.known_subnets)
    _check_known("security group", groups, rules.known_groups)


def _check_known(what: str, named: Iterable[str], known: Collection[str] | None) -> None:
    for each in named:
        if known is not None and each not in known:
            have = f"it has {', '.join(sorted(known))}" if known else "it has none"
            raise InvalidParameter(f"The {what} '{each}' does not exist on this host: {have}.")


def _same(asked: RunTask, picture: Picture) -> bool:
    task = picture.intent.task
    return (
        asked.task_definition.rpartition("/")[2].partition(":")[0] == task.definition.family
        and asked.overrides == task.overrides
        and asked.started_by == task.started_by
        and tuple(asked.awsvpc.subnets) == task.subnets
        and tuple(asked.awsvpc.security_groups) == task.security_groups
    )

"""What all calls of the API work with, and how they find what is named."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from agent.doors.admission import NetworkRules
from agent.doors.errors import ClusterNotFound, InvalidParameter
from agent.doors.placing import Placing
from agent.doors.requests import Request, read
from agent.engine.feed import Feed, Picture
from agent.engine.fleet import Fleet
from agent.engine.store import Registered, Store
from agent.host.gpus.inventory import Gpus
from agent.settings import Settings
from agent.task import names
from agent.task.model import TaskId

Body = dict[str, Any]
R = TypeVar("R", bound=Request)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the calls work with. ``admitting``: tasks are let in one request after the other.

    ``machine`` is this host's processor in the words of uname.
    """

    settings: Settings
    store: Store
    fleet: Fleet
    feed: Feed
    clock: Callable[[], float]
    networks: NetworkRules = field(default_factory=NetworkRules)
    admitting: asyncio.Lock = field(default_factory=asyncio.Lock)
    placing: Placing = field(default_factory=Placing)
    gpus: Gpus = field(default_factory=Gpus)
    machine: str = field(default_factory=lambda: os.uname().machine)

    @property
    def cluster_arn(self) -> str:
        """ARN of the one cluster there is."""
        return names.cluster_arn(self.settings.region, self.settings.account, self.settings.cluster)

    def definition_arn(self, registered: Registered) -> str:
        """ARN of a registered task definition."""
        return names.definition_arn(
            self.settings.region,
            self.settings.account,
            registered.definition.family,
            registered.revision,
        )


def in_cluster(desk: Desk, model: type[R], body: Body) -> R:
    """What is asked of the one cluster there is. Raises ClusterNotFound, InvalidParameter."""
    asked = read(model, body)
    if asked.cluster not in (None, "", desk.settings.cluster, desk.cluster_arn):
        raise ClusterNotFound("Cluster not found.")
    return asked


def find_task(desk: Desk, name: str) -> Picture:
    """The task of this id or ARN. Raises InvalidParameter, in ECS's words, if there is none."""
    picture = desk.feed.pictures.get(id_in(name))
    if picture is None:
        raise InvalidParameter("The referenced task was not found.")
    return picture


def id_in(name: str) -> TaskId:
    """The id that a task is named by, or that its ARN ends in."""
    return TaskId(name.rpartition("/")[2])

"""What follows from a task alone: its sandboxes and who is in them, its security groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import TypeAdapter

from agent.task.definition import NetworkMode
from agent.task.model import GROUPS_TAG, TASK_SANDBOX, NetworkProgress, Task, first_progress
from tests.worlds import ATTACHED, ROLE, container, task


def test_a_task_kept_before_there_were_credentials_has_none() -> None:
    tasks: TypeAdapter[Task] = TypeAdapter(Task)
    made = task(container("web"), role=ROLE)
    kept = tasks.dump_python(made, mode="json", by_alias=True)
    for name in ("credentials_id", "execution_credentials_id", "credentials_token"):
        del kept[name]
    read = tasks.validate_python(kept)
    assert read == replace(made, credentials_id="")
    assert not read.entitled


@pytest.mark.parametrize("mode", ["bridge", "host", "none"])
def test_each_container_has_a_sandbox_of_its_own(mode: NetworkMode) -> None:
    made = task(container("web"), container("db"), mode=mode)
    assert made.sandboxes == ("web", "db")
    assert [made.sandbox(each) for each in ("web", "db")] == ["web", "db"]
    assert [made.members(each) for each in made.sandboxes] == [("web",), ("db",)]


def test_in_awsvpc_mode_all_containers_share_one() -> None:
    made = task(container("web"), container("db"), mode="awsvpc")
    assert made.sandboxes == (TASK_SANDBOX,)
    assert {made.sandbox(each) for each in ("web", "db")} == {TASK_SANDBOX}
    assert made.members(TASK_SANDBOX) == ("web", "db")


@pytest.mark.parametrize("mode", ["bridge", "awsvpc"])
def test_every_sandbox_has_its_facts_from_the_beginning(mode: NetworkMode) -> None:
    made = task(container("web"), container("db"), mode=mode)
    progress = first_progress(made)
    assert progress.networks == dict.fromkeys(made.sandboxes, NetworkProgress())


def test_a_sandbox_is_attached_until_it_is_detached() -> None:
    steps = (
        NetworkProgress(),
        NetworkProgress(ATTACHED),
        NetworkProgress(ATTACHED, detached=True),
    )
    assert [each.attached for each in steps] == [False, True, False]


@pytest.mark.parametrize(
    ("asked", "tag", "groups"),
    [
        ((), None, ()),
        (("web",), None, ("web",)),
        ((), "web,db", ("web", "db")),
        ((), " web , db ops,", ("web", "db", "ops")),
        (("web", "ops"), "db,web", ("web", "ops", "db")),
        ((), "", ()),
    ],
)
def test_groups_are_those_of_the_call_and_those_of_the_tag(
    asked: tuple[str, ...], tag: str | None, groups: tuple[str, ...]
) -> None:
    tags = [{"key": "team", "value": "shop"}]
    if tag is not None:
        tags.append({"key": GROUPS_TAG, "value": tag})
    made = replace(task(container("web")), security_groups=asked, tags=tuple(tags))
    assert made.groups == groups

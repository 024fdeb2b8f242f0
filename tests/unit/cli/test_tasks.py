"""Naming a task by the beginning of its id."""

import pytest

from agent.cli import tasks
from agent.cli.client import Client
from agent.cli.errors import CommandError
from tests.fakes.api import Body, FakeApi
from tests.unit.cli.worlds import ARN, ID, know, task

OTHER = "0123" + "f" * 28


@pytest.mark.parametrize("name", [ID, ID[:5], ARN])
def test_a_task_is_found_by_id_prefix_and_arn(api: FakeApi, name: str) -> None:
    know(api, task(), task(task_id=OTHER, desiredStatus="STOPPED"))
    assert tasks.find(Client(api.path), name)["taskArn"] == ARN


@pytest.mark.parametrize(
    ("name", "why"),
    [("012", "too short"), ("0123", "2 tasks begin with 0123"), ("ffff", "there is no task ffff")],
)
def test_it_says_why_no_task_is_meant(api: FakeApi, name: str, why: str) -> None:
    know(api, task(), task(task_id=OTHER, desiredStatus="STOPPED"))
    with pytest.raises(CommandError, match=why):
        tasks.find(Client(api.path), name)


def test_all_pages_of_a_listing_are_read(api: FakeApi) -> None:
    def listed(body: Body) -> Body:
        if body["desiredStatus"] == "STOPPED":
            return {"taskArns": []}
        return {"taskArns": ["b"]} if "nextToken" in body else {"taskArns": ["a"], "nextToken": "1"}

    api.answers["ListTasks"] = listed
    assert tasks.all_arns(Client(api.path)) == ["a", "b"]


def test_a_hundred_tasks_are_described_at_a_time(api: FakeApi) -> None:
    api.answers["DescribeTasks"] = lambda body: {"tasks": body["tasks"]}
    arns = [str(number) for number in range(201)]
    assert len(tasks.describe(Client(api.path), arns)) == len(arns)
    assert [len(each["tasks"]) for each in api.asked("DescribeTasks")] == [100, 100, 1]

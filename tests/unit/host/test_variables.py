"""The environment variables that every container is given."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.host.containers.variables import injected
from agent.task.model import Task
from tests.unit.host import worlds
from tests.worlds import container

ROLE = "arn:aws:iam::111122223333:role/web"
PATH = "/v2/credentials/id-1"


def made(mode: str, credentials_id: str = "id-1") -> Task:
    bare = worlds.task(container("web"), networkMode=mode, taskRoleArn=ROLE)
    return replace(bare, credentials_id=credentials_id, credentials_token="t0ken")


def given(task: Task, *names: str, region: str = "") -> dict[str, str]:
    """What the container is given beside the addresses of its metadata."""
    every = injected(task, "web", names, region)
    return {name: value for name, value in every.items() if not name.startswith("ECS_")}


def test_every_container_is_told_where_to_ask_about_itself() -> None:
    told = injected(made("bridge", ""), "web", (), "")
    assert told == {
        "ECS_CONTAINER_METADATA_URI": "http://169.254.170.2/v3/endpoint-web",
        "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/endpoint-web",
        "ECS_AGENT_URI": "http://169.254.170.2/api/endpoint-web",
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
    }


@pytest.mark.parametrize("mode", ["bridge", "awsvpc", "none"])
def test_in_a_namespace_credentials_are_at_the_metadata_address(mode: str) -> None:
    told = given(made(mode))
    assert told.pop("AWS_EXECUTION_ENV") == "AWS_ECS_EC2"
    assert told == {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": PATH}


def test_on_the_hosts_network_they_are_on_the_loopback_and_take_a_token() -> None:
    told = given(made("host"))
    assert told.pop("AWS_EXECUTION_ENV") == "AWS_ECS_EC2"
    assert told == {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:51679{PATH}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "t0ken",
    }


@pytest.mark.parametrize("mode", ["bridge", "host"])
def test_without_credentials_there_is_no_word_of_them(mode: str) -> None:
    assert list(given(made(mode, ""))) == ["AWS_EXECUTION_ENV"]


@pytest.mark.parametrize(
    ("names", "region", "told"),
    [
        (["PATH"], "xx-test-1", {"AWS_REGION": "xx-test-1", "AWS_DEFAULT_REGION": "xx-test-1"}),
        (["AWS_REGION"], "xx-test-1", {}),
        (["AWS_DEFAULT_REGION"], "xx-test-1", {}),
        ([], "", {}),
    ],
)
def test_the_region_has_both_names_or_none(
    names: list[str], region: str, told: dict[str, str]
) -> None:
    every = given(made("bridge", ""), *names, region=region)
    assert {name: value for name, value in every.items() if "REGION" in name} == told

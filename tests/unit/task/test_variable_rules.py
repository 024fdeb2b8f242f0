"""What is refused of secrets and environment files, in definitions and in overrides."""

from typing import Any

import pytest

from agent.task.definition import DefinitionError, apply_overrides, read_task_definition
from tests.unit.task.test_definition import problems, task, web

ONE = "containerDefinitions[0]"
KEY = {"name": "KEY", "valueFrom": "key"}


def files(*values: str) -> list[dict[str, str]]:
    return [{"type": "s3", "value": each} for each in values]


@pytest.mark.parametrize(
    ("fields", "path", "told"),
    [
        ({"secrets": [{**KEY, "name": ""}]}, "secrets[0].name", "must not be empty"),
        ({"secrets": [{**KEY, "name": "A=B"}]}, "secrets[0].name", "nor contain ="),
        ({"secrets": [{**KEY, "valueFrom": "a b"}]}, "secrets[0].valueFrom", "must be the name"),
        ({"secrets": [KEY, KEY]}, "secrets[1].name", "must be the only KEY: another secret"),
        (
            {"secrets": [KEY], "environment": [{"name": "KEY"}]},
            "secrets[0].name",
            "must be the only KEY: environment has it too",
        ),
        (
            {"environmentFiles": files(*["arn:aws:s3:::bucket/a.env"] * 11)},
            "environmentFiles",
            "at most 10",
        ),
        (
            {"environmentFiles": files("arn:aws:s3:::bucket/a.txt")},
            "environmentFiles[0].value",
            "must be the ARN of a .env object",
        ),
        ({"environmentFiles": files("a.env")}, "environmentFiles[0].value", "absolute path"),
        (
            {"environmentFiles": files("arn:aws:s3:::bucket/../a.env")},
            "environmentFiles[0].value",
            "must not have . or .. in its path",
        ),
        ({"environmentFiles": files("/etc/../a.env")}, "environmentFiles[0].value", ". or .."),
        ({"environmentFiles": files("arn:aws:s3:::b/a.env/")}, "environmentFiles[0].value", ".env"),
        (
            {"environmentFiles": [{"type": "file", "value": "/a.env"}]},
            "environmentFiles[0].type",
            "must be 's3'",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], path: str, told: str) -> None:
    found = problems(task(web(**fields)))
    assert list(found) == [f"{ONE}.{path}"]
    assert told in found[f"{ONE}.{path}"]


def test_what_is_right_is_taken() -> None:
    every = files("arn:aws:s3:::bucket/a.env", "arn:aws-cn:s3:::my.bucket/x/y.env", "/srv/a.env")
    assert read_task_definition(task(web(secrets=[KEY], environmentFiles=every))).warnings == ()


def test_files_of_an_override_replace_all_and_keep_to_the_rules() -> None:
    shop = read_task_definition(task(web(environmentFiles=files("/a.env", "/b.env")))).definition
    override = {"containerOverrides": [{"name": "web", "environmentFiles": files("/c.env")}]}
    (changed,) = apply_overrides(shop, override).container_definitions
    assert [each.value for each in changed.environment_files] == ["/c.env"]
    override = {"containerOverrides": [{"name": "web", "environmentFiles": files("c.env")}]}
    with pytest.raises(DefinitionError, match=r"environmentFiles\[0\].value"):
        apply_overrides(shop, override)

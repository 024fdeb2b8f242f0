"""Which texts of tasks and definitions are shown; everything that is not known is not."""

from __future__ import annotations

from typing import Any

import pytest

from agent.cli.support.shapes import masked

HIDDEN = "(hidden)"


def shown(value: Any) -> tuple[Any, list[str]]:
    hidden: list[str] = []
    return masked(value, hidden), hidden


@pytest.mark.parametrize(
    ("given", "expected", "hidden"),
    [
        (
            {"environment": [{"name": "A", "value": "s"}]},
            {"environment": [{"name": "A", "value": HIDDEN}]},
            ["s"],
        ),
        (
            {"environmentFiles": [{"type": "s3", "value": "arn:x"}]},
            {"environmentFiles": [{"type": "s3", "value": "arn:x"}]},
            [],
        ),
        ({"command": ["sh", "s"]}, {"command": [HIDDEN, HIDDEN]}, ["sh", "s"]),
        ({"entryPoint": ["s"]}, {"entryPoint": [HIDDEN]}, ["s"]),
        (
            {"healthCheck": {"command": ["CMD", "s"], "interval": 5}},
            {"healthCheck": {"command": [HIDDEN, HIDDEN], "interval": 5}},
            ["CMD", "s"],
        ),
        (
            {"dockerLabels": {"a": "s", "hostler.runtime": "crun"}},
            {"dockerLabels": {"a": HIDDEN, "hostler.runtime": "crun"}},
            ["s"],
        ),
        (
            {"dockerLabels": {"max-size": "s", "mode": "t"}},
            {"dockerLabels": {"max-size": HIDDEN, "mode": HIDDEN}},
            ["s", "t"],
        ),
        ({"driverOpts": {"mode": "s"}}, {"driverOpts": {"mode": HIDDEN}}, ["s"]),
        (
            {"logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": "s"}}},
            {"logConfiguration": {"logDriver": "splunk", "options": {"splunk-token": HIDDEN}}},
            ["s"],
        ),
        (
            {"logConfiguration": {"options": {"max-size": "1m"}}},
            {"logConfiguration": {"options": {"max-size": "1m"}}},
            [],
        ),
        (
            {"logConfiguration": {"secretOptions": [{"name": "t", "valueFrom": "arn:x"}]}},
            {"logConfiguration": {"secretOptions": [{"name": "t", "valueFrom": "arn:x"}]}},
            [],
        ),
        ({"tags": [{"key": "a", "value": "s"}]}, {"tags": [{"key": "a", "value": HIDDEN}]}, ["s"]),
        (
            {"proxyConfiguration": {"properties": [{"name": "a", "value": "s"}]}},
            {"proxyConfiguration": {"properties": [{"name": "a", "value": HIDDEN}]}},
            ["s"],
        ),
        (
            {"dockerVolumeConfiguration": {"driver": "local", "driverOpts": {"o": "password=s"}}},
            {"dockerVolumeConfiguration": {"driver": "local", "driverOpts": {"o": HIDDEN}}},
            ["password=s"],
        ),
        (
            {"repositoryCredentials": {"credentialsParameter": "arn:x"}},
            {"repositoryCredentials": {"credentialsParameter": "arn:x"}},
            [],
        ),
        (
            {"attachments": [{"details": [{"name": "macAddress", "value": "02:00"}]}]},
            {"attachments": [{"details": [{"name": "macAddress", "value": "02:00"}]}]},
            [],
        ),
        ({"runtimes": {"web": "runc"}}, {"runtimes": {"web": "runc"}}, []),
        (
            {"cpu": 256, "essential": True, "x": None},
            {"cpu": 256, "essential": True, "x": None},
            [],
        ),
        ({"ofTomorrow": {"deep": ["s"]}}, {"ofTomorrow": {"deep": [HIDDEN]}}, ["s"]),
        ({"empty": ""}, {"empty": ""}, []),
    ],
)
def test_where_a_text_stands_decides(given: Any, expected: Any, hidden: list[str]) -> None:
    assert shown(given) == (expected, hidden)


def test_overrides_are_definitions_too() -> None:
    override = {"name": "web", "environment": [{"name": "A", "value": "s"}], "command": ["s"]}
    told, hidden = shown({"overrides": {"containerOverrides": [override]}})
    assert hidden == ["s", "s"]
    assert told["overrides"]["containerOverrides"][0]["name"] == "web"

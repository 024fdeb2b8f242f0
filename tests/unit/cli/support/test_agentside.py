"""Pieces that an agent tells, by a fake one."""

from __future__ import annotations

import http.client
import io
import json
from pathlib import Path

import pytest

from agent.cli.errors import CommandError
from agent.cli.support import agentside
from agent.cli.support.masks import Masks
from agent.cli.support.pieces import Missing, Site
from agent.host.checkup.subject import Subject
from agent.settings import Settings
from tests.fakes.api import Body, FakeApi, Refused

PIECES = {each.name: each for each in agentside.PIECES}


def arn(task_id: str) -> str:
    return f"arn:aws:ecs:local:000000000000:task/default/{task_id}"


def task(task_id: str, at: float = 0.0) -> Body:
    return {
        "taskArn": arn(task_id),
        "taskDefinitionArn": "arn:aws:ecs:local:000000000000:task-definition/web:1",
        "lastStatus": "STOPPED",
        "stopCode": "TaskFailedToStart",
        "stoppedReason": "exec: the-secret-word: not found",
        "createdAt": at,
    }


@pytest.fixture
def site(api: FakeApi, tmp_path: Path) -> Site:
    return Site(Subject(Settings(introspection_listen=None)), api.path, None, Masks())


@pytest.fixture
def populated(api: FakeApi) -> FakeApi:
    """Two tasks, of which one is forgotten before it is inspected."""

    def watch(body: Body) -> Body:
        if body["task"] == arn("gone"):
            raise Refused("InvalidParameterException", "there is no such task")
        return {"task": task("here"), "steps": [], "closed": True, "runtimes": {}, "cgroup": "/h"}

    definition = {"family": "web", "containerDefinitions": [{"command": ["the-secret-word"]}]}
    api.answers |= {
        "ListTasks": lambda body: {
            "taskArns": [arn("here"), arn("gone")] if body["desiredStatus"] == "STOPPED" else []
        },
        "DescribeTasks": {"tasks": [task("here", 2.0), task("gone", 1.0)]},
        "Hostler.WatchTask": watch,
        "DescribeTaskDefinition": {"taskDefinition": definition},
    }
    return api


def test_what_is_hidden_in_definitions_is_masked_in_reasons(populated: FakeApi, site: Site) -> None:
    agentside.learn_tasks(site)
    files = dict(PIECES["tasks"].get(site))
    assert files["tasks.txt"].splitlines()[0] == (
        "here  web:1  STOPPED  TaskFailedToStart  exec: (hidden): not found"
    )
    here = json.loads(files["tasks/here.json"])
    assert here["taskDefinition"]["containerDefinitions"] == [{"command": ["(hidden)"]}]
    assert here["task"]["stoppedReason"] == "exec: (hidden): not found"
    assert "there is no such task" in files["tasks/gone.json"]
    assert "the-secret-word" not in "".join(files.values())


def test_a_reason_of_several_lines_looks_like_no_other_task(populated: FakeApi, site: Site) -> None:
    forged = task("here") | {"stoppedReason": "bye\nthere  web:1  RUNNING"}
    populated.answers["Hostler.WatchTask"] = {
        **{"task": forged, "steps": [], "closed": True, "runtimes": {}, "cgroup": "/h"}
    }
    agentside.learn_tasks(site)
    files = dict(PIECES["tasks"].get(site))
    assert files["tasks.txt"].splitlines()[0].endswith("bye there web:1 RUNNING")


def test_only_the_newest_are_inspected(
    populated: FakeApi, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agentside, "MOST_TASKS", 1)
    agentside.learn_tasks(site)
    assert [each["task"]["taskArn"] for each in site.tasks] == [arn("here")]


def test_no_tasks(site: Site) -> None:
    with pytest.raises(Missing, match="there are no tasks"):
        list(PIECES["tasks"].get(site))


def test_other_answers_are_masked_by_where_texts_stand(api: FakeApi, site: Site) -> None:
    api.answers["Hostler.DescribeQueue"] = {"waiting": [{"taskArn": "a", "note": "mine"}]}
    ((name, text),) = PIECES["queue"].get(site)
    assert name == "queue.json"
    assert json.loads(text) == {"waiting": [{"taskArn": "a", "note": "(hidden)"}]}
    with pytest.raises(CommandError):
        list(PIECES["networks"].get(site))


def test_introspection_that_is_off_or_silent(site: Site, tmp_path: Path) -> None:
    with pytest.raises(Missing, match="HOSTLER_INTROSPECTION_LISTEN is off"):
        list(PIECES["metrics.txt"].get(site))
    silent = Settings(introspection_listen=("127.0.0.1", 1))
    with pytest.raises(Missing, match=r"nobody answers on 127\.0\.0\.1 port 1"):
        list(PIECES["metrics.txt"].get(Site(Subject(silent), tmp_path, None, Masks())))


def test_what_introspection_says_in_json_is_masked_and_stays_json(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"problems": {"network": "exec: the-secret-word: 'password=abc'"}}
    answer = io.BytesIO(json.dumps(said).encode())
    monkeypatch.setattr(http.client.HTTPConnection, "request", lambda *_: None)
    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", lambda _: answer)
    site.masks.learn(["the-secret-word"])
    open_ = Site(Subject(Settings()), site.socket, None, site.masks)
    ((name, text),) = PIECES["health.json"].get(open_)
    assert name == "health.json"
    assert json.loads(text) == {"problems": {"network": "exec: (hidden): 'password=(hidden)'"}}
    with pytest.raises(Missing, match="what answers there is not an agent"):
        list(PIECES["health.json"].get(open_))


def test_what_tasks_say_comes_last() -> None:
    assert agentside.PIECES[-1].name == "tasks"


def test_the_process_behind_the_socket(site: Site, tmp_path: Path) -> None:
    import os

    ((_, text),) = PIECES["agent-process"].get(site)
    assert text.startswith(f"pid {os.getpid()}\n"), "the fake is in this process"
    assert "Max open files" in text
    nowhere = Site(site.subject, tmp_path / "none.sock", None, Masks())
    with pytest.raises(Missing, match="no agent answers on"):
        list(PIECES["agent-process"].get(nowhere))

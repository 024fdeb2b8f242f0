"""What containers carry of their tasks, and what is read from it when the state is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.containerd.types import ContainerRecord
from agent.host.containers import keepsakes
from agent.host.containers.keepsakes import (
    EXTENSION,
    Owned,
    buried,
    bury,
    extensions,
    owned,
    remembered,
)
from agent.task import names
from agent.task.definition import read_task_definition
from agent.task.model import ContainerProgress, Intent, Progress, Task, first_progress
from agent.task.names import Names
from tests.unit.host.worlds import names_below
from tests.worlds import ROLE, container, running, task

PAIR = task(container("init"), container("web", environment=[{"name": "A", "value": "b"}]))


def record(
    of: Names, made: Task, name: str, progress: Progress, at: float = 1.0, /, **env: str
) -> ContainerRecord:
    """As the agent makes it, with these variables in the container's environment."""
    pairs = [f"{key}={value}" for key, value in env.items()]
    spec = {
        "process": {"env": pairs},
        "mounts": [{"source": str(of.files_dir(made.id, name) / "hosts")}],
    }
    return ContainerRecord(
        id=names.container_id(made.id, name),
        spec=json.dumps(spec).encode(),
        labels=names.labels(made, name),
        extensions=extensions(made, name, progress),
        created_at=at,
    )


@pytest.fixture
def of(tmp_path: Path) -> Names:
    return names_below(tmp_path)


@pytest.mark.parametrize("mode", ["bridge", "awsvpc"])
def test_a_task_comes_back_from_the_newest_of_its_containers(of: Names, mode: str) -> None:
    made = task(container("init"), container("web"), mode=mode)  # type: ignore[arg-type]
    early, late = first_progress(made), running(Intent(made))
    records = [record(of, made, "web", late, 2.0), record(of, made, "init", early, 1.0)]
    found = remembered(owned(records, of))
    assert found == (made, replace(late, timeline=()))


def test_a_definition_comes_back_as_it_was_registered(of: Names) -> None:
    body = {"family": "web", "containerDefinitions": [{"name": "web", "image": "x", "memory": 6}]}
    read = read_task_definition(body).definition
    made = replace(PAIR, definition=read, containers=PAIR.containers[1:])
    found = remembered(owned([record(of, made, "web", first_progress(made))], of))
    assert found is not None
    assert found[0].definition == read
    said = read.model_dump(by_alias=True, exclude_unset=True)
    assert found[0].definition.model_dump(by_alias=True, exclude_unset=True) == said


@pytest.mark.parametrize(
    "env",
    [
        {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/credentials-1"},
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v2/credentials/credentials-1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": "a=token",
        },
    ],
)
def test_ids_of_credentials_are_read_from_the_environment(of: Names, env: dict[str, str]) -> None:
    token = env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    made = replace(
        task(container("web"), role=ROLE),
        execution_credentials_id="secret-2",
        credentials_token=token,
    )
    kept = record(of, made, "web", first_progress(made), 1.0, **env)
    assert b"credentials-1" not in kept.extensions[EXTENSION]
    assert b"secret-2" not in kept.extensions[EXTENSION]
    assert b"a=token" not in kept.extensions[EXTENSION]
    found = remembered(owned([kept], of))
    assert found is not None
    new = found[0].execution_credentials_id
    assert new
    assert new != "secret-2", "nobody else was told it: it is drawn anew"
    assert replace(found[0], execution_credentials_id="secret-2") == made


@pytest.mark.parametrize("spec", [b"", b"[]", b'{"process": {}}', b'{"process": {"env": null}}'])
def test_where_the_environment_can_not_be_read_there_are_no_credentials(
    of: Names, spec: bytes
) -> None:
    made = task(container("web"), role=ROLE)
    kept = replace(record(of, made, "web", first_progress(made)), spec=spec)
    found = remembered([Owned(made.id, "web", kept)])
    assert found is not None
    assert not found[0].entitled


def test_what_a_container_says_of_another_is_not_believed(of: Names) -> None:
    web = record(of, PAIR, "web", first_progress(PAIR))
    other = record(of, PAIR, "init", first_progress(PAIR))
    for extension in (other.extensions, {}, {EXTENSION: b"{"}, {EXTENSION: b"{}"}):
        assert remembered(owned([replace(web, extensions=extension)], of)) is None


def test_only_containers_of_this_agents_making_are_its_own(of: Names, tmp_path: Path) -> None:
    web = record(of, PAIR, "web", first_progress(PAIR))
    assert [each.name for each in owned([web], of)] == ["web"]
    strangers = [
        replace(web, id="f" * 64),
        replace(web, labels={}),
        replace(web, labels={names.TASK_LABEL: PAIR.arn}),
        replace(web, spec=b"{}"),
    ]
    assert list(owned(strangers, of)) == []
    assert list(owned([web], names_below(tmp_path / "another agent"))) == []


def test_a_deleted_container_leaves_its_facts_until_its_task_is_gone(of: Names) -> None:
    facts = ContainerProgress(started_at=1.0, ended=True, exit_code=3, reason="x")
    progress = first_progress(PAIR).having_all("web", facts)
    bury(of, PAIR, "web", progress)
    assert buried(of, PAIR.id) == {}, "there is no task any more"
    of.task_dir(PAIR.id).mkdir(parents=True)
    bury(of, PAIR, "init", progress)
    assert buried(of, PAIR.id) == {}, "it has not ended"
    bury(of, PAIR, "web", progress)
    bury(of, PAIR, "web", progress)
    assert buried(of, PAIR.id) == {"web": facts}
    (of.task_dir(PAIR.id) / ".ended" / "init").write_text("{")
    assert buried(of, PAIR.id) == {"web": facts}


def test_a_full_disk_does_not_keep_a_container_from_being_deleted(
    of: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    of.task_dir(PAIR.id).mkdir(parents=True)
    progress = first_progress(PAIR).having("web", ended=True)

    def full(*_: object) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    bury(of, PAIR, "web", progress)
    assert buried(of, PAIR.id) == {}


def test_an_extension_is_small() -> None:
    assert len(keepsakes.extensions(PAIR, "web", running(Intent(PAIR)))[EXTENSION]) < 4096

"""``hostler run``: what is run, and what comes of it."""

import io
import json
import os
import signal
from pathlib import Path

import pytest

from tests.fakes.api import Body, FakeApi, Refused
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import DEFINITION, ID, container, entry, happen, step, task, write

SHOWN = {
    "taskDefinitionArn": DEFINITION,
    "containerDefinitions": [{"name": "side", "essential": False}, {"name": "web"}],
}
GIVEN = {"family": "hello", "containerDefinitions": []}


@pytest.fixture(autouse=True)
def _runs(api: FakeApi) -> None:
    done = task(container("side", exitCode=0), container("web", exitCode=7), stopCode="Essential")
    api.answers |= {
        "RegisterTaskDefinition": {"taskDefinition": SHOWN, "warnings": ["a: unknown field"]},
        "DescribeTaskDefinition": {"taskDefinition": SHOWN},
        "RunTask": {"tasks": [task()], "failures": []},
    }
    happen(api, done, step(5, "exited", "side", "0"), step(9, "exited", "web", "7"))
    write(api, web=[entry(7, "said\n")])


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(GIVEN))
    return str(path)


def test_a_file_is_registered_and_run_to_its_exit_code(
    api: FakeApi, hostler: Hostler, file: str
) -> None:
    ran = hostler("run", file)
    assert (ran.code, ran.err) == (7, "warning: a: unknown field\n")
    assert "web   | said" in ran.out
    assert api.asked("RegisterTaskDefinition") == [GIVEN]
    assert api.asked("RunTask") == [{"taskDefinition": DEFINITION, "overrides": {}}]


def test_standard_input_is_registered(
    api: FakeApi, hostler: Hostler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(GIVEN).encode())))
    assert hostler("run", "-").code == 7
    assert api.asked("RegisterTaskDefinition") == [GIVEN]


def test_a_family_is_looked_up(api: FakeApi, hostler: Hostler) -> None:
    assert hostler("run", "hello:3", "--no-logs").code == 7
    assert api.asked("DescribeTaskDefinition") == [{"taskDefinition": "hello:3"}]
    assert api.asked("Hostler.GetLogs") == []


def test_detached_it_prints_the_id(api: FakeApi, hostler: Hostler) -> None:
    assert hostler("run", "hello", "-d") == (0, f"{ID}\n", "")
    assert json.loads(hostler("run", "hello", "-d", "--json").out) == {"task": task()}


def test_overrides_are_passed_on(api: FakeApi, hostler: Hostler) -> None:
    hostler("run", "hello", "-d", "--overrides", '{"containerOverrides": []}')
    assert api.asked("RunTask")[0]["overrides"] == {"containerOverrides": []}


def test_a_network_can_be_asked_for(api: FakeApi, hostler: Hostler) -> None:
    hostler("run", "hello", "-d", "--subnet", "a", "--subnet", "b", "--security-group", "web")
    wanted = {"subnets": ["a", "b"], "securityGroups": ["web"]}
    assert api.asked("RunTask") == [
        {
            "taskDefinition": DEFINITION,
            "overrides": {},
            "networkConfiguration": {"awsvpcConfiguration": wanted},
        }
    ]


def test_json_tells_the_story_in_objects(hostler: Hostler) -> None:
    lines = hostler("run", "hello", "--json").out.splitlines()
    assert [next(iter(json.loads(line))) for line in lines] == [
        "task", "step", "log", "step", "task"
    ]  # fmt: skip


def refuse(_body: Body) -> Body:
    raise Refused("ClientException", "memory: too little")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b"\xff", "is not UTF-8"),
        (b"{}", "ClientException: memory: too little"),
    ],
)
def test_a_bad_definition_is_one_line_of_words(
    api: FakeApi, hostler: Hostler, tmp_path: Path, content: bytes, why: str
) -> None:
    api.answers["RegisterTaskDefinition"] = refuse
    (tmp_path / "bad.json").write_bytes(content)
    ran = hostler("run", str(tmp_path / "bad.json"))
    assert (ran.code, ran.out, ran.err.count("\n")) == (125, "", 1)
    assert why in ran.err


def test_a_missing_file_is_not_taken_for_a_family(api: FakeApi, hostler: Hostler) -> None:
    assert "can't read none.json" in hostler("run", "none.json").err
    assert api.calls == []


def test_a_draining_host_is_named(api: FakeApi, hostler: Hostler) -> None:
    def refuse(_body: Body) -> Body:
        raise Refused(
            "InvalidParameterException", "No Container Instances were found in your cluster."
        )

    api.answers["RunTask"] = refuse
    ran = hostler("run", "hello")
    assert ran.code == 125
    assert "this host is draining and takes no new tasks; 'hostler undrain' ends that" in ran.err


def test_what_the_host_lacks_is_said(api: FakeApi, hostler: Hostler) -> None:
    api.answers["RunTask"] = {"tasks": [], "failures": [{"arn": "", "reason": "RESOURCE:PORTS"}]}
    ran = hostler("run", "hello")
    assert ran.code == 125
    assert "RESOURCE:PORTS: a host port" in ran.err


def test_a_task_is_stopped_even_if_interrupted_as_it_is_accepted(
    api: FakeApi, hostler: Hostler
) -> None:
    def accept(_body: Body) -> Body:
        os.kill(os.getpid(), signal.SIGINT)
        return {"tasks": [task()], "failures": []}

    api.answers |= {"RunTask": accept, "StopTask": {}}
    assert hostler("run", "hello:3").code == 7
    assert [each["task"] for each in api.asked("StopTask")] == [task()["taskArn"]]

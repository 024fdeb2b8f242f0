"""Credentials of tasks' roles, asked for by AWS's SDK inside real tasks, and by whoever tries."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cni.portmap.mappings import Protocol
from tests.sleepers import sleeping
from tests.system import netlab, rolelab
from tests.system.agent import Agent
from tests.system.netlab import Lab
from tests.system.rolelab import (
    LOOPBACK,
    METADATA,
    ROLE,
    Answered,
    asked,
    get,
    prints,
    relative_uri,
    variables,
    waits,
    write_roles,
)
from tests.system.tasknet import sealed_agent
from tests.system.tasks import SERVES, Task, eventually, names_of, run, shell

STATIC = """
[default]
aws_access_key_id = AKIDSTATIC
aws_secret_access_key = static secret
aws_session_token = static token
"""

SDK = """
import botocore.session
credentials = botocore.session.get_session().get_credentials()
frozen = credentials.get_frozen_credentials()
print(credentials.method, frozen.access_key, frozen.secret_key, frozen.token, sep="|", flush=True)
"""

WHO = """
import boto3
client = boto3.client("sts", endpoint_url="{url}", region_name="xx-test-1")
print(client.get_caller_identity()["Arn"], flush=True)
s3 = boto3.client("s3", endpoint_url="{url}", region_name="us-east-1")
print(len(s3.list_buckets()["Buckets"]), flush=True)
"""


SDK_S = 60.0
"""For a program that imports an SDK, which takes two seconds when there is nothing else to do."""

SLEEP = f"4711.{os.getpid()}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with netlab.lab(tmp_path_factory.mktemp("roles")) as lab:
        yield lab


@pytest.fixture(scope="module")
def agent(lab: Lab) -> Iterator[Agent]:
    with pytest.MonkeyPatch.context() as environment:  # the host's own credentials, for STS
        environment.setenv("AWS_ACCESS_KEY_ID", "AKIDHOST")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "host secret")
        with sealed_agent(lab, AWS_DEFAULT_REGION="xx-test-1") as agent:
            yield agent


KNOWN_KEYS = (
    "aws_access_key_id, aws_secret_access_key, aws_session_token, credential_process, "
    "duration_seconds, endpoint_url, expiration, external_id, region, role_arn, source"
)


def stamp(seconds: float) -> str:
    """The time so many seconds from now, as AWS writes it."""
    at = datetime.fromtimestamp(time.time() + seconds, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def reason(task: Task) -> str:
    """Why the task stopped, once it is closed."""
    stopped = task.until_closed()
    assert stopped["stopCode"] == "TaskFailedToStart"
    return str(stopped["stoppedReason"])


def mints(folder: Path, seconds: int) -> Path:
    """A `credential_process` whose credentials hold for so long, and others each time."""
    script = folder / "mint"
    script.write_text(
        "#!/bin/sh\n"
        f'end=$(date -u -d "+{seconds} seconds" +%Y-%m-%dT%H:%M:%SZ)\n'
        'printf \'{"Version":1,"AccessKeyId":"AKID%s","SecretAccessKey":"s",'
        '"SessionToken":"%s","Expiration":"%s"}\' "$$" "$HOSTLER_ROLE_ARN" "$end"\n'
    )
    script.chmod(0o700)
    return script


def served(lab: Lab, task: Task, uri: str) -> bool:
    return asked(lab, task, uri).status == 200


def audit(agent: Agent) -> list[str]:
    path = Path(agent.settings["ECS_AUDIT_LOGFILE"])
    return path.read_text().splitlines() if path.exists() else []


def test_the_sdk_in_a_bridge_task_finds_the_roles_credentials(agent: Agent) -> None:
    write_roles(agent, STATIC)
    task = run(agent, taskRoleArn=ROLE, **rolelab.python(SDK))
    task.until_closed(SDK_S)
    assert task.log("app") == ["container-role|AKIDSTATIC|static secret|static token\n"]


def test_the_sdk_in_host_mode_shows_its_token(agent: Agent) -> None:
    write_roles(agent, STATIC)
    script = f"import os\nprint(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'][:38]){SDK}"
    task = run(agent, taskRoleArn=ROLE, networkMode="host", **rolelab.python(script))
    task.until_closed(SDK_S)
    assert task.log("app") == [
        "http://127.0.0.1:51679/v2/credentials/\n",
        "container-role|AKIDSTATIC|static secret|static token\n",
    ]


def test_a_client_in_a_task_is_the_role_that_sts_gave(lab: Lab, agent: Agent) -> None:
    with rolelab.aws(lab) as port:
        sts = f"source = sts\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{port}\n"
        write_roles(agent, f"[{ROLE}]\n{sts}")
        url = f"http://{rolelab.bridge_address(agent)}:{port}"
        task = run(agent, taskRoleArn=ROLE, **rolelab.python(WHO.format(url=url)))
        task.until_closed(SDK_S)
        arn = f"arn:aws:sts::111122223333:assumed-role/web/{task.id}"
        assert task.log("app") == [f"{arn}\n", "0\n"]


def test_another_role_can_be_assumed_in_its_place(lab: Lab, agent: Agent) -> None:
    with rolelab.aws(lab) as port:
        sts = f"source = sts\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{port}\n"
        more = f"role_arn = {ROLE}-lab\nduration_seconds = 900\nexternal_id = lab\n"
        write_roles(agent, f"[{ROLE}]\n{sts}{more}")
        url = f"http://127.0.0.1:{port}"
        program = rolelab.python(WHO.format(url=url))
        task = run(agent, taskRoleArn=ROLE, networkMode="host", **program)
        task.until_closed(SDK_S)
        assert task.log("app")[0] == f"arn:aws:sts::111122223333:assumed-role/web-lab/{task.id}\n"


def test_an_sts_that_cant_be_reached_is_tried_again(lab: Lab, agent: Agent) -> None:
    sts = "source = sts\nregion = us-east-1\nendpoint_url = http://127.0.0.1:9\n"
    write_roles(agent, f"[default]\n{sts}")
    task = run(agent, shell("app", SERVES), taskRoleArn=ROLE)
    step = task.until_step("retrying", detail="STS can't be reached")
    assert step["detail"].startswith(f"unable to get credentials for task role {ROLE}: ")
    write_roles(agent, STATIC)
    task.until_running()
    task.end()


def test_nobody_gets_credentials_with_a_stolen_id(lab: Lab, agent: Agent) -> None:
    write_roles(agent, STATIC)
    owner, thief = waits(agent), waits(agent)
    uri = relative_uri(owner)
    mine = asked(lab, owner, uri)
    assert mine.status == 200
    assert mine.body["RoleArn"] == ROLE
    assert asked(lab, owner, uri.replace("/v2/credentials/", "/v1/credentials?id=")).status == 200
    stolen = asked(lab, thief, uri)
    assert stolen.status == 400
    assert stolen.body["code"] == "InvalidIdInRequest"
    with pytest.raises(OSError, match=r"refused|unreachable"):
        lab.on_host(partial(get, METADATA, uri))
    with pytest.raises(ConnectionRefusedError):
        lab.on_host(partial(get, LOOPBACK, uri))
    neighbour = waits(agent, networkMode="host")
    token = {"Authorization": variables(neighbour)["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    for address in (METADATA, LOOPBACK):
        without = lab.on_host(partial(get, address, uri))
        assert (without.status, without.body["code"]) == (401, "InvalidTokenInRequest")
        with_token = lab.on_host(partial(get, address, uri, token))
        assert (with_token.status, with_token.body["code"]) == (400, "InvalidIdInRequest")
    for each in (owner, thief, neighbour):
        each.end()


def test_on_the_hosts_network_each_task_has_a_token_of_its_own(lab: Lab, agent: Agent) -> None:
    write_roles(agent, STATIC)
    one, two = (waits(agent, networkMode="host") for _ in range(2))

    def ask(of: Task, token_of: Task | None) -> Answered:
        uri = variables(of)["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix(
            "http://127.0.0.1:51679"
        )
        name = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
        headers = {"Authorization": variables(token_of)[name]} if token_of else {}
        return lab.on_host(partial(get, LOOPBACK, uri, headers))

    assert ask(one, one).status == ask(two, two).status == 200
    assert ask(one, two).body["code"] == ask(two, one).body["code"] == "InvalidIdInRequest"
    wrong = ask(one, None)
    assert wrong.status == 401
    assert wrong.body == lab.on_host(partial(get, LOOPBACK, "/v2/credentials/none")).body
    of_one = variables(one)
    one.stop()
    one.until_closed()
    token = {"Authorization": of_one["AWS_CONTAINER_AUTHORIZATION_TOKEN"]}
    uri = of_one["AWS_CONTAINER_CREDENTIALS_FULL_URI"].removeprefix("http://127.0.0.1:51679")
    assert lab.on_host(partial(get, LOOPBACK, uri, token)).status == 401, "withdrawn with the task"
    assert ask(two, two).status == 200
    two.end()


def test_another_program_on_the_loopback_port_is_told(lab: Lab, agent: Agent) -> None:
    address, port = IPv4Address(LOOPBACK[0]), LOOPBACK[1]
    with lab.listen(lab.host, Protocol.TCP, port, address):
        task = run(agent, shell("app", SERVES), networkMode="host")
        assert reason(task) == (
            "ResourceInitializationError: 127.0.0.1:51679, where tasks in host mode ask for "
            "credentials, is taken: does another agent run, Hostler's or Amazon's?"
        )
    waits(agent, role=None, networkMode="host").end()


def test_credentials_are_refreshed_while_they_are_asked_for(
    lab: Lab, agent: Agent, tmp_path: Path
) -> None:
    write_roles(agent, f"[default]\ncredential_process = {mints(tmp_path, seconds=12)}\n")
    task = waits(agent)
    seen: dict[str, str] = {}

    def refreshed_twice() -> bool:
        before = stamp(0)
        got = asked(lab, task, relative_uri(task))
        assert got.status == 200, got
        assert got.body["Expiration"] > before, "expired credentials were served"
        assert got.body["Token"] == ROLE, "the process is told the role"
        seen[got.body["AccessKeyId"]] = got.body["Expiration"]
        return len(seen) > 2

    eventually(refreshed_twice, "the second refresh")
    assert list(seen.values()) == sorted(set(seen.values()))
    task.end()


def test_expired_credentials_are_never_served(lab: Lab, agent: Agent, tmp_path: Path) -> None:
    start = len(agent.said())
    write_roles(agent, f"[default]\ncredential_process = {mints(tmp_path, seconds=6)}\n")
    task = waits(agent)
    uri = relative_uri(task)
    eventually(partial(served, lab, task, uri), "credentials")
    write_roles(agent, "[default]\ncredential_process = false\n")
    ends = list[str]()

    def refused() -> bool:
        before = stamp(0)
        got = asked(lab, task, uri)
        if got.status == 200:
            ends.append(got.body["Expiration"])
            assert ends[-1] > before, got
        return got.status == 500 and "exit code 1" in got.body["message"]

    eventually(refused, "the expiration")
    body = asked(lab, task, uri).body
    assert body["code"] == "InternalServerError"
    assert body["HTTPErrorCode"] == 500
    said, end, why = re.split(r" (\S+Z): ", body["message"])
    assert said == f"CredentialsV2Request: credentials of role {ROLE} are expired since"
    assert max(ends, default="") <= end <= stamp(0)
    assert why == "credential_process false ended with exit code 1"
    write_roles(agent, STATIC)
    eventually(lambda: asked(lab, task, uri).status == 200, "new ones after an edit")
    assert agent.said()[start:].count("ended with exit code 1") == 1, "a reason is logged once"
    task.end()


def test_after_a_restart_credentials_come_back_to_whom_they_belong(
    lab: Lab, agent: Agent, tmp_path: Path
) -> None:
    write_roles(agent, STATIC)
    tasks = [waits(agent) for _ in range(2)]
    uris = [relative_uri(each) for each in tasks]
    gate, command = tmp_path / "gate", prints(tmp_path)
    script = f"until test -e {gate}; do sleep 0.05; done; {command}"
    write_roles(agent, f"[default]\ncredential_process = sh -c '{script}'\n")
    lab.host_thread.submit(agent.restart).result(60)

    def early() -> Answered | None:
        try:
            return asked(lab, tasks[0], uris[0])
        except ConnectionRefusedError:  # its socket is opened again in a moment
            return None

    eventually(lambda: early() is not None, "the metadata socket")
    got = asked(lab, tasks[0], uris[0])
    assert (got.status, got.body["code"]) == (503, "CredentialsUninitialized")
    gate.touch()
    for task, uri, other in zip(tasks, uris, reversed(uris), strict=True):
        eventually(partial(served, lab, task, uri), "credentials")
        assert asked(lab, task, uri).body["AccessKeyId"] == "AKIDPROCESS"
        assert asked(lab, task, other).status == 400
        task.end()


def test_a_task_whose_process_hangs_can_be_stopped(agent: Agent) -> None:
    write_roles(agent, f"[default]\ncredential_process = sh -c 'sleep {SLEEP} & sleep {SLEEP}'\n")
    task = run(agent, shell("app", SERVES), taskRoleArn=ROLE)
    eventually(lambda: sleeping(SLEEP) == 2, "the process")
    assert task.shown()["lastStatus"] == "PENDING"
    task.stop()
    task.until_closed()
    eventually(lambda: sleeping(SLEEP) == 0, "the end of the whole process group")
    assert task.log("app") == []


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        (
            "[default]\ncredential_process = echo rubbish\n",
            "credential_process echo did not print version 1 credentials: it is not a JSON object",
        ),
        (
            "[default]\ncredential_process = /no/such/program\n",
            "credential_process /no/such/program can't be started: No such file or directory",
        ),
        (
            "[arn:aws:iam::111122223333:role/other]\ncredential_process = true\n",
            f"{{path}} has neither a section [{ROLE}] nor [default]",
        ),
        (
            "[default]\naws_access_key_id = A\naws_secret_acces_key = hidden\n",
            "{path} [default]: unknown key aws_secret_acces_key; there are {known}",
        ),
    ],
    ids=["rubbish", "no program", "no section", "no key"],
)
def test_a_task_whose_credentials_cant_be_had_fails_to_start(
    lab: Lab, agent: Agent, roles: str, why: str
) -> None:
    write_roles(agent, roles)
    task = run(agent, shell("app", SERVES), taskRoleArn=ROLE)
    path = agent.settings["HOSTLER_TASK_ROLES"]
    why = why.format(path=path, known=KNOWN_KEYS)
    assert reason(task) == (
        f"ResourceInitializationError: unable to get credentials for task role {ROLE}: {why}"
    )
    assert lab.on_host(task.leftovers) == []


def test_a_process_that_fails_is_run_again_and_edits_take_effect(agent: Agent) -> None:
    script = "echo not yet >&2; exit 1"
    write_roles(agent, f"[default]\ncredential_process = sh -c '{script}'\n")
    task = run(agent, shell("app", SERVES), taskRoleArn=ROLE)
    task.until_step("retrying", detail="credential_process sh ended with exit code 1: not yet")
    write_roles(agent, STATIC)
    task.until_running()
    task.end()


def test_a_roles_file_that_others_can_read_is_refused(agent: Agent) -> None:
    path = Path(agent.settings["HOSTLER_TASK_ROLES"])
    write_roles(agent, STATIC)
    path.chmod(0o640)
    try:
        task = run(agent, shell("app", SERVES), taskRoleArn=ROLE)
        assert reason(task).endswith(f"{path} is open to others (mode 0640): chmod 600 {path}")
    finally:
        path.chmod(0o600)


def test_without_a_roles_file_a_task_runs_without_credentials(agent: Agent) -> None:
    Path(agent.settings["HOSTLER_TASK_ROLES"]).unlink(missing_ok=True)
    task = waits(agent)
    given = variables(task)
    assert not [each for each in given if each.startswith("AWS_CONTAINER_")]
    assert given["AWS_REGION"] == given["AWS_DEFAULT_REGION"] == "xx-test-1"
    step = task.until_step("without credentials")
    assert step["detail"] == f"of {ROLE}: there is no roles file (HOSTLER_TASK_ROLES)"
    write_roles(agent, STATIC)
    task.end()


def test_a_region_that_the_definition_gives_is_left_alone(agent: Agent) -> None:
    given = [{"name": "AWS_REGION", "value": "yy-test-2"}]
    task = run(agent, shell("app", SERVES, environment=given))
    task.until_log("app")
    seen = variables(task)
    assert seen["AWS_REGION"] == "yy-test-2"
    assert "AWS_DEFAULT_REGION" not in seen
    task.end()


def test_every_request_is_in_the_audit_log_and_no_id(lab: Lab, agent: Agent) -> None:
    write_roles(agent, STATIC)
    task = waits(agent)
    uri, before = relative_uri(task), len(audit(agent))
    credentials_id = uri.rpartition("/")[2]
    asked(lab, task, uri)
    asked(lab, task, f"/v1/credentials?id={credentials_id}")
    asked(lab, task, "/v2/credentials/stolen")
    eventually(lambda: len(audit(agent)) >= before + 3, "three lines")
    lines = audit(agent)[before:]
    cluster = task.shown()["clusterArn"]
    tail = f"{task.arn} GetCredentials 2 {cluster} {task.shown()['containerInstanceArn']}"
    assert [line.split(" ", 1)[1].partition(" ")[0] for line in lines] == ["200", "200", "400"]
    assert lines[0].endswith(f' "/v2/credentials" "lab/1" {tail}')
    assert lines[1].endswith(f' "/v1/credentials" "lab/1" {tail}')
    assert lines[2].endswith(' "/v2/credentials" "lab/1" -')
    assert credentials_id not in Path(agent.settings["ECS_AUDIT_LOGFILE"]).read_text()
    assert credentials_id not in agent.said()
    inside = names_of(agent).netns(task.id, "app")
    statuses = lab.threads.call(inside, partial(rolelab.in_haste, METADATA, uri))
    least = 3 + statuses.count(200) + min(statuses.count(429), 50)  # some were refused before
    eventually(lambda: len(audit(agent)) >= before + least, "a line for what was given")
    limited = [line for line in audit(agent)[before + 3 :] if line.split()[1] == "429"]
    assert 0 < len(limited) <= statuses.count(429)
    assert limited[0].endswith(' "/v2/credentials" "" -')
    mode = Path(agent.settings["ECS_AUDIT_LOGFILE"]).stat()
    assert (mode.st_mode & 0o777, mode.st_uid) == (0o640, 0)
    task.end()

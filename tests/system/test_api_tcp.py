"""AWS's own tools against a real agent over TCP, with its address and its keys file, no more."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.system.agent import ROOT, Agent, running_agent
from tests.system.tasks import SERVES, Task, run, shell

pytestmark = pytest.mark.timeout(300)

PATIENCE = {"Delay": 0.05, "MaxAttempts": 1200}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent(HOSTLER_API_LISTEN=f"127.0.0.1:{free_port()}") as agent:
        yield agent


def keys_file(agent: Agent) -> Path:
    return Path(agent.settings["HOSTLER_STATE_DIR"]) / "credentials"


def url(agent: Agent) -> str:
    return f"http://{agent.settings['HOSTLER_API_LISTEN']}"


@contextmanager
def ecs(agent: Agent, **config: Any) -> Iterator[Any]:
    """boto3's client of the agent, which finds the key in the agent's file."""
    session = botocore.session.Session()
    session.set_config_variable("credentials_file", str(keys_file(agent)))
    session.set_config_variable("config_file", os.devnull)
    client = boto3.Session(botocore_session=session).client(
        "ecs",
        endpoint_url=url(agent),
        region_name="local",
        config=Config(retries={"max_attempts": 0}, **config),
    )
    try:
        yield client
    finally:
        client.close()


def aws(agent: Agent, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The AWS command line with the agent's keys and address in its environment."""
    if shutil.which("aws") is None:
        pytest.skip("the AWS command line is not installed")
    kept = {name: text for name, text in os.environ.items() if not name.startswith("AWS_")}
    settings = {
        "AWS_SHARED_CREDENTIALS_FILE": str(keys_file(agent)),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": "local",
        "AWS_ENDPOINT_URL_ECS": url(agent),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }
    return subprocess.run(
        ["aws", "ecs", *arguments],
        env={**kept, **settings, **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_boto3_runs_waits_for_and_stops_a_real_task(agent: Agent) -> None:
    with ecs(agent) as client:
        client.register_task_definition(
            family="waited-for", containerDefinitions=[shell("app", SERVES)]
        )
        arn = client.run_task(taskDefinition="waited-for")["tasks"][0]["taskArn"]
        client.get_waiter("tasks_running").wait(tasks=[arn], WaiterConfig=PATIENCE)
        Task(agent, arn).until_log("app")
        client.stop_task(task=arn, reason="enough")
        client.get_waiter("tasks_stopped").wait(tasks=[arn], WaiterConfig=PATIENCE)
        shown = client.describe_tasks(tasks=[arn])["tasks"][0]
    assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "enough")
    assert shown["containers"][0]["exitCode"] == 0


def test_the_aws_command_line_runs_a_task_and_shows_it(agent: Agent, tmp_path: Path) -> None:
    file = tmp_path / "definition.json"
    container = shell("app", "exit 3")
    file.write_text(json.dumps({"family": "by-cli", "containerDefinitions": [container]}))
    registered = aws(agent, "register-task-definition", "--cli-input-json", f"file://{file}")
    assert registered.returncode == 0, registered.stderr
    ran = aws(agent, "run-task", "--task-definition", "by-cli", "--query", "tasks[0].taskArn")
    arn = json.loads(ran.stdout)
    Task(agent, arn).until_closed()
    waited = aws(agent, "wait", "tasks-stopped", "--tasks", arn)
    assert waited.returncode == 0, waited.stderr
    shown = json.loads(aws(agent, "describe-tasks", "--tasks", arn).stdout)["tasks"][0]
    assert shown["containers"][0]["exitCode"] == 3


def test_the_aws_command_line_is_refused_with_a_wrong_key(agent: Agent) -> None:
    (key_id,) = (
        line.split(" = ")[1]
        for line in keys_file(agent).read_text().splitlines()
        if line.startswith("aws_access_key_id")
    )
    secret = "not what is in the file"
    ran = aws(agent, "list-tasks", AWS_ACCESS_KEY_ID=key_id, AWS_SECRET_ACCESS_KEY=secret)
    assert ran.returncode != 0
    assert "(InvalidSignatureException) when calling the ListTasks" in ran.stderr
    ran = aws(agent, "list-tasks", AWS_ACCESS_KEY_ID="A" * 20, AWS_SECRET_ACCESS_KEY=secret)
    assert "(UnrecognizedClientException) when calling the ListTasks" in ran.stderr


def test_nobody_is_let_in_without_a_key(agent: Agent) -> None:
    with ecs(agent, signature_version=UNSIGNED) as client, pytest.raises(ClientError) as caught:
        client.list_tasks()
    assert caught.value.response["Error"]["Code"] == "MissingAuthenticationTokenException"


def test_the_key_stays_the_same_and_an_operators_is_taken_at_the_next_start(agent: Agent) -> None:
    path = keys_file(agent)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = path.read_text()
    added = ("OPERATORSOPERATORS01", "a-secret-that-an-operator-made-up")
    with path.open("a") as file:
        file.write(
            f"\n[operator]\naws_access_key_id={added[0]}\naws_secret_access_key={added[1]}\n"
        )
    agent.restart()
    assert path.read_text().startswith(made)
    with ecs(agent) as client:
        assert client.list_tasks()["ResponseMetadata"]["HTTPStatusCode"] == 200
    env = {"AWS_ACCESS_KEY_ID": added[0], "AWS_SECRET_ACCESS_KEY": added[1]}
    assert aws(agent, "list-tasks", **env).returncode == 0


def started_to_its_end(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """An agent that can't start with these settings."""
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "agent", "agent", *flags]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_second_agent_on_the_same_port_says_what_to_set(agent: Agent, tmp_path: Path) -> None:
    own = {"HOSTLER_STATE_DIR": str(tmp_path / "s"), "HOSTLER_RUN_DIR": str(tmp_path / "r")}
    ran = started_to_its_end({**agent.settings, **own})
    assert ran.returncode == 1
    assert ran.stderr.startswith("hostler: HOSTLER_API_LISTEN: can't listen on 127.0.0.1 port ")
    assert ran.stderr.count("\n") == 1
    assert not (tmp_path / "r" / "containerd").exists()


def test_a_broken_keys_file_keeps_the_agent_from_starting(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[default]\nno-one-should-see-this\n")
    (tmp_path / "credentials").chmod(0o600)
    own = {
        "HOSTLER_STATE_DIR": str(tmp_path),
        "HOSTLER_RUN_DIR": str(tmp_path / "r"),
        "HOSTLER_API_LISTEN": f"127.0.0.1:{free_port()}",
    }
    ran = started_to_its_end({**agent.settings, **own})
    assert ran.returncode == 78
    assert f"hostler: {tmp_path}/credentials can't be read as an AWS credentials" in ran.stderr
    assert "no-one-should-see-this" not in ran.stderr + ran.stdout


def test_no_key_is_made_where_the_port_is_off() -> None:
    with running_agent(HOSTLER_API_LISTEN="off") as agent:
        run(agent, shell("app", "exit 0")).until_closed()
        assert not keys_file(agent).exists()

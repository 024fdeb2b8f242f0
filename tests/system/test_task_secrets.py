"""Secrets and variables from files in real containers, and that they are nowhere else.

The cloud is moto's server in this process. Values are drawn at random, so that what is found
anywhere was put there by this run.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil
import pytest

from agent.task import names
from tests import cloud
from tests.system.agent import Agent, running_agent
from tests.system.rolelab import variables
from tests.system.tasks import SERVES, Json, Task, ctr, run, shell

ROLE = "arn:aws:iam::111122223333:role/execution"
RUNC = Path("/run/containerd/runc/hostler")


def drawn() -> str:
    return f"hush-{secrets.token_hex(16)}"


@dataclass(frozen=True)
class Site:
    """An agent, the cloud that it asks, and its folders. ``values`` are all that is secret."""

    agent: Agent
    url: str
    secrets: Path
    env_files: Path
    values: dict[str, str] = field(
        default_factory=lambda: {
            each: drawn() for each in ("key", "text", "db", "local", "s3", "path")
        }
    )

    def put(self, path: Path, text: str) -> None:
        """A file that is root's alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)

    def everything(self) -> tuple[list[Json], list[Json]]:
        """``secrets`` and ``environmentFiles`` from everywhere that they can come from."""
        manager = cloud.administrator("secretsmanager", self.url)
        text = json.dumps({"key": self.values["key"], "port": 5432})
        json_arn = manager.create_secret(Name="lab/json", SecretString=text)["ARN"]
        text_arn = manager.create_secret(Name="lab/text", SecretString=self.values["text"])["ARN"]
        store = cloud.administrator("ssm", self.url)
        store.put_parameter(Name="/lab/db", Value=self.values["db"], Type="SecureString")
        self.put(self.secrets / "lab" / "local", f"{self.values['local']}\n")
        s3 = cloud.administrator("s3", self.url)
        where = {"LocationConstraint": cloud.REGION}
        s3.create_bucket(Bucket="lab-bucket", CreateBucketConfiguration=where)
        s3.put_object(Bucket="lab-bucket", Key="a.env", Body=f"S3={self.values['s3']}\nBOTH=s3\n")
        self.put(
            self.env_files / "lab-bucket" / "b.env", f"PATHED={self.values['path']}\nBOTH=no\n"
        )
        secret = {
            "KEY": f"{json_arn}:key::",
            "PORT": f"{json_arn}:port:AWSCURRENT:",
            "TEXT": text_arn,
            "DB": "/lab/db",
            "LOCAL": "/lab/local",
        }
        files = ["arn:aws:s3:::lab-bucket/a.env", "arn:aws:s3:::lab-bucket/b.env"]
        return (
            [{"name": name, "valueFrom": value} for name, value in secret.items()],
            [{"type": "s3", "value": value} for value in files],
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("kept")
    roles = folder / "roles"
    roles.touch(mode=0o600)
    roles.write_text(f"[{ROLE}]\naws_access_key_id = AKIDROLE\naws_secret_access_key = x\n")
    with cloud.served() as url, pytest.MonkeyPatch.context() as environment:
        cloud.alone(environment, folder, url)
        with running_agent(
            AWS_DEFAULT_REGION=cloud.REGION,
            HOSTLER_SECRETS_DIR=str(folder / "secrets"),
            HOSTLER_ENV_FILES_DIR=str(folder / "env-files"),
            HOSTLER_TASK_ROLES=str(roles),
        ) as agent:
            yield Site(agent, url, folder / "secrets", folder / "env-files")


def asks_for(name: str, value: str) -> Json:
    """A health check that knows a value by its digest."""
    digest = sha256(value.encode()).hexdigest()
    command = f'test "$(printf %s "${name}" | sha256sum | cut -d" " -f1)" = {digest}'
    return {"command": ["CMD-SHELL", command], "interval": 5, "retries": 10}


def found(site: Site, *also: Path) -> list[str]:
    """The files of the agent, its containerd and the runtimes that hold a secret."""
    wanted = [each.encode() for each in site.values.values()]
    every = (
        Path(at, name)
        for folder in (site.agent.root, *also)
        for at, _, names in os.walk(folder)
        for name in names
    )
    return [
        str(each)
        for each in every
        if each.parent.name != "netns" and any(value in contents(each) for value in wanted)
    ]


def contents(path: Path) -> bytes:
    """What is in it; nothing if it is no file, or none any more."""
    with suppress(FileNotFoundError):
        if path.is_file():
            return path.read_bytes()
    return b""


def shown(site: Site, text: str) -> list[str]:
    return [name for name, value in site.values.items() if value in text]


def test_a_value_is_in_its_container_and_nowhere_else(site: Site) -> None:
    agent = site.agent
    secret, files = site.everything()
    task = run(
        agent,
        shell(
            "web",
            f"ls /proc/self/fd; {SERVES}",
            secrets=secret,
            environmentFiles=files,
            environment=[{"name": "PLAIN", "value": "plain"}, {"name": "S3x", "value": "1"}],
            healthCheck=asks_for("KEY", site.values["key"]),
        ),
        shell("log", SERVES),
        executionRoleArn=ROLE,
    )
    task.until_running()
    task.until_log("log")
    given = variables(task, "web")
    assert {
        name: given[name] for name in ("KEY", "PORT", "TEXT", "DB", "LOCAL", "S3", "PATHED")
    } == {
        "KEY": site.values["key"],
        "PORT": "5432",
        "TEXT": site.values["text"],
        "DB": site.values["db"],
        "LOCAL": site.values["local"],
        "S3": site.values["s3"],
        "PATHED": site.values["path"],
    }
    assert (given["BOTH"], given["PLAIN"]) == ("s3", "plain")
    assert not shown(site, " ".join(variables(task, "log").values()))
    agent.kill9()
    agent.start()

    def had_again(answer: Json) -> bool:
        return [each["what"] for each in answer["steps"]].count("secrets") == 2

    task.until(had_again, "secrets for the next probe")
    task.until_step("healthy", "web")

    assert found(site, *(RUNC / names.container_id(task.id, each) for each in ("web", "log"))) == []
    said = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    told = agent.cli("inspect", task.id).stdout
    assert "lab/json" in told
    record = "\n".join(ctr(agent, "containers", "info", names.container_id(task.id, "web")))
    assert "hostler.private-variables" in record
    logs = agent.call("Hostler.GetLogs", task=task.arn, container="web", cursor=None)
    for text in (*said, told, record, agent.said(), json.dumps(logs)):
        assert shown(site, text) == []
    assert task.until_log("web", lines=5)[:4] == ["0\n", "1\n", "2\n", "3\n"], (
        "no file but its own is open"
    )
    task.end()
    assert task.leftovers() == []


def test_what_cant_be_had_ends_the_task_before_anything_starts(site: Site) -> None:
    wanted = [{"name": "DB", "valueFrom": "/lab/none"}]
    files = [{"type": "s3", "value": "/nowhere/a.env"}]
    task = run(
        site.agent,
        shell("web", SERVES, secrets=wanted),
        shell("log", SERVES, environmentFiles=files),
    )
    ended = task.until_closed()
    assert ended["stopCode"] == "TaskFailedToStart"
    assert ended["stoppedReason"] == (
        "ResourceInitializationError: unable to pull secrets or registry auth: secret DB of "
        "container web: unable to retrieve parameter /lab/none: there is no such parameter in "
        f"{cloud.REGION}, and there is no file for it in {site.secrets}; failed to download env "
        "files: container log: unable to read environment file /nowhere/a.env: /nowhere/a.env: No "
        "such file or directory"
    )
    assert task.exit_codes() == {"web": None, "log": None}
    assert "created" not in [each for _, each in task.story()]


def why(task: Task) -> str:
    """Why it stopped, without what is different about any two tasks."""
    key = names.container_id(task.id, "web")
    return str(task.until_closed()["stoppedReason"]).replace(key, "KEY")


def test_what_a_runtime_refuses_is_told_as_without_secrets(site: Site) -> None:
    site.put(site.secrets / "lab" / "own", drawn())
    broken = {**shell("web", ""), "command": ["no-such-program"]}
    wanted = [{"name": "OWN", "valueFrom": "/lab/own"}]
    told = why(run(site.agent, {**broken, "secrets": wanted}))
    assert told == why(run(site.agent, broken))
    assert "no-such-program" in told

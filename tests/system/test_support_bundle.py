"""``hostler support-bundle`` of a real agent: what is in it, and that no secret is.

A canary of its own is put into every place where users keep secrets; each is looked for in every
file of the bundle, in each form that it may take there.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
import subprocess
import sys
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.system.agent import ROOT, Agent, kept_clean
from tests.system.tasks import SERVES, Task, shell

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")

ROLE = "arn:aws:iam::111122223333:role/app"
PARAMETER = "arn:aws:ssm:xx-test-1:111122223333:parameter/lab/db"
ENV_FILE = "arn:aws:s3:::lab/app.env"

KEPT_IN = (
    *("environment", "override", "command", "entrypoint", "overridden", "health", "label", "tag"),
    *("parameter", "envfile", "rolekey", "roletoken", "login", "enginelogin", "output", "option"),
    *("proxy", "argument"),
)


def drawn(place: str) -> str:
    return f"canary-{place}-{secrets.token_hex(12)}"


@dataclass
class Cage:
    """An agent, a canary for each place, and the file that the bundle went to."""

    agent: Agent
    canaries: dict[str, str] = field(
        default_factory=lambda: {each: drawn(each) for each in KEPT_IN}
    )
    task: Task | None = None

    def bundle(self, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Made with the agent's settings in the environment, as its unit has them."""
        code = "import sys; from agent.cli.main import main; main(sys.argv[1:])"
        return subprocess.run(
            [sys.executable, "-c", code, "support-bundle", "--output", str(path)],
            cwd=ROOT,
            env={**os.environ, **self.agent.settings, **variables},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def settings_of(root: Path) -> dict[str, str]:
    return {
        "HOSTLER_API_LISTEN": f"127.0.0.1:{free_port()}",
        "HOSTLER_INTROSPECTION_LISTEN": f"127.0.0.1:{free_port()}",
        "HOSTLER_SECRETS_DIR": str(root / "secrets"),
        "HOSTLER_ENV_FILES_DIR": str(root / "env-files"),
        "HOSTLER_DOCKER_CONFIG": str(root / "docker.json"),
        "ECS_ENGINE_AUTH_TYPE": "docker",
        "AWS_DEFAULT_REGION": "xx-test-1",
    }


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    root = tmp_path_factory.mktemp("cage")
    cage = Cage(Agent(root, settings_of(root)))
    agent, of = cage.agent, cage.canaries
    login = {"registry.test": {"username": "u", "password": of["enginelogin"], "email": ""}}
    agent.settings["ECS_ENGINE_AUTH_DATA"] = json.dumps(login)
    put(root / "secrets/lab/db", of["parameter"])
    put(root / "env-files/lab/app.env", f"FROM_FILE={of['envfile']}\n")
    pair = b64encode(f"user:{of['login']}".encode()).decode()
    put(root / "docker.json", json.dumps({"auths": {"registry.test": {"auth": pair}}}))
    keys = {"aws_access_key_id": "AKIDLAB", "aws_secret_access_key": of["rolekey"]}
    lines = [
        f"{key} = {value}" for key, value in {**keys, "aws_session_token": of["roletoken"]}.items()
    ]
    put(root / "roles", "\n".join(("[default]", *lines, "")))
    with kept_clean(agent):
        cage.task = planted(cage)
        yield cage


def planted(cage: Cage) -> Task:
    """A running task with canaries in all that its definition may say."""
    of = cage.canaries
    web = shell(
        "web",
        f": {of['command']}; echo {of['output']}; echo {of['output']} >&2; {SERVES}",
        environment=[
            {"name": "PASSWORD", "value": of["environment"]},
            {"name": "PROXY", "value": f"http://me:{of['proxy']}@proxy.test:3128/"},
        ],
        secrets=[{"name": "DB", "valueFrom": PARAMETER}],
        environmentFiles=[{"value": ENV_FILE, "type": "s3"}],
        dockerLabels={"note": of["label"]},
        healthCheck={"command": ["CMD-SHELL", f": {of['health']}; true"], "interval": 5},
    )
    broken = {
        "name": "broken",
        "image": "hostler/hello",
        "memory": 32,
        "essential": False,
        "entryPoint": [f"/no/such/{of['entrypoint']}"],
        "command": [of["argument"]],
        "logConfiguration": {"logDriver": "none", "options": {"labels": of["option"]}},
    }
    definition = {
        "family": "caged",
        "containerDefinitions": [web, broken],
        "taskRoleArn": ROLE,
        "executionRoleArn": ROLE,
    }
    override = {
        "name": "web",
        "environment": [{"name": "MORE", "value": of["override"]}],
        "command": ["sh", "-c", f": {of['overridden']}; echo {of['output']}; {SERVES}"],
    }
    tags = [{"key": "owner", "value": of["tag"]}]
    task = Task(
        cage.agent,
        cage.agent.run(definition, overrides={"containerOverrides": [override]}, tags=tags),
    )
    task.until_running()
    task.until_log("web")
    return task


def unpacked(path: Path) -> dict[str, str]:
    with tarfile.open(path) as tar:
        files = {each.name: tar.extractfile(each) for each in tar.getmembers()}
        return {
            name.partition("/")[2]: file.read().decode() for name, file in files.items() if file
        }


def forms(secret: str) -> list[str]:
    """What a secret may look like in a text."""
    text = secret.encode()
    pair = f"user:{secret}".encode()
    return [secret, quote(secret), b64encode(text).decode(), b64encode(pair).decode(), text.hex()]


def leaks(files: dict[str, str], canaries: dict[str, str]) -> list[str]:
    return [
        f"{place} is in {name}"
        for place, secret in canaries.items()
        for name, text in files.items()
        if any(each in text for each in forms(secret))
    ]


@pytest.fixture(scope="module")
def made(cage: Cage, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar.gz"
    ran = cage.bundle(path)
    assert (ran.returncode, ran.stderr) == (0, "")
    return path, ran.stdout


def test_no_canary_gets_out(cage: Cage, made: tuple[Path, str]) -> None:
    files = unpacked(made[0])
    assert leaks(files, cage.canaries) == []
    profile = (cage.agent.root / "state/credentials").read_text()
    keys = {
        line.split(" = ")[0]: line.split(" = ")[1] for line in profile.splitlines() if " = " in line
    }
    assert keys.keys() == {"aws_access_key_id", "aws_secret_access_key"}
    assert leaks(files, keys) == []
    assert made[1].count("canary") == 0
    assert cage.task is not None
    environ = Path(f"/proc/{cage.task.pid('web')}/environ").read_bytes().decode()
    (uri,) = (each for each in environ.split("\0") if "CREDENTIALS_RELATIVE_URI=" in each)
    assert leaks(files, {"credentials id": uri.rpartition("/")[2]}) == []


def test_the_canaries_were_really_there(cage: Cage) -> None:
    """What the API and the host show of them without masks: else the test above proves nothing."""
    assert cage.task is not None
    inspected = cage.agent.cli("inspect", cage.task.id).stdout
    logs = cage.agent.cli("logs", cage.task.id, "web").stdout
    planted_in_api = ("environment", "override", "command", "entrypoint", "overridden", "health")
    for place in (*planted_in_api, "label", "tag", "option", "proxy", "argument"):
        assert cage.canaries[place] in inspected, place
    assert cage.canaries["output"] in logs
    environ = Path(f"/proc/{cage.task.pid('web')}/environ").read_bytes().decode()
    for place in ("parameter", "envfile", "environment", "override"):
        assert cage.canaries[place] in environ, place


def test_what_helps_is_in_it(cage: Cage, made: tuple[Path, str]) -> None:
    files = unpacked(made[0])
    assert cage.task is not None
    whole = json.loads(files[f"tasks/{cage.task.id}.json"])
    containers = {each["name"]: each for each in whole["taskDefinition"]["containerDefinitions"]}
    assert containers["web"]["image"] == "hostler/hello"
    assert containers["web"]["environment"][0] == {"name": "PASSWORD", "value": "(hidden)"}
    assert containers["web"]["secrets"] == [{"name": "DB", "valueFrom": PARAMETER}]
    assert containers["web"]["environmentFiles"][0]["value"] == ENV_FILE
    assert whole["task"]["lastStatus"] == "RUNNING"
    assert "no such file" in json.dumps(whole), "why a container did not start"
    assert f"{cage.task.id}  caged:1  RUNNING" in files["tasks.txt"]
    assert json.loads(files["doctor.json"])["facts"]
    names = {each["name"] for each in json.loads(files["config.json"])["settings"]}
    assert "HOSTLER_STATE_DIR" in names
    assert "hostler_" in files["metrics.txt"]
    assert json.loads(files["health.json"])["status"] == "healthy"
    assert "structure: ok" in files["state.txt"]
    assert "1 rows in intent" in files["state.txt"]
    assert cage.agent.settings["HOSTLER_NFT_TABLE"] in files["network/nft-own.txt"]
    assert cage.agent.settings["HOSTLER_BRIDGE"] in files["network/ip-link.txt"]
    assert str(cage.task.id) in files["cgroups.txt"]
    assert "overlayfs" in files["containerd/plugins.txt"]
    assert "io.containerd.runc.v2" in files["containerd/containers.txt"]
    assert "RUNNING" in files["containerd/tasks.txt"]
    assert f"pid {cage.agent.pid}" in files["agent-process.txt"]
    assert "# /proc/cmdline" in files["kernel.txt"]
    assert "hostler " in files["versions/hostler.txt"]
    for name in ("mounts.txt", "disk/df.txt", "network/ip-route.txt", "README.txt"):
        assert files[name].strip(), name


def test_what_it_lacks_is_named_with_the_reason(made: tuple[Path, str]) -> None:
    missing = unpacked(made[0])["missing.txt"].splitlines()
    assert all(": " in each for each in missing)
    assert not [each for each in missing if each.startswith(("tasks", "doctor", "state", "config"))]


def test_it_is_its_owners_alone_and_says_what_to_do(made: tuple[Path, str]) -> None:
    path, said = made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert said.startswith(f"{path} (")
    assert "Before you pass it on, look through" in said
    with tarfile.open(path) as tar:
        assert all(each.name.startswith("bundle/") for each in tar.getmembers())
        assert all(each.isreg() for each in tar.getmembers())


def test_a_file_that_is_there_is_kept(cage: Cage, tmp_path: Path) -> None:
    path = tmp_path / "mine.tar.gz"
    path.write_text("mine")
    ran = cage.bundle(path)
    assert (ran.returncode, ran.stdout) == (125, "")
    assert ran.stderr == f"hostler: {path} is there already: name another file with --output\n"
    assert path.read_text() == "mine"


def test_without_an_agent_the_host_is_in_it_and_still_no_secret(cage: Cage, tmp_path: Path) -> None:
    """The agent is not stopped for that: nobody answers where it is asked."""
    path = tmp_path / "alone.tar.gz"
    ran = cage.bundle(path, HOSTLER_RUN_DIR=str(tmp_path / "run"))
    assert (ran.returncode, ran.stderr) == (0, "")
    files = unpacked(path)
    missing = files["missing.txt"]
    assert "tasks: no agent answers on" in missing
    assert "structure: ok" in files["state.txt"]
    assert [each["check"] for each in json.loads(files["doctor.json"])["findings"]].count(
        "agent"
    ) == 1
    assert leaks(files, cage.canaries) == []


def test_without_an_agent_the_store_tells_what_tasks_keep_secret(
    cage: Cage, tmp_path: Path
) -> None:
    """As it does of tasks that the agent has forgotten, which its log still tells of."""
    log = cage.agent.root / "state/containerd/containerd.log"
    log.parent.mkdir(exist_ok=True)
    told = ("argument", "command", "overridden", "override", "environment", "health")
    with log.open("a") as file:
        file.writelines(f"exec: {cage.canaries[each]}: no such file\n" for each in told)
    path = tmp_path / "alone.tar.gz"
    assert cage.bundle(path, HOSTLER_RUN_DIR=str(tmp_path / "run")).returncode == 0
    files = unpacked(path)
    assert "exec: (hidden): no such file" in files["journal/own-containerd.log"]
    assert leaks(files, cage.canaries) == []


def test_a_configuration_that_cant_be_used_is_no_obstacle(cage: Cage, tmp_path: Path) -> None:
    path = tmp_path / "wrong.tar.gz"
    ran = cage.bundle(path, HOSTLER_BRIDGE_SUBNET="10.0.0.0/33")
    assert (ran.returncode, ran.stderr) == (0, "")
    files = unpacked(path)
    assert (
        "settings: what is wrong counts as not set: HOSTLER_BRIDGE_SUBNET=10.0.0.0/33"
        in (files["missing.txt"])
    )
    assert "config.json" not in files
    assert leaks(files, cage.canaries) == []


def test_a_bundle_that_does_not_come_about_leaves_nothing(cage: Cage, tmp_path: Path) -> None:
    ran = cage.bundle(tmp_path / "no" / "such" / "folder.tar.gz")
    assert ran.returncode == 125
    assert "can't be written: No such file or directory" in ran.stderr
    assert list(tmp_path.iterdir()) == []

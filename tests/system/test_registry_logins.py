"""Logins as other tools write them down after they have tried them at a real registry."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.registry.logins.docker_config import DockerConfig
from agent.registry.logins.login import Login
from tests.system.registrylab import Demands, registry

USERS = {"me": "hush:hush", "team": "häsh"}


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with registry(Demands(users=USERS)) as running:
        yield running.host


def log_in(tool: str, file: Path, where: str, name: str) -> None:
    """Like a person does, the password coming from a pipe."""
    who = ["--username", name, "--password-stdin"]
    subprocess.run(
        [tool, "login", "--tls-verify=false", "--authfile", str(file), *who, where],
        input=USERS[name].encode(),
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("tool", ["skopeo", "podman"])
async def test_what_a_tool_logged_in_with_is_found_by_the_longest_name(
    tmp_path: Path, tool: str, host: str
) -> None:
    file = tmp_path / "auth.json"
    docker = DockerConfig(file)
    assert await docker.login(host, "app") is None
    log_in(tool, file, host, "me")
    assert await docker.login(host, "team/app") == Login("me", USERS["me"])
    log_in(tool, file, f"{host}/team", "team")
    assert await docker.login(host, "team/app") == Login("team", USERS["team"])
    assert await docker.login(host, "app") == Login("me", USERS["me"])
    assert await docker.login(host.replace("127.0.0.1", "127.0.0.2"), "app") is None

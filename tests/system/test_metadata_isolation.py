"""Nobody reads another task's metadata: not with its id or address, and not from the host."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import psutil
import pytest

from cni.kernel import loopback
from cni.kernel.loopback import METADATA_ADDRESS
from cni.kernel.netns import NamespaceThread
from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, Task, names_of, run, shell

BEHIND_PORT = 51679
ANSWER_S = 20.0
REFUSED_S = 2.0
WHATS = ("", "/task", "/taskWithTags", "/stats", "/task/stats", "/associations/x")


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@dataclass(frozen=True, slots=True)
class Inhabitant:
    """A running task with one container, and its network namespace; None is the host's."""

    task: Task
    threads: NamespaceThread
    namespace: Path | None

    @property
    def endpoint_id(self) -> str:
        """The unguessable part of its metadata address, from its own environment."""
        return self.variables["ECS_CONTAINER_METADATA_URI_V4"].rpartition("/")[2]

    @property
    def variables(self) -> dict[str, str]:
        """What its program finds in its environment."""
        (key,) = (each["runtimeId"] for each in self.task.shown()["containers"])
        for process in psutil.process_iter():
            with suppress(FileNotFoundError, ProcessLookupError):  # other tests' processes end
                if key in Path(f"/proc/{process.pid}/cgroup").read_text():
                    return process.environ()
        raise AssertionError("no process of the task is found")

    def ask(
        self,
        path: str,
        host: str = str(METADATA_ADDRESS),
        port: int = 80,
        patience_s: float = ANSWER_S,
    ) -> Any:
        """Status and body of an answer to a program of the task. Raises OSError without one."""

        def get() -> tuple[int, Any]:
            with closing(HTTPConnection(host, port, timeout=patience_s)) as connection:
                connection.request("GET", path)
                with connection.getresponse() as answer:
                    return answer.status, json.loads(answer.read())

        return self.threads.call(self.namespace, get)

    @property
    def address(self) -> IPv4Address:
        """Its address on the bridge."""
        (network,) = self.ask(f"/v4/{self.endpoint_id}")[1]["Networks"]
        return IPv4Address(network["IPv4Addresses"][0])


@pytest.fixture(scope="module")
def pair(agent: Agent, threads: NamespaceThread) -> Iterator[tuple[Inhabitant, Inhabitant]]:
    """Two tasks in bridge mode."""
    tasks = [run(agent, shell("app", SERVES)) for _ in range(2)]
    for each in tasks:
        each.until_running()
        each.until_log("app")  # before, its process may yet be the runtime's
    one, two = (Inhabitant(each, threads, names_of(agent).netns(each.id, "app")) for each in tasks)
    yield one, two
    for each in tasks:
        each.end()


@pytest.fixture(scope="module")
def on_host(agent: Agent, threads: NamespaceThread) -> Iterator[Inhabitant]:
    """A task in host mode."""
    task = run(agent, shell("app", SERVES), networkMode="host")
    task.until_running()
    task.until_log("app")
    yield Inhabitant(task, threads, None)
    task.end()


def test_each_is_answered_about_itself(pair: tuple[Inhabitant, Inhabitant]) -> None:
    for each in pair:
        status, shown = each.ask(f"/v4/{each.endpoint_id}/task")
        assert (status, shown["TaskARN"]) == (200, each.task.arn)


@pytest.mark.parametrize("what", WHATS)
@pytest.mark.parametrize("version", ["v3", "v4"])
def test_a_stolen_id_is_an_unknown_one(
    version: str, what: str, pair: tuple[Inhabitant, Inhabitant]
) -> None:
    thief, victim = pair
    stolen = thief.ask(f"/{version}/{victim.endpoint_id}{what}")
    made_up = thief.ask(f"/{version}/{'0' * 36}{what}")
    assert stolen[0] == made_up[0] >= 400
    assert stolen[1] == made_up[1].replace("0" * 36, victim.endpoint_id)


def test_a_runtime_id_of_another_task_is_unknown(pair: tuple[Inhabitant, Inhabitant]) -> None:
    thief, victim = pair
    (container,) = victim.task.shown()["containers"]
    for what in ("metadata", "stats"):
        assert thief.ask(f"/v2/{what}/{container['runtimeId']}")[0] == 400


@pytest.mark.parametrize("port", [80, BEHIND_PORT])
def test_the_endpoint_does_not_listen_on_the_tasks_address(
    port: int, pair: tuple[Inhabitant, Inhabitant]
) -> None:
    thief, victim = pair
    with pytest.raises(OSError, match="refused"):
        thief.ask(f"/v4/{victim.endpoint_id}", str(victim.address), port)


@pytest.mark.parametrize("port", [80, BEHIND_PORT])
def test_a_route_through_another_task_does_not_lead_to_its_endpoint(
    port: int, pair: tuple[Inhabitant, Inhabitant], threads: NamespaceThread
) -> None:
    """As a container with NET_ADMIN can make one, or NET_RAW can do without."""
    thief, victim = pair
    path = f"/v4/{victim.endpoint_id}"
    threads.call(thief.namespace, lambda: loopback.drop_address(METADATA_ADDRESS))
    ip(thief, "route", "add", f"{METADATA_ADDRESS}/32", "via", str(victim.address))
    try:
        with pytest.raises(OSError, match=r"refused|timed out"):
            thief.ask(path, port=port, patience_s=REFUSED_S)
    finally:
        ip(thief, "route", "delete", f"{METADATA_ADDRESS}/32")
        threads.call(thief.namespace, lambda: loopback.ensure_address(METADATA_ADDRESS))
    assert thief.ask(f"/v4/{thief.endpoint_id}")[0] == 200


def test_the_host_has_no_endpoint_for_tasks_with_namespaces(
    pair: tuple[Inhabitant, Inhabitant], on_host: Inhabitant
) -> None:
    assert on_host.ask(f"/v4/{on_host.endpoint_id}")[0] == 200
    for each in pair:
        assert on_host.ask(f"/v4/{each.endpoint_id}")[0] == 404
        assert each.ask(f"/v4/{on_host.endpoint_id}")[0] == 404


def test_in_host_mode_what_is_asked_without_an_id_is_answered_nobody(on_host: Inhabitant) -> None:
    assert on_host.ask("/v2/metadata")[0] == 400
    assert on_host.ask("/v4/")[0] == 404


def ip(inhabitant: Inhabitant, *arguments: str) -> None:
    subprocess.run(
        ["nsenter", f"--net={inhabitant.namespace}", "ip", *arguments], check=True, timeout=30
    )

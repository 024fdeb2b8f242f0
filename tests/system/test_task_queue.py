"""Tasks that wait for their share of a small host, and a host that is emptied; with real tasks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.system.agent import Agent, running_agent
from tests.system.tasks import SERVES, Json, Task, shell

HOST_MIB = 200


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    """A host with room for two tasks of 100 MiB."""
    with running_agent(HOSTLER_MEMORY=str(HOST_MIB)) as agent:
        yield agent


def run(agent: Agent, memory: int, *, port: int = 0, **asked: object) -> Task:
    ports = [{"containerPort": 80, "hostPort": port}] if port else []
    app = shell("app", SERVES, memory=memory, portMappings=ports)
    return Task(agent, agent.run({"family": "test", "containerDefinitions": [app]}, **asked))


def waits_for(task: Task) -> str:
    return str(task.agent.call("Hostler.WatchTask", task=task.arn)["waitsFor"])


def test_a_task_waits_for_memory_under_two_agents_and_begins_when_there_is_some(
    agent: Agent,
) -> None:
    first, second = run(agent, 100), run(agent, 100)
    big = run(agent, 200)
    late = run(agent, 50)
    for each in (first, second):
        each.until_log("app")
    big.until_step("waiting", detail="for 200 MiB of memory: 0 MiB of 200 are free")
    late.until_step("waiting", detail=f"0 MiB of 200 are free; task {big.id[:12]} is before it")
    assert big.shown()["lastStatus"] == "PENDING"
    listed = agent.cli("ps").stdout.splitlines()[-2:]
    assert listed == [
        f"task {big.id[:12]} waits for 200 MiB of memory: 0 MiB of 200 are free",
        f"task {late.id[:12]} waits for 50 MiB of memory: 0 MiB of 200 are free;"
        f" task {big.id[:12]} is before it",
    ]
    agent.restart()
    assert waits_for(big) == "for 200 MiB of memory: 0 MiB of 200 are free"
    first.stop()
    first.until_closed()
    kept = f"for 50 MiB of memory: 100 MiB of 200 are free, but kept for task {big.id[:12]}"
    assert waits_for(late) == kept
    second.stop()
    big.until_running()
    assert late.story() == [("", "accepted"), ("", "waiting")]
    big.until_log("app")
    big.stop()
    late.until_running()
    assert [what for _, what in late.story()][:3] == ["accepted", "waiting", "admitted"]
    for each in (second, big, late):
        each.end()
        assert each.leftovers() == []


def test_a_task_that_is_stopped_while_it_waits_ends_with_nothing_begun(agent: Agent) -> None:
    whole = run(agent, 200)
    waiting = run(agent, 6)
    waiting.until_step("waiting")
    waiting.stop(reason="changed my mind")
    shown = waiting.until_closed()
    assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "changed my mind")
    (container,) = shown["containers"]
    assert "exitCode" not in container
    assert container["reason"].startswith("TaskStoppedBeforePullBeginError: ")
    assert {what for _, what in waiting.story()} == {
        *("accepted", "waiting", "stopping", "gave up", "stopped", "closed")
    }
    assert waiting.leftovers() == []
    whole.end()


def test_the_heir_of_a_port_begins_when_it_is_closed(agent: Agent) -> None:
    first = run(agent, 64, port=18080)
    first.until_log("app")
    first.stop()
    heir = run(agent, 64, port=18080)
    heir.until_running()
    (binding,) = heir.container("app")["networkBindings"]
    assert binding["hostPort"] == 18080
    closed = first.at("", "closed")
    assert closed <= heir.at("app", "network"), "never at the same time"
    heir.end()


def test_drain_empties_the_host_but_for_protected_tasks_and_daemons_last(agent: Agent) -> None:
    web, job = run(agent, 32), run(agent, 32)
    log = run(agent, 32, group="daemon:log")
    for each in (web, job, log):
        each.until_log("app")
    agent.call("UpdateTaskProtection", tasks=[job.arn], protectionEnabled=True)
    spared = agent.cli("drain", "--timeout", "1s")
    assert spared.returncode == 1, spared
    assert f"task {job.id[:12]} is protected for " in spared.stdout
    assert web.until_closed()["stoppedReason"] == "The host is being drained"
    assert job.shown()["lastStatus"] == log.shown()["lastStatus"] == "RUNNING"
    refused = agent.cli("run", "test")
    assert (refused.returncode, refused.stdout) == (125, "")
    assert "this host is draining" in refused.stderr
    agent.restart()
    assert agent.cli("run", "test").returncode == 125, "it still is"
    drained = agent.cli("drain", "--force", "--json")
    assert drained.returncode == 0, drained
    told = json.loads(drained.stdout)
    assert (told["drained"], told["left"]) == (True, [])
    assert set(told["stopped"]) == {job.arn, log.arn}
    assert job.at("app", "exited") <= log.at("app", "signalled")
    assert agent.cli("undrain").returncode == 0
    run(agent, 32).end()


class Imds:
    """EC2's instance metadata service, which has a ``notice`` from some time on."""

    def __init__(self) -> None:
        self.notice = b""


@contextmanager
def imds() -> Iterator[tuple[Imds, str]]:
    service = Imds()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.answer(b"token" if self.path == "/latest/api/token" else b"")

        def do_GET(self) -> None:
            trusted = self.headers["X-aws-ec2-metadata-token"] == "token"
            asked = self.path == "/latest/meta-data/spot/instance-action"
            self.answer(service.notice if trusted and asked else b"")

        def answer(self, body: bytes) -> None:
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield service, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_spot_notice_stops_all_tasks_and_keeps_new_ones_out() -> None:
    with (
        imds() as (service, url),
        running_agent(
            ECS_ENABLE_SPOT_INSTANCE_DRAINING="true", AWS_EC2_METADATA_SERVICE_ENDPOINT=url
        ) as agent,
    ):
        web, log = run(agent, 32), run(agent, 32, group="daemon:log")
        for each in (web, log):
            each.until_log("app")
        service.notice = b'{"action": "terminate", "time": "2026-11-26T08:22:00Z"}'
        ended: list[Json] = [each.until_closed() for each in (web, log)]
        assert {(each["stopCode"], each["stoppedReason"]) for each in ended} == {
            ("SpotInterruption", "Your Spot Task was interrupted.")
        }
        assert web.at("app", "exited") <= log.at("app", "signalled")
        assert web.exit_codes() == log.exit_codes() == {"app": 0}
        (host,) = agent.call("ListContainerInstances")["containerInstanceArns"]
        shown = agent.call("DescribeContainerInstances", containerInstances=[host])
        assert shown["containerInstances"][0]["status"] == "DRAINING"

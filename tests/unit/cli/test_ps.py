"""``hostler ps``."""

import json

from agent.cli.ps import HEADINGS
from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import container, know, task

BINDING = {"containerPort": 80, "hostPort": 32768, "protocol": "tcp", "bindIP": "0.0.0.0"}
RANGE = {"containerPortRange": "1-3", "hostPortRange": "9-11", "protocol": "udp"}
STOPPED = task(
    container("job", lastStatus="STOPPED", exitCode=7),
    task_id="f" * 32,
    lastStatus="STOPPED",
    desiredStatus="STOPPED",
)


def test_each_container_has_a_line(api: FakeApi, hostler: Hostler) -> None:
    web = container("web", networkBindings=[BINDING, RANGE], healthStatus="HEALTHY")
    know(api, task(web, container("log", lastStatus="PENDING")), STOPPED)
    ran = hostler("ps")
    head, *lines = (line.split() for line in ran.out.splitlines())
    assert (ran.code, ran.err, head) == (0, "", list(HEADINGS))
    assert [line[:-1] for line in lines] == [
        ["0123456789ab", "hello:3", "web", "RUNNING", "healthy", "32768->80/tcp,", "9-11->1-3/udp"],
        ["0123456789ab", "hello:3", "log", "PENDING", "-", "-"],
    ]


def test_all_shows_stopped_tasks_and_their_exit_codes(api: FakeApi, hostler: Hostler) -> None:
    know(api, STOPPED)
    assert "STOPPED (7)" in hostler("ps", "--all").out
    assert "STOPPED (7)" not in hostler("ps").out


def test_a_task_on_its_way_down_is_shown_as_stopping(api: FakeApi, hostler: Hostler) -> None:
    know(api, task(container("web"), desiredStatus="STOPPED", lastStatus="STOPPING"))
    assert "STOPPING" in hostler("ps").out


def test_json_has_the_tasks_as_the_api_shows_them(api: FakeApi, hostler: Hostler) -> None:
    know(api, STOPPED, task(container("web")))
    assert json.loads(hostler("ps", "--json").out) == {"tasks": [task(container("web"))]}


def test_nothing_running_is_a_heading_only(api: FakeApi, hostler: Hostler) -> None:
    know(api)
    assert hostler("ps").out.split() == list(HEADINGS)


def test_tasks_that_wait_for_their_share_of_the_host_say_so(api: FakeApi, hostler: Hostler) -> None:
    pending = task(container("web", lastStatus="PENDING"), task_id="b" * 32, lastStatus="PENDING")
    know(api, pending)
    why = "for 512 MiB of memory: 200 MiB of 3900 are free"
    waiting = [
        {"taskArn": pending["taskArn"], "waitsFor": why},
        {"taskArn": STOPPED["taskArn"], "waitsFor": "for what nobody asked to see"},
    ]
    api.answers["Hostler.DescribeQueue"] = {"waiting": waiting}
    assert hostler("ps").out.splitlines()[2:] == [f"task bbbbbbbbbbbb waits {why}"]
    assert json.loads(hostler("ps", "--json").out) == {"tasks": [pending], "waiting": waiting[:1]}


def test_the_queue_is_not_asked_for_where_no_task_is_pending(
    api: FakeApi, hostler: Hostler
) -> None:
    know(api, task(container("web")))
    hostler("ps")
    assert api.asked("Hostler.DescribeQueue") == []

"""The introspection port as the host's programs see it."""

import asyncio
import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from metadata.front.asking import Answer
from metadata.introspection.health import Check
from metadata.introspection.metrics import exposition
from metadata.introspection.metrics.scrape import Scrape
from metadata.source import CgroupFacts, ContainerFacts, PortFacts, TaskFacts
from metadata.stats.sampler import Sampler
from tests.unit.metadata.facts import ARN, AWSVPC, BARE, FULL, FULL_TASK, PULLED
from tests.unit.metadata.introspection.conftest import Ask, Self
from tests.unit.metadata.kernel import FileHost

NOBODY = {"Arn": "", "KnownStatus": "", "Family": "", "Version": "", "Containers": None}


def called(docker_id: str, **facts: Any) -> ContainerFacts:
    """The bare container, with another id."""
    return replace(BARE, docker_id=docker_id, endpoint_id=f"id-{docker_id}", **facts)


def task(*containers: ContainerFacts, name: str = "0123") -> TaskFacts:
    return replace(FULL_TASK, arn=f"{ARN}:task/lab/{name}", containers=containers)


async def got(session: ClientSession, path: str) -> tuple[int, Any]:
    async with session.get(URL(path, encoded=True)) as response:
        assert response.headers["Server"] == "hostler"
        assert response.content_type == "application/json"
        return response.status, await response.json()


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/tasks/", "/v1/metadata/", "/nothing?a=b", "//"])
async def test_an_unknown_path_tells_which_there_are(ask: Ask, path: str) -> None:
    commands = ["/v1/metadata", "/v1/tasks", "/license", "/health", "/metrics"]
    assert await got(await ask(), path) == (200, {"AvailableCommands": commands})


async def test_the_instance(ask: Ask) -> None:
    assert await got(await ask(), "/v1/metadata") == (
        200,
        {
            "Cluster": "lab",
            "ContainerInstanceArn": f"{ARN}:container-instance/lab/0",
            "Version": "Hostler - v0.1.0",
        },
    )


async def test_a_task_with_everything(ask: Ask) -> None:
    whole = {
        "Arn": f"{ARN}:task/lab/0123",
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Family": "shop",
        "Version": "7",
        "Containers": [
            {
                "DockerId": "5b1e",
                "DockerName": "ecs-shop-7-web-a0",
                "Name": "web",
                "Image": "registry.example/shop:1.4",
                "ImageID": "sha256:77aa",
                "CreatedAt": "2031-02-03T04:05:06.7Z",
                "StartedAt": "2031-02-03T04:05:07.81Z",
                "Ports": [{"ContainerPort": 8080, "Protocol": "tcp", "HostPort": 32771}],
                "Volumes": [{"DockerName": "vol1", "Source": "/srv/data", "Destination": "/data"}],
                "RestartCount": 0,
            },
            {"DockerId": "", "DockerName": "", "Name": "side", "Image": "side:1", "ImageID": ""},
        ],
    }
    session = await ask(FULL_TASK)
    assert await got(session, "/v1/tasks") == (200, {"Tasks": [whole]})
    assert await got(session, f"/v1/tasks?taskarn={FULL_TASK.arn}") == (200, whole)
    assert await got(session, "/v1/tasks?dockerid=5b1e") == (200, whole)


async def test_without_tasks_the_list_is_empty(ask: Ask) -> None:
    assert await got(await ask(), "/v1/tasks") == (200, {"Tasks": []})


async def test_a_contradicting_desired_status_is_left_out(ask: Ask) -> None:
    over = replace(FULL_TASK, known_status="STOPPED", desired_status="RUNNING")
    _, shown = await got(await ask(over), "/v1/tasks")
    assert "DesiredStatus" not in shown["Tasks"][0]
    assert shown["Tasks"][0]["KnownStatus"] == "STOPPED"


async def test_only_networks_of_the_tasks_own_are_shown(ask: Ask) -> None:
    _, shown = await got(await ask(task(called("a", networks=(AWSVPC,)))), "/v1/tasks")
    assert shown["Tasks"][0]["Containers"][0]["Networks"] == [
        {
            "NetworkMode": "awsvpc",
            "IPv4Addresses": ["10.1.0.7", "10.1.0.8"],
            "IPv6Addresses": ["2001:db8::7"],
        }
    ]


async def test_until_ports_are_bound_the_definitions_are_shown(ask: Ask) -> None:
    mapped = (PortFacts(80), PortFacts(90, "udp", 9090))
    waiting = replace(PULLED, mapped_ports=mapped)
    bound = called("a", mapped_ports=mapped, ports=(PortFacts(80, "tcp", 32768),))
    _, shown = await got(await ask(task(waiting, bound)), "/v1/tasks")
    first, second = shown["Tasks"][0]["Containers"]
    assert first["Ports"] == [
        {"ContainerPort": 80, "Protocol": "tcp"},
        {"ContainerPort": 90, "Protocol": "udp", "HostPort": 9090},
    ]
    assert second["Ports"] == [{"ContainerPort": 80, "Protocol": "tcp", "HostPort": 32768}]


LONG = "0123456789ab"


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("dockerid=0123456789abcdef", 200, "one"),
        ("dockerid=0123456789abcde", 404, None),  # longer than 12: the whole id only
        ("dockerid=01234567", 200, "one"),
        (f"dockerid={LONG}", 200, "one"),
        ("dockerid=ffff", 200, "two"),
        ("dockerid=0", 400, None),  # begins two containers' ids
        ("dockerid=", 400, None),
        ("dockerid=9a05e", 404, None),  # a pause container's
        ("dockerid=1234", 404, None),
        (f"taskarn={ARN}:task/lab/two", 200, "two"),
        ("taskarn=two", 404, None),
        ("taskarn=", 404, None),
        (f"taskarn={ARN}:task/lab/two&dockerid=ffff", 400, None),
        ("taskarn=&dockerid=", 400, None),
        ("dockerid=ffff&dockerid=0", 200, "two"),
        ("dockerid=%66fff", 200, "two"),
    ],
)
async def test_one_task_is_found(ask: Ask, query: str, status: int, name: str | None) -> None:
    pause = called("9a05e", type="CNI_PAUSE")
    one = task(called(f"{LONG}cdef"), PULLED, name="one")
    two = task(called("ffff0123456789"), called("00000"), pause, name="two")
    code, shown = await got(await ask(one, two), f"/v1/tasks?{query}")
    assert code == status
    if name is None:
        assert shown == NOBODY
    else:
        assert shown["Arn"] == f"{ARN}:task/lab/{name}"


async def test_an_unknown_parameter_hides_nothing(ask: Ask) -> None:
    _, shown = await got(await ask(FULL_TASK), "/v1/tasks?nothing=1")
    assert len(shown["Tasks"]) == 1


async def test_the_license_is_named(ask: Ask) -> None:
    session = await ask()
    async with session.get("/license") as response:
        assert (response.status, response.content_type) == (200, "text/plain")
        assert "Apache License, Version 2.0" in await response.text()


async def test_nothing_secret_is_shown(ask: Ask) -> None:
    """Endpoint ids open a container's own metadata, and log options and labels are people's."""
    session = await ask(FULL_TASK)
    for path in ("/v1/tasks", "/v1/metadata", "/metrics", f"/v1/tasks?taskarn={FULL_TASK.arn}"):
        async with session.get(path) as response:
            text = await response.text()
        for secret in ("id-web", "id-side", "com.amazonaws", "max-size"):
            assert secret not in text


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_well_agent_is_healthy(ask: Ask, method: str) -> None:
    session = await ask(FULL_TASK)
    async with session.request(method, "/health") as response:
        assert response.status == 200
        body = await response.read()
    assert body == (b"" if method == "HEAD" else b'{"status":"healthy","tasks":1}')


async def test_an_unwell_agent_says_why(ask: Ask) -> None:
    found = [Check("containerd", "it does not answer"), Check("store")]
    session = await ask(checkup=Self(found))
    problems = {"containerd": "it does not answer"}
    expected = {"status": "unhealthy", "tasks": 0, "problems": problems}
    assert await got(session, "/health") == (503, expected)
    async with session.head("/health") as response:
        assert response.status == 503


@pytest.mark.parametrize("path", ["/", "/v1/metadata", "/v1/tasks", "/license", "/health"])
@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:51678", "localhost.evil"])
async def test_a_web_page_learns_nothing(ask: Ask, path: str, host: str) -> None:
    session = await ask(FULL_TASK)
    async with session.get(path, headers={"Host": host}) as response:
        assert response.status == 421
        assert "shop" not in await response.text()
    async with session.get("/metrics", headers={"Host": host}) as response:
        assert response.status == 421


async def test_no_answer_may_be_read_by_other_origins(ask: Ask) -> None:
    session = await ask(FULL_TASK)
    headers = {"Origin": "http://evil.example"}
    async with session.get("/v1/tasks", headers=headers) as response:
        assert not [each for each in response.headers if each.lower().startswith("access-control")]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_any_method_is_answered_like_get(ask: Ask, method: str) -> None:
    session = await ask(FULL_TASK)
    async with session.request(method, "/v1/tasks", data=b"ignored") as response:
        assert response.status == 200
        assert len((await response.json())["Tasks"]) == 1


async def test_stopped_tasks_stay_listed(ask: Ask) -> None:
    over = replace(FULL_TASK, known_status="STOPPED", containers=(FULL,))
    _, shown = await got(await ask(over), "/v1/tasks")
    assert [each["KnownStatus"] for each in shown["Tasks"]] == ["STOPPED"]


async def test_metrics_show_the_samples_that_there_are(ask: Ask, host: FileHost) -> None:
    host.run("web", usage_us=2_000_000)
    web = replace(BARE, known_status="RUNNING", cgroup=CgroupFacts("/web", 4242))
    ended = replace(BARE, name="over", cgroup=None)
    shown = task(web, ended)
    sampler = Sampler(host.cgroups, host.proc, lambda: host.now)
    try:
        session = await ask(shown, sampler=sampler, checkup=Self(failures=2))
        name = "hostler_container_cpu_usage_seconds_total{"
        before = await metrics(session)
        assert not [each for each in before if each.startswith(name)]
        await sampler.refreshed(shown)
        after = await metrics(session)
        (line,) = [each for each in after if each.startswith(name)]
        assert 'container="web"' in line
        assert line.endswith(" 2.0")
        assert "hostler_task_work_failures_total 2.0" in after
        assert 'hostler_check_success{check="store"} 1.0' in after
    finally:
        sampler.close()


async def metrics(session: ClientSession) -> list[str]:
    async with session.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return (await response.text()).splitlines()


async def test_metrics_come_in_the_format_of_the_accept_header(ask: Ask) -> None:
    session = await ask(FULL_TASK)
    headers = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5"}
    async with session.get("/metrics", headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"
        assert (await response.text()).endswith("# EOF\n")


async def test_many_scrapes_at_once_take_one_thread(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, alone = [], threading.Lock()

    def slowly(scrape: Scrape, accept: str) -> Answer:
        at_once.append(not alone.acquire(blocking=False))
        threading.Event().wait(0.02)
        alone.release()
        return Answer(b"")

    monkeypatch.setattr(exposition, "exposed", slowly)
    session = await ask(FULL_TASK)
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(session.get("/metrics"))
    assert at_once == [False] * 5


def test_the_metrics_library_waits_for_the_first_scrape() -> None:
    """It takes longer to import than most commands take."""
    code = (
        "import sys, agent.app, metadata.introspection.page;"
        "print('prometheus_client' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"

"""Which image a container gets: a real agent, a real registry, tags that move, faults between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.client import Client
from agent.task.units import short
from tests.system.agent import Agent, running_agent
from tests.system.faults import Corrupt, Held
from tests.system.faultyproxy import Proxy, faulty_proxy
from tests.system.imagelab import Built, image, write_layout
from tests.system.layerlab import Noise, busybox, directory, file, layer
from tests.system.registrylab import Registry, registry
from tests.system.tasks import SERVES, Json, Task, ctr, eventually, needs, output, run, shell

PRINTS = "cat /version"
AWAY_S = 80.0
"""For a task whose registry is away: that is asked again for a quarter of a minute."""


def web(version: int) -> Built:
    """An image whose file ``/version`` says which one it is; its lower layer all of them have."""
    return image(busybox(), layer(file("version", f"{version}\n".encode())))


def own(built: Built) -> str:
    """Digest of the layer that no other image has."""
    return built.layers[1].digest


def app(reference: str, name: str = "app", script: str = PRINTS, **fields: object) -> Json:
    return shell(name, script, **fields) | {"image": reference}


def content(agent: Agent) -> list[str]:
    """All that containerd keeps of images: blobs, half ones too, snapshots and leases."""
    return [
        *ctr(agent, "content", "ls", "--quiet"),
        *(line.split()[0] for line in ctr(agent, "content", "active")[1:]),  # not its age
        *ctr(agent, "snapshots", "ls")[1:],
        *ctr(agent, "leases", "ls", "--quiet"),
    ]


def added(agent: Agent, before: list[str]) -> list[str]:
    """What of that there was not before. What was garbage then may have gone meanwhile."""
    return [each for each in content(agent) if each not in before]


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as agent:
        yield agent


@pytest.fixture
def shop() -> Iterator[Registry]:
    with registry() as made:
        yield made


@pytest.fixture
def proxy(shop: Registry) -> Iterator[Proxy]:
    """Before ``shop``; images are asked for through it."""
    with faulty_proxy(shop.host) as made:
        yield made


def test_a_task_pulls_its_image(agent: Agent, shop: Registry) -> None:
    made = web(1)
    task = run(agent, app(shop.push(made, "web:1")))
    shown = task.until_closed()
    assert task.log("app") == ["1\n"]
    assert shown["containers"][0]["imageDigest"] == made.root.digest
    assert shown["createdAt"] <= shown["pullStartedAt"] <= shown["pullStoppedAt"]
    steps = [each for each in task.timeline() if each["what"] in ("pulling", "layer", "image")]
    assert [each["what"] for each in steps] == ["pulling", "layer", "layer", "image"]
    assert short(made.root.digest) in steps[0]["detail"]
    told = {each["detail"].split()[0] for each in steps[1:3]}
    assert told == {short(each.digest) for each in made.layers}


def test_a_known_image_has_nothing_to_transfer(agent: Agent, shop: Registry) -> None:
    reference = shop.push(web(1), "web:1")
    run(agent, app(reference)).until_closed()
    task = run(agent, app(reference))
    shown = task.until_closed()
    assert "pullStartedAt" in shown, "its registry was asked"
    assert {what for _, what in task.story()}.isdisjoint({"pulling", "layer"})


def test_an_image_that_is_made_here_is_no_pull(agent: Agent) -> None:
    shown = run(agent, shell("app", "true")).until_closed()
    assert "pullStartedAt" not in shown
    assert "pullStoppedAt" not in shown


@pytest.mark.parametrize(
    ("behavior", "moved", "away"),
    [
        ("default", "2", "2"),
        ("always", "2", None),
        ("once", "1", "1"),
        ("prefer-cached", "1", "1"),
    ],
)
def test_a_behavior(behavior: str, moved: str, away: str | None) -> None:
    """First pulled, then the tag has ``moved``, then the registry is ``away``."""
    with running_agent(ECS_IMAGE_PULL_BEHAVIOR=behavior) as agent:
        with registry() as shop:
            reference = shop.push(web(1), "web:1")
            assert printed(run(agent, app(reference))) == "1"
            shop.push(web(2), "web:1")
            assert printed(run(agent, app(reference))) == moved
        # Where the registry's failure ends a task, it does so for any container of it.
        side = [shell("main", SERVES, stopTimeout=2)] if away is None else []
        task = run(agent, app(reference, essential=not side), *side)
        shown = task.until_closed(AWAY_S)
        if away is None:
            assert "CannotPullImageManifestError" in task.container("app")["reason"]
            assert shown["stopCode"] == "TaskFailedToStart"
            return
        assert task.log("app") == [f"{away}\n"]
        fallen_back = [each["detail"] for each in task.timeline() if each["what"] == "fallback"]
        assert len(fallen_back) == (behavior == "default")
        assert all("CannotPull" not in each and shop.host in each for each in fallen_back)
        reason = task.container("app").get("reason", "")
        assert reason.startswith("CannotPullImageManifestError: ") == (behavior == "default")


def printed(task: Task) -> str:
    task.until_closed()
    (line,) = task.log("app")
    return line.strip()


@pytest.mark.parametrize(("behavior", "version"), [("once", "2"), ("prefer-cached", "1")])
def test_a_loaded_image_is_not_a_pulled_one(
    shop: Registry, behavior: str, version: str, tmp_path: Path
) -> None:
    reference = shop.push(web(2), "web:1")
    write_layout(web(1), tmp_path / "layout", reference)
    archive = tmp_path / "web.tar"
    output("tar", "-C", str(tmp_path / "layout"), "-cf", str(archive), ".")
    with running_agent(ECS_IMAGE_PULL_BEHAVIOR=behavior) as agent:
        Client(agent.socket).load_image([archive.read_bytes()])
        assert printed(run(agent, app(reference))) == version


def test_containers_get_one_version_while_the_tag_moves(
    agent: Agent, shop: Registry, tmp_path: Path
) -> None:
    """Also those that start later, and after another agent has taken over."""
    made = web(1)
    reference = shop.push(made, "web:1")
    gate = {"sourceVolume": "gate", "containerPath": "/gate"}
    waits = f"{PRINTS}; while ! test -e /gate/open; do sleep 0.05; done"
    after: Json = {"dependsOn": needs("first", "COMPLETE"), "essential": False}
    task = run(
        agent,
        app(reference, "first", waits, mountPoints=[gate], essential=False),
        app(reference, "later", **after),
        app(reference, "loose", versionConsistency="disabled", **after),
        shell("main", "sleep 1", dependsOn=needs("later", "COMPLETE") + needs("loose", "COMPLETE")),
        volumes=[{"name": "gate", "host": {"sourcePath": str(tmp_path)}}],
    )
    task.until_log("first")
    shop.push(web(2), "web:1")
    agent.kill9()
    agent.start()
    (tmp_path / "open").touch()
    task.until_closed()
    logs = {each: task.log(each) for each in ("first", "later", "loose")}
    assert logs == {"first": ["1\n"], "later": ["1\n"], "loose": ["2\n"]}
    assert task.container("later")["imageDigest"] == made.root.digest


def test_images_are_pulled_before_dependencies_when_told_to(shop: Registry) -> None:
    reference = shop.push(web(1), "web:1")
    with running_agent(ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT="true") as agent:
        task = run(
            agent,
            shell("first", "trap 'exit 0' TERM; sleep 3600 & wait", essential=False),
            app(reference, dependsOn=needs("first", "COMPLETE")),
        )
        task.until_step("image", "app")
        assert task.container("first").get("exitCode") is None
        task.end()


def test_a_pull_is_dropped_when_its_task_is_stopped(
    agent: Agent, shop: Registry, proxy: Proxy
) -> None:
    made = web(3)
    shop.push(made, "web:3")
    before = content(agent)
    proxy.on(own(made), Held(after=1))
    task = run(agent, app(f"{proxy.host}/web:3"))
    proxy.until(own(made))
    task.stop(reason="changed my mind")
    shown = task.until_closed()
    assert (shown["stopCode"], shown["stoppedReason"]) == ("UserInitiated", "changed my mind")
    assert shown["containers"][0].get("reason", "") == ""
    eventually(lambda: not added(agent, before), "content as it was")


def test_another_agent_pulls_the_version_that_was_begun(
    agent: Agent, shop: Registry, proxy: Proxy
) -> None:
    made = web(4)
    shop.push(made, "web:4")
    proxy.on(own(made), Held(after=1), times=1)
    task = run(agent, app(f"{proxy.host}/web:4"))
    proxy.until(own(made))
    agent.kill9()
    proxy.release()
    shop.push(web(5), "web:4")
    agent.start()
    task.until_closed()
    assert task.log("app") == ["4\n"]
    assert task.container("app")["imageDigest"] == made.root.digest


def test_agents_that_are_killed_while_they_pull_leave_nothing(
    agent: Agent, shop: Registry, proxy: Proxy
) -> None:
    made = image(busybox(), *(layer(directory(f"d{n}"), file(f"d{n}/{n}")) for n in range(3)))
    shop.push(made, "web:10")
    before = content(agent)
    blob = made.layers[3].digest
    proxy.on(blob, Held(after=1))
    task = run(agent, app(f"{proxy.host}/web:10"))
    for number in (1, 2):
        proxy.until(blob, number)
        agent.kill9()
        agent.start()
    proxy.until(blob, 3)
    assert len(ctr(agent, "leases", "ls", "--quiet")) == 1
    agent.kill9()
    proxy.release()
    agent.start()
    task.stop()
    task.until_closed()
    eventually(lambda: not added(agent, before), "content as it was")


def test_what_comes_is_not_what_was_promised(agent: Agent, shop: Registry, proxy: Proxy) -> None:
    made = web(6)
    shop.push(made, "web:6")
    before = content(agent)
    proxy.on(own(made), Corrupt(0))
    task = run(agent, app(f"{proxy.host}/web:6"))
    shown = task.until_closed()
    assert shown["stopCode"] == "TaskFailedToStart"
    assert task.container("app")["reason"].startswith("CannotPullContainerError: ")
    assert "pullStoppedAt" in shown
    eventually(lambda: not added(agent, before), "content as it was")


def test_a_tag_that_is_not_there(agent: Agent, shop: Registry) -> None:
    task = run(agent, app(f"{shop.host}/web:none"))
    task.until_closed()
    reason = task.container("app")["reason"]
    assert reason.startswith("CannotPullImageManifestError: ")
    assert "hostler image load" in reason


def test_a_pull_is_watched_layer_by_layer(agent: Agent, shop: Registry, proxy: Proxy) -> None:
    made = image(busybox(), layer(file("noise", Noise(4 << 20))))
    shop.push(made, "web:7")
    held = Held(after=2 << 20)
    proxy.on(own(made), held)
    task = run(agent, app(f"{proxy.host}/web:7", script="true"))
    seen = task.until(lambda answer: _states(answer).get(own(made)) == "downloading", "layer")
    (pull,) = seen["pulls"]
    assert pull["image"] == f"{proxy.host}/web:7"
    assert [each["digest"] for each in pull["layers"]] == [each.digest for each in made.layers]
    assert [each["size"] for each in pull["layers"]] == [each.size for each in made.layers]
    assert 0 < pull["layers"][1]["done"] <= 2 << 20
    held.gate.set()
    task.until_closed()
    assert agent.call("Hostler.WatchTask", task=task.arn)["pulls"] == []


def _states(answer: Json) -> dict[str, str]:
    return {each["digest"]: each["state"] for pull in answer["pulls"] for each in pull["layers"]}


def test_hostler_run_tells_how_a_pull_goes(agent: Agent, shop: Registry) -> None:
    made = web(8)
    definition = {"family": "pulls", "containerDefinitions": [app(shop.push(made, "web:8"))]}
    ran = agent.cli("run", "-", input=json.dumps(definition))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    said = ran.stdout.splitlines()
    assert any("pulling" in line and shop.host in line for line in said)
    assert sum(short(own(made)) in line for line in said) == 1, ran.stdout

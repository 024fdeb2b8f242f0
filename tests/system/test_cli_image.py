"""``hostler image`` against a real agent, a real containerd and a real registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.agent import ROOT, Agent, running_agent
from tests.system.faults import Held
from tests.system.faultyproxy import faulty_proxy
from tests.system.imagelab import HERE, Built, Described, image, index
from tests.system.layerlab import Noise, busybox, file, layer
from tests.system.registrylab import Registry, registry
from tests.system.tasks import Json, ctr, eventually, run, shell

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.timeout(300),
]

END_S = 60.0


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with running_agent() as one:
        yield one


@pytest.fixture(scope="module")
def shop() -> Iterator[Registry]:
    with registry() as made:
        yield made


@pytest.fixture(autouse=True)
def _nothing_before(agent: Agent) -> None:
    """Each test begins without images."""
    agent.call("Hostler.PruneImages")


def web(version: int) -> Built:
    """An image with a layer of its own on one that all of them have."""
    described = Described(config={"Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}})
    own = layer(file(f"version-{version}", Noise(100_000, version)))
    return image(busybox(), own, described=described)


def done(agent: Agent, *arguments: str) -> str:
    """What the command prints, which must succeed."""
    ran = agent.cli(*arguments)
    assert (ran.returncode, ran.stderr) == (0, ""), ran
    return ran.stdout


def refused(agent: Agent, *arguments: str) -> str:
    """What the command says, which must fail."""
    ran = agent.cli(*arguments)
    assert ran.returncode == 125, ran
    assert "Traceback" not in ran.stderr
    return ran.stderr


def names(agent: Agent) -> list[str]:
    images: list[Json] = json.loads(done(agent, "image", "ls", "--json"))["images"]
    return [each["name"] for each in images]


def content(agent: Agent) -> list[str]:
    """All that containerd keeps of images: blobs, half ones too, snapshots and leases."""
    return [
        *ctr(agent, "content", "ls", "--quiet"),
        *ctr(agent, "content", "active")[1:],
        *ctr(agent, "snapshots", "ls")[1:],
        *ctr(agent, "leases", "ls", "--quiet"),
    ]


def test_an_image_is_pulled_listed_inspected_and_removed(agent: Agent, shop: Registry) -> None:
    before, made = content(agent), web(1)
    name = shop.push(index((made, HERE)), "web:1")
    root = index((made, HERE)).root.digest
    *lines, last, digest = done(agent, "image", "pull", name).splitlines()
    assert (last, digest) == (name, root)
    assert lines[0] == f"pulling {name}"
    (heading, row) = done(agent, "image", "ls").splitlines()
    assert heading.split()[:3] == ["NAME", "TAG", "DIGEST"]
    assert row.split()[:3] == [name.rpartition(":")[0], "1", root[: len("sha256:") + 12]]
    told = json.loads(done(agent, "image", "inspect", name))
    assert told["names"] == [name, f"{name.rpartition(':')[0]}@{root}"]
    assert (told["digest"], told["id"]) == (root, made.config.digest if made.config else "")
    assert [each["digest"] for each in told["layers"]] == [each.digest for each in made.layers]
    assert (told["config"]["env"], told["config"]["exposedPorts"]) == (["A=b"], ["80/tcp"])
    assert told["pulledAt"] > 0
    task = run(agent, shell("app", "cat /version-1 | wc -c") | {"image": name})
    task.until_closed()
    assert task.log("app") == ["100000\n"]
    assert f"needed by task {task.id}" in refused(agent, "image", "rm", name)
    done(agent, "image", "rm", "--force", name)
    assert content(agent) == before


def test_a_pull_as_json_ends_with_the_image(agent: Agent, shop: Registry) -> None:
    made = web(2)
    name = shop.push(made, "web:2")
    for _ in range(2):  # the second time it is here
        lines = [
            json.loads(each) for each in done(agent, "image", "pull", name, "--json").splitlines()
        ]
        assert lines[-1]["image"]["name"] == name
        assert lines[-1]["image"]["digest"] == made.root.digest
        assert all("pulls" in each for each in lines[:-1])


def test_a_tag_that_moved_leaves_the_old_image_by_its_digest(agent: Agent, shop: Registry) -> None:
    old, new = web(3), web(4)
    name = shop.push(old, "web:3")
    done(agent, "image", "pull", name)
    shop.push(new, "web:3")
    done(agent, "image", "pull", name)
    rows = [line.split()[1:3] for line in done(agent, "image", "ls").splitlines()[1:]]
    assert sorted(rows) == [["-", old.root.digest[:19]], ["3", new.root.digest[:19]]]
    done(agent, "image", "rm", old.root.digest[:19])
    assert old.root.digest not in "".join(names(agent))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("No/Name", "InvalidParameterException"),
        ("{shop}/none:1", "CannotPullImageManifestError"),
        ("{shop}/none@sha256:" + "0" * 64, "CannotPullContainerError"),
    ],
)
def test_what_can_not_be_pulled_is_said(agent: Agent, shop: Registry, name: str, said: str) -> None:
    before = content(agent)
    assert refused(agent, "image", "pull", name.format(shop=shop.host)).startswith(
        f"hostler: {said}: "
    )
    assert content(agent) == before


def test_ctrl_c_cancels_a_pull_and_leaves_nothing(agent: Agent, shop: Registry) -> None:
    before, made = content(agent), web(5)
    shop.push(made, "web:5")
    with faulty_proxy(shop.host) as proxy:
        own = made.layers[1].digest
        proxy.on(own, Held(after=1))
        command = agent.command("image", "pull", f"{proxy.host}/web:5")
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        proxy.until(own)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=END_S)
        assert (process.returncode, said) == (130, "hostler: the pull is cancelled\n")
        eventually(lambda: content(agent) == before, "content as it was")


def test_saved_images_come_back_as_they_were(agent: Agent, shop: Registry, tmp_path: Path) -> None:
    first, second, archive = web(6), web(7), tmp_path / "both.tar"
    both = [shop.push(first, "web:6"), shop.push(second, "web:7")]
    for each in both:
        done(agent, "image", "pull", each)
    assert done(agent, "image", "save", *both, "-o", str(archive)) == ""
    assert archive.stat().st_size < 2 * sum(map(len, first.blobs.values()))
    done(agent, "image", "rm", *both)
    assert names(agent) == []
    assert sorted(done(agent, "image", "load", str(archive)).split()) == sorted(both)
    for made, name in zip((first, second), both, strict=True):
        told = json.loads(done(agent, "image", "inspect", name))
        assert told["digest"] == made.root.digest
        assert told["pulledAt"] is None
    kept = subprocess.run(
        ["skopeo", "inspect", "--config", f"docker-archive:{archive}:{both[1]}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(kept.stdout)["rootfs"]["diff_ids"] == list(second.diff_ids)


def test_an_archive_goes_through_a_pipe(agent: Agent, shop: Registry) -> None:
    name = shop.push(web(8), "web:8")
    done(agent, "image", "pull", name)
    save = subprocess.Popen(
        agent.command("image", "save", name, "-o", "-"), cwd=ROOT, stdout=subprocess.PIPE
    )
    loaded = agent.cli("image", "load", "-", stdin=save.stdout)
    assert save.stdout is not None
    save.stdout.close()
    assert (save.wait(END_S), loaded.stdout) == (0, f"{name}\n")
    ended = subprocess.run(
        f"{' '.join(agent.command('image', 'save', name, '-o', '-'))} | head -c 1",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        timeout=END_S,
        check=False,
    )
    assert ended.stderr == b""


def test_an_image_that_is_not_there_is_named(agent: Agent, tmp_path: Path) -> None:
    for verb in (["inspect"], ["rm"], ["save", "-o", str(tmp_path / "a.tar")]):
        assert "there is no image none: 'hostler image ls'" in refused(
            agent, "image", verb[0], "none", *verb[1:]
        )
    assert not (tmp_path / "a.tar").exists()


def test_prune_explains_and_then_does_it(agent: Agent, shop: Registry) -> None:
    unused, used = shop.push(web(9), "web:9"), shop.push(web(10), "web:10")
    for each in (unused, used):
        done(agent, "image", "pull", each)
    task = run(agent, shell("app", "sleep 1000") | {"image": used})
    task.until_running()
    shown = done(agent, "image", "prune", "--dry-run")
    assert f"{unused}  " in shown
    assert "would go  no task needs it, pulled " in shown
    assert "kept      a task refers to it" in shown
    assert shown.splitlines()[-1].startswith("would free ")
    spared = json.loads(done(agent, "image", "prune", "--older-than", "1h", "--json"))
    assert spared["freed"] == 0
    scheduled = done(agent, "image", "prune", "--scheduled")
    assert "less than 60 minutes (ECS_IMAGE_MINIMUM_CLEANUP_AGE)" in scheduled
    assert {unused, used} <= set(names(agent))
    answer = json.loads(done(agent, "image", "prune", "--json"))
    assert 200_000 < answer["freed"] < 300_000
    assert unused not in names(agent)
    assert used in names(agent)
    task.end()

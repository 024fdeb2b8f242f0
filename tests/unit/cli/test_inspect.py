"""``hostler inspect``."""

import json

import pytest

from tests.fakes.api import FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import DEFINITION, ID, container, happen, know, step, task


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_it_shows_task_definition_and_timeline(
    api: FakeApi, hostler: Hostler, flags: tuple[str, ...]
) -> None:
    web = task(container("web"))
    know(api, web)
    happen(api, web, step(0, "accepted"), closed=False)
    api.answers["DescribeTaskDefinition"] = {"taskDefinition": {"family": "hello"}}
    assert json.loads(hostler("inspect", ID[:4], *flags).out) == {
        "task": web,
        "taskDefinition": {"family": "hello"},
        "timeline": [step(0, "accepted")],
        "closed": False,
        "runtimes": {"web": "runc"},
        "cgroup": "/hostler/one",
    }
    assert api.asked("DescribeTaskDefinition")[0]["taskDefinition"] == DEFINITION


def test_it_shows_what_the_task_waits_for(api: FakeApi, hostler: Hostler) -> None:
    web = task(container("web"))
    know(api, web)
    happen(api, web, step(0, "accepted"), closed=False)
    watch = api.answers["Hostler.WatchTask"]
    assert callable(watch)
    api.answers["Hostler.WatchTask"] = lambda body: {**watch(body), "waitsFor": "for port 80/tcp"}
    api.answers["DescribeTaskDefinition"] = {"taskDefinition": {"family": "hello"}}
    assert json.loads(hostler("inspect", ID[:4]).out)["waitsFor"] == "for port 80/tcp"

"""``hostler stop``."""

from tests.fakes.api import Body, FakeApi
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import ARN, ID, container, know, step, task


def test_it_asks_for_a_graceful_stop(api: FakeApi, hostler: Hostler) -> None:
    know(api, task(container("web")))
    api.answers["StopTask"] = {}
    assert hostler("stop", ID[:8]) == (0, f"{ID}\n", "")
    assert api.asked("StopTask") == [
        {"task": ARN, "reason": "Task stopped by user", "force": False}
    ]


def test_reason_and_force_are_passed_on(api: FakeApi, hostler: Hostler) -> None:
    know(api, task(container("web")))
    api.answers["StopTask"] = {}
    hostler("stop", ID, "--force", "--reason", "deploy")
    assert api.asked("StopTask") == [{"task": ARN, "reason": "deploy", "force": True}]


def test_wait_returns_when_the_task_is_closed(api: FakeApi, hostler: Hostler) -> None:
    know(api, task(container("web")))
    steps = [step(0, "accepted"), step(1, "stopped"), step(2, "closed")]

    def watch(body: Body) -> Body:
        news = steps[body["since"] :][:1]
        return {"task": task(), "steps": news, "closed": body["since"] == 2}

    api.answers |= {"StopTask": {}, "Hostler.WatchTask": watch}
    assert hostler("stop", ID, "--wait").code == 0
    assert [each["since"] for each in api.asked("Hostler.WatchTask")] == [0, 1, 2]

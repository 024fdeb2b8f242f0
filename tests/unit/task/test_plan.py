"""The plan as a script of looks, results and turns; one directed test per rule of the loop."""

from dataclasses import replace
from signal import SIGKILL, SIGTERM

import pytest

from agent.task.actions import (
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Never,
    ObtainImage,
    Probe,
    Probed,
    ReleaseTask,
    ServeMetadata,
    Signal,
    StartContainer,
)
from agent.task.definition import ContainerDefinition
from agent.task.images import Obtained
from agent.task.model import Intent, StopCode, first_progress
from agent.task.records import Health, Pin, Step
from agent.task.stopping import Rules
from agent.task.view import Absent, NetworkSeen, Seen, Unknown, View
from tests.script import Script
from tests.worlds import ATTACHED, IMAGE, MADE, UP, container, exited, running, task


def started(*containers: ContainerDefinition, at: float = 0.0) -> Script:
    made = task(*containers)
    seen = {each.name: UP for each in made.containers}
    return Script(made, seen=seen, progress=running(Intent(made), at=at))


def test_a_task_comes_up_step_by_step() -> None:
    s = Script(task(container("web")))
    assert s.turn() == [ObtainImage("web"), AttachNetwork("web")]
    s.result(ObtainImage("web"), Done(Obtained(IMAGE)))
    s.result(AttachNetwork("web"), Done(ATTACHED))
    s.sees(View(Seen(None), {"web": Seen(NetworkSeen(served=True))}, {"web": Absent()}))
    assert s.turn() == [CreateContainer("web")]
    s.sees(web=MADE)
    assert s.turn() == [StartContainer("web")]
    s.sees(web=UP)
    assert s.turn(at=3) == []
    assert s.progress.started_at == 3


def waiting(why: str) -> Script:
    """A task that waits for its share of the host."""
    made = task(container("web"))
    s = Script(made, progress=replace(first_progress(made), admitted_at=None))
    s.sees(replace(s.view, shortage=why))
    return s


def test_nothing_begins_before_the_task_has_its_share_of_the_host() -> None:
    s = waiting("for 64 MiB of memory: 1 MiB of 100 are free")
    assert s.turn(at=1) == []
    assert s.wakes_at is None
    s.sees(replace(s.view, shortage="for 64 MiB of memory: 2 MiB of 100 are free"))
    assert s.turn(at=2) == []
    s.sees(replace(s.view, shortage="for 128 CPU units: 0 of 1024 are free"))
    assert s.turn(at=3) == []
    assert [each.detail for each in s.progress.timeline if each.what == "waiting"] == [
        "for 64 MiB of memory: 1 MiB of 100 are free",
        "for 128 CPU units: 0 of 1024 are free",
    ]
    s.sees(replace(s.view, shortage=""))
    assert s.turn(at=4) == [ObtainImage("web"), AttachNetwork("web")]
    assert s.progress.admitted_at == 4
    assert s.progress.timeline[-1] == Step(4, "admitted")


def test_a_task_that_has_its_share_keeps_it_whatever_others_lack() -> None:
    s = waiting("")
    s.turn()
    s.sees(replace(s.view, shortage="for 64 MiB of memory: 1 MiB of 100 are free"))
    assert s.turn(at=1) == [ObtainImage("web"), AttachNetwork("web")]


def test_a_stop_while_it_waits_closes_the_task() -> None:
    s = waiting("for 64 MiB of memory: 1 MiB of 100 are free")
    s.asked_to_stop()
    assert s.turn(at=1) == []
    assert s.progress.closed
    assert s.progress.admitted_at is None
    assert s.progress.stopped_at == 1


@pytest.mark.parametrize("known", ["nothing", "pin", "image"])
def test_a_container_that_is_to_stop_before_its_pull_says_so(known: str) -> None:
    s = Script(task(container("web")))
    s.turn()
    if known == "pin":
        s.result(ObtainImage("web"), Done(Pin("sha256:1")))
    if known == "image":
        s.result(ObtainImage("web"), Done(Obtained(IMAGE)))
    s.turn()
    s.asked_to_stop()
    s.turn()
    reason = (
        "TaskStoppedBeforePullBeginError: Task stopped before image pull could begin for task: "
        f"{s.intent.task.arn}"
    )
    assert s.progress.containers["web"].reason == (reason if known == "nothing" else "")


def test_a_container_that_another_ones_end_came_before_has_no_reason() -> None:
    needs = [{"containerName": "init", "condition": "SUCCESS"}]
    made = task(container("init"), container("web", dependsOn=needs))
    s = Script(made, seen={"init": exited(0, 1.0)}, progress=running(Intent(made), "init"))
    s.turn(at=1)
    s.turn(at=1)
    assert s.progress.containers["web"].ended
    assert s.progress.containers["web"].reason == ""


def test_nothing_is_created_while_the_network_is_unknown() -> None:
    s = Script(task(container("web")), progress=None)
    s.result(ObtainImage("web"), Done(Obtained(IMAGE)))
    s.sees(View(Seen(None), {"web": Unknown("being changed")}, {"web": Absent()}))
    assert s.turn() == []
    assert s.wakes_at == 5.0


def test_stop_waits_for_the_timeout_then_kills() -> None:
    s = started(container("web", stopTimeout=30))
    s.asked_to_stop("requested by operator")
    assert s.turn() == [Signal("web", SIGTERM)]
    s.result(Signal("web", SIGTERM), Done())
    assert s.turn(at=29) == []
    assert s.wakes_at == 30
    assert s.turn(at=30) == [Signal("web", SIGKILL)]


def test_the_timeout_counts_from_the_delivery_of_the_signal() -> None:
    s = started(container("web", stopTimeout=5))
    s.asked_to_stop()
    assert s.turn(at=1) == [Signal("web", SIGTERM)]
    s.now = 3.0
    s.result(Signal("web", SIGTERM), Done())
    assert s.turn(at=7.9) == []
    assert s.wakes_at == 8.0


def test_the_stop_timeout_of_the_agent_holds_where_the_container_has_none_or_zero() -> None:
    s = started(container("web", stopTimeout=0))
    s.asked_to_stop()
    s.turn()
    s.result(Signal("web", SIGTERM), Done())
    s.turn(at=1)
    assert s.wakes_at == 30


def test_a_kill_is_not_repeated_at_every_turn() -> None:
    s = started(container("web", stopTimeout=5))
    s.asked_to_stop()
    s.turn()
    s.result(Signal("web", SIGTERM), Done())
    assert s.turn(at=5) == [Signal("web", SIGKILL)]
    s.result(Signal("web", SIGKILL), Done())
    assert s.turn(at=5.1) == []
    assert s.wakes_at == 15.0


def test_a_forced_stop_kills_at_once() -> None:
    s = started(container("web"), container("db", dependsOn=[]))
    s.asked_to_stop(force=True)
    assert s.turn() == [Signal("web", SIGKILL), Signal("db", SIGKILL)]


def test_the_signal_is_the_images_stop_signal() -> None:
    s = started(container("web"))
    s.progress = s.progress.having("web", image=type(IMAGE)("i", "1", "2", stop_signal=3))
    s.asked_to_stop()
    assert s.turn() == [Signal("web", 3)]


def test_dependents_are_stopped_first() -> None:
    s = started(
        container("db"),
        container("web", dependsOn=[{"containerName": "db", "condition": "START"}]),
    )
    s.asked_to_stop()
    assert s.turn() == [Signal("web", SIGTERM)]
    s.sees(db=UP, web=exited(143, at=1))
    assert s.turn(at=1) == [Signal("db", SIGTERM), DeleteContainer("web")]


def test_a_container_that_never_ran_is_stopped_without_a_signal_or_an_exit_code() -> None:
    s = Script(task(container("web")))
    s.turn()
    s.asked_to_stop()
    assert s.turn(at=1) == []
    assert s.progress.closed_at == 1
    assert s.progress.containers["web"].exit_code is None


def test_the_task_is_not_closed_while_a_piece_is_unknown() -> None:
    s = Script(task(container("web")))
    s.asked_to_stop()
    s.sees(View(Absent(), {"web": Unknown("being changed")}, {"web": Absent()}))
    assert s.turn() == []
    assert s.progress.stopped
    assert not s.progress.closed


def test_what_is_left_of_an_ended_task_goes_in_order() -> None:
    s = started(container("web"))
    s.sees(web=exited(7, at=2))
    assert s.turn(at=2) == [DeleteContainer("web")]
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.ESSENTIAL_EXITED
    assert s.progress.stop.reason == "Essential container in task exited"
    s.sees(View(Seen(None), {"web": Seen(NetworkSeen(served=True))}, {"web": Absent()}))
    assert s.turn() == [DetachNetwork("web")]
    s.result(DetachNetwork("web"), Done())
    s.sees(View(Seen(None), {"web": Absent()}, {"web": Absent()}))
    assert s.turn() == [ReleaseTask()]
    s.sees(View(Absent(), {"web": Absent()}, {"web": Absent()}))
    assert s.turn() == []
    assert s.progress.closed
    assert s.progress.containers["web"].exit_code == 7


def test_on_the_hosts_network_a_sandbox_that_was_just_left_is_not_left_again() -> None:
    made = task(container("web"), mode="host")
    s = Script(made, progress=running(Intent(made)), seen={"web": exited(7, at=2)})
    s.turn(at=2)
    unserved = {"web": Seen(NetworkSeen(served=False))}  # seen, as it was attached by then
    s.sees(View(Seen(None), unserved, {"web": Absent()}))
    assert s.turn() == [DetachNetwork("web")]
    s.result(DetachNetwork("web"), Done())
    assert s.turn() == [ReleaseTask()]
    assert [each.what for each in s.progress.timeline].count("detached") == 1


def test_an_essential_exit_stops_the_others() -> None:
    s = started(container("web"), container("side", essential=False))
    s.sees(web=exited(0, at=1), side=UP)
    assert s.turn(at=1) == [Signal("side", SIGTERM), DeleteContainer("web")]


def test_a_sidecars_exit_changes_nothing_else() -> None:
    s = started(container("web"), container("side", essential=False))
    s.sees(web=UP, side=exited(3, at=1))
    assert s.turn(at=1) == [DeleteContainer("side")]
    assert s.progress.stop is None


def test_a_vanished_container_ends_with_its_reason() -> None:
    s = started(container("web"))
    s.sees()
    s.turn(at=1)
    assert s.progress.containers["web"].reason.startswith("ContainerVanishedError: ")
    assert s.progress.containers["web"].exit_code is None


def test_a_failed_start_ends_the_task_as_failed_to_start() -> None:
    s = Script(task(container("web")), seen={"web": MADE})
    s.progress = s.progress.having("web", image=IMAGE)
    s.progress = s.progress.having_network("web", attachment=ATTACHED)
    assert s.turn() == [StartContainer("web")]
    s.result(StartContainer("web"), Never("CannotStartContainerError", "no such file: x"))
    assert s.turn(at=1) == [DeleteContainer("web")]
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.FAILED_TO_START
    assert s.progress.containers["web"].reason == "CannotStartContainerError: no such file: x"


def test_a_failed_action_waits_longer_each_time() -> None:
    s = Script(task(container("web")))
    s.turn()
    s.result(ObtainImage("web"), Again("containerd is away"))
    assert ObtainImage("web") not in s.turn()
    assert s.wakes_at == 0.5
    assert ObtainImage("web") in s.turn(at=0.5)
    s.result(ObtainImage("web"), Again("containerd is away"))
    assert ObtainImage("web") not in s.turn(at=1.0)
    assert s.wakes_at == 1.5


def test_a_dependency_gates_even_the_image() -> None:
    needs = [{"containerName": "db", "condition": "HEALTHY"}]
    check = {"command": ["CMD", "true"], "interval": 5, "timeout": 2, "retries": 2}
    made = task(container("db", healthCheck=check), container("web", dependsOn=needs))
    s = Script(made, seen={"db": UP}, progress=running(Intent(made), "db"))
    assert s.turn(at=1) == []
    assert s.wakes_at == 5
    assert s.turn(at=5) == [Probe("db")]
    s.result(Probe("db"), Done(Probed(0, "ok")))
    assert ObtainImage("web") in s.turn(at=5.1)
    assert s.progress.containers["db"].health.status is Health.HEALTHY


def test_a_hopeless_dependency_ends_its_dependent_with_143() -> None:
    needs = [{"containerName": "init", "condition": "SUCCESS"}]
    made = task(container("init", essential=False), container("web", dependsOn=needs))
    s = Script(made, seen={"init": exited(2, at=1)}, progress=running(Intent(made), "init"))
    s.turn(at=1)
    web = s.progress.containers["web"]
    assert web.exit_code == 143
    assert web.reason.startswith("CannotStartContainerError: dependency graph: ")
    assert s.progress.stop is not None


def test_probes_and_pulls_are_dropped_when_the_task_goes_down() -> None:
    s = started(container("web", healthCheck={"command": ["CMD", "true"]}))
    s.asked_to_stop()
    s.turn()
    assert s.decision is not None
    assert {"probe/web", "image/web"} <= s.decision.drop


def test_a_lost_metadata_socket_is_opened_again() -> None:
    s = started(container("web"))
    s.sees(View(Seen(None), {"web": Seen(NetworkSeen(served=False))}, {"web": Seen(UP)}))
    assert s.turn() == [ServeMetadata("web")]


def test_a_stopped_container_seen_running_is_removed() -> None:
    s = started(container("web"))
    s.progress = s.progress.having("web", ended=True, finished_at=0.0)
    assert s.turn() == [DeleteContainer("web")]


@pytest.mark.parametrize("code", [0, 1, 137])
def test_an_exit_code_seen_is_never_changed(code: int) -> None:
    s = started(container("web"))
    s.sees(web=exited(code, at=1))
    s.turn(at=1)
    s.sees(web=exited(code + 1, at=2))
    s.turn(at=2)
    assert s.progress.containers["web"].exit_code == code
    assert s.progress.containers["web"].finished_at == 1


NEEDS = [{"containerName": "init", "condition": "COMPLETE"}]


def test_an_image_waits_for_what_its_container_depends_on() -> None:
    s = Script(task(container("init", essential=False), container("web", dependsOn=NEEDS)))
    assert s.turn() == [ObtainImage("init"), AttachNetwork("init")]


def test_images_are_obtained_before_dependencies_if_the_agent_is_told_to() -> None:
    made = task(container("init", essential=False), container("web", dependsOn=NEEDS))
    s = Script(made, rules=Rules(pull_upfront=True))
    assert s.turn() == [ObtainImage("init"), AttachNetwork("init"), ObtainImage("web")]
    s.result(ObtainImage("web"), Done(Obtained(IMAGE)))
    assert s.turn() == [ObtainImage("init"), AttachNetwork("init")]


def test_a_pinned_image_is_pulled_next_and_dropped_when_the_task_stops() -> None:
    s = Script(task(container("web")))
    s.turn()
    s.result(ObtainImage("web"), Done(Pin("sha256:1")))
    assert ObtainImage("web") in s.turn()
    s.asked_to_stop()
    assert ObtainImage("web") not in s.turn()
    assert s.decision is not None
    assert "image/web" in s.decision.drop
    assert s.progress.stop is not None
    assert s.progress.stop.reason == "because"
    assert s.progress.containers["web"].reason == ""

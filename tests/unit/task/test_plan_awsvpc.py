"""The plan of tasks in awsvpc mode: one sandbox and one interface for all containers."""

from __future__ import annotations

from dataclasses import replace
from signal import SIGTERM

from agent.task.actions import (
    AcquireInterface,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    Never,
    ObtainImage,
    ReleaseInterface,
    ReleaseTask,
    ServeMetadata,
    Signal,
)
from agent.task.images import Obtained
from agent.task.model import Intent, StopCode
from agent.task.stopping import Rules
from agent.task.view import (
    Absent,
    ContainerSeen,
    InterfaceSeen,
    Look,
    NetworkSeen,
    Seen,
    Unknown,
    View,
)
from tests.script import Script
from tests.worlds import ENI, IMAGE, IN_AWSVPC, UP, container, exited, running, task

PRESENT: Look[InterfaceSeen] = Seen(InterfaceSeen(present=True))
AWAY: Look[InterfaceSeen] = Seen(InterfaceSeen(present=False))
THERE: Look[NetworkSeen] = Seen(NetworkSeen(served=True))
NONE = Absent()


def fresh() -> Script:
    return Script(
        task(container("web"), container("side", essential=False), mode="awsvpc"),
        rules=Rules(interface_timeout_s=300.0),
    )


def started() -> Script:
    made = fresh().intent.task
    return Script(made, seen={"web": UP, "side": UP}, progress=running(Intent(made)))


def looked(
    network: Look[NetworkSeen] = NONE,
    interface: Look[InterfaceSeen] = NONE,
    web: Look[ContainerSeen] = NONE,
    side: Look[ContainerSeen] = NONE,
    *,
    task: Look[None] = NONE,
) -> View:
    return View(task, {"": network}, {"web": web, "side": side}, interface)


def holding(at: float = 10.0) -> Script:
    """Its images and its interface are there, its device is not."""
    s = fresh()
    s.now = at
    s.result(AcquireInterface(), Done(ENI))
    for name in ("web", "side"):
        s.result(ObtainImage(name), Done(Obtained(IMAGE)))
    s.sees(looked(interface=AWAY))
    assert s.turn(at) == []
    return s


def test_a_task_comes_up_step_by_step() -> None:
    s = fresh()
    assert s.turn() == [ObtainImage("web"), AcquireInterface(), ObtainImage("side")]
    s.result(AcquireInterface(), Done(ENI))
    s.sees(looked(interface=PRESENT))
    assert s.turn() == [ObtainImage("web"), AttachNetwork(""), ObtainImage("side")]
    for name in ("web", "side"):
        s.result(ObtainImage(name), Done(Obtained(IMAGE)))
    s.result(AttachNetwork(""), Done(IN_AWSVPC))
    s.sees(looked(THERE, AWAY))
    assert s.turn() == [CreateContainer("web"), CreateContainer("side")]
    assert s.progress.interface == ENI
    assert s.progress.networks[""].attachment == IN_AWSVPC


def test_the_wait_for_the_device_is_told_once_and_has_an_end() -> None:
    s = holding(at=10.0)
    assert s.wakes_at == 310.0
    assert s.turn(at=200.0) == []
    assert s.wakes_at == 310.0
    told = [each for each in s.progress.timeline if each.what == "waiting"]
    assert [(each.at, each.container) for each in told] == [(10.0, "")]
    assert told[0].detail == (
        "for network interface eni-1 (02:00:00:00:00:07) to appear on this host"
    )


def test_the_look_from_before_the_interface_was_known_makes_nobody_wait() -> None:
    s = fresh()
    s.result(AcquireInterface(), Done(ENI))
    for name in ("web", "side"):
        s.result(ObtainImage(name), Done(Obtained(IMAGE)))
    s.sees(looked(interface=Seen(InterfaceSeen(present=None))))
    assert s.turn(at=10.0) == []
    assert s.wakes_at == 10.0
    assert "waiting" not in [each.what for each in s.progress.timeline]


def test_a_device_that_does_not_appear_ends_all_containers_with_one_reason() -> None:
    s = holding(at=10.0)
    assert s.turn(at=310.0) == [ReleaseInterface()]
    reasons = {each.reason for each in s.progress.containers.values()}
    assert len(reasons) == 1
    assert next(iter(reasons)).startswith(
        "ResourceInitializationError: network interface eni-1 (02:00:00:00:00:07) did not appear "
        "within 300 s: "
    )
    assert s.progress.stop is not None
    assert (s.progress.stop.code, s.progress.stop.reason) == (
        StopCode.FAILED_TO_START,
        next(iter(reasons)),
    )
    s.sees(looked())
    assert s.turn(at=311.0) == []
    assert s.progress.closed


def test_a_device_that_appears_at_last_is_attached() -> None:
    s = holding(at=10.0)
    s.sees(looked(interface=PRESENT))
    assert s.turn(at=309.0) == [AttachNetwork("")]


def test_why_no_interface_is_had_yet_stays_visible() -> None:
    s = fresh()
    s.turn()
    s.result(AcquireInterface(), Again("all 2 interfaces are in use"))
    assert AcquireInterface() not in s.turn()
    assert s.progress.held["interface"].why == "all 2 interfaces are in use"
    assert s.progress.timeline[-1].what == "retrying"
    assert AcquireInterface() in s.turn(at=0.5)


def test_an_interface_that_can_not_be_had_ends_the_whole_task() -> None:
    s = fresh()
    s.turn()
    s.result(AcquireInterface(), Never("ResourceInitializationError", "no interface eni-9"))
    assert s.turn() == []
    reason = "ResourceInitializationError: no interface eni-9"
    assert [each.reason for each in s.progress.containers.values()] == [reason, reason]
    assert s.progress.stop is not None
    assert s.progress.stop.code is StopCode.FAILED_TO_START
    assert s.progress.closed


def test_an_attachment_that_can_not_be_made_ends_the_whole_task() -> None:
    s = holding()
    s.result(AttachNetwork(""), Never("ContainerNetworkingError", "no such device"))
    assert s.turn() == [ReleaseInterface()]
    reason = "ContainerNetworkingError: no such device"
    assert [each.reason for each in s.progress.containers.values()] == [reason, reason]


def test_what_fails_later_leaves_running_containers_to_their_stop() -> None:
    made = started()
    web_only = running(made.intent, "web")
    s = Script(made.intent.task, seen={"web": UP}, progress=web_only)
    s.result(AttachNetwork(""), Never("ContainerNetworkingError", "no such device"))
    s.turn(at=1)
    assert s.progress.containers["side"].ended
    assert not s.progress.containers["web"].ended
    assert s.progress.stop is None, "the one that can't run is not essential"


def test_one_lost_metadata_socket_is_opened_once() -> None:
    s = started()
    unserved = Seen(NetworkSeen(served=False))
    s.sees(looked(unserved, AWAY, Seen(UP), Seen(UP), task=Seen(None)))
    assert s.turn() == [ServeMetadata("")]


def test_the_sandbox_stays_while_anything_is_in_it() -> None:
    s = started()
    s.sees(looked(THERE, AWAY, Seen(UP), Seen(exited(0, at=1)), task=Seen(None)))
    assert s.turn(at=1) == [DeleteContainer("side")]
    s.sees(looked(THERE, AWAY, Seen(UP), task=Seen(None)))
    assert s.turn(at=2) == []
    s.asked_to_stop()
    assert s.turn(at=3) == [Signal("web", SIGTERM)]


def test_what_is_left_of_an_ended_task_goes_in_order() -> None:
    s = started()
    s.sees(looked(THERE, AWAY, Seen(exited(7, at=2)), Seen(exited(0, at=1)), task=Seen(None)))
    assert s.turn(at=2) == [DeleteContainer("web"), DeleteContainer("side")]
    s.sees(looked(THERE, AWAY, NONE, Unknown("being changed"), task=Seen(None)))
    assert s.turn() == []
    s.sees(looked(THERE, AWAY, task=Seen(None)))
    assert s.turn() == [DetachNetwork("")]
    s.result(DetachNetwork(""), Done())
    s.sees(looked(interface=Unknown("being changed"), task=Seen(None)))
    assert s.turn() == []
    s.sees(looked(interface=PRESENT, task=Seen(None)))
    assert s.turn() == [ReleaseInterface()]
    s.result(ReleaseInterface(), Done())
    s.sees(looked(task=Seen(None)))
    assert s.turn() == [ReleaseTask()]
    s.sees(looked())
    assert s.turn(at=9) == []
    assert s.progress.closed_at == 9
    assert s.progress.interface == ENI, "what it had is told to the end"
    assert [each.what for each in s.progress.timeline[-3:]] == ["detached", "released", "closed"]


def test_a_stop_before_the_attachment_gives_the_interface_back() -> None:
    s = holding()
    s.asked_to_stop()
    assert s.turn() == [ReleaseInterface()]


def test_a_stop_while_the_interface_is_acquired_waits_for_it() -> None:
    s = fresh()
    s.turn()
    s.asked_to_stop()
    s.sees(looked(interface=Unknown("being changed")))
    assert s.turn() == []
    assert s.progress.stopped
    assert not s.progress.closed


def test_after_a_reboot_the_task_closes() -> None:
    s = started()
    s.sees(looked())
    assert s.turn(at=5) == [DetachNetwork("")]
    s.result(DetachNetwork(""), Done())
    s.turn(at=6)
    assert s.progress.closed
    reasons = [each.reason.partition(":")[0] for each in s.progress.containers.values()]
    assert reasons == ["ContainerVanishedError", "ContainerVanishedError"]


def test_an_interface_that_is_held_no_more_is_acquired_anew_and_its_time_begins_again() -> None:
    s = holding(at=10.0)
    s.sees(looked())
    assert s.turn(at=200.0) == [AcquireInterface()]
    s.result(AcquireInterface(), Done(replace(ENI, id="eni-2")))
    s.sees(looked(interface=AWAY))
    assert s.turn(at=200.0) == []
    assert s.wakes_at == 500.0

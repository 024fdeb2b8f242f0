"""How far a sandbox is, in each state that its interface and its namespace can be in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.task.actions import AcquireInterface, AttachNetwork
from agent.task.connecting import (
    Awaited,
    Connected,
    Connection,
    Failed,
    Missing,
    connection,
    shown,
)
from agent.task.model import Progress, first_progress
from agent.task.network import NetworkInterface
from agent.task.records import Held
from agent.task.stopping import Rules
from agent.task.view import Absent, InterfaceSeen, Look, NetworkSeen, Seen, Unknown, View
from tests.worlds import ATTACHED, ENI, IN_AWSVPC, UP, container, task

RULES = Rules(interface_timeout_s=20.0)
TASK = task(container("web"), container("side"), mode="awsvpc")
BRIDGED = task(container("web"))
FRESH = first_progress(TASK)
HOLDING = replace(FRESH, interface=ENI, interface_at=100.0)
THERE: Look[NetworkSeen] = Seen(NetworkSeen(served=True))
PRESENT: Look[InterfaceSeen] = Seen(InterfaceSeen(present=True))
AWAY: Look[InterfaceSeen] = Seen(InterfaceSeen(present=False))
UNNAMED: Look[InterfaceSeen] = Seen(InterfaceSeen(present=None))
DARK = Unknown("dark")
ACQUIRE, ATTACH = Missing(AcquireInterface()), Missing(AttachNetwork(""))
WAITING = Awaited("for network interface eni-1 (02:00:00:00:00:07) to appear on this host", 120.0)


def connected(
    progress: Progress,
    network: Look[NetworkSeen],
    interface: Look[InterfaceSeen],
    now: float = 101.0,
    *,
    runs: bool = False,
) -> Connection:
    web = Seen(UP) if runs else Absent()
    view = View(Seen(None), {"": network}, {"web": web, "side": Absent()}, interface)
    return connection(TASK, progress, view, "", now, RULES)


@pytest.mark.parametrize(
    ("progress", "network", "interface", "answer"),
    [
        (FRESH, Absent(), Absent(), ACQUIRE),
        (FRESH, Absent(), DARK, Awaited()),
        (FRESH, Absent(), PRESENT, ACQUIRE),
        (HOLDING, Absent(), PRESENT, ATTACH),
        (HOLDING, Absent(), AWAY, WAITING),
        (FRESH, Absent(), UNNAMED, ACQUIRE),
        (HOLDING, Absent(), UNNAMED, Awaited(until=101.0)),
        (HOLDING, THERE, UNNAMED, ATTACH),
        (HOLDING, Absent(), Absent(), ACQUIRE),
        (HOLDING, Absent(), DARK, Awaited()),
        (HOLDING, DARK, PRESENT, Awaited()),
        (HOLDING, THERE, AWAY, ATTACH),
        (HOLDING.having_network("", attachment=IN_AWSVPC), THERE, AWAY, Connected()),
        (HOLDING.having_network("", attachment=IN_AWSVPC), THERE, DARK, Connected()),
    ],
)
def test_a_sandbox_in_awsvpc_mode_needs_a_device_that_is_there(
    progress: Progress,
    network: Look[NetworkSeen],
    interface: Look[InterfaceSeen],
    answer: Connection,
) -> None:
    assert connected(progress, network, interface) == answer


@pytest.mark.parametrize(
    ("network", "attached", "answer"),
    [
        (Absent(), False, Missing(AttachNetwork("web"))),
        (Absent(), True, Missing(AttachNetwork("web"))),
        (THERE, False, Missing(AttachNetwork("web"))),
        (THERE, True, Connected()),
        (DARK, True, Awaited()),
    ],
)
def test_in_bridge_mode_nothing_is_waited_for(
    network: Look[NetworkSeen], attached: bool, answer: Connection
) -> None:
    attachment = ATTACHED if attached else None
    progress = first_progress(BRIDGED).having_network("web", attachment=attachment)
    view = View(Seen(None), {"web": network}, {"web": Absent()})
    assert connection(BRIDGED, progress, view, "web", 1.0, RULES) == answer


def test_waiting_ends_with_its_limit_and_not_before() -> None:
    assert connected(HOLDING, Absent(), AWAY, now=119.9) == WAITING
    assert connected(HOLDING, Absent(), AWAY, now=120.0) == Failed(
        "ResourceInitializationError: network interface eni-1 (02:00:00:00:00:07) did not appear "
        "within 20 s: no device of this host has MAC address 02:00:00:00:00:07"
    )


@pytest.mark.parametrize(
    ("interface", "name", "why"),
    [
        (
            NetworkInterface("eni-2", "nic", name="eth7"),
            "eni-2 (eth7)",
            "this host has no device eth7",
        ),
        (
            NetworkInterface("eni-3", "vlan", mac="02::3", parent="trunk0", vlan=7),
            "eni-3 (02::3)",
            "this host has no device trunk0, which it is to be made on",
        ),
        (
            NetworkInterface("eni-4", "macvlan", parent="lan0"),
            "eni-4 (lan0)",
            "this host has no device lan0, which it is to be made on",
        ),
    ],
)
def test_what_did_not_come_is_named(interface: NetworkInterface, name: str, why: str) -> None:
    late = connected(replace(HOLDING, interface=interface), Absent(), AWAY, now=1000.0)
    assert isinstance(late, Failed)
    assert late.reason.endswith(f": {why}")
    assert shown(interface) == name
    assert f"network interface {name} did" in late.reason


def test_beside_a_running_container_no_second_namespace_is_made() -> None:
    attached = HOLDING.having_network("", attachment=IN_AWSVPC)
    gone = "ResourceInitializationError: the network namespace of the task is gone"
    assert connected(attached, Absent(), PRESENT, runs=True) == Failed(gone)
    assert connected(attached, THERE, AWAY, runs=True) == Connected()


def trying(why: str, *, since: float, until: float) -> Progress:
    """An interface could not be had since then; the next try is at ``until``."""
    return replace(FRESH, held={"interface": Held(until=until, tries=3, why=why, since=since)})


def test_an_interface_that_others_hold_is_tried_for_until_its_time_is_over() -> None:
    failed = TASK.accepted_at + 100.0
    held = trying("all 2 are held", since=failed, until=failed + 20.0)
    assert connected(held, Absent(), Absent(), failed + 19.9) == ACQUIRE
    assert connected(held, Absent(), Absent(), failed + 20.0) == Failed(
        "ResourceInitializationError: all 2 are held (tried for 20 s)"
    )
    assert connected(FRESH, Absent(), Absent(), failed + 20.0) == ACQUIRE


def test_time_in_which_nobody_tried_to_get_an_interface_does_not_count() -> None:
    held = trying("all 2 are held", since=100.0, until=110.0)
    assert connected(held, Absent(), Absent(), now=500.0) == ACQUIRE, "the agent was down"


def test_for_want_of_an_interface_a_task_that_runs_is_not_given_up() -> None:
    held = trying("all 2 are held", since=100.0, until=120.0).having("side", started_at=90.0)
    assert connected(held, Absent(), Absent(), now=500.0) == ACQUIRE

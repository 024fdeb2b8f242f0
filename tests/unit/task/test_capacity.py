"""What tasks need, and the order in which they get it: by example, and in random histories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.task.capacity import (
    BOUNDLESS,
    Allotment,
    Capacity,
    Claim,
    Holding,
    Item,
    Need,
    Resource,
    allot,
    holding,
    need,
    never,
    places,
    static_ports,
)
from agent.task.definition import TaskDefinition
from agent.task.model import Stop, StopCode, TaskId, first_progress
from tests.worlds import container, task

MEMORY, CPU, ENI = Resource.MEMORY, Resource.CPU, Resource.ENI
HTTP: Item = ("tcp", 80)
HOST = Capacity(memory_mib=1000, cpu_units=1000, interfaces=2, reserved=frozenset({("tcp", 22)}))


def definition(*containers: dict[str, Any], **fields: Any) -> TaskDefinition:
    made = tuple(container(f"c{number}", **each) for number, each in enumerate(containers))
    return TaskDefinition(family="x", container_definitions=made, **fields)


@pytest.mark.parametrize(
    ("network", "mapping", "ports"),
    [
        ("bridge", {"containerPort": 80, "hostPort": 8080}, [("tcp", 8080)]),
        ("bridge", {"containerPort": 80, "hostPort": 53, "protocol": "udp"}, [("udp", 53)]),
        ("bridge", {"containerPort": 80, "hostPort": 0}, []),
        ("bridge", {"containerPort": 80}, []),
        ("bridge", {"containerPortRange": "80-82"}, []),
        ("host", {"containerPort": 80}, [("tcp", 80)]),
        ("host", {"containerPortRange": "80-82"}, [("tcp", 80), ("tcp", 81), ("tcp", 82)]),
        ("none", {"containerPort": 80, "hostPort": 80}, []),
        ("awsvpc", {"containerPort": 80, "hostPort": 80}, []),
    ],
)
def test_static_ports_depend_on_the_network_mode(
    network: str, mapping: dict[str, Any], ports: list[tuple[str, int]]
) -> None:
    made = definition({"portMappings": [mapping]}, network_mode=network)
    assert list(static_ports(made)) == ports


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (definition({"memory": 256}, {"memory": 250}), {MEMORY: 506}),
        (definition({"memory": 9999, "memoryReservation": 512}), {MEMORY: 512}),
        (definition({"memory": 9999}, memory=512), {MEMORY: 512}),
        (definition({"cpu": 512}, {"cpu": 513}), {MEMORY: 128, CPU: 1025}),
        (definition({"cpu": 9999}, cpu=1024), {MEMORY: 64, CPU: 1024}),
        (definition({}, network_mode="awsvpc"), {MEMORY: 64, ENI: 1}),
        (definition({"portMappings": [{"hostPort": 80}]}), {MEMORY: 64, HTTP: 1}),
    ],
)
def test_a_task_needs_its_size_or_else_that_of_its_containers(
    made: TaskDefinition, wanted: Need
) -> None:
    assert need(made) == wanted


@pytest.mark.parametrize(
    ("wanted", "item"),
    [
        ({MEMORY: 1000, CPU: 1000, ENI: 2, HTTP: 1}, None),
        ({MEMORY: 1001}, MEMORY),
        ({CPU: 1001}, CPU),
        ({ENI: 3}, ENI),
        ({("tcp", 22): 1}, ("tcp", 22)),
        ({("udp", 22): 1}, None),
    ],
)
def test_a_host_gives_no_more_than_it_has(wanted: Need, item: Item | None) -> None:
    assert never(wanted, HOST) == item
    assert never(wanted, BOUNDLESS) is None


def test_a_task_holds_all_from_its_admission_and_its_places_until_nothing_is_left() -> None:
    begun = first_progress(task(container("web")))
    waits = replace(begun, admitted_at=None)
    stop = Stop(StopCode.USER, "asked", 1.0)
    assert holding(waits) is Holding.WAITS
    assert holding(replace(waits, stop=stop)) is Holding.NOTHING
    assert holding(begun) is Holding.ALL
    assert holding(replace(begun, stop=stop)) is Holding.ALL
    stopped = replace(begun, stop=stop).having("web", ended=True)
    assert holding(stopped) is Holding.PLACES
    assert holding(replace(stopped, closed_at=2.0)) is Holding.NOTHING
    assert places({MEMORY: 1, CPU: 2, ENI: 1, HTTP: 1}) == {ENI: 1, HTTP: 1}


def claims(*wanted: tuple[str, Need]) -> list[Claim]:
    """Named by digits; those in upper case hold what they need, the others wait."""
    return [Claim(TaskId(name * 32), each, name.islower()) for name, each in wanted]


def admitted(found: Allotment) -> str:
    return "".join(each[0] for each in found.admitted)


def test_who_fits_is_admitted_in_order_of_age() -> None:
    found = allot(claims(("a", {MEMORY: 600}), ("b", {MEMORY: 600}), ("c", {MEMORY: 400})), HOST)
    assert admitted(found) == "ac", "c takes nothing that b could have: b fits beside it"
    assert list(found.waiting) == [TaskId("b" * 32)]


def test_a_younger_task_may_not_take_what_an_older_one_will_need() -> None:
    world = claims(("A", {MEMORY: 500}), ("b", {MEMORY: 900}), ("c", {MEMORY: 101}))
    found = allot(world, HOST)
    assert admitted(found) == ""
    assert found.waiting == {
        TaskId("b" * 32): "for 900 MiB of memory: 500 MiB of 1000 are free",
        TaskId("c" * 32): "for 101 MiB of memory: 500 MiB of 1000 are free, "
        "but kept for task bbbbbbbbbbbb",
    }
    assert admitted(allot([*world[:2], *claims(("c", {MEMORY: 100}))], HOST)) == "c"


def test_a_younger_task_may_pass_as_long_as_the_older_fits_beside_all_that_passed() -> None:
    """However much is free now: those that the older one waits for may end first."""
    world = claims(("A", {MEMORY: 500}), ("b", {MEMORY: 700}), ("C", {MEMORY: 200}))
    assert admitted(allot([*world, *claims(("d", {MEMORY: 100}))], HOST)) == "d"
    assert admitted(allot([*world, *claims(("d", {MEMORY: 101}))], HOST)) == ""
    assert admitted(allot([*world, *claims(("d", {CPU: 1000}))], HOST)) == "d"


def test_a_task_that_waits_for_a_port_does_not_hold_up_others() -> None:
    world = claims(("A", {HTTP: 1}), ("b", {HTTP: 1, MEMORY: 400}), ("c", {HTTP: 1}))
    found = allot([*world, *claims(("d", {MEMORY: 600}))], HOST)
    assert admitted(found) == "d"
    assert found.waiting == {
        TaskId("b" * 32): "for port 80/tcp: task AAAAAAAAAAAA has it",
        TaskId("c" * 32): "for port 80/tcp: task AAAAAAAAAAAA has it; "
        "task bbbbbbbbbbbb is before it",
    }


def test_a_task_for_which_this_host_is_too_small_by_now_holds_up_nobody() -> None:
    """It was accepted when the host, or what is not kept back of it, was larger."""
    world = claims(("a", {MEMORY: 1001}), ("b", {("tcp", 22): 1}), ("c", {MEMORY: 1000}))
    found = allot(world, HOST)
    assert admitted(found) == "c"
    assert list(found.waiting.values()) == [
        "for 1001 MiB of memory: this host has 1000",
        "for port 22/tcp: this host has none for tasks",
    ]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({CPU: 600}, "for 600 CPU units: 500 of 1000 are free"),
        ({ENI: 1}, "for a network interface: 0 of 2 are free"),
        ({("udp", 53): 1}, "for port 53/udp: task AAAAAAAAAAAA has it"),
    ],
)
def test_it_is_told_what_a_task_waits_for(wanted: Need, why: str) -> None:
    world = claims(("A", {CPU: 500, ENI: 2, ("udp", 53): 1}), ("b", wanted))
    assert list(allot(world, HOST).waiting.values()) == [why]


def test_only_some_of_many_are_named() -> None:
    small: Need = {MEMORY: 1}
    many = claims(("A", {MEMORY: 1000}), *((name, small) for name in "bcdef"))
    why = list(allot(many, HOST).waiting.values())
    assert why[1].endswith("; task bbbbbbbbbbbb is before it")
    assert why[2].endswith("; tasks bbbbbbbbbbbb, cccccccccccc are before it")
    assert why[4].endswith(
        "; tasks bbbbbbbbbbbb, cccccccccccc, dddddddddddd and 1 more are before it"
    )


# Random histories.

ITEMS: Sequence[Item] = (MEMORY, CPU, ENI, HTTP)
SMALL = Capacity(memory_mib=10, cpu_units=10, interfaces=2)


@dataclass(frozen=True)
class Arrives:
    need: Need


@dataclass(frozen=True)
class Ends:
    """The task of this number, if it is there: by itself, or because somebody stops it."""

    number: int


needs = st.fixed_dictionaries(
    {},
    optional={
        MEMORY: st.integers(1, 10),
        CPU: st.integers(1, 10),
        ENI: st.just(1),
        HTTP: st.just(1),
    },
)
histories = st.lists(st.builds(Arrives, needs) | st.builds(Ends, st.integers(0, 30)), max_size=40)


def settled(live: dict[int, Claim]) -> Allotment:
    found = allot(list(live.values()), SMALL)
    for number, claim in live.items():
        if claim.task in found.admitted:
            live[number] = replace(claim, waits=False)
    return found


def play(history: Sequence[Arrives | Ends]) -> dict[int, Claim]:
    """Who is there at the end, by number, oldest first. Checks that nothing was given twice."""
    live: dict[int, Claim] = {}
    for number, event in enumerate(history):
        match event:
            case Arrives(wanted):
                live[number] = Claim(TaskId(f"{number:032}"), wanted, waits=True)
            case Ends(ended):
                live.pop(ended, None)
        found = settled(live)
        held: Counter[Item] = Counter()
        for each in live.values():
            held.update({} if each.waits else each.need)
        assert all(held[item] <= (SMALL.of(item) or 0) for item in ITEMS), "given twice"
        assert set(found.waiting) == {each.task for each in live.values() if each.waits}
        assert all(found.waiting.values()), "nobody waits without a reason"
    return live


@given(histories)
def test_no_more_is_given_than_there_is_and_equal_worlds_give_equal_answers(
    history: list[Arrives | Ends],
) -> None:
    live = play(history)
    assert allot(list(live.values()), SMALL) == allot(list(live.values()), SMALL)
    assert allot(list(live.values()), SMALL).admitted == (), "all that could be was given before"


@given(histories)
def test_nobody_waits_for_a_younger_one(history: list[Arrives | Ends]) -> None:
    """Whoever waits is admitted once all that are older have ended, whatever the younger do."""
    live = play(history)
    for number, claim in list(live.items()):
        if claim.waits:
            rest = {other: each for other, each in live.items() if other >= number}
            assert claim.task in settled(rest).admitted


@given(histories, st.lists(needs, max_size=30), st.randoms(use_true_random=False))
def test_nobody_starves_under_a_flood_of_others(
    history: list[Arrives | Ends], flood: list[Need], rng: Any
) -> None:
    """All that wait are admitted after as many endings as there were tasks before the last one.

    Those end in any order; between two endings as many younger ones as you like arrive, and those
    never end.
    """
    live = play(history)
    before = list(live)
    arrivals, count = iter(flood), 1000
    while before:
        running = [number for number in before if not live[number].waits]
        assert running, "all that wait for others wait for some that can end"
        ended = rng.choice(running)
        before.remove(ended)
        del live[ended]
        settled(live)
        for wanted in arrivals:
            live[count] = Claim(TaskId(f"{count:032}"), wanted, waits=True)
            count += 1
            settled(live)
            if rng.random() < 0.3:
                break


@given(st.lists(needs, max_size=12))
def test_tasks_of_one_request_are_admitted_one_by_one(wanted: list[Need]) -> None:
    together = allot(
        [Claim(TaskId(f"{i:032}"), each, waits=True) for i, each in enumerate(wanted)], SMALL
    )
    live: dict[int, Claim] = {}
    for number, each in enumerate(wanted):
        live[number] = Claim(TaskId(f"{number:032}"), each, waits=True)
        settled(live)
    assert set(together.admitted) == {each.task for each in live.values() if not each.waits}

"""The rounds of ``bench network``, and its report.

``add`` is from no namespace to a container that can be reached at its published port, ``del`` from
there until the caller may go on. Rates and round trips are given as time, so that more is worse in
every ratio.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.command import Options
from bench.network.awsvpc import open_pairs
from bench.network.flows import Flow, Line
from bench.network.lab import Lab, answering, open_lab, outside
from bench.network.ways import CONTAINER_PORT, FIRST_PORT, InProcess, Way, mapping
from bench.report import Report, conditions, spread, table
from bench.summary import ratio, summary
from bench.versions import versions

MANY = 200
EDGE = 20
"""Of many attachments the first and the last so many are compared."""
MAPPINGS = 1000
SETTLE_S, LOOK_AGAIN_S = 2.0, 0.002
BYTES = 256 << 20
TURNS = 4000
TARGETS = {
    "add/go-cni": 0.1,
    "add/floor": 1.5,
    "exec-add/go-cni": 1.0,
    "del/go-cni": 1.0,
    "add200/add1": 1.2,
    "port1000/port1": 1.02,
    "awsvpc/bare": 1.02,
    "awsvpc-rtt/bare": 1.02,
}
GO, FLOOR, ASKED, ALONE = (
    "reference plugins",
    "hand-packed floor",
    "executables, agent there",
    "executables alone",
)

Times = dict[str, list[tuple[float, float]]]
"""By way: seconds of ADD and DEL, one pair a round."""


def measure(options: Options) -> Report:
    """Runs all of it; blocks."""
    report = Report(targets=TARGETS)
    report.sections.append(conditions(options.rounds, asyncio.run(versions())))
    # What agents and plugins keep is on /run, in memory.
    with TemporaryDirectory(dir="/run") as run, open_lab(Path(run)) as lab, ExitStack() as stack:
        ours, floor = lab.in_process(), lab.floor()
        server = stack.enter_context(answering(lab.scratch))
        ways: list[Way] = [
            ours,
            floor,
            lab.executables(ASKED, "10.234.0.0/16", server),
            lab.executables(ALONE, "10.235.0.0/16", ""),
        ]
        reference = lab.reference()
        if reference is None:
            report.sections.append("left out: the reference plugins are not installed")
        else:
            ways.append(reference)
        _ratios(report, ours.name, _rounds(ways, options.rounds))
        _many(report, ours, floor)
        _published(report, lab, ours, options.rounds)
        _own_interfaces(report, lab, options.rounds)
    return report


def _rounds(ways: Sequence[Way], rounds: int) -> Times:
    """Each way in turn, beginning with the next one each time; an unmeasured round comes first."""
    times: Times = {each.name: [] for each in ways}
    for turn in range(rounds + 1):
        first = turn % len(ways)
        for way in (*ways[first:], *ways[:first]):
            taken = _timed(way, turn)
            if turn > 0:
                times[way.name].append(taken)
    return times


def _timed(way: Way, number: int) -> tuple[float, float]:
    """One turn; what it leaves the kernel to do is not the next one's to pay."""
    taken = _add_and_delete(way, number)
    _rest()
    return taken


def _rest() -> None:
    """No interface of a container is left: the kernel is done with what was deleted."""
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline and any(
        name.startswith(("veth", "f")) and name[-1].isdigit() for _, name in socket.if_nameindex()
    ):
        time.sleep(LOOK_AGAIN_S)  # noqa: TID251 - no event tells that the kernel is at rest


def _add_and_delete(way: Way, number: int) -> tuple[float, float]:
    began = time.perf_counter()
    way.add(number)
    added = time.perf_counter()
    way.delete(number)
    return added - began, time.perf_counter() - added


def _ratios(report: Report, ours: str, times: Times) -> None:
    adds = {name: [add for add, _ in every] for name, every in times.items()}
    dels = {name: [gone for _, gone in every] for name, every in times.items()}
    report.ratios["add/floor"] = ratio(adds[ours], adds[FLOOR])
    if GO in times:
        report.ratios["add/go-cni"] = ratio(adds[ours], adds[GO])
        report.ratios["exec-add/go-cni"] = ratio(adds[ASKED], adds[GO])
        report.ratios["exec-alone-add/go-cni"] = ratio(adds[ALONE], adds[GO])
        report.ratios["del/go-cni"] = ratio(dels[ours], dels[GO])
        report.ratios["exec-del/go-cni"] = ratio(dels[ASKED], dels[GO])
    for name in times:
        key = name.replace(",", "").replace(" ", "_").replace("-", "_")
        report.figures[f"{key}_add_ms"] = summary(adds[name]).median * 1000
        report.figures[f"{key}_del_ms"] = summary(dels[name]).median * 1000
    rows = [
        (name, spread(summary(adds[name]), 2), spread(summary(dels[name]), 2)) for name in times
    ]
    report.sections.append(table(("ms: median (quartiles, min)", "add", "del"), rows))


def _many(report: Report, *ways: Way) -> None:
    """So many containers at once: what the last ones cost beside the first, by ours and by others.

    The kernel itself takes longer for each port that a bridge has already.
    """
    rows = []
    for way, key in zip(ways, ("add200/add1", "floor200/floor1"), strict=True):
        adds = [_timed_add(way, number) for number in range(MANY)]
        for number in range(MANY):
            way.delete(number)
        _rest()
        first, last = summary(adds[:EDGE]), summary(adds[-EDGE:])
        report.ratios[key] = last.median / first.median
        rows.append((way.name, spread(first, 2), spread(last, 2)))
    headings = (f"add, {MANY} containers at once: ms", f"first {EDGE}", f"last {EDGE}")
    report.sections.append(table(headings, rows))


def _timed_add(way: Way, number: int) -> float:
    began = time.perf_counter()
    way.add(number)
    return time.perf_counter() - began


def _published(report: Report, lab: Lab, ours: InProcess, rounds: int) -> None:
    """A published port with no other mapping beside it, and with many."""
    far, host = outside(lab)
    address = (str(host), FIRST_PORT)
    line = Line(lab.context.namespaces, far, ours.path(0), address, CONTAINER_PORT)
    flows: dict[str, list[Flow]] = {"1 mapping": [], f"{MAPPINGS} mappings": []}
    for _ in range(rounds):
        ours.add(0)
        flows["1 mapping"].append(line.measure(BYTES, TURNS))
        ours.publish(1, [mapping(number) for number in range(1, MAPPINGS)])
        flows[f"{MAPPINGS} mappings"].append(line.measure(BYTES, TURNS))
        ours.delete(1)
        ours.delete(0)
    few, many = flows.values()
    report.ratios["port1000/port1"] = _slowness(many, few)
    report.ratios["port1000-rtt/port1"] = _delay(many, few)
    report.sections.append(_flows("through a published port", flows))


def _own_interfaces(report: Report, lab: Lab, rounds: int) -> None:
    """Two tasks with interfaces of their own beside two namespaces with the same, bare."""
    flows: dict[str, list[Flow]] = {"awsvpc": [], "bare macvlan": []}
    with open_pairs(lab) as pairs:
        for turn in range(rounds):
            order = list(zip(flows, pairs, strict=True))
            for name, line in order if turn % 2 else reversed(order):
                flows[name].append(line.measure(BYTES, TURNS))
    ours, bare = flows.values()
    report.ratios["awsvpc/bare"] = _slowness(ours, bare)
    report.ratios["awsvpc-rtt/bare"] = _delay(ours, bare)
    report.sections.append(_flows("between two tasks", flows))


def _slowness(ours: Sequence[Flow], theirs: Sequence[Flow]) -> float:
    return ratio([1 / each.rate for each in ours], [1 / each.rate for each in theirs])


def _delay(ours: Sequence[Flow], theirs: Sequence[Flow]) -> float:
    return ratio([each.round_trip_s for each in ours], [each.round_trip_s for each in theirs])


def _flows(heading: str, flows: Mapping[str, Sequence[Flow]]) -> str:
    rows = []
    for name, every in flows.items():
        rate = summary([each.rate * 8 / 1e9 for each in every])
        trip = summary([each.round_trip_s * 1e6 for each in every])
        rows.append((name, f"{rate.median:.2f}", f"{trip.median:.1f}"))
    return table((heading, "Gbit/s", "round trip, µs"), rows)

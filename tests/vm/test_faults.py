"""Latency and loss that a task asks for, on a kernel that has netem."""

from tests.vm.guest.faults import DELAY_MS
from tests.vm.lab import Lab

RUNNING, STOPPED = {"Status": "running"}, {"Status": "stopped"}


def test_latency_delays_every_packet_to_the_peer_until_it_is_stopped(lab: Lab) -> None:
    told = lab.alpha.facts("faults")
    late = told["network-latency"]
    assert (late["start"], late["status"], late["stop"]) == (RUNNING, RUNNING, STOPPED)
    assert min(late["trips"]) >= DELAY_MS
    assert min(told["before"]) < DELAY_MS
    assert min(late["after"]) < DELAY_MS


def test_loss_takes_every_packet_to_the_peer_until_it_is_stopped(lab: Lab) -> None:
    lost = lab.alpha.facts("faults")["network-packet-loss"]
    assert (lost["start"], lost["status"], lost["stop"]) == (RUNNING, RUNNING, STOPPED)
    assert lost["trips"] == []
    assert lost["after"]


def test_metadata_is_answered_meanwhile(lab: Lab) -> None:
    told = lab.alpha.facts("faults")
    for name in ("network-latency", "network-packet-loss"):
        assert told[name]["metadata"].startswith("arn:aws:ecs:")

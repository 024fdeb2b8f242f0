"""Ports of the host for those of a container: which are chosen, and when others are tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent.host.network.ports import HostPorts
from agent.task.network import PortBinding
from cni.errors import CNIError, Code, PortTaken
from cni.portmap import hostports
from cni.portmap.mappings import PortMapping, Protocol
from tests.worlds import container

TCP = Protocol.TCP


@pytest.fixture(autouse=True)
def _no_local_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostports, "is_free", lambda *_: True)


class Firewall:
    """Publishes unless a port is held; ``shown`` are those of the held that can be looked up."""

    def __init__(self, *held: int, shown: Sequence[int] = ()) -> None:
        self.held = set(held)
        self.shown = shown
        self.tries: list[list[int]] = []

    def publish(self, mappings: Sequence[PortMapping]) -> str:
        self.tries.append([each.host_port for each in mappings])
        for each in mappings:
            for port in each.host_ports:
                if port in self.held:
                    raise PortTaken(each.protocol.value, port, "another")
        return "a result"

    def published(self) -> set[tuple[Protocol, int]]:
        return {(TCP, port) for port in self.shown}

    def bindings(self, ports: HostPorts, *mappings: dict[str, object]) -> tuple[PortBinding, ...]:
        made = container("web", portMappings=mappings)
        result, bound = ports.publishing(made, self.published, self.publish)
        assert result == "a result"
        return bound


@pytest.fixture
def ports(tmp_path: Path) -> HostPorts:
    return HostPorts(tmp_path, (40000, 40009))


def test_a_container_without_ports_is_published_all_the_same(ports: HostPorts) -> None:
    firewall = Firewall()
    assert firewall.bindings(ports) == ()
    assert firewall.tries == [[]]


def test_fixed_and_dynamic_ports_and_ranges_are_bound_in_their_order(ports: HostPorts) -> None:
    bound = Firewall().bindings(
        ports,
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 53, "protocol": "udp"},
        {"containerPortRange": "9000-9002"},
        {"containerPort": 443, "hostPort": 0},
    )
    assert bound == (
        PortBinding("tcp", 80, 8080),
        PortBinding("udp", 53, 40000),
        PortBinding("tcp", 9000, 40001, count=3),
        PortBinding("tcp", 443, 40004),
    )


def test_dynamic_ports_go_round_also_for_the_next_agent(tmp_path: Path) -> None:
    chosen = []
    for _ in range(3):
        ports = HostPorts(tmp_path, (40000, 40001))
        chosen += [each.host_port for each in Firewall().bindings(ports, {"containerPort": 80})]
    assert chosen == [40000, 40001, 40000]


def test_without_bounds_they_come_from_the_kernels_range(tmp_path: Path) -> None:
    (bound,) = Firewall().bindings(HostPorts(tmp_path, None), {"containerPort": 80})
    kernel = hostports.ephemeral_range()
    assert kernel.first <= bound.host_port <= kernel.last


def test_a_dynamic_port_that_is_taken_is_chosen_anew_past_all_published(ports: HostPorts) -> None:
    firewall = Firewall(40000, shown=[40000, 40001, 40002])
    (bound,) = firewall.bindings(ports, {"containerPort": 80})
    assert bound.host_port == 40003
    assert firewall.tries == [[40000], [40003]]


def test_one_that_is_taken_though_nobody_shows_it_is_passed_over(ports: HostPorts) -> None:
    firewall = Firewall(40000, 40001)
    (bound,) = firewall.bindings(ports, {"containerPort": 80})
    assert bound.host_port == 40002


def test_a_fixed_port_that_is_taken_is_an_error_at_once(ports: HostPorts) -> None:
    firewall = Firewall(8080)
    with pytest.raises(PortTaken, match="8080/tcp"):
        firewall.bindings(ports, {"containerPort": 80, "hostPort": 8080}, {"containerPort": 81})
    assert len(firewall.tries) == 1


def test_a_fixed_port_of_the_other_protocol_does_not_make_a_dynamic_one_fixed(
    ports: HostPorts,
) -> None:
    firewall = Firewall()
    refuse = [PortTaken("tcp", 40000, "another")]

    def publish(mappings: Sequence[PortMapping]) -> str:
        if refuse:
            raise refuse.pop()
        return firewall.publish(mappings)

    made = container(
        "web",
        portMappings=[
            {"containerPort": 53, "hostPort": 40000, "protocol": "udp"},
            {"containerPort": 80},
        ],
    )
    _, bound = ports.publishing(made, firewall.published, publish)
    assert [each.host_port for each in bound] == [40000, 40001]


def test_the_last_of_a_few_attempts_raises(ports: HostPorts) -> None:
    firewall = Firewall(*range(40000, 40010))
    with pytest.raises(PortTaken, match="40004/tcp"):
        firewall.bindings(ports, {"containerPort": 80})
    assert firewall.tries == [[40000], [40001], [40002], [40003], [40004]]


def test_when_all_are_published_there_is_none(ports: HostPorts) -> None:
    firewall = Firewall(40000, shown=range(40000, 40010))
    with pytest.raises(CNIError, match="no 1 free tcp host ports") as caught:
        firewall.bindings(ports, {"containerPort": 80})
    assert caught.value.code == Code.TRY_AGAIN_LATER


def test_any_other_failure_is_no_reason_for_another_attempt(ports: HostPorts) -> None:
    tries = []

    def publish(mappings: Sequence[PortMapping]) -> str:
        tries.append(mappings)
        raise CNIError(Code.IO_FAILURE, "no")

    with pytest.raises(CNIError, match="no"):
        ports.publishing(container("web", portMappings=[{"containerPort": 80}]), set, publish)
    assert len(tries) == 1


def test_reserved_ports_are_not_chosen(tmp_path: Path) -> None:
    reserved = [("tcp", 40000), ("tcp", 40002), ("udp", 40001)]
    ports = HostPorts(tmp_path, (40000, 40003), reserved)
    firewall = Firewall(40001, shown=[40001])
    (bound,) = firewall.bindings(ports, {"containerPort": 80})
    assert firewall.tries == [[40001], [40003]]
    assert bound.host_port == 40003
    with pytest.raises(CNIError, match="no 1 free tcp host ports"):
        Firewall(40001, 40003, shown=[40001, 40003]).bindings(ports, {"containerPort": 80})

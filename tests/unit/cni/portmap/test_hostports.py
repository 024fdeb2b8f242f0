"""The order in which host ports are tried, and the probe for local programs."""

import socket
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CNIError, Code
from cni.portmap.hostports import Cursor, PortRange, choose, ephemeral_range, is_free
from cni.portmap.mappings import PortMapping, Protocol


@given(
    first=st.integers(1, 60),
    length=st.integers(1, 40),
    after=st.integers(0, 120),
    count=st.integers(1, 50),
)
def test_each_run_is_tried_once_and_stays_inside(
    first: int, length: int, after: int, count: int
) -> None:
    ports = PortRange(first, first + length - 1)
    runs = list(ports.runs(after, count))

    assert all(len(run) == count and first <= run[0] <= run[-1] <= ports.last for run in runs)
    assert len({run[0] for run in runs}) == len(runs) == max(0, length - count + 1)


def test_the_search_goes_on_after_the_last_one_and_wraps() -> None:
    ports = PortRange(10, 13)

    assert [run[0] for run in ports.runs(11, 1)] == [12, 13, 10, 11]
    assert [run[0] for run in ports.runs(0, 1)] == [10, 11, 12, 13]
    assert [run[0] for run in ports.runs(13, 1)] == [10, 11, 12, 13]


@pytest.mark.parametrize(("first", "last"), [(0, 5), (7, 6), (65000, 65536)])
def test_what_is_no_range_of_ports_is_refused(first: int, last: int) -> None:
    with pytest.raises(CNIError, match="not a port range"):
        PortRange(first, last)


KINDS = {Protocol.TCP: socket.SOCK_STREAM, Protocol.UDP: socket.SOCK_DGRAM}


@pytest.mark.parametrize("protocol", list(KINDS))
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_a_port_is_not_free_while_a_program_has_it(protocol: Protocol, address: str) -> None:
    with holder(protocol, address) as sock:
        port = sock.getsockname()[1]
        assert not is_free(protocol, port)
    assert is_free(protocol, port)


@pytest.mark.parametrize(
    ("held", "host_ip", "free"),
    [
        ("127.0.0.1", "0.0.0.0", False),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.2", True),
        ("127.0.0.1", "::", True),
        ("0.0.0.0", "127.0.0.2", False),
        ("0.0.0.0", "198.51.100.7", False),
        ("::1", "0.0.0.0", True),
        ("::1", "::", False),
        ("::1", "2001:db8::7", True),
    ],
)
def test_a_program_at_another_address_leaves_a_port_free(
    held: str, host_ip: str, free: bool
) -> None:
    with holder(Protocol.TCP, held) as sock:
        assert is_free(Protocol.TCP, sock.getsockname()[1], ip_address(host_ip)) == free


def holder(protocol: Protocol, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, KINDS[protocol])
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, 0))
    if protocol is Protocol.TCP:
        sock.listen()
    return sock


def test_a_port_of_past_connections_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            served, _ = listener.accept()
            served.close()  # the side that closes first stays in TIME_WAIT
    assert is_free(Protocol.TCP, port)


def test_the_ephemeral_range_is_a_range_of_ports() -> None:
    ports = ephemeral_range()
    assert ports.first < ports.last


def test_the_cursor_remembers_and_forgives_damage(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path / "state" / "last-port")
    assert cursor.read() == 0

    cursor.write(21000)
    assert Cursor(cursor.path).read() == 21000

    cursor.path.write_text("2100x")
    assert cursor.read() == 0


RANGE = PortRange(21000, 21009)  # below those that the kernel gives to whoever asks for any


def chosen(
    tmp_path: Path, *mappings: PortMapping, taken: set[tuple[Protocol, int]] | None = None
) -> list[int]:
    cursor = Cursor(tmp_path / "last-port")
    found = choose(mappings, taken or set(), RANGE, cursor)
    assert [each.container_port for each in found] == [each.container_port for each in mappings]
    return [each.host_port for each in found]


def test_fixed_ports_stay_and_dynamic_ones_pass_over_them(tmp_path: Path) -> None:
    wanted = (PortMapping(80), PortMapping(81, 21000), PortMapping(82), PortMapping(83, 9))

    assert chosen(tmp_path, *wanted) == [21001, 21000, 21002, 9]


def test_choices_go_upward_from_one_call_to_the_next_and_wrap(tmp_path: Path) -> None:
    assert [chosen(tmp_path, PortMapping(80))[0] for _ in range(12)] == [
        *range(21000, 21010), 21000, 21001
    ]  # fmt: skip


def test_a_range_gets_neighbours_that_nobody_has(tmp_path: Path) -> None:
    taken = {(Protocol.TCP, 21002), (Protocol.UDP, 21005)}

    assert chosen(tmp_path, PortMapping(7000, count=4), taken=taken) == [21003]


def test_ports_of_another_protocol_do_not_count(tmp_path: Path) -> None:
    taken = {(Protocol.UDP, port) for port in range(21000, 21010)}

    wanted = (PortMapping(80), PortMapping(80, protocol=Protocol.SCTP))
    assert chosen(tmp_path, *wanted, taken=taken) == [21000, 21001]


def test_ports_of_local_programs_are_passed_over(tmp_path: Path) -> None:
    with holder(Protocol.TCP, "127.0.0.1") as sock:
        port = sock.getsockname()[1]
        found = choose([PortMapping(80)], (), PortRange(port, port + 30), Cursor(tmp_path / "x"))
    assert port < found[0].host_port <= port + 30, "some of the next may be somebody's too"


def test_no_port_left_is_to_be_tried_again_later_and_nothing_is_remembered(tmp_path: Path) -> None:
    taken = {(Protocol.TCP, port) for port in range(21000, 21010, 2)}

    with pytest.raises(CNIError, match="no 2 free tcp host ports in a row: in 21000") as caught:
        chosen(tmp_path, PortMapping(80), PortMapping(81, count=2), taken=taken)

    assert caught.value.code == Code.TRY_AGAIN_LATER
    assert list(tmp_path.iterdir()) == []


@given(
    counts=st.lists(st.integers(1, 4), max_size=5),
    fixed=st.lists(st.integers(22000, 22030), max_size=4, unique=True),
    taken=st.sets(st.integers(22000, 22030)),
)
def test_what_is_chosen_never_collides(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], fixed: list[int], taken: set[int]
) -> None:
    cursor = Cursor(tmp_path_factory.mktemp("cursor") / "last-port")
    mappings = [PortMapping(1, count=count, protocol=Protocol.SCTP) for count in counts]
    mappings += [PortMapping(1, port, Protocol.SCTP) for port in fixed]
    held = {(Protocol.SCTP, port) for port in taken}
    try:
        found = choose(mappings, held, PortRange(22000, 22030), cursor)
    except CNIError as error:
        assert error.code == Code.TRY_AGAIN_LATER  # noqa: PT017
        return
    everything = [port for each in found for port in each.host_ports]
    assert len(everything) == len(set(everything))
    dynamic = {port for each in found[: len(counts)] for port in each.host_ports}
    assert not dynamic & taken
    assert all(22000 <= port <= 22030 for port in dynamic)

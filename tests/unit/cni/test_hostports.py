"""The order in which host ports are tried, and the probe for local programs."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni.errors import CNIError
from cni.hostports import Cursor, PortRange, ephemeral_range, is_free
from cni.nft import Protocol


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


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("address", ["127.0.0.1", ""])
def test_a_port_is_not_free_while_a_program_has_it(protocol: Protocol, address: str) -> None:
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((address, 0))
        if protocol is Protocol.TCP:
            holder.listen()
        port = holder.getsockname()[1]
        assert not is_free(protocol, port)
    assert is_free(protocol, port)


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

    cursor.write(40000)
    assert Cursor(cursor.path).read() == 40000

    cursor.path.write_text("4000x")
    assert cursor.read() == 0

"""The client: one line of plain words for everything that goes wrong."""

import socket
import threading
from pathlib import Path

import pytest

from agent.cli.client import Client
from agent.cli.errors import CommandError
from tests.fakes.api import FakeApi, Refused


def refusing(_body: object) -> dict[str, object]:
    raise Refused("ClientException", "no such thing")


def test_calls_carry_their_names_as_aws_has_them(api: FakeApi) -> None:
    api.answers = {"ListTasks": {"taskArns": []}, "Hostler.ListImages": {"images": []}}
    client = Client(api.path)
    assert client.call("ListTasks", {"family": "f"}) == {"taskArns": []}
    assert client.call("Hostler.ListImages", {}) == {"images": []}
    assert api.calls == [("ListTasks", {"family": "f"}), ("Hostler.ListImages", {})]


def test_a_refusal_is_named_as_sdks_name_it(api: FakeApi) -> None:
    api.answers = {"RunTask": refusing}
    with pytest.raises(CommandError, match=r"^ClientException: no such thing$"):
        Client(api.path).call("RunTask", {})


def test_an_image_is_sent_in_pieces(api: FakeApi) -> None:
    api.answers = {"POST /images": {"images": ["a:1"]}}
    assert Client(api.path).load_image(iter([b"one", b"two"])) == ["a:1"]
    assert api.loaded == b"onetwo"


def test_it_says_how_to_start_an_agent_when_there_is_no_socket(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no agent answers on .*/none: start it with"):
        Client(tmp_path / "none").call("ListTasks", {})


def test_it_says_how_to_start_an_agent_when_nobody_listens(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(CommandError, match="no agent answers"):
        Client(path).call("ListTasks", {})


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (b"", "broke off"),
        (b"garbage\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhm", "is not an agent"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n[]", "is not an agent"),
    ],
)
def test_a_strange_server_is_named(tmp_path: Path, said: bytes, shown: str) -> None:
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            with listening.accept()[0] as served:
                served.recv(65536)
                served.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(CommandError, match=shown):
            Client(path).call("ListTasks", {})
        thread.join(5)

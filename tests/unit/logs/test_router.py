"""The router's loop in a thread, over its real socket and real FIFOs in a temporary folder."""

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.logs.__main__ import listening
from agent.logs.protocol import SOCKET_NAME, Stream
from agent.logs.router import Router


class Bench:
    """A router that can be restarted, and one client of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        self._listener = listening(self.folder / SOCKET_NAME)
        self._wake, self._woken = os.pipe()
        router = Router(self.folder, self._listener)
        router.restore()
        router.stop_on(self._wake)
        self.thread = threading.Thread(target=router.serve)
        self.thread.start()
        self.client = socket.socket(socket.AF_UNIX)
        self.client.settimeout(20)
        self.client.connect(str(self.folder / SOCKET_NAME))
        self.replies = self.client.makefile("rb")

    def stop(self) -> None:
        os.write(self._woken, b"x")
        self.thread.join(20)
        assert not self.thread.is_alive()
        self.replies.close()
        self.client.close()
        self._listener.close()
        os.close(self._wake)
        os.close(self._woken)

    def send(self, op: str, **fields: Any) -> None:
        self.client.sendall(json.dumps({"seq": op, "op": op, **fields}).encode() + b"\n")

    def reply(self) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self.replies.readline())
        return reply

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        self.send(op, **fields)
        return self.reply()

    def spec(self, name: str, **more: Any) -> dict[str, Any]:
        stream = Stream(
            name,
            str(self.folder / f"{name}.log"),
            str(self.folder / f"{name}-out"),
            str(self.folder / f"{name}-err"),
        )
        return {**stream._asdict(), **more}

    def writer(self, name: str) -> int:
        """Fails when the FIFO has no reader."""
        return os.open(self.folder / name, os.O_WRONLY | os.O_NONBLOCK)

    def logged(self, name: str) -> list[tuple[str, str]]:
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        return [(record["stream"], record["log"]) for record in map(json.loads, lines)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.stop()


def test_both_fifos_have_a_reader_once_open_is_answered(bench: Bench) -> None:
    assert bench.ask("open", stream=bench.spec("c1")) == {"seq": "open", "ok": True}
    for name in ("c1-out", "c1-err"):
        os.close(bench.writer(name))


def test_close_is_answered_when_everything_is_in_the_log(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    out, err = bench.writer("c1-out"), bench.writer("c1-err")
    bench.send("close", id="c1")
    assert bench.ask("ping")["seq"] == "ping"  # close still waits
    os.write(out, b"last words")
    os.close(out)
    assert bench.ask("ping")["seq"] == "ping"
    os.write(err, b"e\n")
    os.close(err)
    assert bench.reply() == {"seq": "close", "ok": True}
    assert sorted(bench.logged("c1")) == [("stderr", "e\n"), ("stdout", "last words")]
    assert not (bench.folder / "c1-out").exists()
    assert list((bench.folder / "streams").iterdir()) == []
    assert list((bench.folder / "spool").iterdir()) == []


def test_a_container_that_never_started_is_closed_at_once(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    assert bench.ask("close", id="c1")["ok"]


def test_one_that_ended_before_close_is_closed_at_once(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    for name in ("c1-out", "c1-err"):
        fd = bench.writer(name)
        os.write(fd, b"x\n")
        os.close(fd)
    assert bench.ask("ping")["ok"]
    assert bench.ask("close", id="c1")["ok"]
    assert len(bench.logged("c1")) == 2


def test_closing_what_is_not_open_succeeds(bench: Bench) -> None:
    assert bench.ask("close", id="c9") == {"seq": "close", "ok": True}


def test_opening_again_changes_nothing(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    out = bench.writer("c1-out")
    assert bench.ask("open", stream=bench.spec("c1"))["ok"]
    os.write(out, b"x\n")
    os.close(out)
    bench.ask("close", id="c1")
    assert bench.logged("c1") == [("stdout", "x\n")]


def test_opening_again_with_other_options_is_refused(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    reply = bench.ask("open", stream=bench.spec("c1", options={"max-file": "1"}))
    assert not reply["ok"]
    assert "open already" in reply["error"]


def test_a_file_in_the_place_of_a_fifo_is_refused_and_kept(bench: Bench) -> None:
    (bench.folder / "c1-err").write_text("mine")
    reply = bench.ask("open", stream=bench.spec("c1"))
    assert "not a FIFO" in reply["error"]
    assert (bench.folder / "c1-err").read_text() == "mine"
    assert bench.ask("list")["streams"] == []
    assert list((bench.folder / "streams").iterdir()) == []


def test_a_request_that_makes_no_sense_is_answered(bench: Bench) -> None:
    assert bench.ask("dance")["error"] == "op: 'dance' is none of ours"
    assert "not a container id" in bench.ask("close", id="../x")["error"]


def test_a_client_that_speaks_another_language_loses_its_connection_only(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(20)
        stranger.connect(str(bench.folder / SOCKET_NAME))
        stranger.sendall(b"GET / HTTP/1.1\n")
        assert stranger.recv(100) == b""
    assert bench.ask("ping")["pid"] == os.getpid()


def test_it_tells_whether_it_is_a_service(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert bench.ask("ping")["service"] is False
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    assert bench.ask("ping")["service"] is True


def test_a_client_that_left_before_its_answer_harms_nobody(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    out = bench.writer("c1-out")
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(str(bench.folder / SOCKET_NAME))
        other.sendall(b'{"op":"close","id":"c1"}\n')
        other.sendall(b'{"op":"ping"}\n')
        other.recv(1)
    os.close(out)
    assert bench.ask("close", id="c1")["ok"]


def test_streams_outlive_the_router(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    out = bench.writer("c1-out")
    shim = os.open(bench.folder / "c1-out", os.O_RDONLY | os.O_NONBLOCK)  # keeps both ends
    os.write(out, b"one\ntw")
    bench.ask("ping")
    bench.stop()
    os.write(out, b"o\n")
    bench.start()
    os.close(out)
    os.close(shim)
    bench.ask("close", id="c1")
    assert bench.logged("c1") == [("stdout", "one\n"), ("stdout", "two\n")]


def test_what_is_lost_is_listed(bench: Bench) -> None:
    (bench.folder / "c1.log").mkdir()
    bench.ask("open", stream=bench.spec("c1"))
    out = bench.writer("c1-out")
    os.write(out, b"1\n2\n")
    bench.ask("ping")
    (state,) = bench.ask("list")["streams"]
    assert (state["id"], state["driver"], state["dropped"]) == ("c1", "json-file", 2)
    assert "Is a directory" in state["error"]
    os.close(out)


def test_an_idle_router_stops_when_asked_and_a_busy_one_does_not(bench: Bench) -> None:
    bench.ask("open", stream=bench.spec("c1"))
    assert bench.ask("stop_if_idle")["stopped"] is False
    bench.ask("close", id="c1")
    assert bench.ask("stop_if_idle")["stopped"] is True
    bench.thread.join(20)
    assert not bench.thread.is_alive()


def test_the_socket_is_for_root_alone(bench: Bench) -> None:
    assert stat.S_IMODE((bench.folder / SOCKET_NAME).stat().st_mode) & 0o077 == 0

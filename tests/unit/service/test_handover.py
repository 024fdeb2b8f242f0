"""Sockets that go from one program to the next: what is taken, and what is passed on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.service import handover
from agent.service.handover import Named, inherited

ROOT = Path(__file__).parents[3]

SUCCESSOR = """
import os, subprocess, sys
from agent.service.handover import inherited
environ = dict(os.environ)
for name, each in inherited(environ):
    print(name, each.getsockname()[1], each.gettimeout(), os.get_inheritable(each.fileno()))
print(sorted(each for each in environ if each.startswith("LISTEN")))
print(environ["MARK"], sys.argv[1:])
"""

BEGINNING = """
import os, socket, sys
from agent.service.handover import Named, become
open(os.devnull, "rb")  # descriptor 3 is somebody's
numbers = map(int, sys.argv[1].split())
sockets = [Named(f"name-{number}", socket.socket(fileno=number)) for number in numbers]
become(sys.argv[2:], sockets, {**os.environ, "MARK": "mine", "PATH": ""})
"""


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    yield made
    for each in made:
        each.close()


def begin(sockets: list[socket.socket], *command: str) -> subprocess.CompletedProcess[str]:
    """What comes of a program that becomes ``command`` with these sockets."""
    numbers = [each.fileno() for each in sockets]
    return subprocess.run(
        [sys.executable, "-c", BEGINNING, " ".join(map(str, numbers)), *command],
        pass_fds=numbers,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_successor_has_the_sockets_under_their_names(listening: list[socket.socket]) -> None:
    ran = begin(listening, sys.executable, "-c", SUCCESSOR, "with", "arguments")
    assert ran.stdout.splitlines() == [
        *(f"name-{each.fileno()} {each.getsockname()[1]} 0.0 False" for each in listening),
        "[]",
        "mine ['with', 'arguments']",
    ], ran.stderr


def test_one_can_begin_without_sockets(listening: list[socket.socket]) -> None:
    ran = begin([], sys.executable, "-c", SUCCESSOR)
    assert ran.stdout.splitlines() == ["[]", "mine []"], ran.stderr


def test_a_successor_that_is_not_there_is_an_error(listening: list[socket.socket]) -> None:
    ran = begin(listening, "/nowhere/python")
    assert ran.returncode == 1
    assert "FileNotFoundError: [Errno 2] No such file or directory" in ran.stderr


def test_the_program_is_started_again_with_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "agent", "agent"])
    assert handover.own_command() == [sys.executable, "-X", "dev", "-m", "agent", "agent"]


@pytest.mark.parametrize(
    ("text", "mode", "by_itself"),
    [("#!/bin/x\n", 0o755, True), ("#!/bin/x\n", 0o644, False), ("import os\n", 0o755, False)],
)
def test_a_script_that_names_its_interpreter_is_started_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, by_itself: bool
) -> None:
    script = tmp_path / "hostler"
    script.write_text(text)
    script.chmod(mode)
    monkeypatch.setattr(sys, "orig_argv", ["python", str(script), "agent"])
    words = [str(script), "agent"]
    assert handover.own_command() == (words if by_itself else [sys.executable, *words])


@pytest.mark.parametrize(
    ("pid", "count"),
    [("", "2"), ("1", "2"), (str(os.getpid()), ""), (str(os.getpid()), "-1")],
    ids=["of nobody", "another's", "not counted", "counted wrong"],
)
def test_what_was_passed_to_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, pid: str, count: str, listening: list[socket.socket]
) -> None:
    monkeypatch.setattr(handover, "FIRST", listening[0].fileno())
    environ = {"LISTEN_PID": pid, "LISTEN_FDS": count, "LISTEN_FDNAMES": "a:b", "HOME": "/"}
    assert inherited(environ) == []
    assert environ == {"HOME": "/"}
    assert listening[0].getsockname()


def given(*descriptors: int, names: str) -> list[Named]:
    """What is taken of these, which are moved to follow each other."""
    above = 300
    for number, each in enumerate(descriptors, above):
        os.dup2(each, number)
    before, handover.FIRST = handover.FIRST, above
    try:
        count = str(len(descriptors))
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": names}
        return inherited(environ)
    finally:
        handover.FIRST = before


@pytest.mark.parametrize(
    ("names", "found"),
    [("a:b", ["a", "b"]), ("a", ["a", ""]), ("", ["", ""]), ("a:a:c", ["a", "a"])],
)
def test_names_need_not_be_as_many_as_sockets(
    listening: list[socket.socket], names: str, found: list[str]
) -> None:
    taken = given(listening[0].fileno(), listening[1].fileno(), names=names)
    assert [each.name for each in taken] == found
    for each, of in zip(taken, listening, strict=False):
        assert each.socket.getsockname() == of.getsockname()
        assert each.socket.gettimeout() == 0
        assert not os.get_inheritable(each.socket.fileno())
        each.socket.close()


def test_what_is_no_socket_is_closed(listening: list[socket.socket]) -> None:
    reading, writing = os.pipe()
    taken = given(writing, listening[0].fileno(), names="pipe:one")
    assert [each.name for each in taken] == ["one"]
    taken[0].socket.close()
    os.close(writing)
    assert os.read(reading, 1) == b"", "nobody has the other end"
    os.close(reading)


def test_as_many_are_passed_on_as_names_fit(
    monkeypatch: pytest.MonkeyPatch, listening: list[socket.socket]
) -> None:
    """The kernel takes no variable above 128 KiB: execve(2)."""
    assert handover.MOST * 31 < 128 * 1024
    moved: list[int] = []

    def execute(*given: object) -> None:
        raise OSError(given[2])

    monkeypatch.setattr(handover, "MOST", 2)
    monkeypatch.setattr(os, "dup2", lambda _, number: moved.append(number))
    monkeypatch.setattr(os, "execve", execute)
    with pytest.raises(OSError, match="LISTEN") as executed:
        handover.become(["x"], [Named("n", each) for each in listening], {})
    assert executed.value.args == (
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "n:n"},
    )
    assert moved == [3, 4]

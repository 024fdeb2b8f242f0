"""Programs with a deadline: what they get, what is taken of them, and that they end."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cni import execute
from cni.errors import CNIError, Code

Program = Callable[[str], Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def make(script: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def test_it_gets_input_and_environment_and_gives_what_it_printed(program: Program) -> None:
    path = program('cat; echo "$A" >&2; exit 3')

    assert execute.run(path, {"A": "b", "PATH": os.defpath}, b"in" * 50_000, 20) == (
        3,
        b"in" * 50_000,
        b"b\n",
    )


def test_one_that_reads_nothing_holds_up_nobody(program: Program) -> None:
    assert execute.run(program("exit 0"), {}, b"x" * 1_000_000, 20).status == 0


def test_a_signal_is_a_negative_status(program: Program) -> None:
    assert execute.run(program("kill -9 $$"), {}, b"", 20).status == -9


def test_at_the_deadline_it_dies_with_its_children(program: Program, tmp_path: Path) -> None:
    lock = tmp_path / "alive"
    os.mkfifo(lock)
    reader = os.open(lock, os.O_RDONLY | os.O_NONBLOCK)
    script = f"exec 3>{lock}; sleep 1000 & sleep 1000"
    with pytest.raises(CNIError, match=r"did not end within 0\.2 s") as refused:
        execute.run(program(script), {"PATH": os.environ["PATH"]}, b"", 0.2)
    assert refused.value.code == Code.TRY_AGAIN_LATER

    # End of file comes when the last holder of the writing end is gone.
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_a_child_left_behind_is_not_waited_for(program: Program, tmp_path: Path) -> None:
    """As of a plugin that starts a daemon, which keeps standard output open."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    path = program(f"echo done; read x < {gate} &\nexit 0")

    assert execute.run(path, {}, b"", 20) == (0, b"done\n", b"")
    os.close(os.open(gate, os.O_WRONLY))  # waits for the child to be there; then it ends


def test_one_that_prints_without_end_is_stopped(program: Program) -> None:
    with pytest.raises(CNIError, match="printed more than 4 MiB") as refused:
        execute.run(program("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"), {}, b"", 60)
    assert refused.value.code == Code.IO_FAILURE


@pytest.mark.parametrize("text", [None, "#!/no/such/interpreter\n", "\x7fELF nonsense"])
def test_what_cannot_be_run_is_number_5(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "program"
    if text is not None:
        path.write_text(text)
        path.chmod(0o755)
    with pytest.raises(CNIError, match=f"cannot run {path}") as refused:
        execute.run(path, {}, b"", 20)
    assert refused.value.code == Code.IO_FAILURE


def test_one_that_is_being_installed_is_waited_for(program: Program) -> None:
    path = program("echo ready")
    writing = os.open(path, os.O_WRONLY)
    closing = threading.Timer(0.3, os.close, [writing])
    closing.start()

    assert execute.run(path, {}, b"", 20).stdout == b"ready\n"
    closing.join()

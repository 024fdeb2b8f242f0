"""Which processes are taken for leftover shims. They are shells here, named like a shim."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from agent.host.containers import shims


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy may take long over a SIGTERM."""
    monkeypatch.setattr(shims, "_GRACE_MS", 60_000)


@contextmanager
def running(
    folder: Path,
    namespace: str,
    address: str,
    container: str,
    script: str = "echo up; read x",
    by: Sequence[str] = (),
) -> Iterator[subprocess.Popen[str]]:
    """A process with a shim's arguments that waits on its standard input; ended afterwards."""
    program = folder / "containerd-shim-runc-v2"
    if not program.exists():
        program.symlink_to("/bin/sh")
    arguments = ["-namespace", namespace, "-address", address, "-id", container]
    with subprocess.Popen(
        [*by, str(program), "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def test_the_shim_of_a_container_is_ended(tmp_path: Path) -> None:
    address = tmp_path / "c.sock"
    with running(tmp_path, "ns", str(address), "c1") as shim:
        assert shims.end_leftover("ns", address, {"c1", "c2"}) == [shim.pid]
        assert shim.wait(60) == -signal.SIGTERM
    assert shims.end_leftover("ns", address, {"c1", "c2"}) == []


def test_one_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shims, "_GRACE_MS", 100)
    address = tmp_path / "c.sock"
    stubborn = "trap '' TERM; echo up; read x"
    with running(tmp_path, "ns", str(address), "c1", stubborn) as shim:
        assert shims.end_leftover("ns", address, {"c1"}) == [shim.pid]
        assert shim.wait(60) == -signal.SIGKILL


@pytest.mark.parametrize(
    ("namespace", "socket", "container"),
    [("other", "c.sock", "c1"), ("ns", "other.sock", "c1"), ("ns", "c.sock", "c2")],
)
def test_those_of_others_are_left_alone(
    tmp_path: Path, namespace: str, socket: str, container: str
) -> None:
    with running(tmp_path, namespace, str(tmp_path / socket), container) as other:
        assert shims.end_leftover("ns", tmp_path / "c.sock", {"c1"}) == []
        assert other.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="to be somebody else needs root")
@pytest.mark.parametrize(
    "by",
    [
        ("setpriv", "--reuid=65534", "--clear-groups"),
        ("unshare", "--pid", "--fork", "--kill-child"),
    ],
    ids=["another user", "a container"],
)
def test_what_somebody_else_names_like_a_shim_is_none(by: Sequence[str]) -> None:
    with TemporaryDirectory() as path:
        folder = Path(path)
        folder.chmod(0o711)
        with running(folder, "ns", str(folder / "c.sock"), "c1", by=by) as other:
            assert shims.end_leftover("ns", folder / "c.sock", {"c1"}) == []
            assert shims.end_unknown("ns", folder / "c.sock", ()) == []
            assert other.poll() is None


def test_only_a_shim_that_is_not_known_and_has_no_process_is_idle(tmp_path: Path) -> None:
    address = tmp_path / "c.sock"
    busy = 'sh -c "echo up; read x" <&0; read y'  # its child reads first
    with (
        running(tmp_path, "ns", str(address), "known"),
        running(tmp_path, "other", str(address), "c1"),
        running(tmp_path, "ns", str(address), "c2", busy) as working,
        running(tmp_path, "ns", str(address), "c3") as idle,
    ):
        assert sorted(shims.of("ns", address, {"c2", "c3"})) == sorted([working.pid, idle.pid])
        assert shims.end_idle("ns", address, {"c2"}) == []
        assert shims.end_unknown("ns", address, {"known"}) == [idle.pid]
        assert idle.wait(60) == -signal.SIGTERM
        assert working.stdin is not None
        working.stdin.write("x\n")  # the child ends
        working.stdin.flush()
        assert working.poll() is None


def test_the_sockets_of_these_groups_go_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shims, "SOCKETS", tmp_path)
    address = Path("/run/containerd/containerd.sock")
    group = "1" * 32
    ours = tmp_path / "2b7bf4ac357f527a67773a3de95d4441043679febc6661f73f80fab36caaf4a3"
    theirs = tmp_path / ("0" * 64)
    for each in (ours, theirs):
        each.touch()
    for other in (("other", address, group), ("hostler", Path("/other.sock"), group)):
        shims.remove_sockets(other[0], other[1], [other[2]])
    shims.remove_sockets("hostler", address, ["another"])
    assert ours.exists()
    shims.remove_sockets("hostler", address, ["another", group])
    assert set(tmp_path.iterdir()) == {theirs}
    shims.remove_sockets("hostler", address, [group])

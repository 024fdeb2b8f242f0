"""Pieces by files of the host: there, damaged, or not there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli.support import hostfiles
from agent.cli.support.masks import Masks
from agent.cli.support.pieces import Missing, Piece, Site
from agent.config import Loaded
from agent.engine.database import connect, migrate
from agent.settings import Settings
from tests.unit.host.checkup.lab import Host

PIECES = {each.name: each for each in hostfiles.PIECES}
STATE = "var/lib/hostler/state.db"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def got(host: Host, name: str, loaded: Loaded | None = None) -> str:
    piece: Piece = PIECES[name]
    site = Site(host.subject, Path("/api.sock"), loaded, Masks())
    (text,) = dict(piece.get(site)).values()
    return text


def test_the_state_store_from_outside(host: Host) -> None:
    with pytest.raises(Missing, match="there is no "):
        got(host, "state")
    host.folder("var/lib/hostler")
    with closing(connect(host.root / STATE)) as db:
        migrate(db)
        db.execute("INSERT INTO definition VALUES ('secret-family', 1, 0, '{}')")
        text = got(host, "state")  # while another has it open
    assert "structure: ok" in text
    assert "1 rows in definition" in text
    assert "state.db-wal" in text
    assert "secret-family" not in text


def test_a_state_store_that_is_damaged(host: Host) -> None:
    host.write(STATE, "no database " * 1000)
    text = got(host, "state")
    assert "it can't be read: file is not a database" in text
    assert "state.db 12000 bytes" in text


def test_a_state_store_that_takes_too_long(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.folder("var/lib/hostler")
    with closing(sqlite3.connect(host.root / STATE)) as db:
        db.execute("CREATE TABLE many (n INTEGER PRIMARY KEY, t TEXT)")
        db.executemany("INSERT INTO many (t) VALUES (?)", [("x" * 100,)] * 5000)
        db.commit()
    monkeypatch.setattr(hostfiles, "_STORE_S", 0.0)
    monkeypatch.setattr(hostfiles, "_STEPS", 1)
    assert "it can't be read: interrupted" in got(host, "state")


def test_the_configuration(host: Host) -> None:
    with pytest.raises(Missing, match=r"see doctor\.json"):
        got(host, "config")
    given = Settings(engine_auth_type="docker", engine_auth_data='{"secret": 1}')
    text = got(host, "config", Loaded(given, {}))
    assert '"name": "HOSTLER_STATE_DIR"' in text
    assert '"value": "(hidden)"' in text
    assert "secret" not in text.replace("secrets", "").replace("SECRETS", "")


def test_the_kernel_by_what_there_is(host: Host) -> None:
    host.write("/proc/cmdline", "quiet\n")
    text = got(host, "kernel")
    assert "# /proc/cmdline\nquiet\n" in text
    assert "# /proc/pressure/cpu\n(not there)\n" in text


def test_cgroups_of_tasks(host: Host) -> None:
    host.write("/sys/fs/cgroup/cgroup.controllers", "memory")
    with pytest.raises(Missing, match="no cgroup of tasks"):
        got(host, "cgroups")
    host.write("/sys/fs/cgroup/hostler.slice/memory.current", "4096\n")
    host.write("/sys/fs/cgroup/hostler.slice/one/pids.current", "3\n")
    host.write("/sys/fs/cgroup/hostler.slice/one/cgroup.procs", "1\n2\n")
    text = got(host, "cgroups")
    assert text.startswith("version 2\n")
    assert "memory.current: 4096" in text
    assert "hostler.slice/one\n    pids.current: 3" in text


def test_cgroups_nested_deeper_than_calls_can_be(host: Host) -> None:
    host.write("/sys/fs/cgroup/cgroup.controllers", "memory")
    host.write("/sys/fs/cgroup/hostler.slice/memory.current", "4096\n")
    here = os.open(host.root / "sys/fs/cgroup/hostler.slice", os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    try:
        text = got(host, "cgroups")
    finally:  # what removes the folders of tests gives up on these
        subprocess.run(["rm", "-rf", host.root / "sys"], check=True, timeout=60)
    assert "memory.current: 4096" in text
    assert text.count("/a\n") > 1000


def test_the_end_of_the_log_of_the_agents_own_containerd(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Missing, match="no containerd of its own"):
        got(host, "journal/own-containerd")
    monkeypatch.setattr(hostfiles, "_LOG_BYTES", 5)
    host.write("/var/lib/hostler/containerd/containerd.log", "the first and the last\n")
    assert got(host, "journal/own-containerd") == "", "half a line may be half a secret"
    host.write("/var/lib/hostler/containerd/containerd.log", "the first and the\nlast\n")
    assert got(host, "journal/own-containerd") == "last\n"
    host.write("/var/lib/hostler/containerd/containerd.log", "last\n")
    assert got(host, "journal/own-containerd") == "last\n"


def test_names_in_folders_and_nothing_of_what_they_hold(host: Host) -> None:
    host.write("/etc/hostler/hostler.config", "ECS_ENGINE_AUTH_DATA=secret\n")
    text = got(host, "folders")
    assert f"28 {host.root}/etc/hostler/hostler.config" in text
    assert f"{host.root}/run/hostler: not there" in text
    assert "secret" not in text


def test_versions(host: Host) -> None:
    assert "pydantic" in got(host, "versions/hostler")
    host.write("/proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/sda rw\n")
    assert "ext4" in got(host, "mounts")

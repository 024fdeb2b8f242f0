"""Rows of every earlier schema, as they were written then, read by today's store."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from agent.engine.schema import MIGRATIONS
from agent.task.model import ContainerProgress, Image, Intent, NetworkProgress, Task
from agent.task.network import Attachment, PortBinding
from agent.task.records import Health, HealthRecord, Held, Step
from tests.unit.engine.test_store import opened
from tests.worlds import container, task


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


OLD_PROGRESS = """{
    "containers": {
        "web": {
            "image": {"name": "i", "id": "1", "digest": "2", "stop_signal": null},
            "network": {
                "mode": "bridge", "ipv4": "10.0.0.2", "prefix": 16, "gateway": "10.0.0.1",
                "mac": "02:00:00:00:00:01", "ports": [
                    {"protocol": "tcp", "container_port": 80, "host_port": 32768,
                     "host_ip": "0.0.0.0", "count": 1}
                ]
            },
            "detached": false, "created_at": 1.5, "started_at": 2.25, "ended": false,
            "finished_at": null, "exit_code": null, "reason": "", "stop_sent_at": null,
            "kill_sent_at": null,
            "health": {"status": "HEALTHY", "since": 3.0, "streak": 0, "probed_at": 3.0,
                       "exit_code": 0, "output": "{\\"ok\\": true}"}
        },
        "a.b": {"network": {"mode": "none"}, "detached": true, "ended": true, "exit_code": 7},
        "late": {"network": null}
    },
    "stop": null, "started_at": 2.25, "closed_at": null,
    "held": {"network/late": {"until": 9.5, "tries": 1, "why": "busy"}},
    "timeline": [
        {"at": 1.0, "what": "accepted", "container": "", "took_s": null, "detail": ""}
    ]
}"""
"""As the first schema had it: a network was its container's."""


def write(path: Path, version: int, made: Task, progress: str) -> None:
    """A database of that schema with one task in it."""
    intent = TypeAdapter(Intent).dump_json(Intent(made), by_alias=True).decode()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for each in MIGRATIONS[:version]:
            db.executescript(each)
        db.execute("INSERT INTO intent VALUES (?, ?)", (made.id, intent))
        db.execute("INSERT INTO progress VALUES (?, ?)", (made.id, progress))
        db.execute(f"PRAGMA user_version = {version}")


async def test_tasks_of_the_second_schema_have_what_they_need(path: Path) -> None:
    """They never waited for it."""
    made = task(container("web"), at=7.5)
    write(path, 2, made, '{"containers": {"web": {}}, "networks": {"web": {}}}')
    async with opened(path) as store:
        assert store.progress(made.id).admitted_at == 7.5
        assert not store.notes.draining
        assert not store.notes.deregistered


async def test_progress_of_the_first_schema_is_carried_over(path: Path) -> None:
    made = task(container("web"), container("a.b"), container("late"), at=1.0)
    write(path, 1, made, OLD_PROGRESS)
    async with opened(path) as store:
        progress = store.progress(made.id)
    assert list(progress.containers) == ["web", "a.b", "late"]
    port = PortBinding("tcp", 80, 32768)
    bridged = Attachment("bridge", "10.0.0.2", 16, "10.0.0.1", "02:00:00:00:00:01", (port,))
    assert progress.networks == {
        "web": NetworkProgress(bridged),
        "a.b": NetworkProgress(Attachment("none"), detached=True),
        "late": NetworkProgress(),
    }
    assert progress.containers["web"] == ContainerProgress(
        image=Image("i", "1", "2"),
        created_at=1.5,
        started_at=2.25,
        health=HealthRecord(Health.HEALTHY, 3.0, 0, 3.0, 0, '{"ok": true}'),
    )
    assert progress.containers["a.b"] == ContainerProgress(ended=True, exit_code=7)
    assert progress.interface is None
    assert progress.held == {"network/late": Held(9.5, 1, "busy")}
    assert progress.timeline == (Step(1.0, "accepted"),)
    assert progress.admitted_at == 1.0
    with closing(sqlite3.connect(path)) as db:
        (body,) = db.execute("SELECT body FROM progress").fetchone()
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert "detached" not in json.loads(body)["containers"]["web"]
    assert json.loads(body)["networks"]["a.b"]["detached"] is True

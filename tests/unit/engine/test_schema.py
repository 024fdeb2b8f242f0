"""Rows of every earlier schema, as they were written then, read by today's store."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from agent.engine.schema import MIGRATIONS
from agent.task.model import (
    Attachment,
    ContainerProgress,
    Image,
    NetworkProgress,
    PortBinding,
)
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


async def test_progress_of_the_first_schema_is_carried_over(path: Path) -> None:
    made = task(container("web"), container("a.b"), container("late"))
    async with opened(path) as store:
        await store.accept(made)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE progress SET body = ?", (OLD_PROGRESS,))
        db.execute("PRAGMA user_version = 1")
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
    with closing(sqlite3.connect(path)) as db:
        (body,) = db.execute("SELECT body FROM progress").fetchone()
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert "detached" not in json.loads(body)["containers"]["web"]
    assert json.loads(body)["networks"]["a.b"]["detached"] is True

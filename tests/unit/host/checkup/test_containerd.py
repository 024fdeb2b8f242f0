"""What is asked of containerd and made of its answers; the real one is asked by system tests."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from agent.containerd.errors import ContainerdError, NotFound, Unavailable
from agent.containerd.types import Version
from agent.host.checkup import containerd
from agent.host.checkup.outcomes import Outcome
from tests.unit.host.checkup.lab import Host, cure, errors, facts, findings, unseen


@dataclass
class Answering:
    """A containerd of this version whose snapshots are at ``root``; or the errors instead."""

    socket: Path = Path("/run/containerd/containerd.sock")
    said: str | ContainerdError = "1.6.20~ds1"
    root: Path | ContainerdError = Path("/")
    snapshotter: str = "overlayfs"

    async def version(self, *, timeout: float) -> Version:
        if isinstance(self.said, ContainerdError):
            raise self.said
        return Version(self.said, "")

    @property
    def introspection(self) -> Answering:
        return self

    async def snapshots_root(self, *, timeout: float) -> Path:
        if isinstance(self.root, ContainerdError):
            raise self.root
        return self.root


async def looked(host: Host, client: Answering) -> list[Outcome]:
    return [each async for each in containerd.check(host.subject, cast(Any, client))]


@pytest.mark.parametrize("version", ["1.6.20~ds1", "v1.7.24", "2.1.0", "v10.0"])
async def test_one_that_answers(host: Host, version: str) -> None:
    outcomes = await looked(host, Answering(said=version))
    assert findings(outcomes) == []
    assert facts(outcomes)[:2] == [f"it is {version}", "snapshots of overlayfs are in /"]


@pytest.mark.parametrize("version", ["1.5.18", "0.9"])
async def test_one_that_is_too_old(host: Host, version: str) -> None:
    outcomes = await looked(host, Answering(said=version))
    assert errors(outcomes) == [f"it is {version}; Hostler needs 1.6 or newer"]


async def test_one_that_calls_itself_names(host: Host) -> None:
    outcomes = await looked(host, Answering(said="main"))
    assert findings(outcomes) == []
    assert "it calls its version 'main', which says nothing" in facts(outcomes)


@pytest.mark.parametrize(
    ("socket", "mend"),
    [
        ("/run/containerd/containerd.sock", "'systemctl restart containerd' (tasks run on)"),
        ("/run/hostler-containerd/containerd.sock", "'systemctl restart hostler-containerd'"),
        (
            "/run/hostler/containerd/containerd.sock",
            "its log is /var/lib/hostler/containerd/containerd.log",
        ),
    ],
)
async def test_one_that_does_not_answer(host: Host, socket: str, mend: str) -> None:
    outcomes = await looked(host, Answering(Path(socket), Unavailable("connection refused")))
    assert errors(outcomes) == ["it does not answer: connection refused"]
    assert mend in cure(outcomes)


async def test_who_may_not_ask_it_is_told_so(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    outcomes = await looked(host, Answering(said=Unavailable("permission denied")))
    assert unseen(outcomes) == ["only root may ask /run/containerd/containerd.sock"]


async def test_a_snapshotter_that_does_not_work(host: Host) -> None:
    outcomes = await looked(host, Answering(root=NotFound("there is no snapshotter zfs")))
    assert errors(outcomes) == [
        "its snapshotter overlayfs does not work: there is no snapshotter zfs"
    ]
    assert "HOSTLER_SNAPSHOTTER" in cure(outcomes)

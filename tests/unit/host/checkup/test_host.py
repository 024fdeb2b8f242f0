"""The runner of the host's checks: one that fails or hangs hides no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest

from agent.host.checkup import containerd
from agent.host.checkup import host as room
from agent.host.checkup.outcomes import Fact, Outcome, Unseen
from agent.host.checkup.subject import Subject
from cni.errors import CNIError, Code
from tests.unit.host.checkup.lab import Host

CLIENT = cast(Any, "client")


def well(subject: Subject) -> Iterator[Outcome]:
    yield Fact("well", "all is")


def broken(subject: Subject) -> Iterator[Outcome]:
    yield Fact("broken", "half is")
    raise OSError("no such device")


def unwell(subject: Subject) -> Iterator[Outcome]:
    yield from _refused()


def _refused() -> list[Outcome]:
    raise CNIError(Code.IO_FAILURE, "netlink is unwell")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(subject: Subject, client: object) -> AsyncIterator[Outcome]:
        yield Fact("containerd", f"it is {client}")

    monkeypatch.setattr(room, "CHECKS", (("broken", broken), ("unwell", unwell)))
    monkeypatch.setattr(containerd, "check", silent)


async def test_each_check_fails_for_itself(host: Host) -> None:
    assert await room.examine(host.subject, CLIENT, ("well", well)) == [
        Fact("broken", "half is"),
        Unseen("broken", "no such device"),
        Unseen("unwell", "netlink is unwell"),
        Fact("well", "all is"),
        Fact("containerd", "it is client"),
    ]


async def test_no_containerd_to_ask(host: Host) -> None:
    assert (await room.examine(host.subject, None))[-1] == Unseen(
        "containerd", "it is the agent's own, and starts with it"
    )


async def test_a_check_without_an_end(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(subject: Subject) -> Iterator[Outcome]:
        over.wait(60)
        yield Fact("late", "too late")

    monkeypatch.setattr(room, "DEADLINE_S", 0.1)
    try:
        async with asyncio.timeout(40):
            outcomes = await room.examine(host.subject, CLIENT, ("hangs", hangs))
    finally:
        over.set()
    assert [type(each) for each in outcomes] == [Unseen, Fact]

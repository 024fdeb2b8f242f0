"""The audit log: its lines, and that no file can keep an answer from being given."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metadata.credentials import audit as module
from metadata.credentials.audit import EXECUTION_ROLE, TASK_ROLE, Audit, Given
from metadata.front.asking import Asking
from metadata.source import InstanceFacts, Owner
from tests.unit.metadata.facts import ARN, INSTANCE, OWNER

TASK = f"{ARN}:task/lab/0123"
GIVEN = Given(TASK, TASK_ROLE)


def asking(path: str = "/v2/credentials/secret-id", agent: str | None = "sdk/1") -> Asking:
    headers = {} if agent is None else {"User-Agent": agent}
    return Asking(OWNER, "GET", path, "id=secret-id", headers, "10.0.0.7:4242")


def clock() -> float:
    return 1_927_857_906.9  # 2031-02-03T04:05:06Z


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded is in the file, however busy the disk is."""
    monkeypatch.setattr(module, "_PATIENCE_S", 30.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "audit.log"


@pytest.fixture
def audit(path: Path) -> Iterator[Audit]:
    audit = Audit(path, INSTANCE, clock)
    yield audit
    audit.close()


async def test_a_line_says_who_got_what(audit: Audit, path: Path) -> None:
    await audit.record(asking(), 200, GIVEN)
    await audit.record(asking("/v1/credentials"), 200, Given(TASK, EXECUTION_ROLE))
    instance = f"2 lab {ARN}:container-instance/lab/0"
    assert path.read_text().splitlines() == [
        f'2031-02-03T04:05:06Z 200 10.0.0.7:4242 "/v2/credentials" "sdk/1" {TASK} '
        f"GetCredentials {instance}",
        f'2031-02-03T04:05:06Z 200 10.0.0.7:4242 "/v1/credentials" "sdk/1" {TASK} '
        f"GetCredentialsExecutionRole {instance}",
    ]


async def test_a_line_of_a_refusal_ends_without_a_task(audit: Audit, path: Path) -> None:
    await audit.record(asking(agent=None), 400)
    audit.turned_away(asking("/v4/secret-id/task"))
    audit.close()
    assert path.read_text().splitlines() == [
        '2031-02-03T04:05:06Z 400 10.0.0.7:4242 "/v2/credentials" "" -',
        '2031-02-03T04:05:06Z 429 10.0.0.7:4242 "/v4/-/task" "sdk/1" -',
    ]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/v2/credentials/secret-id", "/v2/credentials"),
        ("/v2/credentials/secret-id/more", "/v2/credentials"),
        ("/v2/credentials/", "/v2/credentials"),
        ("/v1/credentials", "/v1/credentials"),
        ("/v3/secret-id", "/v3/-"),
        ("/v4/secret-id/task/stats", "/v4/-/task/stats"),
        ("/api/secret-id/task-protection/v1/state", "/api/-/task-protection/v1/state"),
        ("/", "/"),
    ],
)
async def test_no_id_is_in_the_log(audit: Audit, path: Path, asked: str, shown: str) -> None:
    await audit.record(asking(asked), 429)
    assert f' "{shown}" ' in path.read_text()
    assert "secret-id" not in path.read_text()


async def test_a_client_cant_forge_lines_or_fill_the_disk_with_one(
    audit: Audit, path: Path
) -> None:
    await audit.record(asking('/v1/x\n2031 "', 'a"b\\\r\n\x1b\u2028\udc80' + "x" * 5000), 400)
    (line,) = path.read_bytes().splitlines()
    assert rb'"/v1/x\n2031 \"" "a\"b\\\r\n\u001b\u2028\udc80xxx' in line
    assert len(line) < 400
    assert re.fullmatch(rb"[ -~]+", line)


async def test_what_is_not_known_is_a_dash(path: Path) -> None:
    audit = Audit(path, InstanceFacts(), clock)
    await audit.record(Asking(OWNER, "GET", "/v1/credentials"), 200, GIVEN)
    audit.close()
    assert path.read_text().endswith(f' - "/v1/credentials" "" {TASK} GetCredentials 2 - -\n')


async def test_the_file_is_roots_and_its_group_may_read(audit: Audit, path: Path) -> None:
    await audit.record(asking(), 200, GIVEN)
    found = path.stat()
    assert (found.st_mode & 0o777, found.st_uid) == (0o640, 0)
    assert path.parent.stat().st_mode & 0o777 == 0o750


async def test_lines_are_added_to_what_is_there(path: Path) -> None:
    for _ in range(2):
        audit = Audit(path, INSTANCE, clock)
        await audit.record(asking(), 200, GIVEN)
        audit.close()
    assert len(path.read_text().splitlines()) == 2


async def test_a_rotated_file_is_left_alone(audit: Audit, path: Path) -> None:
    await audit.record(asking(), 200, GIVEN)
    path.rename(path.with_suffix(".1"))
    await audit.record(asking(), 400)
    assert len(path.with_suffix(".1").read_text().splitlines()) == 1
    assert " 400 " in path.read_text()
    path.unlink()
    path.touch()  # as logrotate's `create`
    await audit.record(asking(), 429)
    assert " 429 " in path.read_text()


async def test_a_large_file_gives_way_and_so_does_the_one_before(path: Path) -> None:
    audit = Audit(path, INSTANCE, clock, size_limit=1000)
    for status in range(200, 261):
        await audit.record(asking(), status, GIVEN)
    audit.close()
    before = path.with_name(f"{path.name}.1")
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, before.name]
    lines = before.read_text().splitlines() + path.read_text().splitlines()
    assert [int(each.split()[1]) for each in lines] == [*range(261 - len(lines), 261)]
    assert path.stat().st_size <= 1000 < before.stat().st_size < 2000


async def test_a_full_disk_is_told_once_and_loses_the_lines_only(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Audit(Path("/dev/full"), INSTANCE, clock)
    for _ in range(3):
        await full.record(asking(), 200, GIVEN)
    full.close()
    told = "can't write the audit log /dev/full: No space left on device"
    assert [each.message for each in caplog.records] == [told]


async def test_half_a_line_does_not_spoil_the_next(
    audit: Audit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as nearly_full:
        write = os.write
        nearly_full.setattr(os, "write", lambda fd, data: write(fd, data[:30]))
        await audit.record(asking(), 200, GIVEN)
    await audit.record(asking(), 400)
    assert [len(line.split()) for line in path.read_text().splitlines()] == [3, 6]


async def test_a_file_that_cant_be_made_is_tried_with_each_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("in the way")
    audit = Audit(path, INSTANCE, clock)
    await audit.record(asking(), 200, GIVEN)
    assert caplog.records[0].message.startswith(f"can't write the audit log {path}: ")
    path.parent.unlink()
    await audit.record(asking(), 200, GIVEN)
    audit.close()
    assert len(path.read_text().splitlines()) == 1


async def test_without_a_log_nothing_is_written(tmp_path: Path) -> None:
    audit = Audit(None, INSTANCE, clock)
    await audit.record(asking(), 200, GIVEN)
    audit.turned_away(asking())
    audit.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_hangs_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(module, "_WAITING_LIMIT", 3)
    hanging = tmp_path / "fifo"
    os.mkfifo(hanging)
    audit = Audit(hanging, INSTANCE, clock)  # opening it waits for a reader
    async with asyncio.timeout(20):
        await audit.record(asking(), 200, GIVEN)
    for _ in range(9):
        audit.turned_away(asking())
    reader = os.open(hanging, os.O_RDONLY | os.O_NONBLOCK)
    await asyncio.to_thread(audit.close)
    try:
        assert len(os.read(reader, 65536).splitlines()) == 3, "what waits is bounded"
    finally:
        os.close(reader)


async def test_who_is_refused_drives_nobody_out_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    audit = Audit(path, INSTANCE, clock, size_limit=16 * 1024)
    await audit.record(asking(), 200, GIVEN)
    for _ in range(2000):
        audit.turned_away(asking())
    await audit.record(asking()._replace(owner=Owner("task-two")), 400)
    audit.close()
    lines = path.read_text().splitlines()
    assert TASK in lines[0]
    assert 60 <= len(lines) - 2 < 120
    assert " 400 " in lines[-1]  # another owner has lines of its own

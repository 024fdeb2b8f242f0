"""Notices that the host goes away: from a real HTTP server that speaks IMDSv2, and from a file."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import ClientTimeout, web

from agent.host import spot
from agent.host.spot import Notice, noticed, watched
from agent.settings import Settings

NOTICE = {"action": "terminate", "time": "2026-11-26T08:22:00Z"}
POLL_S = 0.01
END_S = 60.0
PATH = "/latest/meta-data/spot/instance-action"


@dataclass
class Imds:
    """The instance metadata service; ``script`` has the answers to come: status and body."""

    url: str = ""
    script: list[tuple[int, str]] = field(default_factory=list)
    tokens: int = 0
    refuses_tokens: bool = False
    odd_token: str = ""
    asked: list[str] = field(default_factory=list)

    async def token(self, request: web.Request) -> web.Response:
        assert request.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "21600"
        if self.refuses_tokens:
            self.refuses_tokens = False
            return web.Response(status=403)
        if self.odd_token:
            odd, self.odd_token = self.odd_token, ""
            return web.Response(text=odd)
        self.tokens += 1
        return web.Response(text=f"token-{self.tokens}\n")

    async def action(self, request: web.Request) -> web.Response:
        proof = request.headers.get("X-aws-ec2-metadata-token", "")
        self.asked.append(proof)
        if proof != f"token-{self.tokens}":
            return web.Response(status=401)
        status, body = self.script.pop(0) if self.script else (404, "")
        if status == 0:  # the token runs out now
            self.tokens += 1
            return web.Response(status=401)
        return web.Response(status=status, text=body)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service is in this process, which may get no time for a while."""
    monkeypatch.setattr(spot, "_TIMEOUT", ClientTimeout(total=END_S))


@pytest.fixture
async def imds() -> AsyncIterator[Imds]:
    service = Imds()
    app = web.Application()
    app.router.add_put("/latest/api/token", service.token)
    app.router.add_get(PATH, service.action)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        await web.SockSite(runner, listening).start()
        service.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield service
        await runner.cleanup()


async def notice(settings: Settings) -> Notice:
    async with asyncio.timeout(END_S):
        return await noticed(settings, POLL_S)


def polling(imds: Imds) -> Settings:
    return replace(Settings(), spot_draining=True, metadata_service=imds.url)


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
async def test_it_asks_until_there_is_a_notice_with_one_token(imds: Imds, action: str) -> None:
    imds.script = [(404, ""), (404, ""), (200, json.dumps({**NOTICE, "action": action}))]
    assert await notice(polling(imds)) == Notice(action, NOTICE["time"])
    assert imds.asked == ["token-1"] * 3


async def test_a_token_that_has_run_out_is_replaced_at_once(imds: Imds) -> None:
    imds.script = [(404, ""), (0, ""), (200, json.dumps(NOTICE))]
    assert (await notice(polling(imds))).action == "terminate"
    assert imds.asked[:2] == ["token-1", "token-1"]
    assert imds.asked[-1] == "token-3"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((500, "oops"), "answers with status 500: 'oops'"),
        ((200, "no JSON"), "answers with status 200: 'no JSON'"),
        ((200, "[]"), "answers with status 200: '[]'"),
        ((200, "{}"), "answers with status 200: '{}'"),
        ((200, "[" * 4096), f"answers with status 200: '{'[' * 80}'"),
    ],
)
async def test_what_is_no_answer_is_told_once_and_asked_again(
    imds: Imds, bad: tuple[int, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    imds.script = [bad, bad, (404, ""), (200, json.dumps(NOTICE))]
    with caplog.at_level(logging.WARNING):
        assert (await notice(polling(imds))).action == "terminate"
    assert [each.message for each in caplog.records] == [
        f"can't ask for spot notices: {imds.url} {said}"
    ]


async def test_a_service_that_gives_no_token_is_asked_again(
    imds: Imds, caplog: pytest.LogCaptureFixture
) -> None:
    imds.refuses_tokens = True
    imds.script = [(200, json.dumps(NOTICE))]
    assert (await notice(polling(imds))).action == "terminate"
    assert "gives no token: status 403" in caplog.text


@pytest.mark.parametrize("odd", ["a\r\nb", "a\nb", "\x01", "\u00e9"])
async def test_a_token_that_no_header_can_have_is_asked_for_again(
    imds: Imds, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    imds.odd_token = odd
    imds.script = [(200, json.dumps(NOTICE))]
    assert (await notice(polling(imds))).action == "terminate"
    assert imds.asked == ["token-1"]
    assert "can't ask for spot notices" in caplog.text


class Heard(logging.Handler):
    """Is set by the first thing that is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.something = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.something.set()


async def test_without_a_service_it_goes_on_asking_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Heard()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = f"http://127.0.0.1:{listening.getsockname()[1]}"
    path = tmp_path / "notice"
    given = replace(Settings(), spot_draining=True, metadata_service=nobody, spot_notice=path)
    async with asyncio.TaskGroup() as group:
        spot.log.addHandler(heard)
        waiting = group.create_task(notice(given))
        async with asyncio.timeout(END_S):
            await heard.something.wait()
        spot.log.removeHandler(heard)
        path.touch()
        assert await waiting == Notice("terminate")
    assert len(caplog.records) == 1
    assert "can't ask for spot notices" in caplog.text


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", Notice("terminate")),
        ("the rack is moved at noon", Notice("terminate")),
        (json.dumps(NOTICE), Notice("terminate", NOTICE["time"])),
        ('{"action": "stop"}', Notice("stop")),
        ("[" * 4096, Notice("terminate")),
    ],
)
async def test_a_file_is_a_notice_whatever_it_says(
    tmp_path: Path, text: str, meant: Notice
) -> None:
    path = tmp_path / "notice"
    path.write_text(text)
    assert await notice(replace(Settings(), spot_notice=path)) == meant


async def test_a_file_that_can_not_be_read_counts(tmp_path: Path) -> None:
    assert await notice(replace(Settings(), spot_notice=tmp_path)) == Notice("terminate")


async def test_the_instance_is_not_asked_about_unless_that_is_wanted(
    imds: Imds, tmp_path: Path
) -> None:
    imds.script = [(200, json.dumps(NOTICE))]
    path = tmp_path / "notice"
    path.write_text('{"action": "stop"}')
    given = replace(polling(imds), spot_draining=False, spot_notice=path)
    assert (await notice(given)).action == "stop"
    assert imds.asked == []


def test_nobody_is_asked_unless_somebody_may_give_notice(tmp_path: Path) -> None:
    assert not watched(Settings())
    assert watched(replace(Settings(), spot_draining=True))
    assert watched(replace(Settings(), spot_notice=tmp_path))

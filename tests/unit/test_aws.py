"""Questions to AWS: with whose keys they are asked, and how it is told that there is no answer."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agent import aws
from agent.aws import Aws, AwsError, AwsUnavailable, AwsUnusable, Question
from metadata.credentials.keys import Keys
from tests import cloud

WHO = Question("sts", "get_caller_identity", {}, cloud.REGION)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cloud.served() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    cloud.alone(monkeypatch, tmp_path, url)


@pytest.fixture
def asker() -> Iterator[Aws]:
    asker = Aws()
    yield asker
    asker.close()


class Service(ThreadingHTTPServer):
    """Answers all requests alike, and keeps their headers."""

    def __init__(self, status: int, body: str) -> None:
        self.status, self.body, self.promised = status, body, len(body)
        self.asked: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        """Any operation."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def do_GET(self) -> None:
        """Those that have no body."""
        self._answer()

    def _answer(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(self.server.status)
        body = self.server.body.encode()
        self.send_header("Content-Length", str(self.server.promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not in the tests' output."""


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with Service(*request.param) as service:
        thread = threading.Thread(target=service.serve_forever, args=(0.01,))
        thread.start()
        yield service
        service.shutdown()
        thread.join()


async def test_there_is_an_answer(asker: Aws) -> None:
    assert (await asker.ask(WHO))["Account"] == "123456789012"


@pytest.mark.parametrize("service", [(200, "{}")], indirect=True)
@pytest.mark.parametrize(
    ("keys", "id_", "token"),
    [
        (None, "AKIDHOST", "host token"),
        (Keys("AKIDROLE", "hush", "role token"), "AKIDROLE", "role token"),
        (Keys("AKIDROLE", "hush"), "AKIDROLE", None),
    ],
)
async def test_it_is_asked_with_the_keys_of_the_role_or_else_the_hosts(
    asker: Aws,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    keys: Keys | None,
    id_: str,
    token: str | None,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "host token")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", service.url)
    question = Question("ecr", "get_authorization_token", {}, "eu-north-1", keys)
    assert "hush" not in repr(question)
    assert "token" not in repr(question).replace("authorization_token", "")
    await asker.ask(question)
    (headers,) = service.asked
    assert f"Credential={id_}/" in headers["authorization"]
    assert "/eu-north-1/ecr/" in headers["authorization"]
    assert headers.get("x-amz-security-token") == token


def refusal(code: str, message: str) -> str:
    return f'{{"__type": "{code}", "message": "{message}"}}'


@pytest.mark.parametrize(
    ("service", "kind", "told"),
    [
        (
            (400, refusal("AccessDeniedException", "not you")),
            AwsError,
            "ecr refuses GetAuthorizationToken: not you (AccessDeniedException)",
        ),
        (
            (403, refusal("SignatureDoesNotMatch", "no match\\n\\nx-amz-security-token: hush")),
            AwsError,
            "ecr refuses GetAuthorizationToken: no match (SignatureDoesNotMatch)",
        ),
        ((400, refusal("X", "")), AwsError, "ecr refuses GetAuthorizationToken:  (X)"),
        (
            (400, refusal("ThrottlingException", "slow")),
            AwsUnavailable,
            "ecr refuses GetAuthorizationToken: slow (ThrottlingException)",
        ),
        (
            (500, refusal("ServerException", "sick")),
            AwsUnavailable,
            "ecr refuses GetAuthorizationToken: sick (ServerException)",
        ),
    ],
    indirect=["service"],
)
async def test_a_refusal_is_told_for_good_or_for_now(
    asker: Aws,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[AwsError],
    told: str,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    with pytest.raises(AwsError) as failed:
        await asker.ask(Question("ecr", "get_authorization_token", {}, "eu-north-1"))
    assert type(failed.value) is kind
    assert str(failed.value) == told
    assert failed.value.__cause__ is None


async def test_what_cant_be_reached_may_be_later(
    asker: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", gone)
        with pytest.raises(AwsUnavailable, match=f"sts can't be reached: .*{gone}"):
            await asker.ask(WHO)


async def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(aws, "answer", lambda _: done.wait(10))
    asker = Aws(deadline_s=0.05)
    with pytest.raises(AwsUnavailable, match=r"sts did not answer get_caller_identity in 0\.05 s"):
        await asker.ask(WHO)
    done.set()
    asker.close()


GET = Question("s3", "get_object", {"Bucket": "bucket", "Key": "key"}, cloud.REGION)


@pytest.mark.parametrize("service", [(200, "x" * 10)], indirect=True)
async def test_a_body_is_read_to_its_limit(
    asker: Aws, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", service.url)
    assert await asker.content(GET, 10) == b"x" * 10
    with pytest.raises(AwsError, match="s3 answers get_object with over 9 bytes"):
        await asker.content(GET, 9)


@pytest.mark.parametrize("service", [(200, "x" * 10)], indirect=True)
async def test_a_body_that_breaks_off_may_be_whole_later(
    asker: Aws, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.promised = 11
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", service.url)
    with pytest.raises(AwsUnavailable, match="s3 can't be reached"):
        await asker.content(GET, 20)


async def test_a_host_without_credentials_has_nothing_to_ask_with(
    asker: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in cloud.KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(AwsUnusable, match="sts can't be asked: this host has no AWS credentials"):
        await asker.ask(WHO)


async def test_a_host_without_boto3_is_told_what_to_install(
    asker: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(AwsUnusable, match="boto3 is not installed: install Hostler with its extra"):
        await asker.ask(WHO)


async def test_what_boto3_cant_work_with_is_told(
    asker: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AwsError, match="ecr can't be asked: You must specify a region"):
        await asker.ask(Question("ecr", "get_authorization_token", {}))
    monkeypatch.setenv("AWS_PROFILE", "none")
    with pytest.raises(AwsError, match="sts can't be asked: The config profile"):
        await asker.ask(WHO)

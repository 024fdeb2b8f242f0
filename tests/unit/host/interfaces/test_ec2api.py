"""Calls to EC2 that get no answer, and the instance metadata service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import pytest
from botocore.config import Config

from agent.host.interfaces import ec2api
from agent.host.interfaces.ec2 import open_ec2
from agent.host.interfaces.ec2api import Api
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from tests.unit.host.interfaces.cloud import REGION, cloud, mocked

TOKEN = "AQAE"


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2: a token by PUT, and answers for who has it."""

    said: dict[str, str] = {}  # noqa: RUF012 - the server makes a handler for each request

    def do_PUT(self) -> None:
        lifetime = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(TOKEN if self.path == "/latest/api/token" and lifetime else None)

    def do_GET(self) -> None:
        trusted = self.headers.get("X-aws-ec2-metadata-token") == TOKEN
        self._answer(self.said.get(self.path.removeprefix("/latest/meta-data/")) if trusted else "")

    def _answer(self, text: str | None) -> None:
        body = (text or "").encode()
        self.send_response(200 if text else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(ec2api, "_METADATA_TIMEOUT_S", 60.0)
    with HTTPServer(("127.0.0.1", 0), Metadata) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_the_instance_and_its_region_are_asked_of_the_metadata_service(service: str) -> None:
    with mocked():
        aws = cloud()
        Metadata.said = {"instance-id": f"{aws.instance}\n", "placement/region": REGION}
        settings = aws.settings(AWS_DEFAULT_REGION="local", HOSTLER_EC2_INSTANCE_ID="")
        provider = await open_ec2(settings, metadata_address=service, connect=aws.connect)
        assert provider.limit == 2


async def test_what_the_metadata_service_does_not_tell_is_to_be_set(service: str) -> None:
    Metadata.said = {}
    with pytest.raises(InterfaceError, match=r"does not tell instance-id .*404.* set HOSTLER_EC2_"):
        await ec2api.metadata("instance-id", service)


async def test_where_no_metadata_service_is_the_settings_are_named() -> None:
    with pytest.raises(InterfaceError, match="set HOSTLER_EC2_INSTANCE_ID and AWS_DEFAULT_REGION"):
        await ec2api.metadata("instance-id", "127.0.0.1:1")


async def test_an_ec2_that_can_not_be_reached_may_be_later() -> None:
    once = Config(retries={"total_max_attempts": 1})
    nobody = boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:1",
        aws_access_key_id="x",
        aws_secret_access_key="y",
        config=once,
    )
    with pytest.raises(InterfacesExhausted, match="can't be reached"):
        await Api(nobody).call("describe_instances")


async def test_a_call_has_a_deadline() -> None:
    answering = threading.Event()

    class Stuck:
        def describe_instances(self) -> dict[str, object]:
            answering.wait(30)
            return {}

    began = asyncio.get_running_loop().time()
    with pytest.raises(InterfacesExhausted, match="EC2 does not answer describe_instances"):
        await Api(Stuck(), deadline_s=0.05).call("describe_instances")
    assert asyncio.get_running_loop().time() - began < 10
    answering.set()


async def test_without_credentials_nothing_will_help(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, f"{tmp_path}/none")
    with pytest.raises(InterfaceError, match="EC2 can't be used: Unable to locate credentials"):
        await Api(ec2api.client(REGION)).call("describe_instances")


def test_a_region_that_can_not_be_one_is_refused() -> None:
    with pytest.raises(InterfaceError, match="EC2 can't be used"):
        ec2api.client("not a region")

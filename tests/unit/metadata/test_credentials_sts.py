"""Credentials from STS, against moto's server on the loopback, and against what goes wrong."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from metadata.credentials import sts
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Need
from metadata.credentials.roles import RolesFile
from metadata.credentials.sts import Assumed, StsSource

NEED = Need("id-1", "arn:aws:iam::111122223333:role/web", "arn:aws:ecs:x:1:task/lab/0123abcd")


@pytest.fixture(autouse=True)
def own_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDHOST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "host secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    server.stop()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


def arn(url: str, keys: Any) -> str:
    client = boto3.client(
        "sts",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=keys.access_key_id,
        aws_secret_access_key=keys.secret_access_key,
        aws_session_token=keys.session_token,
    )
    return str(client.get_caller_identity()["Arn"])


async def test_the_tasks_role_is_assumed_in_its_name(url: str, tmp_path: Path) -> None:
    path = tmp_path / "roles"
    path.touch(mode=0o600)
    path.write_text(f"[default]\nsource = sts\nendpoint_url = {url}\n")
    file = RolesFile(path, region="us-east-1")
    keys = await file.obtain(NEED)
    file.close()
    assert arn(url, keys) == "arn:aws:sts::111122223333:assumed-role/web/0123abcd"
    assert keys.expires_at is not None


async def test_another_role_a_duration_and_an_external_id_are_passed_on(
    url: str, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    assumed = Assumed("arn:aws:iam::111122223333:role/lab", 900, "lab", "us-east-1", url)
    source = StsSource(assumed, threads)
    client = source._client()
    client.meta.events.register("before-parameter-build", lambda params, **_: asked.append(params))
    monkeypatch.setattr(StsSource, "_client", lambda _: client)
    keys = await source.obtain(NEED)
    assert arn(url, keys) == "arn:aws:sts::111122223333:assumed-role/lab/0123abcd"
    assert asked == [
        {
            "RoleArn": "arn:aws:iam::111122223333:role/lab",
            "RoleSessionName": "0123abcd",
            "DurationSeconds": 900,
            "ExternalId": "lab",
        }
    ]


async def test_an_sts_out_of_reach_may_come_back(threads: ThreadPoolExecutor) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CredentialsUnavailable, match="STS can't be reached"):
            await StsSource(Assumed(region="us-east-1", endpoint_url=gone), threads).obtain(NEED)


async def test_an_sts_that_says_nothing_is_not_waited_for(
    threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = threading.Event()
    monkeypatch.setattr(StsSource, "_assume", lambda *_: done.wait(10))
    source = StsSource(Assumed(), threads, deadline_s=0.05)
    with pytest.raises(CredentialsUnavailable, match=r"STS did not answer AssumeRole in 0\.05 s"):
        await source.obtain(NEED)
    done.set()


async def test_an_endpoint_that_is_none_is_said_so(threads: ThreadPoolExecutor) -> None:
    with pytest.raises(CredentialsError, match="STS can't be used by the agent: Invalid endpoint"):
        await StsSource(Assumed(region="r", endpoint_url="sts"), threads).obtain(NEED)


async def test_a_host_without_credentials_is_told(
    url: str, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    source = StsSource(Assumed(region="us-east-1", endpoint_url=url), threads)
    told = "STS can't be used by the agent: Unable to locate credentials"
    with pytest.raises(CredentialsError, match=told):
        await source.obtain(NEED)


@pytest.mark.parametrize(
    ("code", "status", "passes"),
    [
        ("AccessDenied", 403, False),
        ("ValidationError", 400, False),
        ("Throttling", 400, True),
        ("InternalFailure", 500, True),
    ],
)
def test_what_sts_refuses_for_good_is_told_from_what_may_pass(
    code: str, status: int, *, passes: bool
) -> None:
    said: Any = {
        "Error": {"Code": code, "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    refused = sts._refused(ClientError(said, "AssumeRole"))
    assert isinstance(refused, CredentialsUnavailable) is passes
    assert str(refused) == f"STS refuses AssumeRole: no ({code})"

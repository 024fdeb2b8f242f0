"""AWS's services in this process (moto's server on the loopback), and keys to ask them with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDHOST",
    "AWS_SECRET_ACCESS_KEY": "host hush",
}


@contextmanager
def served() -> Iterator[str]:
    """The server's address. What is made in it is gone when the last test of the process is."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    finally:
        server.stop()


def alone(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    """boto3 knows the services at ``url`` and the host's keys, and nothing of this machine."""
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(folder / "none"))


def administrator(service: str, url: str) -> Any:
    """A client that prepares what the tests ask for."""
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )

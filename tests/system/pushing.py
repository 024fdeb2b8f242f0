"""Pushing what the tests built to a registry that asks nobody for a login, over plain HTTP."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from agent.registry.descriptor import Descriptor
from tests.system.imagelab import Built

DEADLINE_S = 60.0


def push(host: str, built: Built, name: str) -> None:
    """The registry at ``host`` (address and port) has it under ``name``, ``repository:tag``."""
    repository, _, tag = name.rpartition(":")
    connection = http.client.HTTPConnection(host, timeout=DEADLINE_S)
    try:
        for digest, data in built.others.items():
            _blob(connection, repository, digest, data)
        for each in built.manifests:
            _manifest(connection, f"{repository}/manifests/{each.digest}", built, each)
        _manifest(connection, f"{repository}/manifests/{tag}", built, built.root)
    finally:
        connection.close()


def _blob(
    connection: http.client.HTTPConnection, repository: str, digest: str, data: bytes
) -> None:
    if _answer(connection, "HEAD", f"/v2/{repository}/blobs/{digest}", 200, 404).status == 200:
        return
    begun = _answer(connection, "POST", f"/v2/{repository}/blobs/uploads/", 202)
    place = urlsplit(begun.headers["Location"])
    target = f"{place.path}?{place.query}&digest={digest}"
    _answer(connection, "PUT", target, 201, body=data, kind="application/octet-stream")


def _manifest(
    connection: http.client.HTTPConnection, path: str, built: Built, manifest: Descriptor
) -> None:
    body = built.blobs[manifest.digest]
    _answer(connection, "PUT", f"/v2/{path}", 201, body=body, kind=manifest.media_type)


def _answer(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    *expected: int,
    body: bytes | None = None,
    kind: str = "",
) -> http.client.HTTPResponse:
    headers = {"Content-Type": kind} if kind else {}
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    said = answer.read()
    assert answer.status in expected, f"{method} {path}: {answer.status} {said.decode()}"
    return answer

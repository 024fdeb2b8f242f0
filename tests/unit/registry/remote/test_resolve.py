"""What a reference stands for, and manifests, as one registry gives them."""

import gzip
import hashlib
import json
from dataclasses import replace

import pytest

from agent.registry.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.reference import parse
from agent.registry.remote.manifests import MAX_MANIFEST
from tests.unit.registry.remote.site import (
    BODY,
    MANIFEST_OF_BODY,
    SETTINGS,
    Handler,
    Keys,
    descriptor_of,
    in_turn,
    manifest,
    registries,
    repository_at,
    saying,
    silent,
    site,
)

DIGEST = MANIFEST_OF_BODY.digest
OTHER = f"sha256:{'0' * 64}"
SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"


@pytest.mark.parametrize("kind", [MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX])
async def test_one_request_tells_all(kind: str) -> None:
    handler = saying(200, BODY, Content_Type=kind, Docker_Content_Digest=DIGEST)
    async with repository_at(handler) as (repository, asked_of):
        assert await repository.resolve() == Descriptor(kind, DIGEST, len(BODY))
    (asked,) = asked_of.asked
    assert (asked.method, asked.path) == ("HEAD", "/v2/team/app/manifests/v1")
    accepted = asked.headers["Accept"].split(", ")
    assert set(accepted) == {MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX}
    assert asked.headers["User-Agent"].startswith("hostler/")
    assert asked.authorization is None


@pytest.mark.parametrize(
    "head",
    [
        saying(200, BODY, Content_Type=MANIFEST),
        saying(200, BODY, Content_Type=MANIFEST, Docker_Content_Digest="sha256:12"),
        saying(200, BODY, Content_Type="text/plain", Docker_Content_Digest=DIGEST),
        saying(200, b"", Content_Type=MANIFEST, Docker_Content_Digest=DIGEST),
        saying(405),
        saying(501),
        saying(400),
        saying(403),
    ],
)
async def test_what_head_does_not_tell_is_looked_up(head: Handler) -> None:
    handler = in_turn(head, saying(200, BODY, Content_Type=f"{MANIFEST}; charset=utf-8"))
    async with repository_at(handler) as (repository, asked_of):
        assert await repository.resolve() == MANIFEST_OF_BODY
    assert [each.method for each in asked_of.asked] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"schemaVersion": 2, "mediaType": DOCKER_INDEX}, DOCKER_INDEX),
        ({"schemaVersion": 2, "manifests": []}, INDEX),
        ({"schemaVersion": 2, "config": {}, "layers": []}, MANIFEST),
    ],
)
async def test_the_kind_is_in_the_document(document: object, kind: str) -> None:
    body = json.dumps(document).encode()
    async with repository_at(saying(200, body, Content_Type="application/json")) as (repo, _):
        assert await repo.resolve() == descriptor_of(body, kind)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b'{"schemaVersion":2}', b"[" * 100_000, b"\xff"]
)
async def test_what_is_no_manifest(body: bytes) -> None:
    async with repository_at(saying(200, body, Content_Type="text/html")) as (repository, _):
        with pytest.raises(RegistryError, match="team/app:v1 is no image: neither a manifest"):
            await repository.resolve()


@pytest.mark.parametrize(
    "handler",
    [
        saying(200, b"{}", Content_Type=SCHEMA_1, Docker_Content_Digest=DIGEST),
        in_turn(saying(405), saying(200, b"{}", Content_Type=SCHEMA_1)),
        saying(200, b'{"schemaVersion":1}', Content_Type="application/json"),
    ],
)
async def test_schema_1_is_refused(handler: Handler) -> None:
    async with repository_at(handler) as (repository, _):
        with pytest.raises(RegistryError, match="is in Docker's schema 1 of 2014"):
            await repository.resolve()


async def test_a_digest_is_asked_for_instead_of_the_tag() -> None:
    async with site(saying(200, BODY, Content_Type=MANIFEST)) as serving, registries() as opened:
        reference = parse(f"{serving.host}/team/app:v1@{DIGEST}")
        assert await opened.repository(reference, Keys()).resolve() == MANIFEST_OF_BODY
    (asked,) = serving.asked
    assert (asked.method, asked.path) == ("HEAD", f"/v2/team/app/manifests/{DIGEST}")


async def test_a_digest_of_sha512() -> None:
    digest = f"sha512:{hashlib.sha512(BODY).hexdigest()}"
    handler = in_turn(saying(405), saying(200, BODY, Content_Type=MANIFEST))
    async with site(handler) as serving, registries() as opened:
        repository = opened.repository(parse(f"{serving.host}/app@{digest}"), Keys())
        found = await repository.resolve()
        assert found == Descriptor(MANIFEST, digest, len(BODY))
        assert await repository.manifest(found) == BODY


@pytest.mark.parametrize(
    "handler",
    [
        saying(200, BODY, Content_Type=MANIFEST, Docker_Content_Digest=OTHER),
        in_turn(saying(405), saying(200, b"{}", Content_Type=MANIFEST)),
    ],
)
async def test_another_digest_than_was_asked_for(handler: Handler) -> None:
    async with site(handler) as serving, registries() as opened:
        repository = opened.repository(parse(f"{serving.host}/app@{DIGEST}"), Keys())
        with pytest.raises(RegistryError, match=f"{serving.host}: .*{DIGEST}"):
            await repository.resolve()


async def test_a_digest_that_is_not_that_of_the_content() -> None:
    handler = in_turn(
        saying(405), saying(200, BODY, Content_Type=MANIFEST, Docker_Content_Digest=OTHER)
    )
    async with repository_at(handler) as (repository, asked_of):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    expected = f"{asked_of.host}: the content is {DIGEST} instead of {OTHER}"
    assert str(caught.value) == expected


@pytest.mark.parametrize("status", [404, 405])
async def test_a_registry_that_knows_no_head(status: int) -> None:
    answer = saying(200, BODY, Content_Type=MANIFEST)
    async with repository_at(in_turn(saying(status), answer)) as (repository, _):
        assert await repository.resolve() == MANIFEST_OF_BODY


def compressed(data: bytes = gzip.compress(BODY, mtime=0)) -> Handler:
    return saying(
        200,
        data,
        Content_Type=MANIFEST,
        Content_Encoding="gzip",
        Docker_Content_Digest=MANIFEST_OF_BODY.digest,
    )


async def test_a_manifest_that_is_compressed_on_its_way() -> None:
    """Its digest is that of what was compressed; its length, as HEAD tells it, is not."""
    async with repository_at(compressed()) as (repository, _):
        assert await repository.resolve() == MANIFEST_OF_BODY
        assert await repository.manifest(MANIFEST_OF_BODY) == BODY


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"not so", "an answer that is no gzip"),
        (
            gzip.compress(bytes(8 * MAX_MANIFEST), mtime=0),
            f"an answer of more than {len(BODY)} bytes",
        ),
        (gzip.compress(BODY, mtime=0)[:-20], "has [0-9]+ bytes instead of 43"),
    ],
)
async def test_what_comes_compressed_and_should_not(data: bytes, says: str) -> None:
    async with repository_at(compressed(data)) as (repository, _):
        with pytest.raises(RegistryError, match=says):
            await repository.manifest(MANIFEST_OF_BODY)


async def test_a_digest_that_was_told_and_is_not_there() -> None:
    handler = in_turn(
        saying(200, BODY, Content_Type=MANIFEST, Docker_Content_Digest=OTHER), saying(404)
    )
    async with repository_at(handler) as (repository, asked_of):
        with pytest.raises(RegistryError) as caught:
            await repository.manifest(await repository.resolve())
    host = asked_of.host
    assert str(caught.value) == f"{OTHER} of {host}/team/app:v1 not found at {host}"


@pytest.mark.parametrize(
    ("status", "body", "says", "passes"),
    [
        (
            404,
            b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
            "HOST/team/app:v1 not found at HOST (MANIFEST_UNKNOWN: manifest unknown)",
            False,
        ),
        (
            403,
            b'{"errors":[{"code":"DENIED","message":"not yours"}]}',
            "HOST does not give HOST/team/app:v1 (DENIED: not yours): no login was used;"
            " if the name is right, log in with `docker login HOST` or give the container"
            " repositoryCredentials",
            False,
        ),
        (
            401,
            b"",
            "HOST does not give HOST/team/app:v1: no login was used; if the name is right, log in"
            " with `docker login HOST` or give the container repositoryCredentials",
            False,
        ),
        (400, b'{"errors":[{"message":"odd"}]}', "HOST answers 400 Bad Request (odd)", False),
        (418, b"", "HOST answers 418 I'm a Teapot", False),
        (599, b"", "HOST answers 599", True),
        (204, b"", "HOST answers 204 No Content", False),
        (206, b"", "HOST answers 206 Partial Content", False),
        (408, b"", "HOST answers 408 Request Timeout", True),
        (429, b"", "HOST wants fewer requests (429)", True),
        (500, b"", "HOST answers 500 Internal Server Error", True),
        (502, b"", "HOST answers 502 Bad Gateway", True),
        (503, b"", "HOST answers 503 Service Unavailable", True),
    ],
)
async def test_refusals(status: int, body: bytes, says: str, *, passes: bool) -> None:
    async with repository_at(saying(status, body)) as (repository, asked_of):
        with pytest.raises(RegistryError) as caught:
            await repository.resolve()
    assert str(caught.value) == says.replace("HOST", asked_of.host)
    assert isinstance(caught.value, RegistryUnavailable) is passes


@pytest.mark.parametrize("status", [429, 503])
async def test_when_to_come_again(status: int) -> None:
    async with repository_at(saying(status, Retry_After="7")) as (repository, _):
        with pytest.raises(RegistryUnavailable) as caught:
            await repository.resolve()
    assert caught.value.retry_after_s == 7.0


async def test_a_registry_that_does_not_answer() -> None:
    settings = replace(SETTINGS, manifest_s=0.1)
    async with repository_at(silent, settings=settings) as (repository, asked_of):
        with pytest.raises(RegistryUnavailable) as caught:
            await repository.resolve()
        assert str(caught.value) == f"{asked_of.host} has not answered in 0.1 s"
        with pytest.raises(RegistryUnavailable, match=r"has not answered in 0\.1 s"):
            await repository.manifest(MANIFEST_OF_BODY)


async def test_nothing_comes_for_too_long() -> None:
    settings = replace(SETTINGS, stall_s=0.1)
    async with repository_at(silent, settings=settings) as (repository, asked_of):
        with pytest.raises(RegistryUnavailable) as caught:
            await repository.resolve()
    assert str(caught.value) == f"{asked_of.host}: nothing came for 0.1 s"


async def test_a_manifest_is_checked() -> None:
    async with repository_at(manifest) as (repository, asked_of):
        assert await repository.manifest(MANIFEST_OF_BODY) == BODY
    (asked,) = asked_of.asked
    assert (asked.method, asked.path) == ("GET", f"/v2/team/app/manifests/{DIGEST}")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (BODY + b" ", f"an answer of more than {len(BODY)} bytes"),
        (BODY[:-1], f"{DIGEST} has {len(BODY) - 1} bytes instead of {len(BODY)}"),
        (BODY[:-1] + b" ", f"instead of {DIGEST}"),
    ],
)
async def test_another_manifest_than_was_told(body: bytes, says: str) -> None:
    async with repository_at(saying(200, body)) as (repository, asked_of):
        with pytest.raises(RegistryError) as caught:
            await repository.manifest(MANIFEST_OF_BODY)
    assert says in str(caught.value)
    assert str(caught.value).startswith(asked_of.host)


async def test_a_manifest_that_is_too_large_is_not_asked_for() -> None:
    async with repository_at(manifest) as (repository, asked_of):
        with pytest.raises(RegistryError, match="a manifest of 4194305 bytes is more than"):
            await repository.manifest(Descriptor(MANIFEST, DIGEST, MAX_MANIFEST + 1))
    assert asked_of.asked == []


async def test_a_manifest_without_end() -> None:
    handler = in_turn(saying(405), saying(200, bytes(MAX_MANIFEST + 1), Content_Type=MANIFEST))
    async with repository_at(handler) as (repository, _):
        with pytest.raises(RegistryError, match="an answer of more than 4194304 bytes"):
            await repository.resolve()

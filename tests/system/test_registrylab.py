"""The registries, images and faults of the other tests are what they say."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.system import imagelab, layerlab
from tests.system.certificates import Authority
from tests.system.faults import (
    Corrupt,
    Cut,
    Endless,
    Fault,
    Headers,
    Held,
    Longer,
    NoRange,
    Redirect,
    Says,
    Short,
    Silence,
    Slow,
    Stall,
)
from tests.system.faultyproxy import Proxy, faulty_proxy
from tests.system.imagelab import Built
from tests.system.lyingregistry import lying_registry
from tests.system.registrylab import Demands, Registry, registry
from tests.system.tokenserver import token_server

DEADLINE_S = 60.0
SHORT_S = 0.2
NAME = "public/app:1"


@pytest.fixture(scope="module")
def built() -> Built:
    content = layerlab.Noise(300_000)
    return imagelab.image(layerlab.layer(layerlab.file("noise", content)))


@pytest.fixture(scope="module")
def plain(built: Built) -> Iterator[Registry]:
    with registry() as running:
        running.push(built, NAME)
        yield running


@pytest.fixture
def proxy(plain: Registry) -> Iterator[Proxy]:
    with faulty_proxy(plain.host) as running:
        yield running


@dataclass(frozen=True)
class Got:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


def get(url: str, *, context: ssl.SSLContext | None = None, **headers: str) -> Got:
    return ask("GET", url, context=context, headers=headers)


def post(url: str, fields: Mapping[str, str]) -> Got:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask("POST", url, headers=headers, body=urlencode(fields))


def ask(
    method: str,
    url: str,
    *,
    context: ssl.SSLContext | None = None,
    headers: Mapping[str, str],
    body: str | None = None,
) -> Got:
    parts = urlsplit(url)
    connection = (
        http.client.HTTPSConnection(parts.netloc, timeout=DEADLINE_S, context=context)
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.netloc, timeout=DEADLINE_S)
    )
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=headers)
        answer = connection.getresponse()
        return Got(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def blob_of(built: Built) -> str:
    return f"/v2/public/app/blobs/{built.layers[0].digest}"


def skopeo(*arguments: str) -> str:
    ran = subprocess.run(
        ["skopeo", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def copied(folder: Path, registry: Registry, *options: str) -> dict[str, object]:
    """What skopeo takes the image for, after it has copied it from the registry."""
    skopeo("copy", *options, f"docker://{registry.host}/{NAME}", f"dir:{folder}/copied")
    told: dict[str, object] = json.loads((folder / "copied" / "manifest.json").read_text())
    return told


def test_plain(tmp_path: Path, plain: Registry, built: Built) -> None:
    assert copied(tmp_path, plain, "--src-tls-verify=false") == built.document


def test_client_certificates(tmp_path: Path, built: Built) -> None:
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    with registry(Demands(server, authority.path)) as running:
        running.push(built, NAME)
        certificates = tmp_path / "certificates"
        certificates.mkdir()
        (certificates / "ca.crt").symlink_to(authority.path)
        with pytest.raises(AssertionError, match="certificate"):
            copied(tmp_path, running, f"--src-cert-dir={certificates}")

        (certificates / "client.cert").symlink_to(client.certificate)
        (certificates / "client.key").symlink_to(client.key)
        assert copied(tmp_path, running, f"--src-cert-dir={certificates}") == built.document


def test_passwords(tmp_path: Path, built: Built) -> None:
    with registry(Demands(users={"eva": "secret"})) as running:
        running.push(built, NAME)
        assert copied(tmp_path, running, "--src-tls-verify=false", "--src-creds=eva:secret")
        with pytest.raises(AssertionError, match=r"unauthorized|authentication"):
            copied(tmp_path, running, "--src-tls-verify=false", "--src-creds=eva:wrong")


def test_tokens(tmp_path: Path, built: Built) -> None:
    insecure = "--src-tls-verify=false"
    with (
        token_server(tmp_path, eva="secret") as tokens,
        registry(Demands(tokens=tokens)) as running,
    ):
        running.push(built, NAME)
        running.push(built, "private/app:1")
        assert copied(tmp_path, running, insecure) == built.document
        assert [(each.method, each.user) for each in tokens.asked] == [("GET", "")]

        private = f"docker://{running.host}/private/app:1"
        with pytest.raises(AssertionError, match=r"denied|unauthorized"):
            skopeo("inspect", "--tls-verify=false", private)
        assert skopeo("inspect", "--tls-verify=false", "--creds=eva:secret", private)
        assert tokens.asked[-1].user == "eva"

        tokens.refresh["identity"] = "eva"
        login = tmp_path / "auth.json"
        # skopeo takes no identity token without a user.
        user = base64.b64encode(b"eva:").decode()
        stored = {"auth": user, "identitytoken": "identity"}
        login.write_text(json.dumps({"auths": {running.host: stored}}))
        assert skopeo("inspect", "--tls-verify=false", f"--authfile={login}", private)
        assert (tokens.asked[-1].method, tokens.asked[-1].user) == ("POST", "eva")

        tokens.refusals = [503]
        with pytest.raises(AssertionError):
            skopeo("inspect", "--tls-verify=false", "--creds=eva:secret", private)


def test_tokens_by_post(tmp_path: Path, built: Built) -> None:
    """As OAuth 2 clients ask: a password first, then with the refresh token that came with it."""
    with (
        token_server(tmp_path, eva="secret") as tokens,
        registry(Demands(tokens=tokens)) as running,
    ):
        running.push(built, "private/app:1")
        asked = {"scope": "repository:private/app:pull", "service": "lab-registry"}
        password = {"grant_type": "password", "username": "eva", "access_type": "offline"}
        first = post(tokens.realm, {**asked, **password, "password": "secret"})
        told = json.loads(first.body)
        refresh = {"grant_type": "refresh_token", "refresh_token": told["refresh_token"]}
        token = json.loads(post(tokens.realm, {**asked, **refresh}).body)["access_token"]

        url = f"{running.url}/v2/private/app/blobs/{built.layers[0].digest}"
        assert get(url, Authorization=f"Bearer {token}").status == 200
        assert get(url).status == 401
        for wrong in ({**password, "password": "x"}, {**refresh, "refresh_token": "x"}):
            assert post(tokens.realm, {**asked, **wrong}).status == 401
        public = json.loads(get(f"{tokens.realm}?scope=repository:public/app:pull").body)
        assert get(url, Authorization=f"Bearer {public['token']}").status == 401


def test_a_proxy_counts(proxy: Proxy, built: Built) -> None:
    first = get(f"{proxy.url}{blob_of(built)}")
    part = get(f"{proxy.url}{blob_of(built)}", Range="bytes=1000-")

    assert (first.status, first.body) == (200, built.blobs[built.layers[0].digest])
    assert (part.status, part.body) == (206, first.body[1000:])
    asked = proxy.of("/blobs/")
    assert [each.sent for each in asked] == [len(first.body), len(part.body)]
    assert asked[1].headers["Range"] == "bytes=1000-"


@pytest.mark.parametrize(("reset", "error"), [(False, HTTPException), (True, OSError)])
def test_a_cut(proxy: Proxy, built: Built, reset: bool, error: type[Exception]) -> None:
    proxy.on("/blobs/", Cut(100_000, reset), times=1)

    with pytest.raises(error) as raised:
        get(f"{proxy.url}{blob_of(built)}")
    if isinstance(raised.value, http.client.IncompleteRead):
        assert len(raised.value.partial) == 100_000
    assert get(f"{proxy.url}{blob_of(built)}").status == 200


def test_wrong_bodies(proxy: Proxy, built: Built) -> None:
    right = built.blobs[built.layers[0].digest]
    corrupted = right[:70_000] + bytes([right[70_000] ^ 0xFF]) + right[70_001:]
    for fault, expected in (
        (Short(5), right[:5]),
        (Longer(b"more"), right + b"more"),
        (Corrupt(70_000), corrupted),
        (Slow(100_000, 0.001), right),
    ):
        proxy.on("/blobs/", fault, times=1)
        assert get(f"{proxy.url}{blob_of(built)}").body == expected


def test_wrong_heads(proxy: Proxy, built: Built) -> None:
    url = f"{proxy.url}{blob_of(built)}"
    proxy.on("/blobs/", Headers({"Docker-Content-Digest": "sha256:0", "ETag": None}), times=1)
    headers = get(url).headers
    assert (headers["Docker-Content-Digest"], headers["ETag"]) == ("sha256:0", None)

    proxy.on("/blobs/", NoRange(), times=1)
    whole = get(url, Range="bytes=1000-")
    assert (whole.status, len(whole.body)) == (200, built.layers[0].size)

    proxy.on("/blobs/", Says(429, {"Retry-After": "1"}, b"slowly"), times=1)
    busy = get(url)
    assert (busy.status, busy.headers["Retry-After"], busy.body) == (429, "1", b"slowly")

    proxy.on("/blobs/", Redirect("http://other:80"), times=1)
    elsewhere = get(url)
    assert (elsewhere.status, elsewhere.body) == (307, b"")
    assert elsewhere.headers["Location"].startswith(f"http://other:80{blob_of(built)}")


@pytest.mark.parametrize("fault", [Silence(), Stall(), Stall(10), Endless(), Endless(1 << 40)])
def test_no_end(proxy: Proxy, built: Built, fault: Fault) -> None:
    """Whoever gives up is rid of it, and so is the proxy."""
    proxy.on("/blobs/", fault)
    patience_s = DEADLINE_S if isinstance(fault, Endless) else SHORT_S
    connection = http.client.HTTPConnection(proxy.host, timeout=patience_s)
    connection.request("GET", blob_of(built))
    try:
        if isinstance(fault, Endless):
            assert len(connection.getresponse().read(1 << 20)) == 1 << 20
        else:
            with pytest.raises(TimeoutError):
                connection.getresponse().read()
    finally:
        connection.close()


def test_held(proxy: Proxy, built: Built) -> None:
    held = Held(1000)
    proxy.on("/blobs/", held)
    got: list[Got] = []
    client = threading.Thread(target=lambda: got.append(get(f"{proxy.url}{blob_of(built)}")))
    client.start()
    proxy.until("/blobs/")
    assert not got
    held.gate.set()
    client.join()
    assert len(got[0].body) == built.layers[0].size


def test_tls_in_front(tmp_path: Path, plain: Registry, built: Built) -> None:
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.path)
    with faulty_proxy(plain.host, authority.issue("server").server()) as proxy:
        assert get(f"{proxy.url}{blob_of(built)}", context=context).status == 200


def test_a_lying_registry_serves_what_no_other_does(built: Built) -> None:
    wrong = imagelab.swapped(built, built.layers[0].digest, b"else")
    old = imagelab.document(b"{}", imagelab.SCHEMA_1)
    with lying_registry({NAME: wrong, "public/app:2": old}) as host:
        manifest = get(f"http://{host}/v2/public/app/manifests/1")
        assert json.loads(manifest.body) == built.document
        assert manifest.headers["Docker-Content-Digest"] == built.root.digest
        assert get(f"http://{host}{blob_of(built)}").body == b"else"
        assert get(f"http://{host}{blob_of(built)}", Range="bytes=1-").body == b"lse"
        second = get(f"http://{host}/v2/public/app/manifests/2")
        assert second.headers["Content-Type"] == imagelab.SCHEMA_1
        assert get(f"http://{host}/v2/public/app/manifests/3").status == 404
        assert get(f"http://{host}/v2/public/app/blobs/sha256:0").status == 404
        assert get(f"http://{host}/v2/").status == 200

"""Our client of registries against Debian's docker-registry in all its forms."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.registry.descriptor import Descriptor
from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.login import Login
from agent.registry.reference import parse
from agent.registry.remote.registries import Registries, RemoteSettings
from agent.registry.remote.repository import Repository
from tests.system import imagelab, layerlab
from tests.system.certificates import Authority
from tests.system.faults import (
    Corrupt,
    Cut,
    Endless,
    Fault,
    Headers,
    Longer,
    NoRange,
    Says,
    Short,
    Silence,
    Stall,
)
from tests.system.faultyproxy import Proxy, faulty_proxy
from tests.system.imagelab import Built
from tests.system.registrylab import Demands, Registry, registry
from tests.system.tokenserver import TokenServer, token_server

PUBLIC, PRIVATE = "public/app:1", "private/app:1"
ME = Login("me", "a-password")


@dataclass(slots=True)
class Keys:
    """One login for all hosts."""

    known: Login | None

    async def login(self, host: str, repository: str) -> Login | None:
        return self.known


@asynccontextmanager
async def repository(
    reference: str, login: Login | None = None, certs_d: Path | None = None, stall_s: float = 20.0
) -> AsyncIterator[Repository]:
    settings = RemoteSettings(
        hosts_dirs=(certs_d,) if certs_d else (),
        insecure=frozenset(),
        stall_s=stall_s,
        manifest_s=20.0,
        environ={},
    )
    async with Registries(settings) as opened:
        yield opened.repository(parse(reference), Keys(login))


async def pulled(repo: Repository, built: Built) -> None:
    """All of an image comes, as it was built."""
    assert await repo.resolve() == built.root
    assert await repo.manifest(built.root) == built.blobs[built.root.digest]
    assert built.config
    for blob in (built.config, *built.layers):
        assert await taken(repo, blob) == built.blobs[blob.digest]


async def taken(
    repo: Repository, blob: Descriptor, offset: int = 0, got: bytearray | None = None
) -> bytes:
    into = bytearray() if got is None else got
    async for chunk in repo.blob(blob, offset):
        into += chunk
    return bytes(into)


@pytest.fixture(scope="module")
def built() -> Built:
    noise = layerlab.layer(layerlab.file("noise", layerlab.Noise(1_000_000)))
    return imagelab.image(noise, layerlab.layer(layerlab.file("small", b"small")))


@pytest.fixture(scope="module")
def plain(built: Built) -> Iterator[Registry]:
    with registry() as running:
        running.push(built, PUBLIC)
        yield running


@pytest.fixture(scope="module")
def storage(plain: Registry, built: Built) -> Path:
    """What has the image under both names, for registries that ask something of whoever comes."""
    plain.push(built, PRIVATE)
    return plain.storage


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def certs_d(tmp_path: Path) -> Path:
    folder = tmp_path / "certs.d"
    folder.mkdir()
    return folder


def own_folder(certs_d: Path, host: str) -> Path:
    folder = certs_d / host
    folder.mkdir()
    return folder


async def test_plain(plain: Registry, built: Built) -> None:
    async with repository(f"{plain.host}/{PUBLIC}") as repo:
        await pulled(repo, built)


@pytest.mark.parametrize("docker", [True, False])
async def test_an_index_and_images_of_both_kinds(plain: Registry, *, docker: bool) -> None:
    described = imagelab.Described(docker=docker)
    layer = layerlab.layer(layerlab.file("a", b"a"))
    inner = imagelab.image(layer, described=described)
    index = imagelab.index((inner, imagelab.HERE), docker=docker)
    reference = plain.push(index, "public/docker:1" if docker else "public/oci:1")
    async with repository(reference) as repo:
        assert await repo.resolve() == index.root
        assert await repo.manifest(index.root) == index.blobs[index.root.digest]
        assert await repo.manifest(inner.root) == inner.blobs[inner.root.digest]


async def test_a_digest(plain: Registry, built: Built) -> None:
    async with repository(f"{plain.host}/public/app@{built.root.digest}") as repo:
        await pulled(repo, built)


async def test_what_is_not_there(plain: Registry, built: Built) -> None:
    host = plain.host
    async with repository(f"{host}/public/app:2") as repo:
        with pytest.raises(RegistryError) as caught:
            await repo.resolve()
        assert str(caught.value) == (
            f"{host}/public/app:2 not found at {host} (MANIFEST_UNKNOWN: manifest unknown)"
        )
        none = f"sha256:{'0' * 64}"
        with pytest.raises(RegistryError) as caught:
            await repo.manifest(Descriptor(built.root.media_type, none, 7))
        assert str(caught.value) == (
            f"{none} of {host}/public/app:2 not found at {host} (MANIFEST_UNKNOWN: manifest"
            " unknown)"
        )
        with pytest.raises(RegistryError) as caught:
            await taken(repo, Descriptor("", none, 7))
        assert str(caught.value).startswith(
            f"{none} of {host}/public/app:2 not found at {host} (BLOB_UNKNOWN: blob unknown"
        )


@pytest.mark.parametrize("offset", [1, 500_000, -1])
async def test_the_rest_of_a_blob(plain: Registry, built: Built, offset: int) -> None:
    blob = built.layers[0]
    begin = offset % blob.size
    async with repository(f"{plain.host}/{PUBLIC}") as repo:
        assert await taken(repo, blob, begin) == built.blobs[blob.digest][begin:]


async def test_tls(storage: Path, built: Built, authority: Authority, certs_d: Path) -> None:
    with registry(Demands(tls=authority.issue("r")), storage) as secure:
        reference = f"{secure.host}/{PUBLIC}"
        folder = own_folder(certs_d, secure.host)
        (folder / "hosts.toml").write_text(f'server = "{secure.url}"')
        async with repository(reference, certs_d=certs_d) as repo:
            with pytest.raises(RegistryError, match="certificate is not trusted"):
                await repo.resolve()
        (folder / "hosts.toml").unlink()
        (folder / "ca.crt").write_bytes(authority.path.read_bytes())
        async with repository(reference, certs_d=certs_d) as repo:
            await pulled(repo, built)


async def test_http_where_tls_is_spoken(storage: Path, authority: Authority, certs_d: Path) -> None:
    with registry(Demands(tls=authority.issue("r")), storage) as secure:
        async with repository(f"{secure.host}/{PUBLIC}") as repo:
            with pytest.raises(RegistryError, match="it may speak TLS"):
                await repo.resolve()


async def test_a_certificate_of_ours(
    storage: Path, built: Built, authority: Authority, certs_d: Path
) -> None:
    ours = authority.issue("ours")
    demands = Demands(tls=authority.issue("r"), clients=authority.path)
    with registry(demands, storage) as secure:
        file = own_folder(certs_d, secure.host) / "hosts.toml"
        file.write_text(f'ca = "{authority.path}"')
        async with repository(f"{secure.host}/{PUBLIC}", certs_d=certs_d) as repo:
            with pytest.raises(RegistryError) as caught:
                await repo.resolve()
            assert "client.cert and client.key into the registry's folder" in str(caught.value)
            assert not isinstance(caught.value, RegistryUnavailable)
            file.write_text(
                f'ca = "{authority.path}"\nclient = [["{ours.certificate}", "{ours.key}"]]'
            )
            await pulled(repo, built)


async def test_name_and_password(storage: Path, built: Built) -> None:
    with registry(Demands(users={ME.username: ME.password}), storage) as asking:
        reference = f"{asking.host}/{PRIVATE}"
        async with repository(reference, ME) as repo:
            await pulled(repo, built)
        async with repository(reference) as repo:
            with pytest.raises(RegistryError, match="asks for a login: log in with"):
                await repo.resolve()
        async with repository(reference, Login("me", "wrong")) as repo:
            with pytest.raises(RegistryError) as caught:
                await repo.manifest(built.root)
            assert str(caught.value) == (
                f"{asking.host} does not give {reference} (UNAUTHORIZED: authentication required):"
                " the login 'me' was used, check it, what it may pull, and the name"
            )


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[TokenServer]:
    with token_server(tmp_path, **{ME.username: ME.password}) as server:
        yield server


async def test_tokens_for_anybody(storage: Path, built: Built, tokens: TokenServer) -> None:
    with registry(Demands(tokens=tokens), storage) as asking:
        async with repository(f"{asking.host}/{PUBLIC}") as repo:
            await pulled(repo, built)
        assert [(each.method, each.user) for each in tokens.asked] == [("GET", "")]
        async with repository(f"{asking.host}/{PRIVATE}") as repo:
            with pytest.raises(RegistryError, match="no login was used"):
                await repo.resolve()


@pytest.mark.parametrize("named", [("token",), ("access_token",)])
async def test_tokens_for_a_login(
    storage: Path, built: Built, tokens: TokenServer, named: tuple[str, ...]
) -> None:
    tokens.named = named
    with registry(Demands(tokens=tokens), storage) as asking:
        async with repository(f"{asking.host}/{PRIVATE}", ME) as repo:
            await pulled(repo, built)
        (asked,) = tokens.asked
        assert (asked.method, asked.user) == ("GET", "me")
        assert asked.fields["scope"] == "repository:private/app:pull"
        async with repository(f"{asking.host}/{PRIVATE}", Login("me", "wrong")) as repo:
            with pytest.raises(RegistryError, match="refuses the login 'me'"):
                await repo.resolve()


async def test_tokens_for_an_identity_token(
    storage: Path, built: Built, tokens: TokenServer
) -> None:
    tokens.refresh["kept"] = "me"
    with registry(Demands(tokens=tokens), storage) as asking:
        async with repository(f"{asking.host}/{PRIVATE}", Login("", identity_token="kept")) as repo:
            await pulled(repo, built)
    assert [(each.method, each.user) for each in tokens.asked] == [("POST", "me")]


async def test_tokens_where_only_post_is_known(
    storage: Path, built: Built, tokens: TokenServer
) -> None:
    tokens.refusals = [405]
    with registry(Demands(tokens=tokens), storage) as asking:
        async with repository(f"{asking.host}/{PRIVATE}", ME) as repo:
            await pulled(repo, built)
    assert [(each.method, each.user) for each in tokens.asked] == [("GET", "me"), ("POST", "me")]


async def test_a_mirror_with_a_path_of_its_own(
    plain: Registry, built: Built, certs_d: Path
) -> None:
    """As pull-through caches have it: the repository is below another one."""
    plain.push(built, "cache/library/app:1")
    (own_folder(certs_d, "registry.example") / "hosts.toml").write_text(
        f'[host."{plain.url}/v2/cache"]\noverride_path = true'
    )
    async with repository("registry.example/library/app:1", certs_d=certs_d) as repo:
        await pulled(repo, built)


async def test_a_mirror_that_is_down(plain: Registry, built: Built, certs_d: Path) -> None:
    with faulty_proxy(plain.host) as proxy:
        proxy.on("/", Says(500))
        proxy.on("/", Says(500), method="HEAD")
        (own_folder(certs_d, plain.host) / "hosts.toml").write_text(
            f'server = "{plain.url}"\n[host."{proxy.url}"]'
        )
        async with repository(f"{plain.host}/{PUBLIC}", certs_d=certs_d) as repo:
            await pulled(repo, built)
        assert len(proxy.of("")) == 4
        assert all(each.path.endswith(f"?ns={plain.host}") for each in proxy.asked)


# What a registry may do wrong


@pytest.fixture
def proxy(plain: Registry) -> Iterator[Proxy]:
    with faulty_proxy(plain.host) as running:
        yield running


@pytest.mark.parametrize("reset", [True, False])
async def test_a_blob_is_resumed_where_it_broke(proxy: Proxy, built: Built, *, reset: bool) -> None:
    blob = built.layers[0]
    proxy.on("/blobs/", Cut(300_000, reset=reset), times=1)
    got = bytearray()
    async with repository(f"{proxy.host}/{PUBLIC}") as repo:
        with pytest.raises(RegistryUnavailable):
            await taken(repo, blob, got=got)
        assert len(got) <= 300_000
        await taken(repo, blob, len(got), got)
    assert got == built.blobs[blob.digest]


async def test_a_blob_is_resumed_where_range_is_ignored(proxy: Proxy, built: Built) -> None:
    blob = built.layers[0]
    proxy.on("/blobs/", NoRange())
    async with repository(f"{proxy.host}/{PUBLIC}") as repo:
        assert await taken(repo, blob, 300_000) == built.blobs[blob.digest][300_000:]


@pytest.mark.parametrize(
    ("fault", "says", "passes"),
    [
        (Short(1000), "bytes before its end at", True),
        (Longer(b"x"), "bytes instead of", False),
        (Endless(), "has more than", False),
        (Endless(announced=10**12), "bytes instead of", False),
        (Stall(1000), "nothing came for 0.5 s", True),
        (Silence(), "nothing came for 0.5 s", True),
        (Says(429, {"Retry-After": "9"}), "wants fewer requests (429)", True),
        (Says(503), "answers 503 Service Unavailable", True),
    ],
)
async def test_a_blob_that_is_not_as_told(
    proxy: Proxy, built: Built, fault: Fault, says: str, *, passes: bool
) -> None:
    proxy.on("/blobs/", fault)
    stall_s = 0.5 if isinstance(fault, Stall | Silence) else 20.0
    async with repository(f"{proxy.host}/{PUBLIC}", stall_s=stall_s) as repo:
        with pytest.raises(RegistryError) as caught:
            await taken(repo, built.layers[0])
    assert says in str(caught.value)
    assert isinstance(caught.value, RegistryUnavailable) is passes


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Corrupt(3), "the content is sha256:"),
        (Longer(b" "), "an answer of more than"),
        (Short(10), "has 10 bytes instead of"),
        (Endless(), "an answer of more than"),
    ],
)
async def test_a_manifest_that_is_not_as_told(
    proxy: Proxy, built: Built, fault: Fault, says: str
) -> None:
    proxy.on("/manifests/", fault)
    async with repository(f"{proxy.host}/{PUBLIC}") as repo:
        with pytest.raises(RegistryError, match=says):
            await repo.manifest(built.root)


async def test_head_lies_about_the_digest(proxy: Proxy, built: Built) -> None:
    digest = f"sha256:{'0' * 64}"
    proxy.on("/manifests/", Headers({"Docker-Content-Digest": digest}), method="HEAD")
    async with repository(f"{proxy.host}/{PUBLIC}") as repo:
        lie = await repo.resolve()
        assert lie.digest == digest
        with pytest.raises(RegistryError, match="not found"):
            await repo.manifest(lie)
    async with repository(f"{proxy.host}/public/app@{built.root.digest}") as repo:
        with pytest.raises(RegistryError, match=f"asked for {built.root.digest} it has {digest}"):
            await repo.resolve()


async def test_a_pull_that_is_given_up_leaves_no_connection_in_use(
    proxy: Proxy, built: Built
) -> None:
    proxy.on("/blobs/", Stall(1000), times=1)
    async with repository(f"{proxy.host}/{PUBLIC}") as repo:
        async with aclosing(repo.blob(built.layers[0])) as chunks:
            assert await anext(chunks)
        await pulled(repo, built)

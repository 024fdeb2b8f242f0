"""Whom we trust, and whom we are to others, when TLS is between us."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.remote.registries import Registries, RemoteSettings
from agent.registry.remote.tls import Contexts, Trust
from tests.system.certificates import Authority, Certificate
from tests.unit.registry.remote.site import (
    MANIFEST_OF_BODY,
    SETTINGS,
    Keys,
    Site,
    manifest,
    named,
    saying,
    site,
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@dataclass(slots=True)
class World:
    """A registry with TLS, and a ``certs.d``."""

    registry: Site
    opened: Registries
    certs_d: Path

    async def resolve(self) -> None:
        repository = self.opened.repository(named(self.registry.host), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY

    def folder(self) -> Path:
        folder = self.certs_d / f"{self.registry.host.replace(':', '_')}_"
        folder.mkdir(exist_ok=True)
        return folder

    def hosts_toml(self, text: str) -> None:
        (self.folder() / "hosts.toml").write_text(text)


@asynccontextmanager
async def world(tmp_path: Path, tls: ssl.SSLContext) -> AsyncIterator[World]:
    folder = tmp_path / "certs.d"
    folder.mkdir()
    settings: RemoteSettings = replace(SETTINGS, hosts_dirs=(folder,))
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(manifest, tls))
        opened = await stack.enter_async_context(Registries(settings))
        yield World(registry, opened, folder)


async def test_an_authority_of_one_s_own(tmp_path: Path, authority: Authority) -> None:
    async with world(tmp_path, authority.issue("r").server()) as made:
        made.hosts_toml(f'ca = "{authority.path}"')
        await made.resolve()


async def test_an_authority_in_docker_s_form(tmp_path: Path, authority: Authority) -> None:
    async with world(tmp_path, authority.issue("r").server()) as made:
        (made.folder() / "ca.crt").write_bytes(authority.path.read_bytes())
        await made.resolve()


async def test_who_is_not_trusted(tmp_path: Path, authority: Authority) -> None:
    async with world(tmp_path, authority.issue("r").server()) as made:
        made.hosts_toml(f'server = "{made.registry.url}"')
        with pytest.raises(RegistryError) as caught:
            await made.resolve()
    assert str(caught.value) == (
        f"{made.registry.host}: its certificate is not trusted (unable to get local issuer"
        " certificate): put that of the authority that signed it as ca.crt into the registry's"
        " folder in certs.d, or name it as ca in the hosts.toml there"
    )
    assert not isinstance(caught.value, RegistryUnavailable)
    assert made.registry.asked == []


async def test_a_certificate_for_another_host(tmp_path: Path, authority: Authority) -> None:
    async with world(tmp_path, authority.issue("r", ("a.example",)).server()) as made:
        made.hosts_toml(f'ca = "{authority.path}"')
        with pytest.raises(RegistryError, match=r"for another name \(.*mismatch.*\): use a name"):
            await made.resolve()


async def test_a_certificate_that_has_expired(tmp_path: Path, authority: Authority) -> None:
    """No other authority would help."""
    expired = authority.issue("r", until=datetime(2021, 1, 1, tzinfo=UTC))
    async with world(tmp_path, expired.server()) as made:
        made.hosts_toml(f'ca = "{authority.path}"')
        with pytest.raises(RegistryError, match=r"expired\): it must be renewed there"):
            await made.resolve()


async def test_a_change_of_the_files_counts(tmp_path: Path, authority: Authority) -> None:
    """The file has the same name, and its new content the same length."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    async with world(tmp_path, authority.issue("r").server()) as made:
        ca = made.folder() / "ca.crt"
        ca.write_bytes(other.path.read_bytes())
        with pytest.raises(RegistryError, match="is not trusted"):
            await made.resolve()
        later = ca.stat().st_mtime_ns + 1_000_000
        ca.write_bytes(authority.path.read_bytes())
        os.utime(ca, ns=(later, later))  # the kernel's own clock may not have moved on
        await made.resolve()


@pytest.mark.parametrize("server", [True, False])
async def test_nothing_is_verified_if_so_told(
    tmp_path: Path, authority: Authority, *, server: bool
) -> None:
    async with world(tmp_path, authority.issue("r", ("a.example",)).server()) as made:
        named_so = f'server = "{made.registry.url}"\n' if server else ""
        made.hosts_toml(f"{named_so}skip_verify = true")
        await made.resolve()


async def test_an_insecure_registry_is_not_verified(tmp_path: Path, authority: Authority) -> None:
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(
            site(manifest, authority.issue("r", ("a.example",)).server())
        )
        settings = replace(SETTINGS, insecure=frozenset({registry.host}))
        opened = await stack.enter_async_context(Registries(settings))
        repository = opened.repository(named(registry.host), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY


async def test_an_insecure_registry_without_tls() -> None:
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(manifest))
        settings = replace(SETTINGS, insecure=frozenset({registry.host}))
        opened = await stack.enter_async_context(Registries(settings))
        repository = opened.repository(named(registry.host), Keys())
        assert await repository.resolve() == MANIFEST_OF_BODY


async def test_an_insecure_registry_with_tls_is_asked_over_tls_alone(authority: Authority) -> None:
    async with AsyncExitStack() as stack:
        tls = authority.issue("r", ("a.example",)).server()
        registry = await stack.enter_async_context(site(saying(404), tls))
        settings = replace(SETTINGS, insecure=frozenset({registry.host}))
        opened = await stack.enter_async_context(Registries(settings))
        with pytest.raises(RegistryError) as caught:
            await opened.repository(named(registry.host), Keys()).resolve()
    host = registry.host
    assert str(caught.value) == f"{host}/team/app:v1 not found at {host}"


async def test_plain_http_where_tls_is_expected(tmp_path: Path) -> None:
    folder = tmp_path / "certs.d"
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(manifest))
        own = folder / registry.host
        own.mkdir(parents=True)
        (own / "hosts.toml").write_text(f'server = "https://{registry.host}"')
        opened = await stack.enter_async_context(
            Registries(replace(SETTINGS, hosts_dirs=(folder,)))
        )
        with pytest.raises(RegistryError) as caught:
            await opened.repository(named(registry.host), Keys()).resolve()
    assert str(caught.value) == (
        f"{registry.host}: TLS fails (wrong version number): https may be the wrong way to reach it"
    )
    assert registry.asked == []


async def test_a_connection_that_breaks_before_tls(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        own = tmp_path / host
        own.mkdir()
        (own / "hosts.toml").write_text(f'server = "https://{host}"')
        async with Registries(replace(SETTINGS, hosts_dirs=(tmp_path,))) as opened:
            with pytest.raises(RegistryUnavailable) as caught:
                await opened.repository(named(host), Keys()).resolve()
    assert str(caught.value).startswith(f"{host}: ")


@pytest.mark.parametrize("form", ["pair", "one file", "docker"])
async def test_a_certificate_of_ours(tmp_path: Path, authority: Authority, form: str) -> None:
    ours = authority.issue("ours")
    asks = authority.issue("r").server(clients=authority.path)
    async with world(tmp_path, asks) as made:
        if form == "docker":
            (made.folder() / "ca.crt").write_bytes(authority.path.read_bytes())
            (made.folder() / "us.cert").write_bytes(ours.certificate.read_bytes())
            (made.folder() / "us.key").write_bytes(ours.key.read_bytes())
        elif form == "pair":
            client = f'[["{ours.certificate}", "{ours.key}"]]'
            made.hosts_toml(f'ca = "{authority.path}"\nclient = {client}')
        else:
            both = ours.key.read_bytes() + ours.certificate.read_bytes()
            (made.folder() / "both.pem").write_bytes(both)
            made.hosts_toml(f'ca = "{authority.path}"\nclient = "both.pem"')
        await made.resolve()


@pytest.mark.parametrize(
    ("trust", "says"),
    [
        (Trust(ca=(Path("missing.crt"),)), "missing.crt: can't be read: No such file or directory"),
        (Trust(ca=(Path("/"),)), "/: can't be read: Is a directory"),
        (Trust(ca=(Path("empty"),)), "empty: holds no certificate in PEM form"),
        (Trust(client=(Path("missing"), Path("empty"))), "missing: can't be read: No such file"),
        (Trust(client=(Path("ours.cert"), Path("missing"))), "missing: can't be read: No such"),
        (
            Trust(client=(Path("empty"), Path("empty"))),
            "empty: no certificate with the matching key, in PEM form and not encrypted, is in it"
            " and empty",
        ),
        (Trust(client=(Path("ours.cert"), Path("other.key"))), "no certificate with the matching"),
        (Trust(client=(Path("ours.cert"), Path("locked.key"))), "no certificate with the matching"),
    ],
)
async def test_files_that_are_no_good(
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    trust: Trust,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").touch()
    ours, _ = authority.issue("ours"), authority.issue("other")
    Path("locked.key").write_bytes(encrypted(ours))
    with pytest.raises(RegistryError) as caught:
        await Contexts().of(trust)
    assert says in str(caught.value)


async def test_the_same_files_are_the_same_context(tmp_path: Path, authority: Authority) -> None:
    """Else no connection would ever be used twice."""
    contexts = Contexts()
    first = await contexts.of(Trust((authority.path,)))
    assert await contexts.of(Trust((authority.path,))) is first
    assert await contexts.of(Trust((authority.path,), verify=False)) is not first
    authority.path.write_bytes(authority.path.read_bytes() * 2)
    assert await contexts.of(Trust((authority.path,))) is not first


def encrypted(ours: Certificate) -> bytes:
    key = load_pem_private_key(ours.key.read_bytes(), None)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"a password"),
    )

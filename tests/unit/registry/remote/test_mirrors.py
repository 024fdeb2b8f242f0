"""Which of several hosts is asked, in which order, and what is said when none has it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.reference import parse
from agent.registry.remote.registries import Registries
from agent.registry.remote.repository import Repository
from tests.system.certificates import Authority
from tests.unit.registry.remote.site import (
    BODY,
    MANIFEST_OF_BODY,
    SETTINGS,
    Handler,
    Keys,
    Site,
    certs_d,
    descriptor_of,
    in_turn,
    manifest,
    raw,
    registries,
    saying,
    silent,
    site,
    taken,
)

DATA = b"content"
BLOB = descriptor_of(DATA)
DIGEST = MANIFEST_OF_BODY.digest


@dataclass(slots=True)
class World:
    """Two mirrors and the registry behind them, which is ``team.example``."""

    first: Site
    second: Site
    server: Site
    file: Path
    opened: Registries

    def hosts_toml(self, text: str) -> None:
        for name in ("first", "second", "server"):
            text = text.replace(name.upper(), getattr(self, name).url)
        self.file.write_text(text)

    def repository(self, rest: str = "app:v1") -> Repository:
        return self.opened.repository(parse(f"team.example/{rest}"), Keys())

    @property
    def asked(self) -> list[int]:
        return [len(each.asked) for each in (self.first, self.second, self.server)]


ALL = 'server = "SERVER"\n[host."FIRST"]\n[host."SECOND"]'


@asynccontextmanager
async def world(
    tmp_path: Path,
    first: Handler,
    second: Handler,
    server: Handler,
    hosts_toml: str = ALL,
    manifest_s: float = SETTINGS.manifest_s,
) -> AsyncIterator[World]:
    own = tmp_path / "team.example"
    own.mkdir()
    settings = replace(SETTINGS, hosts_dirs=(tmp_path,), manifest_s=manifest_s)
    async with AsyncExitStack() as stack:
        one, two, three = [
            await stack.enter_async_context(site(each)) for each in (first, second, server)
        ]
        opened = await stack.enter_async_context(registries(settings))
        made = World(one, two, three, own / "hosts.toml", opened)
        made.hosts_toml(hosts_toml)
        yield made


async def test_the_first_that_has_it(tmp_path: Path) -> None:
    async with world(tmp_path, manifest, manifest, manifest) as made:
        await made.repository().resolve()
        assert await made.repository().manifest(MANIFEST_OF_BODY) == BODY
        assert made.asked == [2, 0, 0]
        assert [each.path for each in made.first.asked] == [
            "/v2/app/manifests/v1?ns=team.example",
            f"/v2/app/manifests/{DIGEST}?ns=team.example",
        ]


@pytest.mark.parametrize(
    "broken",
    [
        saying(404),
        saying(401, WWW_Authenticate='Basic realm="x"'),
        saying(403),
        saying(429),
        saying(500),
        saying(200, b"no manifest"),
        saying(302, Location="file:///etc/passwd"),
        silent,
    ],
)
async def test_the_next_is_asked_whatever_is_wrong_with_one(
    tmp_path: Path, broken: Handler
) -> None:
    async with world(tmp_path, broken, manifest, manifest, manifest_s=6.0) as made:
        assert await made.repository().resolve() == MANIFEST_OF_BODY
        assert await made.repository().manifest(MANIFEST_OF_BODY) == BODY
        assert made.asked[1:] == [2, 0]


async def test_the_next_is_asked_if_one_lies(tmp_path: Path) -> None:
    lie = saying(200, BODY.replace(b"2", b"3"))
    async with world(tmp_path, lie, manifest, manifest) as made:
        assert await made.repository().manifest(MANIFEST_OF_BODY) == BODY


async def test_the_registry_itself_comes_last_and_is_no_mirror(tmp_path: Path) -> None:
    async with (
        world(tmp_path, saying(404), saying(503), saying(200, DATA), ALL) as made,
        raw(b"nonsense\r\n") as broken,
    ):
        assert await taken(made.repository(), BLOB) == DATA
        made.hosts_toml(f'server = "SERVER"\n[host."http://{broken}"]')
        assert await taken(made.repository(), BLOB) == DATA
        assert made.asked == [1, 1, 2]


@pytest.mark.parametrize(
    ("server", "says", "passes"),
    [
        (saying(404), "team.example/app:v1 not found at SERVER", False),
        (saying(503, Retry_After="5"), "SERVER answers 503 Service Unavailable", True),
    ],
)
async def test_all_are_named_and_the_last_decides(
    tmp_path: Path, server: Handler, says: str, *, passes: bool
) -> None:
    async with world(tmp_path, saying(404), saying(429), server) as made:
        with pytest.raises(RegistryError) as caught:
            await made.repository().resolve()
    expected = f"team.example/app:v1 not found at FIRST; SECOND wants fewer requests (429); {says}"
    for name in ("first", "second", "server"):
        expected = expected.replace(name.upper(), getattr(made, name).host)
    assert str(caught.value) == expected
    assert isinstance(caught.value, RegistryUnavailable) is passes
    if isinstance(caught.value, RegistryUnavailable):
        assert caught.value.retry_after_s == 5.0


async def test_who_may_not_resolve_is_asked_for_content_alone(tmp_path: Path) -> None:
    pull = 'server = "SERVER"\n[host."FIRST"]\ncapabilities = ["pull"]'
    async with world(tmp_path, manifest, manifest, manifest, pull) as made:
        await made.repository().resolve()
        assert made.asked == [0, 0, 1]
        await made.repository(f"app@{DIGEST}").resolve()
        await made.repository().manifest(MANIFEST_OF_BODY)
        assert made.asked == [2, 0, 1]


async def test_who_may_not_pull_is_never_asked(tmp_path: Path) -> None:
    push = 'server = "SERVER"\n[host."FIRST"]\ncapabilities = ["push", "resolve"]'
    async with world(tmp_path, manifest, manifest, manifest, push) as made:
        await made.repository().resolve()
        await made.repository().manifest(MANIFEST_OF_BODY)
        assert made.asked == [0, 0, 2]


async def test_nobody_may_be_asked(tmp_path: Path) -> None:
    none = 'server = "SERVER"\ncapabilities = ["push"]'
    async with world(tmp_path, manifest, manifest, manifest, none) as made:
        with pytest.raises(RegistryError) as caught:
            await made.repository().resolve()
    assert str(caught.value) == (
        "team.example/app:v1: no host in hosts.toml of team.example has the capabilities pull and"
        " resolve"
    )


async def test_a_file_that_is_wrong_is_named(tmp_path: Path) -> None:
    async with world(tmp_path, manifest, manifest, manifest, "server = 7") as made:
        with pytest.raises(RegistryError) as caught:
            await made.repository().resolve()
        assert str(caught.value).startswith(f"{made.file}: server: ")
        made.hosts_toml(ALL)
        await made.repository().resolve()


async def test_a_change_counts_from_the_next_request_on(tmp_path: Path) -> None:
    async with world(tmp_path, manifest, manifest, manifest) as made:
        repository = made.repository()
        await repository.resolve()
        made.hosts_toml('server = "SERVER"\n[host."SECOND"]')
        await repository.resolve()
        assert made.asked == [1, 1, 0]


async def test_a_mirror_that_breaks_off_is_for_the_caller_to_resume(tmp_path: Path) -> None:
    short = saying(200, DATA[:3])
    async with world(tmp_path, in_turn(short, saying(500)), saying(404), saying(200, DATA)) as made:
        got = bytearray()
        repository = made.repository()
        with pytest.raises(RegistryUnavailable, match="ended 4 bytes before its end"):
            await taken(repository, BLOB, got=got)
        await taken(repository, BLOB, len(got), got)
    assert got == DATA
    assert made.asked == [2, 1, 1]


async def test_mirrors_that_hang_leave_time_for_the_registry(tmp_path: Path) -> None:
    """All of them together have no longer than one would, as whoever asks waits no longer."""
    async with world(tmp_path, silent, silent, silent, manifest_s=0.5) as made:
        with pytest.raises(RegistryUnavailable) as caught:
            await made.repository().resolve()
    assert str(caught.value).count("has not answered in 0.166667 s") == 3


async def test_a_registry_that_is_also_its_own_mirror_is_asked_once(tmp_path: Path) -> None:
    """With the mirror's terms: many write them there, and the certificate would not do without."""
    certificate = Authority(tmp_path).issue("r")
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(saying(500), certificate.server()))
        said = f'server = "{registry.url}"\n[host."{registry.url}"]\nskip_verify = true'
        opened = await stack.enter_async_context(registries(certs_d(tmp_path, "r.example", said)))
        with pytest.raises(RegistryUnavailable) as caught:
            await opened.repository(parse("r.example/app:v1"), Keys()).resolve()
    assert str(caught.value) == f"{registry.host} answers 500 Internal Server Error"


async def test_a_mirror_that_can_t_resume(tmp_path: Path) -> None:
    wrong = saying(206, DATA, Content_Range="bytes 0-6/7")
    async with world(tmp_path, wrong, saying(404), saying(200, DATA)) as made:
        assert await taken(made.repository(), BLOB, 3) == DATA[3:]


async def test_a_registry_s_plain_http_is_not_asked_what_its_https_refused(tmp_path: Path) -> None:
    """An insecure one is asked over http only if nobody speaks TLS there."""
    async with AsyncExitStack() as stack:
        registry = await stack.enter_async_context(site(saying(404)))
        settings = replace(SETTINGS, insecure=frozenset({registry.host}))
        opened = await stack.enter_async_context(registries(settings))
        with pytest.raises(RegistryError) as caught:
            await opened.repository(parse(f"{registry.host}/app:v1"), Keys()).resolve()
    assert str(caught.value) == (
        f"{registry.host}: TLS fails (wrong version number): https may be the wrong way to reach"
        f" it; {registry.host}/app:v1 not found at {registry.host}"
    )
    assert [each.method for each in registry.asked] == ["HEAD", "GET"]

"""Credential helpers: real programs that have a login, have none, fail, lie, hang, never stop."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins import helper
from agent.registry.logins.login import Login
from metadata.credentials.program import OUTPUT_LIMIT
from tests.sleepers import until_none_sleeps
from tests.unit.registry.logins.helpers import Helpers


async def test_a_helper_is_asked_for_one_registry(helpers: Helpers) -> None:
    helpers.add_store("lab", **{"lab.example:5000": "me hush"})
    found = await helper.get("lab", "lab.example:5000")
    assert found == Login("me", "hush")
    assert "hush" not in repr(found)
    assert await helper.get("lab", "other.example") is None
    assert helpers.asked == ["lab get lab.example:5000", "lab get other.example"]


async def test_a_helper_reads_what_docker_writes(helpers: Helpers) -> None:
    """The registry and nothing else, no end of a line either."""
    helpers.add("lab", 'read -r one && exit 3; printf \'{"Username":"%s","Secret":"s"}\' "$one"')
    assert await helper.get("lab", "lab.example") == Login("lab.example", "s")


async def test_docker_hub_goes_by_its_old_address(helpers: Helpers) -> None:
    helpers.add_store("lab", **{"https://index.docker.io/v1/": "me hush"})
    assert await helper.get("lab", "docker.io") == Login("me", "hush")


async def test_an_identity_token_has_a_name_of_its_own(helpers: Helpers) -> None:
    helpers.add_store("lab", **{"lab.example": "'<token>' hush"})
    found = await helper.get("lab", "lab.example")
    assert found == Login("", identity_token="hush")
    assert "hush" not in repr(found)


@pytest.mark.parametrize(
    "script",
    [
        "echo credentials not found in native keychain; exit 1",
        "echo 'Error: Credentials not found'; exit 2",
        'echo \'{"Username": "", "Secret": ""}\'',
    ],
)
async def test_having_none_is_no_error(helpers: Helpers, script: str) -> None:
    helpers.add("lab", script)
    assert await helper.get("lab", "lab.example") is None


async def test_a_helper_has_the_agents_environment_and_a_home(
    helpers: Helpers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LAB", "kept")
    helpers.add("lab", 'printf \'{"Username":"%s","Secret":"%s"}\' "$HOME" "$LAB-$NOTIFY_SOCKET"')
    assert await helper.get("lab", "lab.example") == Login(str(Path("~").expanduser()), "kept-")
    monkeypatch.setenv("HOME", "/home/lab")
    assert await helper.get("lab", "lab.example") == Login("/home/lab", "kept-")


@pytest.mark.parametrize("name", ["", "../lab", "a/b", ".lab", "a b", "lab\n", "a" * 65])
async def test_only_a_plain_name_is_run(name: str) -> None:
    with pytest.raises(RegistryError, match="is not the name of a credential helper"):
        await helper.get(name, "lab.example")


async def test_a_helper_that_is_not_there_is_named() -> None:
    with pytest.raises(RegistryError) as failed:
        await helper.get("none-here", "lab.example")
    assert not isinstance(failed.value, RegistryUnavailable)
    told = "docker-credential-none-here can't be started: No such file or directory"
    assert str(failed.value) == told


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo first; printf 'lo\\033cked\\n\\n'; exit 3", "ended with exit code 3: lo cked"),
        ("echo the store is locked >&2; exit 1", "ended with exit code 1: the store is locked"),
        ("echo out; echo err >&2; exit 1", "ended with exit code 1: out"),
        ('echo \'{"Secret":"hush"}\'; echo no >&2; exit 1', "ended with exit code 1: no"),
        ('printf \'{\\n"Secret":\\n"hush"\'; exit 1', "ended with exit code 1"),
        ("kill -9 $$", "was ended by signal 9"),
    ],
)
async def test_a_helper_that_fails_may_not_fail_again(
    helpers: Helpers, script: str, told: str
) -> None:
    helpers.add("lab", script)
    with pytest.raises(RegistryUnavailable) as failed:
        await helper.get("lab", "lab.example")
    assert str(failed.value) == f"docker-credential-lab {told}"


@pytest.mark.parametrize(
    "printed",
    [
        "hush",
        "",
        "[]",
        '{"Username": "hush"}',
        '{"Username": 1, "Secret": "hush"}',
        '{"Username": "a:b", "Secret": "hush"}',
        '{"Username": "a", "Secret": "\\ud800hush"}',
    ],
)
async def test_an_answer_that_is_none_is_not_quoted(helpers: Helpers, printed: str) -> None:
    (helpers.folder / "printed").write_text(printed)
    helpers.add("lab", f"cat {helpers.folder}/printed")
    with pytest.raises(RegistryError) as failed:
        await helper.get("lab", "lab.example")
    told = "docker-credential-lab did not print a JSON object with Username and Secret"
    assert str(failed.value) == told
    assert failed.value.__cause__ is None


async def test_an_answer_nested_without_end_is_none(helpers: Helpers) -> None:
    (helpers.folder / "printed").write_text("[" * (OUTPUT_LIMIT - 1))
    helpers.add("lab", f"cat {helpers.folder}/printed")
    with pytest.raises(RegistryError, match="did not print a JSON object"):
        await helper.get("lab", "lab.example")


async def test_a_helper_that_prints_without_end_is_killed(helpers: Helpers) -> None:
    helpers.add("lab", "while :; do printf %09999d 1; done")
    with pytest.raises(RegistryError, match=f"lab printed more than {OUTPUT_LIMIT} bytes"):
        await helper.get("lab", "lab.example")


async def test_a_helper_that_hangs_is_killed_with_its_children(helpers: Helpers) -> None:
    helpers.add("lab", "sleep 4721 & exec sleep 4721")
    with pytest.raises(RegistryUnavailable, match=r"lab was not done after 0\.3 s"):
        await helper.get("lab", "lab.example", deadline_s=0.3)
    await until_none_sleeps("4721")


async def test_who_is_cancelled_leaves_no_helper_behind(helpers: Helpers) -> None:
    fifo = helpers.folder / "up"
    os.mkfifo(fifo)
    helpers.add("lab", f"sleep 4722 & echo up > {fifo}; wait")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(helper.get("lab", "lab.example"))
        assert await asyncio.to_thread(fifo.read_text) == "up\n"
        asking.cancel()
    await until_none_sleeps("4722")


async def test_a_helper_need_not_read_its_input(helpers: Helpers) -> None:
    helpers.add("lab", 'exec <&-; printf \'{"Username":"me","Secret":"hush"}\'')
    assert await helper.get("lab", "lab.example") == Login("me", "hush")

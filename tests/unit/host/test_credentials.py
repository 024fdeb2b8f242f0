"""A task's credentials on the host: whose are asked of the vault, and how failure is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.host.credentials import TaskCredentials
from agent.task.model import Task
from agent.task.view import Absent, Seen
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need
from metadata.credentials.vault import Uninitialized, Vault
from tests.unit.host import worlds
from tests.worlds import container

ROLE, EXECUTION = "arn:aws:iam::111122223333:role/web", "arn:aws:iam::111122223333:role/exec"


class World:
    """The vault, and whose credentials it obtained; it fails while there is an ``error``."""

    def __init__(self) -> None:
        self.error: CredentialsError | None = None
        self.asked: list[Need] = []
        self.vault = Vault(self.obtain, lambda: 0.0)
        self.of = TaskCredentials(self.vault)

    async def obtain(self, need: Need) -> Keys:
        self.asked.append(need)
        if self.error is not None:
            raise self.error
        return Keys("AKID1", "secret")


@pytest.fixture
def world() -> World:
    return World()


def made(credentials_id: str = "id-1", execution_id: str = "") -> Task:
    bare = worlds.task(container("web"), taskRoleArn=ROLE, executionRoleArn=EXECUTION)
    return replace(bare, credentials_id=credentials_id, execution_credentials_id=execution_id)


async def test_those_of_the_task_role_are_there_until_withdrawn(world: World) -> None:
    task = made()
    assert world.of.look(task) == Absent()
    await world.of.obtain(task)
    assert world.asked == [Need("id-1", ROLE, task.arn)]
    assert world.of.look(task) == Seen(None)
    assert world.vault.keys("id-1") == Keys("AKID1", "secret")
    world.of.withdraw(task)
    assert world.of.look(task) == Absent()


async def test_those_of_the_execution_role_keep_nobody_waiting(world: World) -> None:
    world.error = CredentialsError("no section")
    task = made("", "id-2")
    await world.of.obtain(task)
    assert world.of.look(task) == Seen(None)
    with pytest.raises(Uninitialized):
        world.vault.keys("id-2")
    world.of.withdraw(task)
    assert not world.vault.holds("id-2")


async def test_all_that_the_task_is_entitled_to_must_be_there(world: World) -> None:
    await world.of.obtain(made("", "id-2"))
    both = made("id-1", "id-2")
    assert world.of.look(both) == Absent()
    await world.of.obtain(both)
    assert world.of.look(both) == Seen(None)


async def test_a_task_without_ids_gets_nothing(world: World) -> None:
    await world.of.obtain(made(""))
    assert world.asked == []
    assert world.of.look(made("")) == Absent()


@pytest.mark.parametrize("kind", [CredentialsError, CredentialsUnavailable])
async def test_failure_is_told_with_the_role(world: World, kind: type[CredentialsError]) -> None:
    world.error = kind("no section")
    with pytest.raises(CredentialsError) as failed:
        await world.of.obtain(made())
    assert type(failed.value) is kind
    assert str(failed.value) == f"unable to get credentials for task role {ROLE}: no section"


async def test_a_task_that_gets_none_leaves_nothing_to_withdraw(world: World) -> None:
    world.error = CredentialsError("no section")
    task = made("id-1", "id-2")
    with pytest.raises(CredentialsError):
        await world.of.obtain(task)
    assert world.of.look(task) == Absent(), "so the plan withdraws nothing"
    assert not world.vault.holds("id-2"), "which would be refreshed for ever"


async def test_the_keys_of_an_execution_role_are_for_whoever_acts_for_the_task(
    world: World,
) -> None:
    task = made("", "id-2")
    assert await world.of.execution_keys(task) == Keys("AKID1", "secret")
    assert world.asked == [Need("id-2", EXECUTION, task.arn)]
    assert world.of.look(task) == Absent(), "it was there for a moment only"


async def test_without_an_execution_role_or_its_credentials_there_are_no_keys(
    world: World,
) -> None:
    for task in (made("id-1", ""), replace(worlds.task(), execution_credentials_id="id-2")):
        assert task.execution_role == ""
        assert await world.of.execution_keys(task) is None
    assert world.asked == []


@pytest.mark.parametrize("kind", [CredentialsError, CredentialsUnavailable])
async def test_keys_that_cant_be_had_are_told_with_the_role(
    world: World, kind: type[CredentialsError]
) -> None:
    world.error = kind("no section")
    with pytest.raises(CredentialsError) as failed:
        await world.of.execution_keys(made("", "id-2"))
    assert type(failed.value) is kind
    told = f"unable to get credentials for execution role {EXECUTION}: no section"
    assert str(failed.value) == told

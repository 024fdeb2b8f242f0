"""A task's credentials on this host: the vault keeps them, for the metadata endpoint to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agent.task.model import Task
from agent.task.view import Absent, Look, Seen
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need
from metadata.credentials.vault import Vault


@dataclass(frozen=True, slots=True)
class TaskCredentials:
    """The credentials of all tasks."""

    vault: Vault

    def look(self, task: Task) -> Look[None]:
        """Whether all that the task is entitled to is taken care of."""
        ids = [task.credentials_id, task.execution_credentials_id]
        held = task.entitled and all(self.vault.holds(each) for each in ids if each)
        return Seen(None) if held else Absent()

    async def obtain(self, task: Task) -> None:
        """Those of the task's role are there. Raises CredentialsUnavailable, CredentialsError.

        Those of its execution role, which no container waits for, will come by themselves.
        """
        definition = task.definition
        if task.credentials_id and definition.task_role_arn:
            await self._obtain(Need(task.credentials_id, definition.task_role_arn, task.arn))
        # Last: what a task has that counts as having none would never be withdrawn.
        if (need := _execution(task)) is not None:
            self.vault.expect(need)

    async def execution_keys(self, task: Task) -> Keys | None:
        """Those of its execution role, for the agent's own use; None: it has none on this host.

        Raises CredentialsUnavailable, CredentialsError.
        """
        need = _execution(task)
        if need is None:
            return None
        with _told(f"execution role {need.role_arn}"):
            return await self.vault.lend(need)

    def withdraw(self, task: Task) -> None:
        """None are kept."""
        self.vault.forget(task.credentials_id)
        self.vault.forget(task.execution_credentials_id)

    async def _obtain(self, need: Need) -> None:
        with _told(f"task role {need.role_arn}"):
            await self.vault.obtain(need)


def _execution(task: Task) -> Need | None:
    role = task.execution_role
    return Need(task.execution_credentials_id, role, task.arn) if role else None


@contextmanager
def _told(role: str) -> Iterator[None]:
    """Failure says whose credentials were to be had."""
    what = f"unable to get credentials for {role}"
    try:
        yield
    except CredentialsUnavailable as error:
        raise CredentialsUnavailable(f"{what}: {error}") from error
    except CredentialsError as error:
        raise CredentialsError(f"{what}: {error}") from error

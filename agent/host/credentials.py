"""A task's credentials on this host: the vault keeps them, for the metadata endpoint to show."""

from __future__ import annotations

from dataclasses import dataclass

from agent.task.model import Task
from agent.task.view import Absent, Look, Seen
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Need
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

        Those of its execution role, which no container is told of, will come by themselves.
        """
        definition = task.definition
        if task.credentials_id and definition.task_role_arn:
            await self._obtain(Need(task.credentials_id, definition.task_role_arn, task.arn))
        # Last: what a task has that counts as having none would never be withdrawn.
        if task.execution_credentials_id and definition.execution_role_arn:
            role = definition.execution_role_arn
            self.vault.expect(Need(task.execution_credentials_id, role, task.arn))

    def withdraw(self, task: Task) -> None:
        """None are kept."""
        self.vault.forget(task.credentials_id)
        self.vault.forget(task.execution_credentials_id)

    async def _obtain(self, need: Need) -> None:
        what = f"unable to get credentials for task role {need.role_arn}"
        try:
            await self.vault.obtain(need)
        except CredentialsUnavailable as error:
            raise CredentialsUnavailable(f"{what}: {error}") from error
        except CredentialsError as error:
            raise CredentialsError(f"{what}: {error}") from error

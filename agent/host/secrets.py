"""The texts of secrets and parameters, by the names that task definitions have for them.

They are kept by AWS's Secrets Manager and Systems Manager. A file of that name on this host, root's
alone, stands in for each, so that the same definition runs with no cloud.

Reference: the services' API references (GetSecretValue, GetParameters).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from agent.aws import Aws, AwsError, AwsUnavailable, Question
from agent.host import standins
from agent.host.standins import Folder, StandInError, StandInUnavailable
from agent.task.definition.value_from import ParameterId, SecretId, secret_id
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys

SIZE_LIMIT = 64 * 1024
"""Bytes of a secret, as in Secrets Manager."""

PARAMETERS_PER_QUESTION = 10
"""As many as GetParameters takes."""

GetKeys = Callable[[], Awaitable[Keys | None]]
"""Obtains the asker's keys; None: those of the host. Raises CredentialsError."""


class SecretError(Exception):
    """It can't be had until somebody mends what the text names. The text holds no secret."""


class SecretUnavailable(SecretError):
    """It can't be had now; another time it may."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """From the first of ``folders`` that has a file, or else from AWS.

    ``region`` is for those that are asked for by name.
    """

    folders: tuple[Folder, ...]
    aws: Aws
    region: str = ""

    async def text(self, name: str, keys: GetKeys) -> str:
        """The text of the secret in Secrets Manager with this name or ARN.

        ``keys`` are obtained if AWS is asked. Raises SecretUnavailable, SecretError: "unable to
        retrieve secret ...".
        """
        try:
            wanted = secret_id(name)
        except ValueError as error:
            raise SecretError(f"unable to retrieve secret {name}: {error}") from None
        return await self.secret(wanted, keys)

    async def secret(self, wanted: SecretId, keys: GetKeys) -> str:
        """The secret's text. Raises as ``text``."""
        try:
            local = await asyncio.to_thread(self._local, wanted)
            return local if local is not None else await self._from_manager(wanted, keys)
        except _FAILURES as error:
            raise _told(f"unable to retrieve secret {wanted.id}", error) from None

    async def parameters(
        self, wanted: Iterable[ParameterId], keys: GetKeys
    ) -> Mapping[ParameterId, str | SecretError]:
        """Of each parameter its text, or why it can't be had."""
        found: dict[ParameterId, str | SecretError] = {}
        away = []
        for each in dict.fromkeys(wanted):
            try:
                local = await asyncio.to_thread(self._local, each)
            except _FAILURES as error:
                found[each] = _told(_retrieving(each), error)
                continue
            if local is None:
                away.append(each)
            else:
                found[each] = local
        answers = await asyncio.gather(
            *(self._from_store(region, batch, keys) for region, batch in _batches(away))
        )
        for answer in answers:
            found.update(answer)
        return found

    def _local(self, wanted: SecretId | ParameterId) -> str | None:
        found = standins.first(self.folders, wanted.files, SIZE_LIMIT)
        if found is None:
            return None
        path, content = found
        try:
            # Without the end of line that editors put at the end.
            return content.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise SecretError(f"{path} is not UTF-8 text") from None

    async def _from_manager(self, wanted: SecretId, keys: GetKeys) -> str:
        asked = {"SecretId": wanted.id}
        if wanted.stage:
            asked["VersionStage"] = wanted.stage
        if wanted.version:
            asked["VersionId"] = wanted.version
        answer = await self._ask("secretsmanager", "get_secret_value", asked, wanted.region, keys)
        if "SecretString" not in answer:
            raise SecretError("it holds bytes, not text")
        return str(answer["SecretString"])

    async def _from_store(
        self, region: str, wanted: list[ParameterId], keys: GetKeys
    ) -> Mapping[ParameterId, str | SecretError]:
        """One question. If it fails, it has failed for each."""
        names = [each.id for each in wanted]
        parameters = {"Names": names, "WithDecryption": True}
        try:
            answer = await self._ask("ssm", "get_parameters", parameters, region, keys)
        except _FAILURES as error:
            return {each: _told(_retrieving(each), error) for each in wanted}
        texts = {}
        for each in answer["Parameters"]:
            selector = each.get("Selector", "")
            for name in (each.get("ARN"), each["Name"]):
                texts[f"{name}{selector}"] = str(each["Value"])
        where = region or self.region or "the region that boto3 is set to"
        why = f"there is no such parameter in {where}, and {self._no_file()}"
        return {
            each: texts.get(each.id, _told(_retrieving(each), SecretError(why))) for each in wanted
        }

    async def _ask(
        self, service: str, operation: str, parameters: dict[str, Any], region: str, keys: GetKeys
    ) -> Mapping[str, Any]:
        question = Question(service, operation, parameters, region or self.region, await keys())
        try:
            return await self.aws.ask(question)
        except AwsError as error:
            raise type(error)(f"{error}; {self._no_file()}") from None

    def _no_file(self) -> str:
        places = " or ".join(str(each.path) for each in self.folders)
        return f"there is no file for it in {places}"


_PASSING = (SecretUnavailable, AwsUnavailable, CredentialsUnavailable, StandInUnavailable)
_FAILURES = (*_PASSING, SecretError, AwsError, CredentialsError, StandInError)


def _retrieving(parameter: ParameterId) -> str:
    return f"unable to retrieve parameter {parameter.id}"


def _told(what: str, error: Exception) -> SecretError:
    kind = SecretUnavailable if isinstance(error, _PASSING) else SecretError
    return kind(f"{what}: {error}")


def _batches(wanted: Iterable[ParameterId]) -> Iterable[tuple[str, list[ParameterId]]]:
    """As many as may be in one question, with their region."""
    in_order = sorted(wanted, key=lambda each: each.region)
    for region, group in groupby(in_order, key=lambda each: each.region):
        every = list(group)
        for start in range(0, len(every), PARAMETERS_PER_QUESTION):
            yield region, every[start : start + PARAMETERS_PER_QUESTION]

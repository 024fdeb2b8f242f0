"""All private variables of a task: what goes where, and what is told of all that is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.host.private.envfile import EnvFileError
from agent.host.private.envfiles import EnvFileUnavailable
from agent.host.private.keeper import Keeper
from agent.host.private.obtaining import Obtainer
from agent.host.provisions import ProvisionError, ProvisionUnavailable
from agent.host.secrets import GetKeys, SecretError, SecretUnavailable
from agent.oci.inputs import Private
from agent.task.definition.value_from import ParameterId, SecretId
from agent.task.model import Task
from agent.task.view import Absent, Seen
from metadata.credentials.keys import CredentialsError, Keys
from tests.worlds import container, task

ARN = "arn:aws:secretsmanager:eu-north-1:111122223333:secret:"
KEYS = Keys("AKIDROLE", "hush")


@dataclass
class Kept:
    """What is kept, by id, and what was asked for."""

    texts: dict[str, str | SecretError] = field(default_factory=dict, repr=False)
    files: dict[str, dict[str, str] | EnvFileError] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    lent: int = 0
    no_keys: CredentialsError | None = None

    async def secret(self, wanted: SecretId, keys: GetKeys) -> str:
        self.asked.append(f"{wanted.id} {wanted.stage} {wanted.version}".strip())
        await self._keys(keys)
        found = self.texts[wanted.id]
        if isinstance(found, SecretError):
            raise found
        return found

    async def parameters(
        self, wanted: Iterable[ParameterId], keys: GetKeys
    ) -> Mapping[ParameterId, str | SecretError]:
        every = tuple(wanted)
        self.asked += [each.id for each in every]
        return {each: self.texts[each.id] for each in every}

    async def variables(self, value: str, keys: GetKeys) -> Mapping[str, str]:
        self.asked.append(value)
        found = self.files[value]
        if isinstance(found, EnvFileError):
            raise found
        return found

    async def execution_keys(self, _: Task) -> Keys:
        self.lent += 1
        if self.no_keys is not None:
            raise self.no_keys
        return KEYS

    async def _keys(self, keys: GetKeys) -> None:
        try:
            assert await keys() == KEYS
        except CredentialsError as error:
            raise SecretError(str(error)) from None


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def obtainer(kept: Kept) -> Obtainer:
    parts: Any = kept
    return Obtainer(parts, parts, kept.execution_keys)


def secret(name: str, value_from: str) -> dict[str, str]:
    return {"name": name, "valueFrom": value_from}


def files(*values: str) -> list[dict[str, str]]:
    return [{"type": "s3", "value": each} for each in values]


async def test_each_container_gets_its_own_and_each_place_is_asked_once(
    obtainer: Obtainer, kept: Kept
) -> None:
    kept.texts = {"plain": "1", f"{ARN}db": '{"user": "u", "pass": "p"}'}
    kept.files = {"/a.env": {"A": "a", "B": "a"}, "/b.env": {"B": "b", "C": "b"}}
    made = await obtainer.obtain(
        task(
            container("web", secrets=[secret("P", "plain"), secret("U", f"{ARN}db:user::")]),
            container("log", secrets=[secret("W", f"{ARN}db:pass::"), secret("V", f"{ARN}db")]),
            container(
                "sql", environmentFiles=files("/a.env", "/b.env"), secrets=[secret("B", "plain")]
            ),
            container("old", environmentFiles=files("/b.env", "/a.env")),
            container("idle"),
        )
    )
    assert made == {
        "web": Private({}, {"P": "1", "U": "u"}),
        "log": Private({}, {"W": "p", "V": '{"user": "u", "pass": "p"}'}),
        "sql": Private({"A": "a", "B": "a", "C": "b"}, {"B": "1"}),
        "old": Private({"A": "a", "B": "b", "C": "b"}, {}),
        "idle": Private(),
    }
    assert sorted(kept.asked) == sorted(["/a.env", "/b.env", "plain", f"{ARN}db"])


async def test_versions_of_a_secret_are_different_secrets(obtainer: Obtainer, kept: Kept) -> None:
    kept.texts = {f"{ARN}db": "x"}
    asked = [secret("A", f"{ARN}db"), secret("B", f"{ARN}db::OLD:"), secret("C", f"{ARN}db:::v-1")]
    await obtainer.obtain(task(container("web", secrets=asked)))
    assert sorted(kept.asked) == [f"{ARN}db", f"{ARN}db  v-1", f"{ARN}db OLD"]
    assert kept.lent == 1, "keys are obtained once for all"


async def failing(obtainer: Obtainer, made: Task, kind: type[Exception]) -> str:
    with pytest.raises((ProvisionError, ProvisionUnavailable)) as failed:
        await obtainer.obtain(made)
    assert type(failed.value) is kind
    assert "hush" not in str(failed.value)
    return str(failed.value)


async def test_all_that_is_lacking_is_told(obtainer: Obtainer, kept: Kept) -> None:
    kept.texts = {"a": SecretError("unable to retrieve parameter a: no"), f"{ARN}db": "hush"}
    kept.files = {"/a.env": EnvFileError("unable to read environment file /a.env: no")}
    made = task(
        container("web", secrets=[secret("A", "a"), secret("B", f"{ARN}db:user::")]),
        container("log", environmentFiles=files("/a.env")),
    )
    assert await failing(obtainer, made, ProvisionError) == (
        "unable to pull secrets or registry auth: "
        "secret A of container web: unable to retrieve parameter a: no; "
        f"secret B of container web: {ARN}db:user::: it is not JSON, so there is no user in it; "
        "failed to download env files: "
        "container log: unable to read environment file /a.env: no"
    )


SLOW, NEVER = SecretUnavailable("slow"), SecretError("no")
FILE_SLOW, FILE_NEVER = EnvFileUnavailable("slow"), EnvFileError("no")


@pytest.mark.parametrize(
    ("text", "file", "kind"),
    [
        (SLOW, {}, ProvisionUnavailable),
        ("text", FILE_SLOW, ProvisionUnavailable),
        (SLOW, FILE_SLOW, ProvisionUnavailable),
        (SLOW, FILE_NEVER, ProvisionError),
        (NEVER, FILE_SLOW, ProvisionError),
        (NEVER, {}, ProvisionError),
    ],
)
async def test_it_is_worth_another_try_if_all_failures_may_pass(
    obtainer: Obtainer,
    kept: Kept,
    text: str | SecretError,
    file: dict[str, str] | EnvFileError,
    kind: type[Exception],
) -> None:
    kept.texts, kept.files = {"a": text}, {"/a.env": file}
    made = task(container("web", secrets=[secret("A", "a")], environmentFiles=files("/a.env")))
    await failing(obtainer, made, kind)


async def test_keys_that_cant_be_had_are_asked_for_once(obtainer: Obtainer, kept: Kept) -> None:
    kept.texts, kept.no_keys = {f"{ARN}a": "x", f"{ARN}b": "x"}, CredentialsError("no role")
    made = task(container("web", secrets=[secret("A", f"{ARN}a"), secret("B", f"{ARN}b")]))
    told = await failing(obtainer, made, ProvisionError)
    assert told.count("no role") == 2
    assert kept.lent == 1


async def test_they_are_held_until_they_are_taken_back(obtainer: Obtainer, kept: Kept) -> None:
    kept.texts = {"a": "hush"}
    made = task(container("web", secrets=[secret("A", "a")]), container("log"))
    keeper = Keeper(obtainer)
    assert await keeper.look(made) == Absent()
    with pytest.raises(ProvisionUnavailable, match="the secrets of container web are not here"):
        keeper.of(made, "web")
    assert keeper.of(made, "log") == Private()
    await keeper.provide(made)
    await keeper.provide(made)
    assert kept.asked == ["a"]
    assert await keeper.look(made) == Seen(None)
    assert keeper.of(made, "web") == Private({}, {"A": "hush"})
    assert "hush" not in repr(keeper)
    await keeper.take_back(made)
    await keeper.take_back(made)
    assert await keeper.look(made) == Absent()

"""What keeps a secret's value, as ``valueFrom`` of a container's ``secrets`` names it. Pure.

Reference: ECS developer guide, "Specifying sensitive data"; the Secrets Manager and Systems Manager
user guides for what names and ARNs may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

CURE = (
    "must be the name or ARN of a parameter (arn:aws:ssm:REGION:ACCOUNT:parameter/NAME), or the "
    "ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME), which may end in "
    ":JSON-KEY:VERSION-STAGE:VERSION-ID"
)

_SECRET_ARN = re.compile(
    r"(arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):[0-9]{12}:secret:([^:]+))"
    r"(?::([^:]*):([^:]*):([^:]*))?"
)
_SECRET_NAME = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}")
"""What Secrets Manager adds to a name in its ARN."""

_PARAMETER_ARN = re.compile(r"arn:aws[a-z-]*:ssm:([a-z0-9-]+):[0-9]{12}:parameter/(.+)")
_PARAMETER_NAME = re.compile(r"([A-Za-z0-9_./-]{1,1011})(:[A-Za-z0-9_.-]{1,100})?")


@dataclass(frozen=True, slots=True)
class SecretId:
    """A secret in Secrets Manager. ``id`` is how it was asked for, ``name`` its name.

    From an ARN the name has the suffix, and there may be a version's stage and id. ``region`` is
    "" where ``id`` does not tell it.
    """

    id: str
    name: str
    region: str = ""
    stage: str = ""
    version: str = ""

    @property
    def files(self) -> Iterator[str]:
        """The names that a file for it may have, relative paths. The best comes first."""
        yield self.name
        bare = self.name[:-7]
        if self.id != self.name and bare and _SUFFIX.fullmatch(self.name[-7:]):
            yield bare


@dataclass(frozen=True, slots=True)
class ParameterId:
    """A parameter of Systems Manager. ``id`` is how it was asked for, ``name`` its name.

    A version or label is part of the ``id`` only. ``region`` is as for a secret.
    """

    id: str
    name: str
    region: str = ""

    @property
    def files(self) -> Iterator[str]:
        """The name that a file for it may have, a relative path."""
        yield self.name.removeprefix("/")


@dataclass(frozen=True, slots=True)
class ValueFrom:
    """A value: the whole of what is kept, or with ``json_key`` one member of the JSON object."""

    kept: SecretId | ParameterId
    json_key: str = ""


def value_from(text: str) -> ValueFrom:
    """What ``valueFrom`` of a container's secret means; a bare name is a parameter's.

    Raises ValueError with a text that ends the sentence "FIELD ...".
    """
    arn = _SECRET_ARN.fullmatch(text)
    if arn is not None and _SECRET_NAME.fullmatch(arn[3]):
        secret = SecretId(arn[1], arn[3], arn[2], arn[5] or "", arn[6] or "")
        return ValueFrom(secret, arn[4] or "")
    arn = _PARAMETER_ARN.fullmatch(text)
    name = _PARAMETER_NAME.fullmatch(arn[2] if arn else text)
    if name is None or text.startswith("arn:") is not bool(arn):
        raise ValueError(CURE)
    return ValueFrom(ParameterId(text, name[1], arn[1] if arn else ""))


def secret_id(text: str) -> SecretId:
    """A whole secret of Secrets Manager by its name or ARN, as ``repositoryCredentials`` has it.

    Raises ValueError.
    """
    arn = _SECRET_ARN.fullmatch(text)
    found = SecretId(text, arn[3], arn[2]) if arn and arn[4] is None else SecretId(text, text)
    if not _SECRET_NAME.fullmatch(found.name):
        raise ValueError("it is neither a name nor an ARN of a secret in Secrets Manager")
    return found

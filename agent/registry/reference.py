"""Image references: from what people write to the one name an image has. Pure.

The rules are Docker's: a first part with a dot, a colon or a capital letter, or ``localhost``, is a
registry; without one it is docker.io, where official images live under ``library/``; without tag
and digest the tag is ``latest``. ``str(parse(text))`` is the name of the image in containerd.
"""

import re
from dataclasses import dataclass

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
MAX_NAME = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_ID = re.compile(r"[0-9a-f]{64}")


class InvalidReference(ValueError):
    """Not an image reference; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An image by its full name. At least one of ``tag`` and ``digest`` is set."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse(text: str) -> Reference:
    """The image that ``text`` (ECS ``image``) means. Raises ``InvalidReference``."""
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise InvalidReference(f"{text!r}: {digest!r} is not a digest such as sha256:<64 hex>")
    rest, tag = _split_tag(rest)
    if tag is not None and not _TAG.fullmatch(tag):
        raise InvalidReference(
            f"{text!r}: {tag!r} is not a tag: up to 128 letters, digits, '_', '.' and '-',"
            " not beginning with '.' or '-'"
        )
    if _ID.fullmatch(rest):
        raise InvalidReference(f"{text!r}: this is an image's id; write its name")
    registry, repository = _split_registry(rest)
    _check_name(text, registry, repository)
    if tag is None and not at:
        tag = DEFAULT_TAG
    return Reference(registry, repository, tag, digest or None)


def _split_tag(rest: str) -> tuple[str, str | None]:
    """A colon after the last slash begins a tag; one before it is a registry's port."""
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, None
    return name, tag


def _split_registry(rest: str) -> tuple[str, str]:
    first, slash, repository = rest.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first.lower() != first):
        first, repository = DEFAULT_REGISTRY, rest
    if first == "index.docker.io":
        first = DEFAULT_REGISTRY
    if first == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    return first, repository


def _check_name(text: str, registry: str, repository: str) -> None:
    if not text:
        raise InvalidReference("the name of the image is empty")
    if not _REGISTRY.fullmatch(registry):
        raise InvalidReference(f"{text!r}: {registry!r} is not a registry's host name and port")
    for part in repository.split("/"):
        if part != part.lower():
            raise InvalidReference(f"{text!r}: {part!r} must be in lower case")
        if not _PART.fullmatch(part):
            raise InvalidReference(
                f"{text!r}: {part!r} is not part of a name: lower-case letters and digits,"
                " with '.', '_', '__' or '-' between them"
            )
    if len(registry) + 1 + len(repository) > MAX_NAME:
        raise InvalidReference(f"{text!r}: the name is longer than {MAX_NAME} characters")

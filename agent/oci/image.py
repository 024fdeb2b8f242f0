"""What an image says about the containers made of it.

Reads the config JSON of OCI images and of Docker's schema 2, which share their names. Used by
``spec`` and by whoever pulls and unpacks (``diff_ids``).
"""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
)
from pydantic.alias_generators import to_pascal

from agent.oci.errors import SpecError

MAX_PARTS = 100_000
"""Objects and lists in a config; each takes far more memory than the two bytes that it may have."""


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """Defaults for a container; ``diff_ids`` are the uncompressed layers, bottom first.

    ``created`` (RFC 3339) and ``health_check`` (as Docker writes it, times in nanoseconds) are for
    people only.
    """

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = "SIGTERM"
    labels: dict[str, str] = field(default_factory=dict)
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    architecture: str = ""
    variant: str = ""
    os: str = ""
    diff_ids: tuple[str, ...] = ()
    created: str = ""
    health_check: dict[str, Any] | None = None


def _all_texts(values: tuple[Any, ...]) -> tuple[str, ...]:
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise ValueError(f"{number} is no text")  # noqa: TRY004 - pydantic's one kind of error
    return values


def _texts_by_name(values: dict[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"{name} is no text")  # noqa: TRY004 - pydantic's one kind of error
    return values


# Pydantic itself would note all that is wrong, and take a kilobyte for each two bytes of an image.
_Texts = Annotated[tuple[Any, ...], AfterValidator(_all_texts)]
_Named = Annotated[dict[str, Any], AfterValidator(_texts_by_name)]


class _Config(BaseModel):
    """The member ``config``; both formats write null for what an image doesn't set."""

    model_config = ConfigDict(alias_generator=to_pascal)

    entrypoint: _Texts | None = None
    cmd: _Texts | None = None
    env: _Texts | None = None
    user: str | None = None
    working_dir: str | None = None
    stop_signal: str | None = None
    labels: _Named | None = None
    exposed_ports: dict[str, object] | None = None
    volumes: dict[str, object] | None = None
    healthcheck: Any = None


class _Rootfs(BaseModel):
    diff_ids: _Texts = ()


class _Image(BaseModel):
    """What only people read may be anything: it keeps no container from running."""

    config: _Config | None = None
    architecture: str = ""
    variant: Any = None
    os: str = ""
    created: Any = None
    rootfs: _Rootfs = Field(default_factory=_Rootfs)


def parse_image_config(text: bytes | str) -> ImageConfig:
    """The image config blob as a value; raises ``SpecError`` if it is not one."""
    data = text.encode(errors="replace") if isinstance(text, str) else text
    if data.count(b"{") + data.count(b"[") > MAX_PARTS:
        raise SpecError(f"image config can't be read: more than {MAX_PARTS} objects and lists")
    try:
        image = _Image.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise SpecError(f"image config can't be read: {place}: {first['msg']}") from error
    config = image.config or _Config()
    return ImageConfig(
        entrypoint=config.entrypoint or (),
        cmd=config.cmd or (),
        env=config.env or (),
        user=config.user or "",
        working_dir=config.working_dir or "",
        stop_signal=config.stop_signal or "SIGTERM",
        labels=config.labels or {},
        exposed_ports=tuple(config.exposed_ports or ()),
        volumes=tuple(config.volumes or ()),
        architecture=image.architecture,
        variant=image.variant if isinstance(image.variant, str) else "",
        os=image.os,
        diff_ids=image.rootfs.diff_ids,
        created=image.created if isinstance(image.created, str) else "",
        health_check=config.healthcheck if isinstance(config.healthcheck, dict) else None,
    )

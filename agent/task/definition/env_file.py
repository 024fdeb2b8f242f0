"""Where an environment file is, as ``value`` of ``environmentFiles`` says it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

CURE = (
    "must be the ARN of an object in S3 (arn:aws:s3:::BUCKET/KEY.env) or the absolute path of a "
    "file on the host (/PATH.env)"
)

_ARN = re.compile(r"arn:aws[a-z-]*:s3:::([A-Za-z0-9][A-Za-z0-9._-]{1,254})/(.{1,1024})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object in S3."""

    bucket: str
    key: str


def env_file(value: str) -> S3Object | PurePosixPath:
    """The object, or the file of the host. Raises ValueError with a text that ends "FIELD ..."."""
    if not value.endswith(".env"):
        raise ValueError("must be the ARN of a .env object")
    arn = _ARN.fullmatch(value)
    where = arn[2] if arn else value
    if any(part in (".", "..") for part in where.split("/")):
        raise ValueError("must not have . or .. in its path")
    if arn is not None:
        return S3Object(arn[1], arn[2])
    if not value.startswith("/"):
        raise ValueError(CURE)
    return PurePosixPath(value)

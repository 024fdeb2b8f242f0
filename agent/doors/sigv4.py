"""AWS Signature Version 4, the server's side: is this request signed with a key that we gave out?

Pure; used by ``tcp``. Only the ``Authorization`` header counts, and the service is always ``ecs``:
presigned URLs, chunk signatures and session tokens are for other services. Any region is accepted:
there is one agent behind this address, and the region that a client signs for is only its own name
for it. Errors and their texts are those that ECS has for the same mistakes, with HTTP status 400.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

from agent.doors.errors import (
    IncompleteSignature,
    InvalidSignature,
    MissingAuthenticationToken,
    UnrecognizedClient,
)

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "ecs"
SKEW_S = 300.0
"""How far the clock of a client may be off: as long a captured request can be sent again."""

_AUTHORIZATION = re.compile(
    rf"{ALGORITHM}\s+Credential=(?P<key>[^\s,/]+)/(?P<day>[0-9]{{8}})/(?P<region>[^\s,/]+)"
    r"/(?P<service>[^\s,/]+)/aws4_request\s*,\s*SignedHeaders=(?P<headers>[^\s,]+)"
    r"\s*,\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_ALWAYS_SIGNED = frozenset({"host", "x-amz-date", "x-amz-target"})
_SIGNED_IF_PRESENT = frozenset({"content-type"})


@dataclass(frozen=True, slots=True)
class Key:
    """An access key. Its secret is shown nowhere."""

    access_key_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Head:
    """A request without its body. ``path`` and ``query`` as they were sent, percent-encoded."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose signature a request says it has; true only once ``check`` has seen the body."""

    key: Key
    head: Head
    date: str
    region: str
    signed: tuple[str, ...]
    signature: str = field(repr=False)

    def check(self, body: bytes) -> str:
        """The access key id, if the whole request is signed with its secret.

        Raises InvalidSignature otherwise.
        """
        scope = f"{self.date[:8]}/{self.region}/{SERVICE}/aws4_request"
        request = hashlib.sha256(self._canonical_request(body)).hexdigest()
        text = "\n".join((ALGORITHM, self.date, scope, request))
        signature = _hmac(self._signing_key(), text).hex()
        if not hmac.compare_digest(signature, self.signature):
            raise InvalidSignature(
                "The request signature we calculated does not match the signature you provided. "
                f"Check the secret of {self.key.access_key_id}."
            )
        return self.key.access_key_id

    def _canonical_request(self, body: bytes) -> bytes:
        values = _values(self.head)
        lines = (
            self.head.method,
            quote(_bytes(self.head.path), safe="/~"),
            _canonical_query(self.head.query),
            *(f"{name}:{values[name]}" for name in self.signed),
            "",
            ";".join(self.signed),
            hashlib.sha256(body).hexdigest(),
        )
        return _bytes("\n".join(lines))

    def _signing_key(self) -> bytes:
        key = _bytes(f"AWS4{self.key.secret}")
        for part in (self.date[:8], self.region, SERVICE, "aws4_request"):
            key = _hmac(key, part)
        return key


def claim(head: Head, keys: Mapping[str, Key], now: float) -> Claim:
    """What the request claims, if that is worth reading its body for; ``now`` in epoch seconds.

    So nobody without a key makes the agent keep a body. Raises MissingAuthenticationToken,
    IncompleteSignature, UnrecognizedClient or InvalidSignature.
    """
    values = _values(head)
    if "authorization" not in values:
        raise MissingAuthenticationToken("Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(values["authorization"])
    if found is None:
        raise IncompleteSignature(
            f"Authorization header must be '{ALGORITHM} Credential=…/aws4_request, "
            "SignedHeaders=…, Signature=…'."
        )
    if found["key"] not in keys:
        raise UnrecognizedClient("The security token included in the request is invalid.")
    if found["service"] != SERVICE:
        raise InvalidSignature(f"Credential should be scoped to correct service: '{SERVICE}'.")
    signed = tuple(found["headers"].split(";"))
    _check_signed(signed, values)
    _check_date(values["x-amz-date"], found["day"], now)
    return Claim(
        key=keys[found["key"]],
        head=head,
        date=values["x-amz-date"],
        region=found["region"],
        signed=signed,
        signature=found["signature"],
    )


def _check_signed(signed: Sequence[str], values: Mapping[str, str]) -> None:
    for name in sorted(set(signed) - values.keys()):
        raise IncompleteSignature(f"'{name}' is in SignedHeaders, but not in the request.")
    required = _ALWAYS_SIGNED | (_SIGNED_IF_PRESENT & values.keys())
    for name in sorted(required - set(signed)):
        raise InvalidSignature(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _check_date(date: str, day: str, now: float) -> None:
    signed_at = _epoch(date)
    if date[:8] != day:
        raise InvalidSignature(f"Date in Credential scope is {day}, and X-Amz-Date is {date}.")
    clock = datetime.fromtimestamp(now, UTC).strftime(_DATE_FORMAT)
    if signed_at < now - SKEW_S:
        raise InvalidSignature(f"Signature expired: {date} is too long before {clock} (5 min.)")
    if signed_at > now + SKEW_S:
        raise InvalidSignature(f"Signature not yet current: {date} is after {clock} (+ 5 min.)")


def _epoch(date: str) -> float:
    try:
        parsed = datetime.strptime(date, _DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        parsed = None
    if parsed is None or parsed.strftime(_DATE_FORMAT) != date:  # strptime takes single digits too
        raise IncompleteSignature("X-Amz-Date must be a time such as 20261122T014318Z.")
    return parsed.timestamp()


def _values(head: Head) -> dict[str, str]:
    """Headers by lower-case name: inner runs of space are one, repeated headers one list."""
    values: dict[str, str] = {}
    for name, text in head.headers:
        key, value = name.lower(), " ".join(text.split())
        values[key] = f"{values[key]},{value}" if key in values else value
    return values


def _canonical_query(query: str) -> str:
    """Every name and value encoded anew, and sorted so; clients send a space as ``+`` or %20."""
    pairs = (each.partition("=") for each in query.split("&") if each)
    return "&".join("=".join(pair) for pair in sorted((_again(a), _again(b)) for a, _, b in pairs))


def _again(text: str) -> str:
    return quote(unquote_to_bytes(_bytes(text.replace("+", " "))), safe="-_.~")


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, _bytes(text), "sha256")


def _bytes(text: str) -> bytes:
    """The bytes that came, also where they were not UTF-8."""
    return text.encode("utf-8", "surrogateescape")

"""What the agent and the log router say to each other.

One JSON object per line over the unix socket ``logs.sock`` in the run directory. A request is
``{"seq": 1, "op": "open", ...}``, its reply ``{"seq": 1, "ok": true, ...}`` or
``{"seq": 1, "ok": false, "error": "why"}``. Replies may come out of order: ``close`` is answered
when the log is complete.

    open   {stream}    from now on both FIFOs have a reader; repeating it changes nothing
    close  {id}        answered when both FIFOs reached their end and everything is in the log;
                       closing a stream that is not open succeeds
    list               {streams: [...]}, with what each of them lost and why
    ping               {pid, service}: whether a service manager started it, and would again
    stop_if_idle       {stopped}: the router ends if no stream is open
"""

import json
import re
from typing import Any, NamedTuple

SOCKET_NAME = "logs.sock"
MAX_REQUEST = 64 * 1024
MAX_REPLY = 16 * 1024 * 1024

JSON_FILE = "json-file"
NONE = "none"
DRIVERS = (JSON_FILE, NONE)

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class ProtocolError(Exception):
    """A message that breaks the rules above; the text says which."""


class Stream(NamedTuple):
    """One container's output: where it comes from and where it goes.

    ``id`` is the container's id. ``options`` are those of ECS ``logConfiguration.options``.
    ``log_path`` may be empty for the driver ``none``.
    """

    id: str
    log_path: str
    stdout: str | None = None
    stderr: str | None = None
    driver: str = JSON_FILE
    options: dict[str, str] = {}  # noqa: RUF012 - never changed, and a tuple's default

    def fifos(self) -> dict[str, str]:
        """The FIFO of each of the container's streams that there is: name to path."""
        named = {"stdout": self.stdout, "stderr": self.stderr}
        return {name: path for name, path in named.items() if path is not None}


def encode(message: dict[str, Any]) -> bytes:
    """The message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message in a line. Raises ``ProtocolError`` unless it is a JSON object."""
    try:
        message = json.loads(line)
    except ValueError as error:
        raise ProtocolError(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise ProtocolError("a message is a JSON object")
    return message


def stream_from(fields: object) -> Stream:
    """The stream described by the field ``stream`` of an ``open`` request, or by its record."""
    if not isinstance(fields, dict):
        raise ProtocolError("stream: must be an object")
    unknown = set(fields) - set(Stream._fields)
    if unknown:
        raise ProtocolError(f"stream: unknown field {min(unknown)!r}")
    options = fields.get("options", {})
    if not isinstance(options, dict):
        raise ProtocolError("stream.options: must be an object")
    driver = fields.get("driver", JSON_FILE)
    if driver not in DRIVERS:
        raise ProtocolError(f"stream.driver: {driver!r} is not one of {', '.join(DRIVERS)}")
    return Stream(
        id=checked_id(fields.get("id")),
        log_path=_path(fields, "log_path") or "" if driver == NONE else _log_path(fields),
        stdout=_path(fields, "stdout"),
        stderr=_path(fields, "stderr"),
        driver=driver,
        options={str(key): str(value) for key, value in options.items()},
    )


def checked_id(value: object) -> str:
    """A container id that is safe as the name of a file."""
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise ProtocolError(f"id: {value!r} is not a container id")
    return value


def _log_path(fields: dict[str, Any]) -> str:
    path = _path(fields, "log_path")
    if path is None:
        raise ProtocolError(f"stream.log_path: the driver {JSON_FILE} needs one")
    return path


def _path(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ProtocolError(f"stream.{key}: must be an absolute path")
    return value

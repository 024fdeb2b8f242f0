"""The numbered error of the CNI specification, and the translation into it.

The numbers are those of the specification's table "Error", and from 100 on our own. The plugins
raise nothing else; `netlink` and friends raise `OSError`, which `reported` turns into a number.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Code(IntEnum):
    """Error numbers: what the caller can do about it."""

    INCOMPATIBLE_VERSION = 1
    UNSUPPORTED_FIELD = 2
    UNKNOWN_CONTAINER = 3
    INVALID_ENVIRONMENT = 4
    IO_FAILURE = 5
    UNDECODABLE = 6
    INVALID_CONFIG = 7
    INVALID_NAMESPACE = 8
    TRY_AGAIN_LATER = 11
    PLUGIN_NOT_AVAILABLE = 50
    LIMITED_CONNECTIVITY = 51
    PORT_TAKEN = 100
    CHECK_FAILED = 101
    INTERNAL = 999


class CNIError(Exception):
    """A plugin could not do what it was asked; `msg` is for people, `details` adds the cause.

    `code` is a `Code`, or a number of another vendor's plugin.
    """

    def __init__(self, code: int, msg: str, details: str = "") -> None:
        super().__init__(f"{msg}: {details}" if details else msg)
        self.code = code
        self.msg = msg
        self.details = details


class PortTaken(CNIError):
    """A host port is held by another container or by a local program. Choose another port."""

    def __init__(self, protocol: str, port: int, holder: str) -> None:
        super().__init__(
            Code.PORT_TAKEN, f"host port {port}/{protocol} is already in use", f"held by {holder}"
        )
        self.protocol = protocol
        self.port = port


@contextmanager
def reported(msg: str) -> Iterator[None]:
    """Turn an `OSError` into a `CNIError` number 5 that begins with `msg`; also a decorator."""
    try:
        yield
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, msg, str(error)) from error

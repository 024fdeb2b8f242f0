"""What the client raises: one class per thing that a caller can do about it.

gRPC's own errors are translated here, once, and never leave the package.
"""

from __future__ import annotations

import grpc
import grpc.aio

from agent.printable import printable


class ContainerdError(Exception):
    """A call failed. The text names the call, the object, and what containerd said of it.

    ``said`` is only the latter, for people who asked for a container and not for a call. Names of
    files in images are in it: both are made printable.
    """

    def __init__(self, text: str, said: str = "") -> None:
        super().__init__(printable(text))
        self.said = printable(said or text)


class NotFound(ContainerdError):
    """The object isn't there."""


class AlreadyExists(ContainerdError):
    """An object of that name is there already."""


class FailedPrecondition(ContainerdError):
    """The object is in a state that doesn't allow this, such as a running task at delete."""


class InvalidArgument(ContainerdError):
    """containerd refuses what was asked; asking again won't help."""


class OutOfRange(ContainerdError):
    """An offset or a size lies outside of the object."""


class Unavailable(ContainerdError):
    """containerd or the shim went away, can't be reached, or is busy with this; ask again later.

    A call that was under way may have had its effect: look before doing it again.
    """


class DeadlineExceeded(ContainerdError):
    """No answer in time. The call may have had its effect: look before doing it again."""


_BY_CODE: dict[grpc.StatusCode, type[ContainerdError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,  # by the daemon, as it stops
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}

_BROKEN_OFF = "Internal error from Core"
"""What grpc.aio says of a message that it could not send any more, under a code of its own."""

# Errors of Go and of the shims that containerd, all of them before 2.0, passes on without a code.
_BY_TEXT: dict[str, type[ContainerdError]] = {
    "context deadline exceeded": DeadlineExceeded,
    "context canceled": Unavailable,
    "ttrpc: closed": Unavailable,
    _BROKEN_OFF: Unavailable,
    "cannot delete a running process": FailedPrecondition,
    "cannot start a running process": FailedPrecondition,
    "cannot start a paused process": FailedPrecondition,
    "cannot start a stopped process": FailedPrecondition,
}


def translated(error: grpc.aio.AioRpcError, method: str, about: str) -> ContainerdError:
    """The error to raise ``from`` a gRPC one of ``method`` (its full path) on object ``about``."""
    said = error.details() or error.code().name
    kind = _BY_CODE.get(error.code(), ContainerdError)
    if error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL):
        kind = next((_BY_TEXT[each] for each in _BY_TEXT if each in said), ContainerdError)
    return kind(f"{named(method, about)}: {said}", said)


def named(method: str, about: str) -> str:
    """A call as error texts show it: ``Tasks.Create(web)``."""
    service, _, name = method.rpartition("/")
    return f"{service.rpartition('.')[2]}.{name}({about})"

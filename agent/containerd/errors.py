"""What the client raises: one class per thing that a caller can do about it.

gRPC's own errors are translated here, once, and never leave the package.
"""

from __future__ import annotations

import grpc
import grpc.aio


class ContainerdError(Exception):
    """A call failed. The text names the call, the object, and what containerd said of it."""


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
    """containerd can't be reached or is busy with this very object; ask again later."""


class DeadlineExceeded(ContainerdError):
    """No answer in time. The call may have had its effect: look before doing it again."""


_BY_CODE: dict[grpc.StatusCode, type[ContainerdError]] = {
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.OUT_OF_RANGE: OutOfRange,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


def translated(error: grpc.aio.AioRpcError, method: str, about: str) -> ContainerdError:
    """The error to raise ``from`` a gRPC one of ``method`` (its full path) on object ``about``."""
    kind = _BY_CODE.get(error.code(), ContainerdError)
    said = error.details() or error.code().name
    return kind(f"{named(method, about)}: {said}")


def named(method: str, about: str) -> str:
    """A call as error texts show it: ``Tasks.Create(web)``."""
    service, _, name = method.rpartition("/")
    return f"{service.rpartition('.')[2]}.{name}({about})"

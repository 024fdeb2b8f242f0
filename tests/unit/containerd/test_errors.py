from __future__ import annotations

import grpc
import grpc.aio
import pytest

from agent.containerd import errors

KILL = "/containerd.services.tasks.v1.Tasks/Kill"


def error(code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(code, nothing, nothing, details, "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.ALREADY_EXISTS, errors.AlreadyExists),
        (grpc.StatusCode.FAILED_PRECONDITION, errors.FailedPrecondition),
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidArgument),
        (grpc.StatusCode.OUT_OF_RANGE, errors.OutOfRange),
        (grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
        (grpc.StatusCode.UNKNOWN, errors.ContainerdError),
        (grpc.StatusCode.UNIMPLEMENTED, errors.ContainerdError),
    ],
)
def test_each_status_code_has_its_error(
    code: grpc.StatusCode, kind: type[errors.ContainerdError]
) -> None:
    assert type(errors.translated(error(code, "said"), KILL, "web")) is kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("context deadline exceeded: unknown", errors.DeadlineExceeded),
        ("context canceled: unknown", errors.Unavailable),
        ("failed to create shim task: ttrpc: closed: unknown", errors.Unavailable),
        ("cannot delete a running process: unknown", errors.FailedPrecondition),
        ("cannot start a stopped process: unknown", errors.FailedPrecondition),
        ("runc create failed: no such file", errors.ContainerdError),
    ],
)
def test_errors_without_a_code_are_known_by_their_text(
    said: str, kind: type[errors.ContainerdError]
) -> None:
    assert type(errors.translated(error(grpc.StatusCode.UNKNOWN, said), KILL, "web")) is kind


def test_a_message_that_found_the_connection_broken_may_be_sent_again() -> None:
    broken = error(grpc.StatusCode.INTERNAL, "Internal error from Core")
    assert type(errors.translated(broken, KILL, "web")) is errors.Unavailable


def test_a_code_counts_for_more_than_the_text() -> None:
    refused = error(grpc.StatusCode.NOT_FOUND, "context canceled")
    assert type(errors.translated(refused, KILL, "web")) is errors.NotFound


def test_the_text_names_the_call_the_object_and_what_was_said() -> None:
    refused = error(grpc.StatusCode.NOT_FOUND, 'container "web" not found')
    assert str(errors.translated(refused, KILL, "web")) == (
        'Tasks.Kill(web): container "web" not found'
    )


def test_the_text_names_the_code_when_nothing_was_said() -> None:
    refused = error(grpc.StatusCode.INTERNAL, "")
    assert str(errors.translated(refused, KILL, "web")) == "Tasks.Kill(web): INTERNAL"


def test_what_images_say_in_it_reaches_no_terminal() -> None:
    error = errors.ContainerdError("Diff.Apply(x): mkdir a\x1b[2J", "mkdir a\x1b[2J")
    assert str(error) == "Diff.Apply(x): mkdir a\\x1b[2J"
    assert error.said == "mkdir a\\x1b[2J"

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from agent.containerd import payloads
from agent.containerd.convert import epoch
from agent.containerd.pb import task_events_pb2 as pb
from agent.containerd.types import Exit

AT = Timestamp(seconds=1_700_000_000, nanos=250_000_000)


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        (pb.TaskCreate(container_id="c", pid=7), payloads.TaskCreate("c", 7)),
        (pb.TaskStart(container_id="c", pid=7), payloads.TaskStart("c", 7)),
        (
            pb.TaskExecStarted(container_id="c", exec_id="e", pid=8),
            payloads.TaskExecStarted("c", "e", 8),
        ),
        (
            pb.TaskExit(container_id="c", id="c", pid=7, exit_status=137, exited_at=AT),
            payloads.TaskExit("c", "", 7, Exit(137, 1_700_000_000.25)),
        ),
        (
            pb.TaskExit(container_id="c", id="e", pid=8, exit_status=1, exited_at=AT),
            payloads.TaskExit("c", "e", 8, Exit(1, 1_700_000_000.25)),
        ),
        (pb.TaskOOM(container_id="c"), payloads.TaskOOM("c")),
        (
            pb.TaskDelete(container_id="c", pid=7, exit_status=0, exited_at=AT),
            payloads.TaskDelete("c", "", 7, Exit(0, 1_700_000_000.25)),
        ),
    ],
)
@pytest.mark.parametrize("prefix", ["", "types.googleapis.com/"])
def test_each_event_type_is_decoded(event: Message, payload: payloads.Payload, prefix: str) -> None:
    packed = Any(type_url=prefix + event.DESCRIPTOR.full_name, value=event.SerializeToString())
    assert payloads.payload_of(packed) == payload


def test_an_event_of_another_type_comes_as_it_is() -> None:
    packed = Any(type_url="containerd.events.ImageCreate", value=b"x")
    assert payloads.payload_of(packed) == payloads.Raw("containerd.events.ImageCreate", b"x")


@given(st.integers(0, 2**33), st.integers(0, 999_999_999))
def test_an_instant_keeps_its_microseconds(seconds: int, nanos: int) -> None:
    at = epoch(Timestamp(seconds=seconds, nanos=nanos))
    assert abs(at - seconds - nanos / 1e9) < 2e-6


def test_go_s_zero_time_is_zero() -> None:
    assert epoch(Timestamp(seconds=-62_135_596_800)) == 0.0

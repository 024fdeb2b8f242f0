"""The agent's answer to a plugin's process, and the bytes between them."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cni import formats
from cni.context import Context
from cni.program import launch, serve, skel
from cni.program.skel import Outcome

VERSION = b"hostler-bridge\0CNI_COMMAND=VERSION\0\0"


@contextmanager
def context() -> Iterator[Context]:
    unused: Any = None
    yield Context(unused, unused, unused, Path("/nowhere"))


def test_a_process_of_this_host_is_answered_as_by_the_plugin_itself() -> None:
    answer = serve.answer(VERSION, os.getpid(), context)

    expected = skel.run({"CNI_COMMAND": "VERSION"}, b"", "hostler-bridge", context)
    assert answer == serve.packed(expected)
    assert json.loads(answer[5:])["supportedVersions"] == list(formats.VERSIONS)


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
def test_a_process_that_cannot_be_seen_is_declined(pid: int) -> None:
    assert serve.answer(VERSION, pid, context) == bytes([launch.DECLINED])


@pytest.mark.parametrize(
    "request_",
    [b"", b"hostler-bridge", b"hostler-bridge\0\0"[:-1], b"\xff\0\0", b"hostler-bridge\0PATH\0\0"],
)
def test_what_is_no_request_is_declined(request_: bytes) -> None:
    assert serve.answer(request_, os.getpid(), context) == bytes([launch.DECLINED])


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_answered_or_declined(request_: bytes) -> None:
    assert serve.answer(request_, os.getpid(), context)[0] in (0, 1, launch.DECLINED)


def test_the_lengths_are_where_the_process_looks_for_them() -> None:
    assert serve.packed(Outcome(1, b"out", b"err")) == b"\x01\x00\x00\x00\x03outerr"

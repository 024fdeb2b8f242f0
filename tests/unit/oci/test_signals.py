"""STOPSIGNAL as image configs spell it."""

from __future__ import annotations

from signal import SIGRTMAX, SIGRTMIN, SIGTERM

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.oci.signals import signal_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("sigquit", 3),
        (" SIGINT ", 2),
        ("9", 9),
        ("SIGRTMIN+3", SIGRTMIN + 3),
        ("RTMIN+3", SIGRTMIN + 3),
        ("SIGRTMAX-1", SIGRTMAX - 1),
        ("SIGRTMIN", SIGRTMIN),
    ],
)
def test_a_signal_is_known_by_name_or_number(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "65", "999", "-9", "SIGNOTHING", "SIG", "SIGRTMIN+40", "SIGRTMAX-40", "²", "٣"],
)
def test_anything_else_is_sigterm(text: str) -> None:
    assert signal_number(text) == SIGTERM


@given(text=st.text())
def test_there_is_always_a_signal_that_the_kernel_knows(text: str) -> None:
    assert 1 <= signal_number(text) <= SIGRTMAX

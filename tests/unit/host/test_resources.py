"""What a host has for tasks, and the ports that are not for them."""

from __future__ import annotations

import os
from dataclasses import replace

import psutil
import pytest

from agent.host.resources import USUAL, capacity, reserved
from agent.settings import Settings


@pytest.mark.parametrize("interfaces", [None, 0, 3])
def test_without_settings_it_is_all_that_there_is(interfaces: int | None) -> None:
    found = capacity(Settings(), interfaces)
    assert found.interfaces == interfaces
    assert found.memory_mib == psutil.virtual_memory().total // 2**20
    assert found.cpu_units == (os.cpu_count() or 1) * 1024


@pytest.mark.parametrize(("kept_back", "left"), [(0, 4096), (1000, 3096), (5000, 0)])
def test_settings_say_how_much_there_is_and_how_much_is_kept_back(
    kept_back: int, left: int
) -> None:
    given = replace(Settings(), cpu_units=512, memory_mib=4096, reserved_memory_mib=kept_back)
    found = capacity(given, None)
    assert (found.cpu_units, found.memory_mib) == (512, left)


def test_the_agents_own_ports_are_not_for_tasks() -> None:
    given = replace(
        Settings(), api_listen=("127.0.0.1", 4000), introspection_listen=("127.0.0.1", 4001)
    )
    assert reserved(given) == {("tcp", each) for each in (*USUAL, 4000, 4001)}
    assert {22, 2375, 2376, 51678, 51679} == USUAL
    quiet = replace(Settings(), api_listen=None, introspection_listen=None)
    assert reserved(quiet) == {("tcp", each) for each in USUAL}
    assert capacity(given, None).of(("tcp", 4000)) == 0
    assert capacity(given, None).of(("udp", 4000)) == 1


def test_a_list_takes_the_place_of_the_usual_ports() -> None:
    given = replace(
        Settings(), reserved_ports=frozenset({80}), reserved_ports_udp=frozenset({53, 80})
    )
    assert reserved(given) == {("tcp", 80), ("udp", 53), ("udp", 80)}

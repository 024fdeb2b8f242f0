"""The static pool: who gets what, and what is said to those who get nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.host.interfaces.claims import Claims
from agent.host.interfaces.pool import Pool
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.task.model import Task
from agent.task.network import NetworkInterface
from tests import worlds

A1 = NetworkInterface(id="eni-a1", kind="nic", mac="0a:00:00:00:00:01", subnet="a")
A2 = NetworkInterface(id="eni-a2", kind="nic", mac="0a:00:00:00:00:02", subnet="a")
B1 = NetworkInterface(id="eni-b1", kind="nic", mac="0a:00:00:00:00:03", subnet="b")


def task(number: int, *subnets: str) -> Task:
    return replace(worlds.task(task_id=f"{number:032}"), subnets=subnets)


def pool(folder: Path, *interfaces: NetworkInterface, limit: int | None = None) -> Pool:
    return Pool(interfaces, Claims(folder), limit)


async def test_each_task_gets_the_first_that_is_free(tmp_path: Path) -> None:
    of_both = pool(tmp_path, A1, A2)
    assert await of_both.acquire(task(1)) == A1
    assert await of_both.acquire(task(2)) == A2
    await of_both.release(task(1).id)
    assert await of_both.acquire(task(3)) == A1


async def test_a_task_keeps_its_interface_when_asked_again(tmp_path: Path) -> None:
    await pool(tmp_path, A1, A2).acquire(task(1))
    again = pool(tmp_path, A2, A1)
    assert again.held(task(1).id)
    assert await again.acquire(task(1)) == A1


async def test_a_task_gets_one_in_a_subnet_that_it_names(tmp_path: Path) -> None:
    mixed = pool(tmp_path, A1, B1)
    assert set(mixed.subnets) == {"a", "b"}
    assert await mixed.acquire(task(1, "x", "b")) == B1


async def test_a_subnet_without_interfaces_is_an_error_for_good(tmp_path: Path) -> None:
    with pytest.raises(InterfaceError, match="in subnet x, y: the subnets here are a, b"):
        await pool(tmp_path, A1, B1).acquire(task(1, "x", "y"))


async def test_exhaustion_says_who_holds_what(tmp_path: Path) -> None:
    of_one = pool(tmp_path, A1)
    await of_one.acquire(task(1))
    with pytest.raises(InterfacesExhausted, match=rf"all 1 .* eni-a1 by task {task(1).id}$"):
        await of_one.acquire(task(2))
    assert not of_one.held(task(2).id)


async def test_exhaustion_of_one_subnet_names_it(tmp_path: Path) -> None:
    mixed = pool(tmp_path, A1, B1, replace(B1, id="eni-b2"))
    await mixed.acquire(task(1, "a"))
    await mixed.acquire(task(3, "b"))
    only = rf"in subnet a are in use: eni-a1 by task {task(1).id}$"
    with pytest.raises(InterfacesExhausted, match=only):
        await mixed.acquire(task(2, "a"))


async def test_a_limit_holds_some_back(tmp_path: Path) -> None:
    limited = pool(tmp_path, A1, A2, limit=1)
    assert limited.limit == 1
    await limited.acquire(task(1))
    with pytest.raises(InterfacesExhausted):
        await limited.acquire(task(2))
    assert pool(tmp_path, A1, A2, limit=9).limit == 2


async def test_many_holders_are_counted_rather_than_listed(tmp_path: Path) -> None:
    many = [replace(A1, id=f"eni-{number:02}") for number in range(20)]
    full = pool(tmp_path, *many)
    for number in range(20):
        await full.acquire(task(number))
    with pytest.raises(InterfacesExhausted, match=r"eni-07 by task \d+, 12 more$"):
        await full.acquire(task(20))


async def test_an_interface_taken_off_the_list_is_replaced(tmp_path: Path) -> None:
    await pool(tmp_path, A1).acquire(task(1))
    edited = pool(tmp_path, A2)
    assert edited.held(task(1).id)
    assert await edited.acquire(task(1)) == A2
    assert Claims(tmp_path).holders == {"eni-a2": task(1).id}


async def test_releasing_is_repeatable(tmp_path: Path) -> None:
    of_one = pool(tmp_path, A1)
    await of_one.acquire(task(1))
    await of_one.release(task(1).id)
    await of_one.release(task(1).id)
    assert not of_one.held(task(1).id)


async def test_orphans_are_released_and_named(tmp_path: Path) -> None:
    of_both = pool(tmp_path, A1, A2)
    await of_both.acquire(task(1))
    await of_both.acquire(task(2))
    assert await of_both.release_all_but([task(2).id]) == ["eni-a1"]
    assert await of_both.release_all_but([task(2).id]) == []
    assert await of_both.acquire(task(3)) == A1

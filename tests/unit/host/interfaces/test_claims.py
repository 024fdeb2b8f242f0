"""Claims: what the next agent finds of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.host.interfaces.claims import Claims
from agent.task.model import TaskId

ONE, TWO = TaskId("1" * 32), TaskId("2" * 32)


def test_a_claim_is_found_by_the_next_agent(tmp_path: Path) -> None:
    Claims(tmp_path / "run" / "interfaces").take("eni-1", ONE)
    found = Claims(tmp_path / "run" / "interfaces")
    assert found.of(ONE) == "eni-1"
    assert found.holders == {"eni-1": ONE}


def test_a_claim_can_be_read_from_names_alone(tmp_path: Path) -> None:
    Claims(tmp_path).take("eni-1", ONE)
    assert {each.name: str(each.readlink()) for each in tmp_path.iterdir()} == {"eni-1": ONE}


def test_a_claim_that_somebody_else_made_meanwhile_is_not_taken_over(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    Claims(tmp_path).take("eni-1", TWO)
    with pytest.raises(FileExistsError):
        claims.take("eni-1", ONE)
    assert claims.of(ONE) is None
    assert Claims(tmp_path).of(TWO) == "eni-1"


def test_dropping_is_repeatable(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    claims.take("eni-1", ONE)
    (tmp_path / "eni-1").unlink()
    claims.drop(ONE)
    claims.drop(ONE)
    assert claims.of(ONE) is None


def test_a_file_that_is_no_claim_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    claims = Claims(tmp_path)
    assert claims.drop_all_but([]) == []
    assert (tmp_path / "note").exists()


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["take", "drop", "drop all but"]),
            st.sampled_from(["eni-1", "eni-2", "eni-3"]),
            st.sampled_from([ONE, TWO]),
        )
    )
)
def test_what_is_remembered_is_what_is_on_disk(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, TaskId]]
) -> None:
    folder = tmp_path_factory.mktemp("claims")
    claims = Claims(folder)
    for step, interface, task in steps:
        if step == "take" and interface not in claims.holders and claims.of(task) is None:
            claims.take(interface, task)
        elif step == "drop":
            claims.drop(task)
        elif step == "drop all but":
            claims.drop_all_but([task])
        on_disk = Claims(folder)
        assert on_disk.holders == claims.holders
        for each in (ONE, TWO):
            assert on_disk.of(each) == claims.of(each)

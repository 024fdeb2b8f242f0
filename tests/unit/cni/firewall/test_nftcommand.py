"""How nft(8) is run, and what is said when that fails."""

from pathlib import Path

import pytest

from cni.errors import CNIError, Code
from cni.firewall import nftcommand
from cni.kernel import netns


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in nft's place; the test writes what it does."""
    program = tmp_path / "nft"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_what_it_prints_is_given_and_it_reads_the_script(says: Path) -> None:
    says.write_text('#!/bin/sh\necho "$@"\ncat\n')
    assert nftcommand.run("-f", "-", script="flush ruleset\n") == "-f -\nflush ruleset\n"


def test_one_that_is_not_installed_is_named_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CNIError) as caught:
        nftcommand.run("list", "tables")
    assert caught.value.code == Code.PLUGIN_NOT_AVAILABLE
    assert caught.value.details == "install the package nftables"


def test_what_it_refuses_is_told_with_its_reason(says: Path) -> None:
    says.write_text("#!/bin/sh\necho Error: syntax error >&2\nexit 1\n")
    with pytest.raises(CNIError) as caught:
        nftcommand.run("-f", "-")
    assert caught.value.code == Code.IO_FAILURE
    assert caught.value.details == "Error: syntax error"


def test_one_that_does_not_answer_is_waited_for_only_so_long(
    says: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nftcommand, "_DEADLINE_S", 0.2)
    says.write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(CNIError) as caught:
        nftcommand.run("list", "tables")
    assert caught.value.code == Code.TRY_AGAIN_LATER


def test_a_host_that_boots_has_time_to_load_the_modules_and_the_thread_waits_longer() -> None:
    assert nftcommand._DEADLINE_S >= 20
    assert netns._DEADLINE_S > nftcommand._DEADLINE_S

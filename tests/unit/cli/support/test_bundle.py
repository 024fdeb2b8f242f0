"""Pieces come into the archive masked, or into the list of what is missing."""

from __future__ import annotations

import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.errors import CommandError
from agent.cli.support import bundle as making
from agent.cli.support.bundle import name_of, within, written
from agent.cli.support.masks import Masks
from agent.cli.support.pieces import File, Missing, Piece, Site
from agent.host.checkup.subject import Subject
from agent.settings import Settings


@pytest.fixture
def site(tmp_path: Path) -> Site:
    masks = Masks()
    masks.learn(["hush-hush"])
    return Site(Subject(Settings(), tmp_path), tmp_path / "api.sock", None, masks)


def piece(name: str, *files: File) -> Piece:
    return Piece(name, lambda _site: iter(files))


def failing(name: str, error: Exception) -> Piece:
    def get(_site: Site) -> Iterator[File]:
        raise error

    return Piece(name, get)


def gathered(path: Path, site: Site, *pieces: Piece) -> dict[str, str]:
    told: list[str] = []
    with written(path, 0.0) as bundle:
        bundle.gather(site, pieces, told.append)
    assert told == [each.name for each in pieces]
    with tarfile.open(path) as tar:
        files = {each.name: tar.extractfile(each) for each in tar.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file}


def test_texts_are_masked_and_json_is_left_to_who_made_it(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    files = gathered(
        path, site, piece("one", ("one.txt", "say hush-hush")), piece("two", ("two.json", "{}"))
    )
    assert files["out/one.txt"] == "say (hidden)"
    assert files["out/two.json"] == "{}"
    assert files["out/missing.txt"] == "nothing\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Missing("there is no such thing"), "there is no such thing"),
        (CommandError("no agent\n  answers"), "no agent answers"),
        (OSError(5, "Input/output error"), "[Errno 5] Input/output error"),
    ],
)
def test_a_piece_that_fails_costs_no_other(
    site: Site, tmp_path: Path, error: Exception, why: str
) -> None:
    files = gathered(
        tmp_path / "out.tar.gz", site, failing("bad", error), piece("good", ("good.txt", "x"))
    )
    assert files["out/missing.txt"] == f"bad: {why}\n"
    assert files["out/good.txt"] == "x"


def test_why_something_is_missing_is_masked_too(site: Site, tmp_path: Path) -> None:
    why = CommandError("exec: hush-hush: password=abc")
    files = gathered(tmp_path / "out.tar.gz", site, failing("bad", why))
    assert files["out/missing.txt"] == "bad: exec: (hidden): password=(hidden)\n"


def test_a_secret_is_not_known_by_its_half_where_a_text_is_cut(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "FILE_BYTES", 12)
    files = gathered(tmp_path / "out.tar.gz", site, piece("log", ("log.txt", "hush-hush is it")))
    assert "hush" not in files["out/log.txt"]


def test_texts_are_masked_within_the_time_of_their_piece(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masking: list[str] = []

    def mask(_self: Masks, text: str) -> str:
        masking.append(threading.current_thread().name)
        return text

    monkeypatch.setattr(Masks, "mask", mask)
    gathered(tmp_path / "out.tar.gz", site, piece("one", ("one.txt", "text")))
    assert masking == ["piece"]


def test_a_bug_in_a_piece_is_not_hidden_and_leaves_no_file(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    with pytest.raises(ZeroDivisionError):
        gathered(path, site, failing("bug", ZeroDivisionError()))
    assert not path.exists()


def test_a_piece_that_hangs_is_left_behind(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hangs(_site: Site) -> Iterator[File]:
        over.wait(60)
        yield "late.txt", "too late"

    monkeypatch.setattr(making, "PIECE_S", 0.1)
    try:
        files = gathered(tmp_path / "out.tar.gz", site, Piece("slow", hangs))
    finally:
        over.set()
    assert files["out/missing.txt"] == "slow: it did not come within 0.1 s\n"


def test_what_is_too_large_is_cut_from_its_beginning(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "FILE_BYTES", 10)
    files = gathered(tmp_path / "out.tar.gz", site, piece("log", ("log.txt", "0123456789abc")))
    assert files["out/log.txt"] == "3456789abc"
    assert files["out/missing.txt"] == "log.txt: only its last 10 characters are here\n"


def test_all_together_have_a_bound_too(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "ALL_BYTES", len(making.README) + 10)
    files = gathered(
        tmp_path / "out.tar.gz",
        site,
        piece("one", ("one.txt", "12345678")),
        piece("two", ("two.txt", "12345678")),
    )
    assert "out/two.txt" not in files
    assert files["out/missing.txt"] == "two.txt: the bundle is large enough already\n"


def test_ctrl_c_leaves_nothing(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    with pytest.raises(KeyboardInterrupt), written(path, 0.0):
        raise KeyboardInterrupt
    assert not path.exists()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="is there already"), written(path, 0.0):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_work_within_its_time() -> None:
    assert within(10, lambda: [("a", "b")]) == [("a", "b")]


def test_names() -> None:
    assert name_of("web-1.test", 0.0) == "hostler-support-web-1.test-19700101T000000Z.tar.gz"
    assert name_of("a/../b c", 0.0).startswith("hostler-support-a-..-b-c-")
    assert name_of("", 0.0).startswith("hostler-support-host-")

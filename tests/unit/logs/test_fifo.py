import os
import stat
from pathlib import Path

import pytest

from agent.logs.fifo import NotAFifo, make_fifo, open_fifo


def test_a_fifo_is_made_private_and_only_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    make_fifo(str(path))
    make_fifo(str(path))
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_opening_needs_no_writer(tmp_path: Path) -> None:
    make_fifo(str(tmp_path / "out"))
    fd = open_fifo(str(tmp_path / "out"))
    assert not os.get_blocking(fd)
    os.close(fd)


def test_a_file_in_the_place_of_a_fifo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(NotAFifo):
        open_fifo(str(tmp_path / "out"))


def test_a_missing_fifo_is_reported(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_fifo(str(tmp_path / "out"))

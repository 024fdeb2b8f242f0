"""The end of what is printed to a pipe, by writers that come and go."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agent.host.probeoutput import OUTPUT_BYTES, collected


async def test_writers_may_come_and_go(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    with collected(path) as output:
        assert output.text() == ""
        for each in (b"", b"one ", b"two \xff"):
            with path.open("ab", buffering=0) as file:
                file.write(each)
        assert output.text() == "one two \ufffd"
    assert list(tmp_path.iterdir()) == []


async def test_of_much_only_the_end_is_kept_and_none_of_it_on_disk(tmp_path: Path) -> None:
    path, much = tmp_path / "pipe", 5 * 64 * 1024
    with collected(path) as output:
        await asyncio.to_thread(path.write_bytes, b"a" * much + b"b")
        assert output.text() == "a" * (OUTPUT_BYTES - 1) + "b"
        assert path.is_fifo()


async def test_nothing_is_left_of_it(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(2):
        with collected(tmp_path / "pipe"):
            await asyncio.sleep(0)
    assert list(tmp_path.iterdir()) == []
    assert set(Path("/proc/self/fd").iterdir()) == before

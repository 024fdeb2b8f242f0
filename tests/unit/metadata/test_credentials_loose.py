"""Threads that nobody waits for: what they give, and that a program ends without them."""

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest

from metadata.credentials.loose import LooseThreads

_HANGS = """
import threading
from metadata.credentials.loose import LooseThreads
begun = threading.Event()
def hang():
    begun.set()
    threading.Event().wait()
LooseThreads(1, "lab").submit(hang)
begun.wait(20)
"""


def test_a_call_gives_what_it_returns_or_raises() -> None:
    threads = LooseThreads(2, "lab")
    assert threads.submit(divmod, 7, 2).result(20) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        threads.submit(divmod, 7, 0).result(20)
    threads.close()


def test_no_more_run_than_there_may_and_what_is_cancelled_never_does() -> None:
    threads, begun, go = LooseThreads(1, "lab"), threading.Event(), threading.Event()
    ran: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(20)

    threads.submit(first)
    assert begun.wait(20)
    dropped: Future[None] = threads.submit(ran.append, "dropped")
    last: Future[None] = threads.submit(ran.append, "last")
    assert dropped.cancel()
    threads.close()
    assert ran == []
    go.set()
    last.result(20)
    assert ran == ["last"]


def test_a_program_ends_while_a_call_hangs() -> None:
    subprocess.run([sys.executable, "-c", _HANGS], check=True, timeout=60)

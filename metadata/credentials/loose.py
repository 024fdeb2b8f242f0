"""Threads for work that may hang, which nobody waits for: not even the end of the program.

The standard library's executor waits for its threads when the interpreter ends.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class LooseThreads(Executor):
    """At most ``most`` threads, started when needed. For use by one thread."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._started = 0
        self._waiting: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """The outcome of the call, which is dropped if that is cancelled before its turn."""
        outcome: Future[T] = Future()

        def work() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            try:
                outcome.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - for whoever asked
                outcome.set_exception(error)

        self._waiting.put(work)
        if self._started < self._most:
            Thread(target=self._run, name=f"{self._name}_{self._started}", daemon=True).start()
            self._started += 1
        return outcome

    def close(self) -> None:
        """Its threads end once they are done with what was submitted and not cancelled."""
        for _ in range(self._started):
            self._waiting.put(None)

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None:
            work()

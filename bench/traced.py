"""``python -m bench.traced FILE``: the agent, with the steps of its start in ``FILE``, as JSON.

The agent knows nothing of it: before it runs, some of its functions are replaced by ones that look
at the monotonic clock before and after.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

STEPS = {
    "runtimes and cgroups": ("agent.app", "ground"),
    "state store": ("agent.engine.store", "Store.open"),
    "what answers tasks": ("agent.app", "open_telling"),
    "metadata sockets": ("agent.app", "taken_up"),
    "containerd's first answer": ("agent.containerd.namespaces", "Namespaces.ensure"),
    "log router begun": ("agent.host.logrouter", "LogRouter.begin"),
    "what the store lost": ("agent.machine", "recover"),
    "networks": ("agent.machine", "open_networking"),
    "what gone tasks left": ("agent.host.network.networking", "Networking.remove_orphans"),
    "firewall": ("agent.host.network.networking", "Networking.open_firewall"),
    "images": ("agent.machine", "open_images"),
    "volumes": ("agent.machine", "open_volumes"),
    "log router there": ("agent.host.logrouter", "LogRouter.ensure_running"),
    "API": ("agent.doors.api", "Api.serving"),
    "introspection": ("agent.telling.side", "Telling.introspection"),
}
"""What is timed: modules and the names in them."""

IMPORTS = "imports"
READY = "READY=1"


class Clock:
    """Notes when steps began, on the monotonic clock, and how many seconds they took."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, float, float]] = []

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """What is done meanwhile is the step ``name``."""
        began = time.monotonic()
        yield
        self.steps.append((name, began, time.monotonic() - began))

    def wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed: a plain one, a coroutine, or what opens an async context."""

        @functools.wraps(function)
        async def awaited(*given: Any, **named: Any) -> Any:
            with self.timed(name):
                return await function(*given, **named)

        @functools.wraps(function)
        def called(*given: Any, **named: Any) -> Any:
            with self.timed(name):
                made = function(*given, **named)
            if not hasattr(made, "__aenter__"):
                return made
            self.steps.pop()  # it has only been made: entering it is the work
            return self._entered(name, made)

        return awaited if inspect.iscoroutinefunction(function) else called

    @asynccontextmanager
    async def _entered(self, name: str, made: Any) -> Any:
        async with AsyncExitStack() as stack:
            with self.timed(name):
                entered = await stack.enter_async_context(made)
            yield entered


def main(file: Path) -> None:
    """Runs the agent. Raises SystemExit, as it does."""
    clock, began = Clock(), time.monotonic()
    from agent import config
    from agent.cli.main import main as hostler

    read = config.read

    def settings(*given: Any) -> Any:
        """The first that the agent does once all is imported."""
        clock.steps.append((IMPORTS, began, time.monotonic() - began))
        _look(clock, file)
        with clock.timed("settings"):
            return read(*given)

    setattr(config, "read", settings)  # noqa: B010 - mypy would have no function replaced
    hostler(["agent"])


def _look(clock: Clock, file: Path) -> None:
    """All further steps are timed, and in the file before READY is said."""
    for name, (module, path) in STEPS.items():
        *parents, last = path.split(".")
        owner: Any = functools.reduce(getattr, parents, importlib.import_module(module))
        setattr(owner, last, clock.wrapped(name, getattr(owner, last)))
    app = importlib.import_module("agent.app")
    said = app.notify

    def tell(state: str) -> None:
        if READY in state.splitlines():
            clock.steps.append((READY, time.monotonic(), 0.0))
            file.write_text(json.dumps(clock.steps))
        said(state)

    setattr(app, "notify", tell)  # noqa: B010 - as above


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Health probes: the container's ``healthCheck`` command run inside it, once, with its output."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL
from typing import Any

from agent.containerd.client import Containerd
from agent.containerd.errors import (
    ContainerdError,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
)
from agent.host.private.privacy import Privacy
from agent.host.probeoutput import collected, held_open
from agent.task import names
from agent.task.actions import Probed
from agent.task.definition import HealthCheck
from agent.task.model import Task, TaskId
from agent.task.names import Names

log = logging.getLogger(__name__)

_KILLED_S = 10.0
_LEFT_S = 10.0
"""For what another agent left: a start waits for it."""

_TIMED_OUT = -1


async def probe(
    client: Containerd, of: Names, privacy: Privacy, task: Task, name: str, check: HealthCheck
) -> Probed:
    """The outcome of one run of the command, at most ``timeout`` seconds long.

    Raises ContainerdError when the command could not even be tried, for instance because the
    container has ended, ProvisionUnavailable while the container's secrets are not held. A command
    that does not exist is a failed probe (exit code 126 or so).
    """
    key, exec_id = names.container_id(task.id, name), f"probe-{uuid.uuid4().hex[:12]}"
    path = of.container_dir(task.id, name) / f"{exec_id}.output"
    record = await client.containers.get(key)
    spec = json.loads(record.spec)
    whole = privacy.whole(task, name, spec)
    process = json.dumps(_process(spec, check)).encode()
    with collected(path) as output:
        await client.tasks.exec(
            key, exec_id, process, stdout=f"file://{path}", stderr=f"file://{path}"
        )
        try:
            with privacy.offering(exec_id, whole and _process(whole, check)):
                code, said = await _run(client, key, exec_id, check.timeout)
        finally:
            await _clean(client, key, exec_id)
        # Read last: the shim may still copy output after the end of what wrote it.
        return Probed(code, said or output.text())


async def end_left(client: Containerd, of: Names) -> None:
    """Nothing is left of probes whose agent was killed: a pipe tells of each.

    Comes before anything is asked of containers: the shim may wait for somebody to read the pipe,
    for ever, and who asks it to end the container waits for the shim. Raises OSError.
    """
    pipes = await asyncio.to_thread(_pipes, of.task_dir(TaskId("any")).parent)
    await asyncio.gather(*(_end(client, each) for each in pipes))


def arguments(check: HealthCheck) -> list[str]:
    """The command of a check as arguments: ``CMD`` runs a program, ``CMD-SHELL`` a shell line."""
    kind, *rest = check.command
    if kind == "CMD-SHELL":
        return ["/bin/sh", "-c", *rest]
    return rest if kind == "CMD" else list(check.command)


async def _run(client: Containerd, key: str, exec_id: str, timeout_s: float) -> tuple[int, str]:
    try:
        await client.tasks.start(key, exec_id)
    except DeadlineExceeded:
        raise
    except ContainerdError as error:
        return 126, str(error)
    try:
        ended = await client.tasks.wait(key, exec_id, timeout=timeout_s)
    except DeadlineExceeded:
        return _TIMED_OUT, f"Health check exceeded timeout ({timeout_s:g}s)"
    return ended.status, ""


def _pipes(tasks: Path) -> list[Path]:
    return list(tasks.glob("*/*/probe-*.output"))


async def _end(client: Containerd, pipe: Path) -> None:
    task_id, name = TaskId(pipe.parts[-3]), pipe.parts[-2]
    try:
        # Open for as long as that takes: the shim opens it more than once.
        with held_open(pipe):
            async with asyncio.timeout(_LEFT_S):
                await _clean(client, names.container_id(task_id, name), pipe.stem)
    except TimeoutError:
        log.warning("can't end a probe of container %s of task %s", name, task_id)


async def _clean(client: Containerd, key: str, exec_id: str) -> None:
    """The probe's process and its record in the shim are gone, as far as they still exist."""
    with suppress(ContainerdError):
        with suppress(FailedPrecondition):  # it did not begin
            with suppress(NotFound):  # it has ended, of which the shim may not have heard yet
                await client.tasks.kill(key, SIGKILL, exec_id=exec_id)
            await client.tasks.wait(key, exec_id, timeout=_KILLED_S)
        await client.tasks.delete_process(key, exec_id)


def _process(spec: Mapping[str, Any], check: HealthCheck) -> dict[str, Any]:
    return {**spec["process"], "args": arguments(check), "terminal": False}

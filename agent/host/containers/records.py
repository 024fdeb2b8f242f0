"""containerd's records of containers: with which runtime, and from which spec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from agent.containerd.client import Containerd
from agent.containerd.errors import AlreadyExists
from agent.containerd.types import ContainerRecord
from agent.host.containers.runtimes import Runtime, Runtimes
from agent.oci.errors import SpecError
from agent.task import names
from agent.task.model import Image, Task
from agent.task.names import Names


@dataclass(frozen=True, slots=True)
class Records:
    """Makes records, each once: what is in one stays, whatever is configured later."""

    client: Containerd
    of: Names
    runtimes: Runtimes

    def runtime(self, task: Task, name: str) -> Runtime:
        """The runtime that the container was accepted with.

        Raises SpecError if the host has it no longer.
        """
        chosen = task.runtimes.get(name, "")
        found = self.runtimes.find(chosen)
        if found is None:
            have = ", ".join(sorted(self.runtimes.named))
            raise SpecError(f"its runtime {chosen} is no longer configured; there are {have}")
        return found

    async def ensure(
        self,
        task: Task,
        name: str,
        image: Image,
        spec: Mapping[str, object],
        runtime: Runtime,
        kept: Mapping[str, bytes],
    ) -> None:
        """The container has its record, which carries what is ``kept``. Raises ContainerdError."""
        key = names.container_id(task.id, name)
        systemd = bool(self.of.task_cgroup(task).slice)
        with suppress(AlreadyExists):
            await self.client.containers.create(
                ContainerRecord(
                    id=key,
                    spec=json.dumps(spec).encode(),
                    image=image.name,
                    runtime=runtime.shim,
                    options=runtime.options(systemd=systemd),
                    snapshotter=self.client.snapshotter,
                    snapshot_key=key,
                    labels=names.labels(task, name),
                    extensions=kept,
                )
            )

"""Programs of this host run inside the containers of real tasks, for judges of what tasks see.

A container of the hello image with this host's ``/usr`` and interpreter mounted read-only is still
a container: its namespaces, cgroup and environment are those that the agent gave it. Programs are
added to it by containerd's own client, as ``docker exec`` would, with the container's environment.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from agent.task import names
from tests.system.agent import Agent
from tests.system.tasks import SERVES, Json, Task, containerd_socket, shell

DEADLINE_S = 60.0
MEMORY_MIB = 256

_SYSTEM = [each for each in (Path("/usr"), Path("/lib"), Path("/lib64")) if each.exists()]
_ANY_SUBNET: Json = {"networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}}
_numbers = count()


@dataclass(frozen=True, slots=True)
class Inside:
    """One running container of a task."""

    task: Task
    container: str

    def run(self, *command: str | Path) -> str:
        """What the program prints in the container; it must succeed."""
        return self._exec([], command)

    def start(self, *command: str | Path) -> None:
        """The program runs in the container, for as long as that does."""
        self._exec(["--detach"], command)

    def json(self, *command: str | Path) -> Any:
        """What the program prints, as JSON."""
        return json.loads(self.run(*command))

    def _exec(self, options: Sequence[str], command: Sequence[str | Path]) -> str:
        key = names.container_id(self.task.id, self.container)
        client = ("ctr", "-a", str(containerd_socket(self.task.agent)), "-n", "hostler")
        exec_id = f"judge-{next(_numbers)}"
        ran = subprocess.run(
            [*client, "tasks", "exec", "--exec-id", exec_id, *options, key, *command],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout


def hosting(
    agent: Agent, *directories: Path, name: str = "judged", script: str = SERVES, **fields: Any
) -> Inside:
    """A running task with a container in which programs of this host and of ``directories`` run.

    ``fields`` are more of its task definition, under their ECS names; ``container`` has more of
    the container's, and ``others`` are more containers.
    """
    mounts = _mounts([*_SYSTEM, *_interpreter(), *directories])
    container, others = fields.pop("container", {}), fields.pop("others", ())
    definition = shell(
        name,
        script,
        **{
            "memory": MEMORY_MIB,
            "mountPoints": [
                {"sourceVolume": volume, "containerPath": str(path), "readOnly": True}
                for volume, path in mounts.items()
            ],
            **container,
        },
    )
    volumes = [
        {"name": volume, "host": {"sourcePath": str(path)}} for volume, path in mounts.items()
    ]
    containers = [definition, *others]
    asked = {"family": "judged", "containerDefinitions": containers, "volumes": volumes, **fields}
    own = fields.get("networkMode") == "awsvpc"
    task = Task(agent, agent.run(asked, **(_ANY_SUBNET if own else {})))
    task.until_running()
    return Inside(task, name)


def _interpreter() -> list[Path]:
    """Where the interpreter of this virtual environment, and so of others made by it, lives."""
    prefix = Path(sys.base_prefix)
    return [] if prefix.is_relative_to("/usr") else sorted({prefix, prefix.resolve()})


def _mounts(directories: Sequence[Path]) -> dict[str, Path]:
    return {f"host-{number}": each for number, each in enumerate(directories)}

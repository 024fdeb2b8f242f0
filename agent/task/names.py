"""Every name that follows from an id: nothing on the host has a name that must be remembered.

So what a crashed agent left behind is found by its name alone, and two agents with different
settings never meet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from agent.task.cgroup import TaskCgroup

RUNTIME_LABEL = "hostler.runtime"
"""Label of a container: the name of its runtime."""

if TYPE_CHECKING:  # the settings need names, and the command line needs those at once
    from agent.task.model import Task, TaskId


TASK_LABEL = "com.amazonaws.ecs.task-arn"
CONTAINER_LABEL = "com.amazonaws.ecs.container-name"

PAUSE = "~internal~ecs~pause~namespace"
"""ECS's name for what keeps a task's PID namespace; no container of a definition can have it."""


def container_id(task_id: TaskId, name: str) -> str:
    """The runtime's id of a container: 64 hexadecimal digits, as Docker's are.

    A sandbox has one too, which CNI plugins are told; it is that of its container if it has one.
    """
    return sha256(f"{task_id}/{name}".encode()).hexdigest()


def pause_id(task_id: TaskId) -> str:
    """The runtime's id of the container that keeps a task's PID namespace."""
    return container_id(task_id, PAUSE)


def container_ids(task: Task) -> frozenset[str]:
    """The runtime's ids of all that a task may have in containerd."""
    every = (each.name for each in task.containers)
    return frozenset((pause_id(task.id), *(container_id(task.id, each) for each in every)))


def share(task_id: TaskId) -> float:
    """A number from 0 up to 1 that is the task's for good, and spread evenly over tasks."""
    return int(sha256(task_id.encode()).hexdigest()[:8], 16) / 16**8


def attachment_id(task_id: TaskId) -> str:
    """The API's id of the attachment of a task's network interface, in the form of a UUID."""
    return _uuid(f"{task_id}//attachment")


def metadata_mount(task_id: TaskId, name: str) -> str:
    """Where a container finds the directory of its metadata file (ECS_CONTAINER_METADATA_FILE)."""
    return f"/opt/ecs/metadata/{_uuid(f'{task_id}/{name}/metadata')}"


def docker_name(task: Task, name: str) -> str:
    """The runtime name that ECS shows: ``ecs-<family>-<revision>-<container>-<20 hex digits>``."""
    reduced, ending = re.sub(r"[^A-Za-z0-9-]", "", name), container_id(task.id, name)[:20]
    return f"ecs-{task.definition.family}-{task.revision}-{reduced}-{ending}"


def cluster_arn(region: str, account: str, cluster: str) -> str:
    """ARN of a cluster."""
    return f"arn:aws:ecs:{region}:{account}:cluster/{cluster}"


def container_instance_arn(cluster_arn: str) -> str:
    """ARN of this host, the cluster's only container instance."""
    head, _, name = cluster_arn.partition(":cluster/")
    return f"{head}:container-instance/{name}/{'0' * 32}"


def task_arn(cluster_arn: str, task_id: TaskId) -> str:
    """ARN of a task, in the long form that names its cluster."""
    head, _, cluster = cluster_arn.partition(":cluster/")
    return f"{head}:task/{cluster}/{task_id}"


def container_arn(task: Task, name: str) -> str:
    """ARN of a container of ``task``."""
    head, _, cluster = task.cluster_arn.partition(":cluster/")
    return f"{head}:container/{cluster}/{task.id}/{task.identity(name).arn_id}"


def definition_arn(region: str, account: str, family: str, revision: int) -> str:
    """ARN of a task definition."""
    return f"arn:aws:ecs:{region}:{account}:task-definition/{family}:{revision}"


def labels(task: Task, name: str) -> dict[str, str]:
    """The labels that ECS puts on every container, and the named runtime that it has."""
    runtime = task.runtimes.get(name)
    return {
        **({RUNTIME_LABEL: runtime} if runtime else {}),
        "com.amazonaws.ecs.cluster": task.cluster_arn.rpartition("/")[2],
        CONTAINER_LABEL: name,
        TASK_LABEL: task.arn,
        "com.amazonaws.ecs.task-definition-family": task.definition.family,
        "com.amazonaws.ecs.task-definition-version": str(task.revision),
    }


def _uuid(text: str) -> str:
    """Digits that follow from ``text``, in the form of a UUID."""
    digits = sha256(text.encode()).hexdigest()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


@dataclass(frozen=True, slots=True)
class Names:
    """Names on this host. ``run_dir`` is lost at a reboot, ``state_dir`` is not.

    ``cgroup_parent`` begins with a slash; it is where those tasks' cgroups are that don't say it
    themselves. ``veth_prefix`` has at most 4 characters.
    """

    run_dir: Path
    state_dir: Path
    cgroup_parent: str
    veth_prefix: str

    def task_dir(self, task_id: TaskId) -> Path:
        """Directory of a task's files and log pipes."""
        return self.run_dir / "tasks" / task_id

    def container_dir(self, task_id: TaskId, name: str) -> Path:
        """Directory of a container's log pipes and other files."""
        return self.task_dir(task_id) / name

    def files_dir(self, task_id: TaskId, sandbox: str) -> Path:
        """Directory of hosts, resolv.conf and hostname of a sandbox's containers."""
        return self.task_dir(task_id) / (sandbox or ".task")

    def netns(self, task_id: TaskId, sandbox: str) -> Path:
        """File that the network namespace of a sandbox is mounted on."""
        return self.netns_of(container_id(task_id, sandbox))

    @property
    def netns_dir(self) -> Path:
        """Directory of all network namespaces, and of nothing else."""
        return self.run_dir / "netns"

    def netns_of(self, sandbox_id: str) -> Path:
        """The same by the sandbox's id (``container_id``)."""
        return self.netns_dir / sandbox_id[:32]

    def pinned(self, kind: str, task_id: TaskId) -> Path:
        """What a namespace of a task (``kind`` ipc or pid) or its shared memory is mounted on."""
        return self.pinned_dir(kind) / task_id

    def pinned_dir(self, kind: str) -> Path:
        """Directory of all that is pinned of that kind, and of nothing else."""
        return self.run_dir / "pinned" / kind

    def task_cgroup(self, task: Task) -> TaskCgroup:
        """Cgroup of a task: the one that it was accepted with."""
        return TaskCgroup(task.cgroup or f"{self.cgroup_parent}/{task.id}")

    def container_cgroup(self, task: Task, name: str) -> str:
        """Cgroup of a container, as a path below the cgroup mount."""
        return self.task_cgroup(task).container(container_id(task.id, name))

    def log(self, task_id: TaskId, name: str) -> Path:
        """Newest file of a container's json-file log."""
        return self.state_dir / "logs" / task_id / f"{name}.log"

    def volumes(self, task_id: TaskId) -> Path:
        """Directory of the volumes that live as long as the task."""
        return self.state_dir / "volumes" / task_id

    @property
    def mounts_dir(self) -> Path:
        """Directory of what is mounted for tasks and of what they share, by task."""
        return self.run_dir / "volumes"

    def task_mounts(self, task_id: TaskId) -> Path:
        """Directory of the mount points of a task's volumes. Data is only in what is mounted."""
        return self.mounts_dir / task_id

    @property
    def shared_volumes(self) -> Path:
        """Directory of the volumes that outlive tasks, and of nothing else."""
        return self.state_dir / "shared-volumes"

    def task_metadata_dir(self, task_id: TaskId) -> Path:
        """Directory of the metadata files of a task's containers."""
        return self.state_dir / "metadata" / task_id

    def metadata_dir(self, task_id: TaskId, name: str) -> Path:
        """Directory of a container's metadata file, and of nothing else."""
        return self.task_metadata_dir(task_id) / name

"""Builders for the values that plan tests begin with, and the check that a world can exist."""

from collections.abc import Mapping
from dataclasses import replace

from agent.task import names
from agent.task.definition import ContainerDefinition, NetworkMode, TaskDefinition
from agent.task.model import (
    TASK_SANDBOX,
    ContainerIdentity,
    Image,
    Intent,
    Progress,
    Task,
    TaskId,
    first_progress,
)
from agent.task.network import Attachment, NetworkInterface
from agent.task.view import (
    Absent,
    ContainerSeen,
    InterfaceSeen,
    Look,
    NetworkSeen,
    Running,
    Seen,
    View,
)

CLUSTER = names.cluster_arn("xx-test-1", "111122223333", "lab")
IMAGE = Image(name="docker.io/hostler/hello:latest", id="sha256:1", digest="sha256:2")
ATTACHED = Attachment(mode="bridge", ipv4="172.30.0.2", prefix=16)
ROLE = "arn:aws:iam::111122223333:role/web"
ENI = NetworkInterface(
    id="eni-1",
    kind="nic",
    mac="02:00:00:00:00:07",
    addresses=("10.0.1.7/24",),
    gateways=("10.0.1.1",),
    hostname="ip-10-0-1-7.lab.example",
    subnet="subnet-1",
)
IN_AWSVPC = Attachment(
    mode="awsvpc",
    ipv4="10.0.1.7",
    prefix=24,
    gateway="10.0.1.1",
    mac=ENI.mac,
    hostname=ENI.hostname,
    interface_id=ENI.id,
)


def container(name: str, **fields: object) -> ContainerDefinition:
    """A container definition with ``fields`` under their ECS names."""
    return ContainerDefinition.model_validate(
        {"name": name, "image": "hostler/hello", "memory": 64, **fields}
    )


def task(
    *containers: ContainerDefinition,
    task_id: str = "0" * 31 + "1",
    at: float = 0.0,
    mode: NetworkMode = "bridge",
    role: str | None = None,
) -> Task:
    """A task in network mode ``mode``, accepted at ``at``, which has credentials of ``role``."""
    definition = TaskDefinition(
        family="test", container_definitions=containers, network_mode=mode, task_role_arn=role
    )
    identities = tuple(
        ContainerIdentity(each.name, f"endpoint-{each.name}", f"arn-{each.name}")
        for each in containers
    )
    return Task(
        id=TaskId(task_id),
        arn=names.task_arn(CLUSTER, TaskId(task_id)),
        cluster_arn=CLUSTER,
        definition=definition,
        definition_arn=names.definition_arn("xx-test-1", "111122223333", "test", 1),
        revision=1,
        containers=identities,
        accepted_at=at,
        group="family:test",
        credentials_id="credentials-1" if role else "",
    )


def running(intent: Intent, *only: str, at: float = 0.0) -> Progress:
    """Progress of a task whose containers (or those named) were started at ``at``."""
    progress = first_progress(intent.task)
    if intent.task.awsvpc:
        progress = replace(progress, interface=ENI, interface_at=at)
    for name in only or tuple(progress.containers):
        attachment = IN_AWSVPC if intent.task.awsvpc else ATTACHED
        progress = progress.having_network(intent.task.sandbox(name), attachment=attachment)
        progress = progress.having(name, image=IMAGE, created_at=at, started_at=at)
    whole = all(each.started_at is not None for each in progress.containers.values())
    return replace(progress, started_at=at if whole else None)


def view(task: Task, seen: Mapping[str, ContainerSeen]) -> View:
    """What a look shows when the containers in ``seen`` exist and nothing else does."""
    all_names = [each.name for each in task.containers]
    containers: dict[str, Look[ContainerSeen]] = {
        name: Seen(seen[name]) if name in seen else Absent() for name in all_names
    }
    attached = {task.sandbox(name) for name in seen}
    networks: dict[str, Look[NetworkSeen]] = {
        each: Seen(NetworkSeen(served=True)) if each in attached else Absent()
        for each in task.sandboxes
    }
    return View(
        task=Seen(None) if seen else Absent(),
        networks=networks,
        containers=containers,
        interface=Seen(InterfaceSeen(present=False)) if seen and task.awsvpc else Absent(),
        credentials=Seen(None) if seen and task.entitled else Absent(),
    )


UP = ContainerSeen(Running.RUNNING, pid=100)
MADE = ContainerSeen(Running.CREATED, pid=100)


def exited(code: int, at: float) -> ContainerSeen:
    """A container whose process ended with ``code``."""
    return ContainerSeen(Running.STOPPED, exit_code=code, exited_at=at)


def impossible(looked: View) -> str | None:
    """Why a view can't be of a real host, or None: a process needs its network and its task."""
    for name, look in looked.containers.items():
        if not isinstance(look, Seen) or look.state.running is Running.UNSTARTED:
            continue
        shared = looked.networks.get(TASK_SANDBOX)
        if isinstance(shared or looked.networks[name], Absent):
            return f"{name} has a process but no network namespace"
        if isinstance(looked.task, Absent):
            return f"{name} has a process but its task has no cgroup"
    return None

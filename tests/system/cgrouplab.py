"""Cgroups of a test's own, of whatever version the host has, and facts about what is in them."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metadata.source import CgroupFacts, ContainerFacts, InstanceFacts, Owner, TaskFacts

CGROUPS = Path("/sys/fs/cgroup")
UNIFIED = (CGROUPS / "cgroup.controllers").exists()
CONTROLLERS = ["."] if UNIFIED else ["cpu", "cpuacct", "memory", "pids", "blkio"]
PERIOD_US = 100_000
OWNER = Owner("one")


@dataclass(frozen=True, slots=True)
class OwnCgroup:
    """One cgroup below the root, with version 1 in each hierarchy that is measured."""

    name: str

    def directory(self, controller: str) -> Path:
        return CGROUPS / ("." if UNIFIED else controller) / self.name

    def enter(self, pid: int) -> None:
        for controller in CONTROLLERS:
            (self.directory(controller) / "cgroup.procs").write_text(f"{pid}\n")

    def prefer(self) -> None:
        """Its processes get what they are allowed to, however many others want a processor."""
        name, most = ("cpu.weight", 10_000) if UNIFIED else ("cpu.shares", 262_144)
        (self.directory("cpu") / name).write_text(f"{most}\n")

    def limit_cpu(self, share: float) -> None:
        """Its processes get so much of one processor, if they want it, and no more."""
        self.prefer()
        quota = int(share * PERIOD_US)
        if UNIFIED:
            (self.directory("cpu") / "cpu.max").write_text(f"{quota} {PERIOD_US}\n")
        else:
            (self.directory("cpu") / "cpu.cfs_period_us").write_text(f"{PERIOD_US}\n")
            (self.directory("cpu") / "cpu.cfs_quota_us").write_text(f"{quota}\n")

    def cpu_ns(self) -> int:
        """The kernel's own count of processor time, from a file that Hostler doesn't read on v1."""
        if not UNIFIED:
            return int((self.directory("cpuacct") / "cpuacct.usage").read_text())
        first = (self.directory("cpu") / "cpu.stat").read_text().split()
        return int(first[1]) * 1000


@contextmanager
def own_cgroup() -> Iterator[OwnCgroup]:
    """A new cgroup; removed at the end, when no process may be left in it."""
    made = OwnCgroup(f"hostler-test-{uuid.uuid4().hex[:12]}")
    with ExitStack() as stack:
        for controller in CONTROLLERS:
            made.directory(controller).mkdir()
            stack.callback(made.directory(controller).rmdir)
        yield made


def contained(path: str, network_pid: int | None = None) -> ContainerFacts:
    """A running container whose processes are in this cgroup."""
    return ContainerFacts(
        name="burn",
        image="burn",
        desired_status="RUNNING",
        known_status="RUNNING",
        endpoint_id="id-burn",
        docker_id="b0",
        docker_name="ecs-burn",
        cgroup=CgroupFacts(path, network_pid),
    )


@dataclass
class OneTask:
    """`metadata.source.Source` of one task with one container."""

    container: ContainerFacts
    instance: InstanceFacts = field(default_factory=InstanceFacts)

    def tasks(self) -> list[TaskFacts]:
        return [self.task(OWNER, "id-burn")]

    def owned(self, owner: Owner) -> list[TaskFacts]:
        return self.tasks()

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts:
        return TaskFacts(
            owner=OWNER,
            arn="arn:one",
            cluster="lab",
            family="burn",
            revision="1",
            known_status="RUNNING",
            containers=(self.container,),
        )

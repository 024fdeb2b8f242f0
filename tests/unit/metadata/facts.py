"""Facts to test with: the least there can be, and everything at once, of invented values."""

from dataclasses import dataclass, field

from metadata.source import (
    CgroupFacts,
    ContainerFacts,
    HealthFacts,
    InstanceFacts,
    Instant,
    InterfaceFacts,
    LimitsFacts,
    NetworkFacts,
    Owner,
    PortFacts,
    TaskFacts,
    VolumeFacts,
)

OWNER = Owner("task-one")
ARN = "arn:aws:ecs:xx-test-1:111122223333"
SECOND = 1_000_000_000
# 2031-02-03T04:05:06Z
MOMENT = 1_927_857_906 * SECOND


def at(offset_ns: int = 0) -> Instant:
    return Instant(MOMENT + offset_ns)


BARE = ContainerFacts(
    name="web",
    image="registry.example/shop:1.4",
    desired_status="RUNNING",
    known_status="CREATED",
    endpoint_id="id-web",
    docker_id="5b1e",
    docker_name="ecs-shop-7-web-a0",
    networks=(),
)

BRIDGE = NetworkFacts("bridge", ("172.17.0.4",), ("fd00::4",))

AWSVPC = NetworkFacts(
    "awsvpc",
    ("10.1.0.7", "10.1.0.8"),
    ("2001:db8::7",),
    InterfaceFacts(
        mac="02:00:00:00:00:07",
        ipv4_subnet="10.1.0.0/24",
        ipv6_subnet="2001:db8::/64",
        dns_servers=("10.1.0.2",),
        dns_search=("lab.example",),
        private_dns_name="ip-10-1-0-7.lab.example",
        ipv4_gateway="10.1.0.1/24",
        ipv6_gateway="2001:db8::1/64",
    ),
)

FULL = ContainerFacts(
    name="web",
    image="registry.example/shop:1.4",
    desired_status="STOPPED",
    known_status="STOPPED",
    endpoint_id="id-web",
    docker_id="5b1e",
    docker_name="ecs-shop-7-web-a0",
    image_id="sha256:77aa",
    arn=f"{ARN}:container/lab/0123/c0ffee",
    snapshotter="overlayfs",
    labels={"com.amazonaws.ecs.cluster": "lab"},
    limits=LimitsFacts(128, 256),
    ports=(PortFacts(8080, "tcp", 32771, "0.0.0.0"),),
    networks=(BRIDGE,),
    volumes=(VolumeFacts("/data", "/srv/data", "vol1"),),
    log_driver="json-file",
    log_options={"max-size": "1m"},
    health=HealthFacts("UNHEALTHY", at(34 * SECOND), 3, "no"),
    exit_code=0,
    restart_count=0,
    created_at=at(700_000_000),
    started_at=at(1_810_000_000),
    finished_at=at(60 * SECOND),
    cgroup=CgroupFacts("/hostler/one/web", 4242),
)

PAUSE = ContainerFacts(
    name="~internal~ecs~pause",
    image="hostler/pause",
    desired_status="RESOURCES_PROVISIONED",
    known_status="RESOURCES_PROVISIONED",
    docker_id="9a05e",
    type="CNI_PAUSE",
    networks=(),
)

PULLED = ContainerFacts(
    name="side",
    image="side:1",
    desired_status="RUNNING",
    known_status="PULLED",
    endpoint_id="id-side",
)

BARE_TASK = TaskFacts(
    owner=OWNER,
    arn=f"{ARN}:task/lab/0123",
    cluster="lab",
    family="shop",
    revision="7",
    known_status="NONE",
)

FULL_TASK = TaskFacts(
    owner=OWNER,
    arn=f"{ARN}:task/lab/0123",
    cluster="lab",
    family="shop",
    revision="7",
    known_status="RUNNING",
    desired_status="RUNNING",
    containers=(FULL, PAUSE, PULLED),
    limits=LimitsFacts(512, 512),
    pull_started_at=at(-8 * SECOND),
    pull_stopped_at=at(-SECOND),
    execution_stopped_at=at(90 * SECOND),
    availability_zone="xx-test-1a",
    availability_zone_id="xxt1-az1",
    launch_type="EXTERNAL",
    vpc_id="vpc-0a1b",
    service_name="shop",
    group="service:shop",
    fault_injection=True,
)


INSTANCE = InstanceFacts("lab", f"{ARN}:container-instance/lab/0", "0.1.0")


@dataclass
class Picture:
    """A source that answers whatever it is told, even to the wrong owner."""

    every: list[TaskFacts] = field(default_factory=list)
    instance: InstanceFacts = INSTANCE

    def tasks(self) -> list[TaskFacts]:
        return self.every

    def owned(self, owner: Owner) -> list[TaskFacts]:
        return self.every

    def task(self, owner: Owner, endpoint_id: str) -> TaskFacts | None:
        for task in self.every:
            if any(each.endpoint_id == endpoint_id for each in task.containers):
                return task
        return None

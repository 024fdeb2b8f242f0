"""What a task may know of itself: the facts from its picture, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.engine.feed import Feed, Picture
from agent.host.network.metadata_sockets import HOST_OWNER
from agent.task import names
from agent.task.model import Intent, Progress, StopRequest, Task, first_progress
from agent.task.names import Names
from agent.task.network import Attachment, PortBinding
from agent.task.records import Health, HealthRecord
from agent.task.view import View
from agent.telling.feed_source import FeedSource
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
    RoleFacts,
    TaskFacts,
    VolumeFacts,
)
from metadata.task import render
from tests.unit.host import worlds
from tests.worlds import CLUSTER, IMAGE, IN_AWSVPC, ROLE, UP, container, exited, running, task, view

EXECUTION = "arn:aws:iam::111122223333:role/execution"
OF = Names(Path("/run/x"), Path("/var/x"), "/hostler", "hv")
WEB = task(container("web", cpu=128), task_id="a" * 32, at=1.0)


def source(*pictures: Picture) -> FeedSource:
    feed = Feed()
    for each in pictures:
        feed.publish(each)
    return FeedSource(feed, OF, InstanceFacts(cluster=CLUSTER))


def picture(
    made: Task = WEB, progress: Progress | None = None, looked: View | None = None
) -> Picture:
    return Picture(Intent(made), progress or running(Intent(made), at=2.0), looked)


def facts(shown: Picture, name: str = "web") -> tuple[TaskFacts, ContainerFacts]:
    made = shown.intent.task
    host = made.definition.network_mode == "host"
    owner = HOST_OWNER if host else Owner(made.id)
    found = source(shown).task(owner, made.identity(name).endpoint_id)
    assert found is not None
    return found, next(each for each in found.containers if each.name == name)


def on_host(made: Task) -> Task:
    return replace(made, definition=made.definition.model_copy(update={"network_mode": "host"}))


def test_a_running_container_in_bridge_mode() -> None:
    network = Attachment("bridge", ipv4="10.0.0.2", ports=(PortBinding("tcp", 80, 32768),))
    progress = running(Intent(WEB), at=2.0).having_network("web", attachment=network)
    whole, web = facts(picture(progress=progress, looked=view(WEB, {"web": UP})))
    assert (whole.arn, whole.cluster, whole.family, whole.revision) == (
        WEB.arn,
        CLUSTER,
        "test",
        "1",
    )
    assert (whole.known_status, whole.desired_status) == ("RUNNING", "RUNNING")
    assert (whole.launch_type, whole.limits) == ("EXTERNAL", None)
    assert (web.docker_id, web.image_id) == (names.container_id(WEB.id, "web"), IMAGE.id)
    assert web.arn == names.container_arn(WEB, "web")
    assert (web.known_status, web.desired_status) == ("RUNNING", "RUNNING")
    assert web.ports == (PortFacts(80, "tcp", 32768, "0.0.0.0"),)
    assert web.networks == (NetworkFacts("bridge", ("10.0.0.2",)),)
    assert web.limits == LimitsFacts(128, 64)
    assert (web.created_at, web.started_at) == (Instant(2_000_000_000), Instant(2_000_000_000))
    assert web.labels["com.amazonaws.ecs.task-arn"] == WEB.arn
    assert web.cgroup is not None
    assert web.cgroup.path == OF.container_cgroup(WEB, "web")
    assert web.cgroup.network_pid == UP.pid


def test_a_container_in_host_mode_has_an_empty_address_and_no_network_of_its_own() -> None:
    made = on_host(WEB)
    progress = running(Intent(made), at=2.0).having_network("web", attachment=Attachment("host"))
    _, web = facts(picture(made, progress, view(made, {"web": UP})))
    assert web.networks == (NetworkFacts("host", ("",)),)
    assert web.cgroup is not None
    assert web.cgroup.network_pid is None


def test_without_metrics_no_container_is_measured() -> None:
    feed = Feed()
    feed.publish(picture(looked=view(WEB, {"web": UP})))
    asked = FeedSource(feed, OF, InstanceFacts(cluster=CLUSTER), measured=False)
    assert [each.cgroup for whole in asked.tasks() for each in whole.containers] == [None]


def test_until_the_first_look_a_container_is_measured_that_ran_when_last_seen() -> None:
    _, web = facts(picture())
    assert web.cgroup == CgroupFacts(path=OF.container_cgroup(WEB, "web"))
    ended = running(Intent(WEB), at=2.0).having("web", ended=True)
    _, web = facts(picture(progress=ended))
    assert web.cgroup is None


def test_a_tasks_size_is_its_limits() -> None:
    sized = WEB.definition.model_copy(update={"cpu": 256, "memory": 512})
    whole, web = facts(picture(replace(WEB, definition=sized)))
    assert whole.limits == LimitsFacts(256, 512)
    assert web.limits == LimitsFacts(128, 64)


def test_the_least_cpu_of_a_container_is_two_units() -> None:
    assert facts(picture(task(container("web", cpu=0))))[1].limits.cpu_units == 2


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        (HealthRecord(), HealthFacts()),
        (
            HealthRecord(Health.HEALTHY, since=5.0, output="ok"),
            HealthFacts("HEALTHY", Instant(5_000_000_000), 0, "ok"),
        ),
        (
            HealthRecord(Health.UNHEALTHY, since=5.0, exit_code=7, output="down"),
            HealthFacts("UNHEALTHY", Instant(5_000_000_000), 7, "down"),
        ),
    ],
)
def test_health_is_that_of_the_definitions_check(record: HealthRecord, shown: HealthFacts) -> None:
    made = task(container("web", healthCheck={"command": ["CMD", "true"]}))
    progress = running(Intent(made)).having("web", health=record)
    assert facts(picture(made, progress))[1].health == shown


def test_a_container_without_a_check_has_no_health() -> None:
    assert facts(picture())[1].health is None


def test_labels_of_ecs_override_those_of_the_user() -> None:
    mine = {"a": "b", "com.amazonaws.ecs.task-arn": "mine"}
    _, web = facts(picture(task(container("web", dockerLabels=mine))))
    assert web.labels["a"] == "b"
    assert web.labels["com.amazonaws.ecs.task-arn"] != "mine"


def test_an_exited_container_has_its_code_and_nothing_to_measure() -> None:
    progress = running(Intent(WEB)).having("web", ended=True, exit_code=3, finished_at=9.0)
    _, web = facts(picture(progress=progress, looked=view(WEB, {"web": exited(3, 9.0)})))
    assert (web.known_status, web.exit_code, web.finished_at) == ("STOPPED", 3, Instant(9 * 10**9))
    assert web.cgroup is None
    assert web.networks == (NetworkFacts("bridge", ("",)),)


def test_a_container_that_never_ran_has_not_finished() -> None:
    progress = running(Intent(WEB), at=2.0).having("web", ended=True, finished_at=9.0)
    assert facts(picture(progress=progress))[1].finished_at == Instant(9 * 10**9)
    _, web = facts(picture(progress=progress.having("web", started_at=None)))
    assert (web.known_status, web.finished_at) == ("STOPPED", None)


def test_the_facts_are_what_the_metadata_endpoint_needs() -> None:
    whole, web = facts(picture(looked=view(WEB, {"web": UP})))
    shown = render.task_v4(whole)
    assert isinstance(shown["Containers"], list)
    assert shown["TaskARN"] == WEB.arn
    assert render.container_v4(web)["DockerId"] == web.docker_id


def test_a_task_that_was_asked_to_stop_wants_its_containers_stopped() -> None:
    shown = replace(picture(), intent=Intent(WEB, StopRequest(3.0, "asked")))
    whole, web = facts(shown)
    assert (whole.desired_status, web.desired_status) == ("STOPPED", "STOPPED")
    assert (whole.known_status, web.known_status) == ("RUNNING", "RUNNING")


def test_containers_appear_as_the_agent_begins_to_work_on_them() -> None:
    made = task(container("web"), container("db"))
    progress = first_progress(made).having("web", image=IMAGE)
    whole = source(picture(made, progress)).task(Owner(made.id), "endpoint-web")
    assert whole is not None
    assert [each.name for each in whole.containers] == ["web"]
    assert whole.containers[0].known_status == "PULLED"
    assert whole.container(whole.owner, "endpoint-web") is None, "it has no id in the runtime yet"
    assert whole.containers[0].labels == {}, "the runtime knows no label of it either"


def test_a_container_can_be_asked_about_before_its_process_starts() -> None:
    progress = (
        first_progress(WEB)
        .having("web", image=IMAGE)
        .having_network("web", attachment=Attachment("bridge"))
    )
    whole = source(picture(progress=progress)).task(Owner(WEB.id), "endpoint-web")
    assert whole is not None
    assert whole.container(whole.owner, "endpoint-web") is not None


def test_the_log_driver_is_that_of_the_definition_and_no_word_without_one() -> None:
    assert facts(picture())[1].log_driver == ""
    log = {"logDriver": "json-file", "options": {"max-size": "1m"}}
    _, web = facts(picture(task(container("web", logConfiguration=log))))
    assert (web.log_driver, web.log_options) == ("json-file", {"max-size": "1m"})


def with_role(made: Task, role: str | None) -> Task:
    return replace(made, definition=made.definition.model_copy(update={"task_role_arn": role}))


@pytest.mark.parametrize("role", [None, "", "arn:aws:iam::111122223333:role/r"])
def test_a_task_has_the_role_of_its_definition_until_it_has_stopped(role: str | None) -> None:
    made = with_role(WEB, role)
    found, _ = facts(picture(made))
    assert (found.role and found.role.arn) == (role or None)
    ended = running(Intent(made), at=2.0).having("web", ended=True)
    assert facts(picture(made, ended))[0].role is None


@pytest.mark.parametrize("allowed", [True, False])
def test_a_task_may_have_faults_when_its_definition_says_so(allowed: bool) -> None:
    changed = {"enable_fault_injection": allowed}
    made = replace(WEB, definition=WEB.definition.model_copy(update=changed))
    assert facts(picture(made))[0].fault_injection is allowed


def test_no_task_sees_another() -> None:
    other = task(container("db"), task_id="b" * 32)
    host = on_host(task(container("proxy"), task_id="c" * 32))
    all_tasks = source(picture(), picture(other), picture(host))
    answers = {
        (owner, endpoint): all_tasks.task(owner, f"endpoint-{endpoint}") is not None
        for owner in (Owner(WEB.id), Owner(other.id), HOST_OWNER)
        for endpoint in ("web", "db", "proxy", "")
    }
    assert [pair for pair, answered in answers.items() if answered] == [
        (WEB.id, "web"),
        (other.id, "db"),
        (HOST_OWNER, "proxy"),
    ]


def test_tasks_on_the_hosts_network_are_told_apart_by_endpoint() -> None:
    one = on_host(WEB)
    other = on_host(task(container("db"), task_id="b" * 32))
    shared = source(picture(one), picture(other))
    found = [shared.task(HOST_OWNER, f"endpoint-{each}") for each in ("web", "db")]
    assert [each.arn for each in found if each] == [one.arn, other.arn]


def test_facts_are_the_same_object_until_the_picture_changes() -> None:
    feed = Feed()
    asked = FeedSource(feed, OF, InstanceFacts(cluster=CLUSTER))
    feed.publish(picture())
    first = asked.task(Owner(WEB.id), "endpoint-web")
    feed.publish(picture())
    assert asked.task(Owner(WEB.id), "endpoint-web") is first
    feed.publish(picture(looked=view(WEB, {"web": UP})))
    second = asked.task(Owner(WEB.id), "endpoint-web")
    assert second is not first
    assert second != first


def test_a_forgotten_task_is_unknown_and_kept_nowhere() -> None:
    feed = Feed()
    asked = FeedSource(feed, OF, InstanceFacts(cluster=CLUSTER))
    other = task(container("db"), task_id="b" * 32)
    for each in (picture(), picture(other)):
        feed.publish(each)
    asked.task(Owner(WEB.id), "endpoint-web")
    feed.forget(WEB.id)
    assert asked.task(Owner(WEB.id), "endpoint-web") is None
    asked.task(Owner(other.id), "endpoint-db")
    assert set(asked._kept) == {other.id}


def in_awsvpc() -> Task:
    ports = [
        {"containerPort": 80},
        {"containerPortRange": "6000-6001", "protocol": "udp"},
    ]
    return task(container("web", portMappings=ports), container("db"), mode="awsvpc")


def test_in_awsvpc_mode_every_container_shows_the_tasks_interface() -> None:
    made = in_awsvpc()
    network = replace(
        IN_AWSVPC,
        ipv6="fd00::7",
        prefix6=64,
        gateway6="fd00::1",
        secondary=("10.0.1.8",),
        dns_servers=("10.0.0.2",),
        dns_search=("lab.example",),
    )
    progress = running(Intent(made)).having_network("", attachment=network)
    shown = picture(made, progress, view(made, {"web": UP, "db": UP}))
    _, web = facts(shown)
    _, db = facts(shown, "db")
    assert web.networks == db.networks
    assert web.networks == (
        NetworkFacts(
            "awsvpc",
            ("10.0.1.7", "10.0.1.8"),
            ("fd00::7",),
            InterfaceFacts(
                mac="02:00:00:00:00:07",
                ipv4_subnet="10.0.1.0/24",
                ipv6_subnet="fd00::/64",
                dns_servers=("10.0.0.2",),
                dns_search=("lab.example",),
                private_dns_name="ip-10-0-1-7.lab.example",
                ipv4_gateway="10.0.1.1/24",
            ),
        ),
    )
    assert web.cgroup is not None
    assert web.cgroup.network_pid == UP.pid, "any process of the task sees the shared namespace"


def test_in_awsvpc_mode_a_port_is_the_containers_own() -> None:
    made = in_awsvpc()
    _, web = facts(picture(made))
    assert web.ports == (
        PortFacts(80, "tcp", 80),
        PortFacts(6000, "udp", 6000),
        PortFacts(6001, "udp", 6001),
    )
    assert facts(picture(made), "db")[1].ports == ()


def test_a_gateway_of_ipv6_is_shown_only_without_ipv4() -> None:
    made = in_awsvpc()
    network = Attachment("awsvpc", ipv6="fd00::7", prefix6=64, gateway6="fd00::1")
    progress = running(Intent(made)).having_network("", attachment=network)
    (shown,) = facts(picture(made, progress))[1].networks or ()
    assert shown.ipv4 == ()
    assert shown.interface == InterfaceFacts(ipv6_subnet="fd00::/64", ipv6_gateway="fd00::1/64")


def test_a_task_keeps_its_interface_when_a_container_has_ended() -> None:
    made = in_awsvpc()
    progress = running(Intent(made)).having("web", ended=True, exit_code=0, finished_at=9.0)
    (shown,) = facts(picture(made, progress))[1].networks or ()
    assert shown.ipv4 == ("10.0.1.7",)


def test_in_awsvpc_mode_a_container_without_an_image_does_not_exist_yet() -> None:
    made = in_awsvpc()
    progress = running(Intent(made), "web")
    whole, _ = facts(picture(made, progress))
    assert [each.name for each in whole.containers] == ["web"]
    given_up = progress.having("db", ended=True, finished_at=9.0)
    assert facts(picture(made, given_up), "db")[1].docker_id == ""


def test_a_published_range_is_shown_port_by_port() -> None:
    network = Attachment(
        "bridge", "10.0.0.2", ipv6="fd00::2", ports=(PortBinding("tcp", 80, 9000, count=2),)
    )
    _, web = facts(picture(progress=running(Intent(WEB)).having_network("web", attachment=network)))
    assert web.ports == (
        PortFacts(80, "tcp", 9000, "0.0.0.0"),
        PortFacts(81, "tcp", 9001, "0.0.0.0"),
    )
    assert web.networks == (NetworkFacts("bridge", ("10.0.0.2",), ("fd00::2",)),)


def test_the_ports_of_the_definition_are_known_before_any_is_bound() -> None:
    ports = [
        {"containerPort": 80, "hostPort": 0},
        {"containerPort": 90, "hostPort": 9090, "protocol": "udp"},
        {"containerPortRange": "6000-6001"},
    ]
    made = task(container("web", portMappings=ports))
    whole = source(picture(made, first_progress(made).having("web", image=IMAGE)))
    (facts_of_task,) = whole.tasks()
    (web,) = facts_of_task.containers
    assert web.ports == ()
    assert web.mapped_ports == (
        PortFacts(80),
        PortFacts(90, "udp", 9090),
        PortFacts(6000),
        PortFacts(6001),
    )


def with_roles(mode: str = "bridge") -> Task:
    made = task(container("web"), task_id="d" * 32, role=ROLE)
    definition = made.definition.model_copy(
        update={"execution_role_arn": EXECUTION, "network_mode": mode}
    )
    token = "t0ken" if mode == "host" else ""
    return replace(
        made,
        definition=definition,
        execution_credentials_id="execution-1",
        credentials_token=token,
    )


@pytest.mark.parametrize(("mode", "token"), [("bridge", ""), ("host", "t0ken")])
def test_a_task_has_its_roles_by_their_secret_ids(mode: str, token: str) -> None:
    whole, _ = facts(picture(with_roles(mode)))
    assert whole.role == RoleFacts("credentials-1", ROLE, token)
    assert whole.execution_role == RoleFacts("execution-1", EXECUTION, token)


def test_the_tasks_role_is_withdrawn_when_it_has_stopped() -> None:
    made = with_roles()
    progress = running(Intent(made), at=2.0).having("web", ended=True, finished_at=3.0)
    whole, _ = facts(picture(made, progress))
    assert whole.role is None
    assert whole.execution_role is not None
    whole, _ = facts(picture(made, replace(progress, closed_at=4.0)))
    assert whole.execution_role is None


def test_a_role_that_this_host_has_no_credentials_for_has_no_id() -> None:
    made = replace(with_roles(), credentials_id="", execution_credentials_id="")
    whole, _ = facts(picture(made))
    assert whole.role == RoleFacts("", ROLE)
    assert whole.execution_role == RoleFacts("", EXECUTION)


def test_volumes_are_shown_by_place_and_those_of_the_host_without_a_name() -> None:
    points = [
        {"sourceVolume": "own", "containerPath": "/own"},
        {"sourceVolume": "host", "containerPath": "/host"},
    ]
    taken = [{"sourceContainer": "web", "readOnly": True}]
    shared = [{"sourceVolume": "all", "containerPath": "/all"}]
    made = worlds.task(
        container("web", mountPoints=points),
        container("side", volumesFrom=taken, mountPoints=shared),
        volumes=[
            {"name": "own"},
            {"name": "host", "host": {"sourcePath": "/srv"}},
            {"name": "all", "dockerVolumeConfiguration": {"scope": "shared"}},
        ],
    )
    _, side = facts(picture(made), "side")
    assert side.volumes == (
        VolumeFacts("/own", f"/var/x/volumes/{made.id}/own", "own"),
        VolumeFacts("/host", "/srv", ""),
        VolumeFacts("/all", "/var/x/shared-volumes/all/data", "all"),
    )

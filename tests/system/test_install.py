"""Hostler's life on a machine with systemd: from its package to its last trace.

One machine goes through it all, so the tests of this file stand in the order of that life: each
relies on those before it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.machines import image, nspawn, package
from tests.machines.nspawn import Machine
from tests.system.installlab import INSTALL_S, Host, Service, changes, host, serve, standing
from tests.system.manager import Client, clients
from tests.system.servicelab import SERVICE, call
from tests.system.tasks import eventually

pytestmark = [
    nspawn.needed,
    image.needed,
    package.needed,
    pytest.mark.timeout(1800),  # the first builds the machine and the package
]

CONTAINERD = "containerd.service"
KERNEL = ("link", "nft", "mount", "cgroup", "run")
"""Kinds of what is there only as long as the machine is on."""
SETTINGS = {"ECS_CLUSTER": "lab", "ECS_TASK_METADATA_RPS_LIMIT": "9999,9999"}
WRONG = "HOSTLER_BRIGDE=lab0\n"
NEXT = "0.1.1~next"
ORDINARY = (
    "groupadd hostler",
    "groupadd --system hostler; usermod --append --groups hostler nobody",
    "useradd --system --user-group hostler",
)
"""What makes a group whose members nobody meant to be as good as root."""


@pytest.fixture(scope="module")
def ours() -> Iterator[Host]:
    with host() as made:
        yield made


@pytest.fixture(autouse=True)
def _journal(request: pytest.FixtureRequest, ours: Host) -> Iterator[None]:
    """What the machine has to say about a test that failed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        sys.stderr.write(ours.machine.journal())


@pytest.fixture(scope="module")
def installed(ours: Host) -> str:
    return ours.takes(package.built())


@pytest.fixture(scope="module")
def successor(ours: Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    return ours.takes(package.renamed(package.built(), NEXT, tmp_path_factory.mktemp("next")))


@pytest.fixture(scope="module")
def before(ours: Host, installed: str, successor: str) -> Mapping[str, set[str]]:
    # While it still boots there is what will not stay. A unit may have failed: not our affair.
    ours.machine.tried("systemctl", "is-system-running", "--wait", deadline_s=INSTALL_S)
    return standing(ours.machine)


@pytest.fixture(scope="module")
def service(ours: Host) -> Service:
    """A task that lives from the first test to the power-off."""
    return serve(ours, 8080)


@contextmanager
def asking(service: Service) -> Iterator[Client]:
    """A program in the task's container that asks for its metadata all the time."""
    pid = service.processes()[0].pid
    with clients((service.arn, pid, service.namespace)) as (client,):
        client.until_answered()
        yield client


def version(machine: Machine) -> str:
    """What is installed."""
    return machine.run("dpkg-query", "--show", "--showformat=${Version}", "hostler")


def active(machine: Machine, unit: str = SERVICE) -> bool:
    return machine.shown(unit, "ActiveState") == "active"


@contextmanager
def configured(ours: Host, text: str) -> Iterator[None]:
    """Meanwhile the configuration is this, for whoever reads it."""
    config = ours.root / "etc/hostler/hostler.config"
    written = config.read_text()
    config.write_text(text)
    try:
        yield
    finally:
        config.write_text(written)


def wrong(machine: Machine) -> str:
    """What doctor finds."""
    return machine.tried("hostler", "doctor").stdout


def kill(machine: Machine, unit: str) -> None:
    """SIGKILL for its main process; another one runs in the end."""
    main = machine.shown(unit, "MainPID")
    machine.run("systemctl", "kill", "-s", "KILL", "--kill-who=main", unit)
    eventually(
        lambda: machine.shown(unit, "MainPID") not in ("0", main) and active(machine, unit), unit
    )


@pytest.mark.parametrize("makes", ORDINARY)
def test_an_ordinary_group_of_its_name_is_not_taken_over(
    ours: Host, installed: str, before: Mapping[str, set[str]], makes: str
) -> None:
    ours.machine.run("sh", "-ec", makes)
    refused = ours.machine.tried("dpkg", "--install", installed, deadline_s=INSTALL_S)
    assert refused.returncode != 0
    assert "hostler: this host has a group 'hostler' already" in refused.stderr
    ours.machine.run("sh", "-c", "userdel hostler; groupdel hostler; true")
    assert changes(before, ours.machine, "user", "unit", "run") == []
    assert not (ours.root / "opt/hostler").exists()


def test_provisioning_installs_and_starts_the_agent(
    ours: Host, installed: str, before: Mapping[str, set[str]]
) -> None:
    said = ours.provision(installed, **SETTINGS)
    assert said.splitlines()[-1].startswith("hostler ")
    assert active(ours.machine)
    assert active(ours.machine, "hostler-logs.service")
    assert ours.machine.run("systemctl", "is-enabled", SERVICE).strip() == "enabled"
    assert call(ours.machine, "DescribeClusters")["clusters"][0]["clusterName"] == "lab"
    assert wrong(ours.machine) == "nothing is wrong\n"


def test_provisioning_again_changes_nothing(ours: Host, installed: str) -> None:
    config = ours.root / "etc/hostler/hostler.config"
    written = config.read_text()
    ours.provision(installed, **SETTINGS)
    assert config.read_text() == written
    assert active(ours.machine)


def test_the_hello_task_ends_well(ours: Host) -> None:
    said = ours.machine.run("hostler", "run", "/srv/examples/hello.json")
    assert "Hello from Hostler" in said


def test_a_task_lives_through_a_restart_and_a_kill_of_the_agent(
    ours: Host, service: Service
) -> None:
    alive = service.processes()
    with asking(service) as client:
        ours.machine.run("systemctl", "restart", SERVICE)
        client.until_answered()
        assert client.errors == []
        kill(ours.machine, SERVICE)
        client.until_answered()
        # The one request that the agent was answering may end with it.
        assert len(client.errors) <= 1
        assert not any(isinstance(each, ConnectionRefusedError) for each in client.errors)
    assert service.processes() == alive
    assert service.answers()


def test_a_task_lives_through_a_restart_and_a_kill_of_containerd(
    ours: Host, service: Service
) -> None:
    alive = service.processes()
    with asking(service) as client:
        ours.machine.run("systemctl", "restart", CONTAINERD)
        serve(ours, 8081).stop()
        kill(ours.machine, CONTAINERD)
        serve(ours, 8081).stop()
        client.until_answered()
        assert client.errors == []
    assert service.processes() == alive
    assert service.answers()
    assert service.shown()["lastStatus"] == "RUNNING"


def test_an_upgrade_stops_nothing_and_refuses_no_request(
    ours: Host, service: Service, successor: str
) -> None:
    alive = service.processes()
    main = ours.machine.shown(SERVICE, "MainPID")
    config = ours.root / "etc/hostler/hostler.config"
    written = config.read_text()
    with asking(service) as client:
        ours.provision(successor)
        client.until_answered()
        assert client.errors == []
    assert version(ours.machine) == NEXT
    assert config.read_text() == written
    assert ours.machine.shown(SERVICE, "MainPID") != main
    assert service.processes() == alive
    assert service.answers()
    assert wrong(ours.machine) == "nothing is wrong\n"


def test_an_upgrade_starts_what_a_wrong_configuration_had_ended(
    ours: Host, service: Service, successor: str
) -> None:
    alive = service.processes()
    with configured(ours, WRONG):
        assert ours.machine.tried("systemctl", "restart", SERVICE).returncode != 0
        said = ours.machine.tried("dpkg", "--install", successor, deadline_s=INSTALL_S)
        assert said.returncode == 0
        assert f"hostler: {SERVICE}: start failed" in said.stderr
        assert ours.machine.shown(SERVICE, "ActiveState") == "failed"
    ours.machine.run("dpkg", "--install", successor, deadline_s=INSTALL_S)
    assert active(ours.machine)
    assert service.processes() == alive


def test_a_downgrade_is_refused(ours: Host, service: Service, installed: str) -> None:
    main = ours.machine.shown(SERVICE, "MainPID")
    refused = ours.machine.tried("sh", "/srv/provision.sh", installed, deadline_s=INSTALL_S)
    assert refused.returncode != 0
    assert f"version {NEXT} is or was installed" in refused.stderr
    assert version(ours.machine) == NEXT
    assert (active(ours.machine), ours.machine.shown(SERVICE, "MainPID")) == (True, main)
    assert service.answers()


def test_after_a_reboot_every_task_is_accounted_for(ours: Host, service: Service) -> None:
    other = serve(ours, 8081)
    definitions = call(ours.machine, "ListTaskDefinitions")
    ours.switch_off()
    ours.switch_on()
    assert active(ours.machine)
    assert call(ours.machine, "ListTaskDefinitions") == definitions
    for each in (service, other):
        shown = each.until_stopped()
        assert (shown["stopCode"], shown["stoppedReason"]) == (
            "EssentialContainerExited",
            "Essential container in task exited",
        )
        (container,) = shown["containers"]
        assert "exitCode" in container or container["reason"].startswith("ContainerVanishedError")
        assert not each.namespace.exists()
    serve(ours, 8080).stop()
    assert wrong(ours.machine) == "nothing is wrong\n"


def test_a_drained_host_has_no_task_left(ours: Host) -> None:
    task = serve(ours, 8080)
    ours.machine.run("hostler", "drain", "--timeout", "30s", deadline_s=INSTALL_S)
    assert task.shown()["lastStatus"] == "STOPPED"
    refused = ours.machine.tried("hostler", "run", "/srv/examples/hello.json")
    assert refused.returncode == 125
    ours.machine.run("hostler", "undrain")
    serve(ours, 8080).stop()


def test_removal_stops_tasks_and_keeps_what_they_left(
    ours: Host, before: Mapping[str, set[str]]
) -> None:
    serve(ours, 8080)
    ours.machine.run("apt-get", "-y", "remove", "hostler", deadline_s=INSTALL_S)
    assert changes(before, ours.machine, *KERNEL) == []
    assert (ours.root / "var/lib/hostler/state.db").exists()
    assert (ours.root / "etc/hostler/hostler.config").exists()
    assert not (ours.root / "opt/hostler").exists()


def test_installed_again_it_starts_and_takes_tasks(ours: Host, successor: str) -> None:
    ours.machine.run("dpkg", "--install", successor, deadline_s=INSTALL_S)
    assert active(ours.machine)
    serve(ours, 8080).stop()
    assert not (ours.root / "var/lib/hostler/removed").exists()
    ours.machine.run("systemctl", "stop", SERVICE)
    ours.machine.run("dpkg", "--install", successor, deadline_s=INSTALL_S)
    assert not active(ours.machine)
    ours.machine.run("apt-get", "-y", "remove", "hostler", deadline_s=INSTALL_S)


@pytest.mark.parametrize("serving", [True, False])
def test_a_wrong_configuration_keeps_nothing_from_being_removed(
    ours: Host, before: Mapping[str, set[str]], successor: str, *, serving: bool
) -> None:
    ours.machine.run("dpkg", "--install", successor, deadline_s=INSTALL_S)
    serve(ours, 8080)
    with configured(ours, WRONG):
        if not serving:
            assert ours.machine.tried("systemctl", "restart", SERVICE).returncode != 0
        removed = ours.machine.tried("apt-get", "-y", "remove", "hostler", deadline_s=INSTALL_S)
    said = removed.stdout + removed.stderr
    assert removed.returncode == 0, said
    assert "HOSTLER_BRIGDE (/etc/hostler/hostler.config line 1) is no setting" in said
    assert changes(before, ours.machine, *KERNEL) == [], said
    assert ours.machine.run("ctr", "-n", "hostler", "containers", "ls", "-q") == ""
    assert ("no task is left" in said) == serving


def test_after_a_purge_the_machine_is_as_it_was(ours: Host, before: Mapping[str, set[str]]) -> None:
    ours.machine.run("apt-get", "-y", "purge", "hostler", deadline_s=INSTALL_S)
    assert changes(before, ours.machine, *before) == []
    assert ours.machine.run("systemctl", "--failed", "--no-legend") == ""

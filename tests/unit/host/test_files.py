"""The three files that every container gets."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agent.host.containers import files
from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.network import Attachment
from tests.unit.host import worlds
from tests.worlds import ATTACHED, IN_AWSVPC, container


def test_a_host_name_that_was_given_is_used() -> None:
    task = worlds.task(container("web", hostname="shop"))
    assert files.hostname(task, "web", ATTACHED) == "shop"


def test_without_one_it_is_the_short_runtime_id() -> None:
    task = worlds.task(container("web"))
    assert files.hostname(task, "web", ATTACHED) == names.container_id(task.id, "web")[:12]


def test_in_host_mode_it_is_the_hosts() -> None:
    task = worlds.task(container("web"), networkMode="host")
    assert files.hostname(task, "web", ATTACHED) == os.uname().nodename


def test_three_files_are_written_and_mounted(tmp_path: Path) -> None:
    task = worlds.task(container("web", hostname="shop", dnsServers=["192.0.2.53"]))
    mounts = files.write(task, "web", ATTACHED, tmp_path)
    assert mounts == tuple(
        BindMount(str(tmp_path / each), f"/etc/{each}")
        for each in ("hosts", "resolv.conf", "hostname")
    )
    assert f"{ATTACHED.ipv4}\tshop\n" in (tmp_path / "hosts").read_text()
    assert (tmp_path / "resolv.conf").read_text().startswith("nameserver 192.0.2.53\n")
    assert (tmp_path / "hostname").read_text() == "shop\n"


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    task = worlds.task(container("web"))
    first = files.write(task, "web", ATTACHED, tmp_path)
    texts = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert files.write(task, "web", ATTACHED, tmp_path) == first
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == texts


def test_a_container_without_an_address_is_not_in_its_hosts(tmp_path: Path) -> None:
    task = worlds.task(container("web", hostname="shop"), networkMode="none")
    files.write(task, "web", Attachment(mode="none"), tmp_path)
    assert "shop" not in (tmp_path / "hosts").read_text()


def test_in_host_mode_the_names_are_the_hosts_and_those_asked_for(tmp_path: Path) -> None:
    entry = {"hostname": "db", "ipAddress": "192.0.2.7"}
    task = worlds.task(container("web", extraHosts=[entry]), networkMode="host")
    files.write(task, "web", Attachment(mode="host"), tmp_path)
    text = (tmp_path / "hosts").read_text()
    assert text == Path("/etc/hosts").read_text().rstrip("\n") + "\n192.0.2.7\tdb\n"


def test_a_hosts_files_may_have_bytes_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").write_bytes(b"192.0.2.8\tcaf\xe9\n")
    monkeypatch.setattr(files, "_ETC", tmp_path)
    task = worlds.task(container("web"), networkMode="host")
    files.write(task, "web", Attachment(mode="host"), tmp_path / "own")
    assert (tmp_path / "own/hosts").read_text() == "192.0.2.8\tcaf\ufffd\n"
    assert (tmp_path / "own/resolv.conf").read_text() == ""


def test_a_file_that_a_volume_covers_is_not_mounted(tmp_path: Path) -> None:
    covered = container("web", mountPoints=[{"sourceVolume": "v", "containerPath": "/etc/hosts"}])
    mounts = files.write(worlds.task(covered), "web", ATTACHED, tmp_path)
    assert [each.destination for each in mounts] == ["/etc/resolv.conf", "/etc/hostname"]


V6_ONLY = Attachment(mode="awsvpc", ipv6="fd00::7", prefix6=64, secondary=("fd00::8",))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (IN_AWSVPC, "ip-10-0-1-7.lab.example"),
        (replace(IN_AWSVPC, hostname=""), "ip-10-0-1-7"),
        (V6_ONLY, "ip-fd00-0-0-0-0-0-0-7"),
    ],
)
def test_in_awsvpc_mode_every_container_has_the_name_of_the_interface(
    network: Attachment, name: str
) -> None:
    task = worlds.task(container("web"), container("db"), networkMode="awsvpc")
    assert {files.hostname(task, each, network) for each in ("web", "db")} == {name}


def test_in_awsvpc_mode_one_set_of_files_serves_all_containers(tmp_path: Path) -> None:
    task = worlds.task(container("web"), container("db"), networkMode="awsvpc")
    shared = tmp_path / "shared"
    network = replace(
        IN_AWSVPC,
        secondary=("10.0.1.8", "fd00::7"),
        dns_servers=("10.0.0.2", "10.0.0.3"),
        dns_search=("lab.example", "example"),
    )
    mounts = files.write(task, "web", network, shared)
    with (shared / "hosts").open("a") as hosts:
        hosts.write("192.0.2.1\tadded\n")
    before = (shared / "hosts").stat().st_ino
    assert files.write(task, "db", network, shared) == mounts
    assert (shared / "hosts").stat().st_ino == before, "what is mounted is what is seen"
    assert {each.name for each in shared.iterdir()} == {"hosts", "resolv.conf", "hostname"}
    lines = (shared / "hosts").read_text().splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost"
    name = "ip-10-0-1-7.lab.example"
    assert lines[-3:] == [f"10.0.1.7\t{name}", f"10.0.1.8\t{name}", "192.0.2.1\tadded"]
    assert (shared / "resolv.conf").read_text() == (
        "nameserver 10.0.0.2\nnameserver 10.0.0.3\nsearch lab.example example\n"
    )
    assert (shared / "hostname").read_text() == f"{name}\n"


def test_containers_that_come_together_get_the_same_files(tmp_path: Path) -> None:
    every = [f"c{number}" for number in range(8)]
    task = worlds.task(*map(container, every), networkMode="awsvpc")

    def seen(name: str) -> tuple[int, ...]:
        mounts = files.write(task, name, IN_AWSVPC, tmp_path)
        return tuple(Path(each.source).stat().st_ino for each in mounts)

    with ThreadPoolExecutor(len(every)) as threads:
        assert len(set(threads.map(seen, every))) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_hosts_names_ipv6_addresses_only_where_there_is_no_other(tmp_path: Path) -> None:
    task = worlds.task(container("web"), networkMode="awsvpc")
    files.write(task, "web", V6_ONLY, tmp_path)
    name = "ip-fd00-0-0-0-0-0-0-7"
    lines = (tmp_path / "hosts").read_text().splitlines()
    assert lines[-2:] == [f"fd00::7\t{name}", f"fd00::8\t{name}"]


def test_without_servers_of_its_own_a_network_has_the_hosts(tmp_path: Path) -> None:
    task = worlds.task(container("web"), networkMode="awsvpc")
    bridged = worlds.task(container("web"))
    files.write(task, "web", IN_AWSVPC, tmp_path / "one")
    files.write(bridged, "web", ATTACHED, tmp_path / "other")
    texts = {(tmp_path / each / "resolv.conf").read_text() for each in ("one", "other")}
    assert len(texts) == 1

"""The three files that every container gets."""

from __future__ import annotations

import os
from pathlib import Path

from agent.host import files
from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.model import Attachment
from tests.unit.host import worlds
from tests.worlds import ATTACHED, container


def test_a_host_name_that_was_given_is_used() -> None:
    task = worlds.task(container("web", hostname="shop"))
    assert files.hostname(task, "web") == "shop"


def test_without_one_it_is_the_short_runtime_id() -> None:
    task = worlds.task(container("web"))
    assert files.hostname(task, "web") == names.container_id(task.id, "web")[:12]


def test_in_host_mode_it_is_the_hosts() -> None:
    task = worlds.task(container("web"), networkMode="host")
    assert files.hostname(task, "web") == os.uname().nodename


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


def test_a_file_that_a_volume_covers_is_not_mounted(tmp_path: Path) -> None:
    covered = container("web", mountPoints=[{"sourceVolume": "v", "containerPath": "/etc/hosts"}])
    mounts = files.write(worlds.task(covered), "web", ATTACHED, tmp_path)
    assert [each.destination for each in mounts] == ["/etc/resolv.conf", "/etc/hostname"]

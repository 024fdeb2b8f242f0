"""``hostler network``: the list, the drawing, and installing plugins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.task.network import Attachment
from cni.plugin import NAMES, REFERENCE_NAMES
from tests.fakes.api import FakeApi
from tests.unit.cli.attachments import BRIDGE, BY_ENI, NIC, ON_BRIDGE, attachment, described
from tests.unit.cli.conftest import Hostler
from tests.unit.cli.worlds import ARN, ID, container, know, task

OTHER = "fedcba98" * 4
OTHER_ARN = ARN.replace(ID, OTHER)


def test_attachments_are_listed_a_line_for_each(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.DescribeNetworks"] = described(
        attachment(ON_BRIDGE),
        attachment(BY_ENI, NIC, taskArn=OTHER_ARN, securityGroups=["sg-1", "sg-2"]),
        attachment(Attachment("host")),
    )
    ran = hostler("network", "ls")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        ["TASK", "CONTAINERS", "MODE", "INTERFACE", "ADDRESS", "HOST", "SIDE", "PORTS", "GROUPS"],
        [
            *(ID[:12], "web", "bridge", "eth0", "10.213.0.2/16", "hv0123456789abc"),
            *("8080->80/tcp", "40000-40009->5000-5009/udp", "-"),
        ],
        [
            *(OTHER[:12], "web,db", "awsvpc", "eth0", "10.0.1.7/24", "fd00:1::7/64"),
            *("moved", "in", "-", "sg-1,sg-2"),
        ],
        [ID[:12], "web,db", "host", "-", "-", "-", "-", "-"],
    ]


def test_where_nothing_is_attached_there_are_only_headings(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.DescribeNetworks"] = described()
    ran = hostler("network", "ls")
    assert ran.code == 0
    assert ran.out.startswith("TASK")
    assert len(ran.out.splitlines()) == 1


def test_the_list_as_json_is_what_the_agent_tells(api: FakeApi, hostler: Hostler) -> None:
    api.answers["Hostler.DescribeNetworks"] = described(attachment(ON_BRIDGE))
    ran = hostler("network", "ls", "--json")
    assert ran.code == 0
    assert json.loads(ran.out) == json.loads(json.dumps(described(attachment(ON_BRIDGE))))


@pytest.fixture
def two(api: FakeApi) -> FakeApi:
    """A task of two containers on the bridge, and another task."""
    know(api, task(container("web"), container("db")), task(container("x"), task_id=OTHER))
    api.answers["Hostler.DescribeNetworks"] = described(
        attachment(ON_BRIDGE),
        attachment(Attachment("none"), taskArn=OTHER_ARN),
        attachment(ON_BRIDGE, containers=["db"], hostInterface="hv-of-db"),
    )
    return api


@pytest.mark.usefixtures("two")
def test_each_attachment_of_a_task_is_drawn(hostler: Hostler) -> None:
    ran = hostler("network", "inspect", ID[:6])
    assert (ran.code, ran.err) == (0, "")
    first, second = ran.out.split("\n\ntask ")
    assert first.startswith(
        f"task {ID} (hello:3), network mode bridge\n\n  host ports 8080->80/tcp"
    )
    assert BRIDGE["table"] in first
    assert "  [web]  80/tcp 5000-5009/udp\n" in first
    assert "hv-of-db" in second
    assert "  [db]\n" in second
    assert OTHER not in ran.out


@pytest.mark.usefixtures("two")
def test_a_tasks_attachments_as_json_come_with_the_networks(hostler: Hostler) -> None:
    ran = hostler("network", "inspect", OTHER, "--json")
    told = json.loads(ran.out)
    assert ran.code == 0
    assert told["networks"][0] == BRIDGE
    assert [each["taskArn"] for each in told["attachments"]] == [OTHER_ARN]


def test_a_task_without_a_network_has_no_drawing(api: FakeApi, hostler: Hostler) -> None:
    know(api, task(container("web"), desiredStatus="STOPPED"))
    api.answers["Hostler.DescribeNetworks"] = described()
    ran = hostler("network", "inspect", ID)
    assert (ran.code, ran.out) == (125, "")
    assert ran.err == f"hostler: task {ID} is attached to no network now\n"
    assert json.loads(hostler("network", "inspect", ID, "--json").out)["attachments"] == []


@pytest.mark.usefixtures("two")
def test_an_unknown_task_is_said_to_be_none(hostler: Hostler) -> None:
    ran = hostler("network", "inspect", "abcdef")
    assert ran.code == 125
    assert "there is no task abcdef" in ran.err


def test_plugins_are_written_and_named_without_an_agent(bare: Hostler, tmp_path: Path) -> None:
    folder = tmp_path / "opt" / "bin"
    ran = bare("network", "install-plugins", str(folder))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [str(folder / each) for each in NAMES]
    assert {each.name for each in folder.iterdir()} == set(NAMES)
    again = bare("network", "install-plugins", str(folder), "--reference-names")
    assert again.code == 0
    assert {each.name for each in folder.iterdir()} == {*NAMES, *REFERENCE_NAMES}


def test_another_vendors_plugins_are_kept_unless_they_are_to_go(
    bare: Hostler, tmp_path: Path
) -> None:
    (tmp_path / "bridge").write_text("another's")
    asked = ("network", "install-plugins", str(tmp_path), "--reference-names")
    ran = bare(*asked)
    assert (ran.code, ran.out) == (125, "")
    assert ran.err == f"hostler: not Hostler's, so not replaced: {tmp_path / 'bridge'}\n"
    assert [each.name for each in tmp_path.iterdir()] == ["bridge"]
    assert bare(*asked, "--overwrite").code == 0
    assert (tmp_path / "bridge").read_text() != "another's"


def test_a_directory_that_cant_be_written_is_named(bare: Hostler, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = bare("network", "install-plugins", str(tmp_path / "file"))
    assert ran.code == 125
    assert str(tmp_path / "file") in ran.err

"""What a container is told of those that it is linked to."""

from __future__ import annotations

from typing import Any

import pytest

from agent.host.containers import files, links
from agent.oci.errors import SpecError
from agent.task import names
from agent.task.model import Progress, Task, first_progress
from agent.task.network import Attachment
from tests.worlds import ATTACHED, container, task

DB = Attachment(mode="bridge", ipv4="172.30.0.9", ipv6="fd00::9")


def linked(link: str, **of_db: Any) -> tuple[Task, Progress]:
    made = task(container("web", links=[link]), container("data-base", **of_db))
    progress = first_progress(made).having_network("web", attachment=ATTACHED)
    return made, progress.having_network("data-base", attachment=DB)


def test_a_link_is_a_line_of_hosts_for_each_address(tmp_path: Any) -> None:
    made, progress = linked("data-base:store", hostname="base-1")
    entries = links.entries(made, "web", progress)
    docker = names.docker_name(made, "data-base")
    assert [(each.ip_address, each.hostname) for each in entries] == [
        ("172.30.0.9", f"store data-base base-1 {docker}"),
        ("fd00::9", f"store data-base base-1 {docker}"),
    ]
    files.write(made, "web", ATTACHED, tmp_path, entries)
    lines = (tmp_path / "hosts").read_text().splitlines()
    assert f"172.30.0.9\tstore data-base base-1 {docker}" in lines
    assert links.entries(made, "data-base", progress) == ()


def test_without_an_alias_it_is_the_name_and_the_host_name_is_the_short_id() -> None:
    made, progress = linked("data-base")
    first, _ = links.entries(made, "web", progress)
    short = names.container_id(made.id, "data-base")[:12]
    assert first.hostname.split()[:2] == ["data-base", short]


def test_its_ports_are_variables_the_lowest_first() -> None:
    mappings = [{"containerPort": 9000, "protocol": "udp"}, {"containerPortRange": "80-81"}]
    made, progress = linked("data-base", portMappings=mappings)
    found = links.variables(made, "web", progress)
    assert found.pop("DATA_BASE_NAME") == f"/{names.docker_name(made, 'web')}/data-base"
    assert found["DATA_BASE_PORT"] == "tcp://172.30.0.9:80"
    assert found["DATA_BASE_PORT_9000_UDP"] == "udp://172.30.0.9:9000"
    assert found["DATA_BASE_PORT_81_TCP_ADDR"] == "172.30.0.9"
    assert found["DATA_BASE_PORT_81_TCP_PORT"] == "81"
    assert found["DATA_BASE_PORT_81_TCP_PROTO"] == "tcp"
    assert len(found) == 1 + 3 * 4


def test_without_ports_there_is_the_name_alone_and_no_variable_is_copied() -> None:
    secret = [{"name": "PASSWORD", "value": "x"}]
    made, progress = linked("data-base:d", environment=secret)
    assert list(links.variables(made, "web", progress)) == ["D_NAME"]


def test_a_container_whose_network_is_gone_can_not_be_linked_to() -> None:
    made, progress = linked("data-base")
    gone = progress.having_network("data-base", detached=True)
    for asked in (links.entries, links.variables):
        with pytest.raises(SpecError, match="data-base"):
            asked(made, "web", gone)

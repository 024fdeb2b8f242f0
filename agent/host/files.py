"""The directory of a container: hosts, resolv.conf and hostname, bound over those of its image."""

from __future__ import annotations

import os
from pathlib import Path

from agent.oci.files import hostname_file, hosts_file, resolv_conf, without_loopback
from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.model import Attachment, Task

_ID_DIGITS = 12


def hostname(task: Task, name: str) -> str:
    """The container's host name: its own, the host's in host mode, or the short runtime id."""
    wanted = task.container(name).hostname
    if wanted:
        return wanted
    if task.definition.network_mode == "host":
        return os.uname().nodename
    return names.container_id(task.id, name)[:_ID_DIGITS]


def write(task: Task, name: str, network: Attachment, directory: Path) -> tuple[BindMount, ...]:
    """The three files are in the existing ``directory``; gives their mounts.

    Blocking. Raises OSError.
    """
    definition, host = task.container(name), hostname(task, name)
    resolver = Path("/etc/resolv.conf").read_text() if Path("/etc/resolv.conf").exists() else ""
    if network.mode != "host":
        resolver = without_loopback(resolver)
    addresses = [network.ipv4] if network.ipv4 else []
    texts = {
        "hosts": hosts_file(host, addresses, definition.extra_hosts),
        "resolv.conf": resolv_conf(resolver, definition.dns_servers, definition.dns_search_domains),
        "hostname": hostname_file(host),
    }
    for file, text in texts.items():
        (directory / file).write_text(text)
    taken = {point.container_path for point in definition.mount_points}
    return tuple(
        BindMount(str(directory / file), f"/etc/{file}")
        for file in texts
        if f"/etc/{file}" not in taken
    )

"""The files that a container gets from its host: hosts, resolv.conf and hostname, over its image's.

Containers that share a sandbox share one set of them, as with the ECS agent: what one of them
writes there the others see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from agent.oci.files import (
    address_hostname,
    hostname_file,
    hosts_file,
    resolv_conf,
    without_loopback,
)
from agent.oci.inputs import BindMount
from agent.task import names
from agent.task.definition import HostEntry
from agent.task.model import TASK_SANDBOX, Task
from agent.task.network import Attachment

_ID_DIGITS = 12
_ETC = Path("/etc")


def hostname(task: Task, name: str, network: Attachment) -> str:
    """The container's host name.

    In awsvpc mode that of the network interface: its private DNS name, or one made of its address.
    Else its own, the host's in host mode, or the short runtime id.
    """
    wanted = task.container(name).hostname
    if wanted:
        return wanted
    if task.definition.network_mode == "host":
        return os.uname().nodename
    address = network.ipv4 or network.ipv6
    if task.awsvpc and (network.hostname or address):
        return network.hostname or address_hostname(address)
    return names.container_id(task.id, name)[:_ID_DIGITS]


def write(
    task: Task,
    name: str,
    network: Attachment,
    directory: Path,
    linked: Iterable[HostEntry] = (),
) -> tuple[BindMount, ...]:
    """The three files are in ``directory``, which is made; gives their mounts.

    ``linked`` are the lines of /etc/hosts for linked containers. Blocking. Raises OSError.
    """
    directory.mkdir(exist_ok=True, mode=0o711)
    shared = task.sandbox(name) == TASK_SANDBOX
    texts = _texts(task, name, network, linked)
    for file, text in texts.items():
        if shared:
            _write_once(directory / file, text, mark=names.container_id(task.id, name))
        else:
            (directory / file).write_text(text)
    taken = {point.container_path for point in task.container(name).mount_points}
    return tuple(
        BindMount(str(directory / file), f"/etc/{file}")
        for file in texts
        if f"/etc/{file}" not in taken
    )


def _texts(
    task: Task, name: str, network: Attachment, linked: Iterable[HostEntry]
) -> Mapping[str, str]:
    definition, host = task.container(name), hostname(task, name, network)
    others = (*definition.extra_hosts, *linked)
    servers = definition.dns_servers or network.dns_servers
    search = definition.dns_search_domains or network.dns_search
    resolver = _resolver(network)
    return {
        "hosts": hosts_file(host, _addresses(network), others, _known(network)),
        "resolv.conf": resolv_conf(resolver, servers, search),
        "hostname": hostname_file(host),
    }


def _known(network: Attachment) -> str:
    """The names that the host knows, its own among them, for who is on its network; else ""."""
    return _of_host("hosts") if network.mode == "host" else ""


def _resolver(network: Attachment) -> str:
    """What resolv.conf is made from: nothing of the host where the network has servers itself."""
    if network.dns_servers:
        return ""
    text = _of_host("resolv.conf")
    return text if network.mode == "host" else without_loopback(text)


def _of_host(name: str) -> str:
    """The host's own file, whatever is in it; "" if it has none."""
    path = _ETC / name
    return path.read_text(errors="replace") if path.exists() else ""


def _addresses(network: Attachment) -> list[str]:
    """Those that the host name stands for: of IPv6 only where there is no IPv4, as ECS has it."""
    every = [each for each in (network.ipv4, network.ipv6, *network.secondary) if each]
    return [each for each in every if ip_address(each).version == (4 if network.ipv4 else 6)]


def _write_once(path: Path, text: str, mark: str) -> None:
    """The file is there, whole; whoever comes first writes it. ``mark``: no other writer has it."""
    if path.exists():
        return
    draft = path.with_name(f"{path.name}.{mark}")
    draft.write_text(text)
    with suppress(FileExistsError):
        path.hardlink_to(draft)
    draft.unlink()

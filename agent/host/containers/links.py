"""What a container is told of those that it is linked to: names for their addresses, variables.

As Docker has it on its default bridge, whose links ECS uses; variables of the linked container are
not copied, as they may be secrets.
"""

from __future__ import annotations

from collections.abc import Iterator

from agent.host.containers.files import hostname
from agent.oci.errors import SpecError
from agent.task import names
from agent.task.definition import ContainerDefinition, HostEntry, port_range
from agent.task.model import Progress, Task
from agent.task.network import Attachment


def entries(task: Task, name: str, progress: Progress) -> tuple[HostEntry, ...]:
    """Lines of /etc/hosts: each link by its alias and the container's names, at its addresses.

    Raises SpecError if a linked container has no address.
    """
    return tuple(_entries(task, name, progress))


def variables(task: Task, name: str, progress: Progress) -> dict[str, str]:
    """The environment variables of Docker's links; ``ALIAS_PORT`` is that of the lowest port.

    Raises SpecError if a linked container has no address.
    """
    found: dict[str, str] = {}
    for target, alias in _links(task.container(name)):
        address = _attachment(task, target, progress).ipv4
        head = alias.upper().replace("-", "_")
        ports = sorted(_ports(task.container(target)))
        if ports:
            found[f"{head}_PORT"] = _url(address, *ports[0])
        for port, protocol in ports:
            each = f"{head}_PORT_{port}_{protocol.upper()}"
            found[each] = _url(address, port, protocol)
            found[f"{each}_ADDR"] = address
            found[f"{each}_PORT"] = str(port)
            found[f"{each}_PROTO"] = protocol
        found[f"{head}_NAME"] = f"/{names.docker_name(task, name)}/{alias}"
    return found


def _entries(task: Task, name: str, progress: Progress) -> Iterator[HostEntry]:
    for target, alias in _links(task.container(name)):
        network = _attachment(task, target, progress)
        host = hostname(task, target, network)
        known_as = dict.fromkeys((alias, target, host, names.docker_name(task, target)))
        for address in filter(None, (network.ipv4, network.ipv6)):
            yield HostEntry(hostname=" ".join(known_as), ip_address=address)


def _links(container: ContainerDefinition) -> Iterator[tuple[str, str]]:
    """Each linked container with its alias, which is its name if none is given."""
    for link in container.links:
        target, _, alias = link.partition(":")
        yield target, alias or target


def _attachment(task: Task, target: str, progress: Progress) -> Attachment:
    known = progress.networks[task.sandbox(target)]
    if known.attachment is None or not known.attached:
        raise SpecError(f"container {target}, which it is linked to, has no network any more")
    return known.attachment


def _ports(container: ContainerDefinition) -> Iterator[tuple[int, str]]:
    for mapping in container.port_mappings:
        first, last = port_range(mapping) or (1, 0)
        for port in range(first, last + 1):
            yield port, mapping.protocol


def _url(address: str, port: int, protocol: str) -> str:
    return f"{protocol}://{address}:{port}"

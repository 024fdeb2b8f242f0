"""Who has which network, and by which way packets reach it: for ``hostler network``. Pure.

Everything here follows from the feed's pictures and from names; the kernel is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.engine.feed import Picture
from agent.host.network.networks import Networks
from agent.settings import Settings
from agent.task import names
from agent.task.model import Task
from agent.task.network import Attachment
from cni.bridge.conf import BridgeConfig
from cni.ipam.plugin import IPAMConfig
from cni.runtime.conflist import Network
from cni.spec import Attachment as Attached
from cni.spec import host_ifname

IFNAME = "eth0"

Json = dict[str, Any]


def describe(settings: Settings, networks: Networks, pictures: Iterable[Picture]) -> Json:
    """The agent's networks, and every attachment to one of them or to the host's."""
    own = next(
        (step.parsed for step in networks.bridge.steps if isinstance(step.parsed, BridgeConfig)),
        None,
    )
    return {
        "networks": [_bridge(settings, networks.bridge, own), _awsvpc(settings, networks.awsvpc)],
        "attachments": [
            each for picture in pictures for each in _attachments(settings, own, picture)
        ],
    }


def _bridge(settings: Settings, network: Network, own: BridgeConfig | None) -> Json:
    """``own`` is what our plugin makes; an operator's list may have others make it."""
    return {
        "mode": "bridge",
        "network": network.name,
        "plugins": [step.type for step in network.steps],
        "bridge": own.bridge if own else None,
        "subnets": list(_subnets(own)) if own and own.masquerade else [],
        "table": f"inet {settings.nft_table}",
    }


def _subnets(own: BridgeConfig) -> Iterator[str]:
    ipam = own.addressing.conf if own.addressing else None
    if isinstance(ipam, IPAMConfig):
        yield from (str(each.subnet) for one in ipam.sets for each in one.ranges)


def _awsvpc(settings: Settings, network: Network) -> Json:
    return {
        "mode": "awsvpc",
        "network": network.name,
        "plugins": [step.type for step in network.steps],
        "provider": settings.eni_provider,
        "parent": settings.eni_parent,
        "subnets": [str(each) for each in settings.eni_subnets],
    }


def _attachments(settings: Settings, own: BridgeConfig | None, picture: Picture) -> Iterator[Json]:
    task, progress = picture.intent.task, picture.progress
    for sandbox, facts in progress.networks.items():
        if facts.attachment is None or facts.detached:
            continue
        yield {
            "taskArn": task.arn,
            "taskDefinitionArn": task.definition_arn,
            "containers": list(task.members(sandbox)),
            "mode": facts.attachment.mode,
            **_place(settings, own, task, sandbox, facts.attachment),
            "attachment": asdict(facts.attachment),
            "interface": asdict(progress.interface) if progress.interface else None,
            "securityGroups": list(task.groups),
            "ports": [
                {"container": name, "port": port, "protocol": mapping.protocol}
                for name in task.members(sandbox)
                for mapping in task.container(name).port_mappings
                if (port := mapping.container_port_range or mapping.container_port)
            ],
        }


def _place(
    settings: Settings,
    own: BridgeConfig | None,
    task: Task,
    sandbox: str,
    attachment: Attachment,
) -> Json:
    """Where on the host it is: nowhere of its own in host mode."""
    if attachment.mode == "host":
        return {"netns": None, "ifname": None, "hostInterface": None}
    key = names.container_id(task.id, sandbox)
    prefix = own.veth_prefix if own and attachment.mode == "bridge" else ""
    return {
        "netns": str(Path(settings.names.netns(task.id, sandbox))),
        "ifname": None if attachment.mode == "none" else IFNAME,
        "hostInterface": host_ifname(prefix, Attached(key, IFNAME)) if prefix else None,
    }

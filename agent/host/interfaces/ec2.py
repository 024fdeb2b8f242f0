"""Elastic network interfaces: EC2 makes and attaches one for each task, and deletes it after.

What EC2 holds is found by tags, so a crash at any point leaves nothing that the next call, or the
next agent, doesn't find: ``hostler:task`` is the task's id, ``hostler:agent`` tells agents apart.
A repeated creation gives the same interface, by its client token. The device appears on the host
some seconds after; whoever attaches it to the task waits for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from agent.host.interfaces import ec2host
from agent.host.interfaces.ec2api import METADATA_SERVICE, Api, client, metadata
from agent.host.interfaces.ec2host import Ec2Host
from agent.host.interfaces.provider import InterfacesExhausted, refuse_other_subnets
from agent.settings import LOCAL_REGION, Settings
from agent.task.model import Task, TaskId
from agent.task.network import NetworkInterface

TASK_TAG = "hostler:task"
AGENT_TAG = "hostler:agent"

_GONE = ("InvalidNetworkInterfaceID.NotFound", "InvalidAttachmentID.NotFound")


@dataclass(frozen=True, slots=True)
class Pace:
    """How often EC2, which has no events, is asked about a detachment; it takes some seconds.

    A guest that doesn't let go of the device is not asked again after ``force_after_s``.
    """

    poll_s: float = 2.0
    force_after_s: float = 30.0
    give_up_after_s: float = 90.0


async def open_ec2(
    settings: Settings,
    *,
    metadata_address: str = METADATA_SERVICE,
    connect: Callable[[str], Any] = client,
    pace: Pace = Pace(),
) -> Ec2:
    """The provider for this instance; ``connect`` makes a boto3 client for a region.

    Raises InterfaceError or InterfacesExhausted.
    """
    instance_id = settings.ec2_instance_id or await metadata("instance-id", metadata_address)
    region = settings.region
    if region == LOCAL_REGION:
        region = await metadata("placement/region", metadata_address)
    api = Api(await asyncio.to_thread(connect, region))
    agent = f"{instance_id}:{settings.run_dir}"
    ours = await _described(api, {AGENT_TAG: agent})
    host = await ec2host.look(
        api,
        instance_id,
        ours=[each["NetworkInterfaceId"] for each in ours],
        allowed=settings.ec2_subnets,
    )
    held = {TaskId(_tags(each)[TASK_TAG]) for each in ours}
    return Ec2(
        api, host, Tenant(agent, held, settings.ec2_security_groups, settings.eni_limit), pace
    )


@dataclass(frozen=True, slots=True)
class Tenant:
    """This agent: the value of its tag, the tasks that hold interfaces, and what its settings say.

    ``groups`` are the security groups of tasks that name none.
    """

    agent: str
    held: Collection[TaskId]
    groups: tuple[str, ...]
    limit: int | None


class Ec2:
    """Gives each task an interface that EC2 makes for it, up to what the instance can hold."""

    def __init__(self, api: Api, host: Ec2Host, tenant: Tenant, pace: Pace) -> None:
        self._api = api
        self._host = host
        self._agent = tenant.agent
        self._pace = pace
        self._groups = tenant.groups or host.default_groups
        self._held = set(tenant.held)
        self._attaching = asyncio.Lock()
        self.limit = min(host.limit, tenant.limit or host.limit)
        self.subnets: Collection[str] = host.subnets.keys()

    async def acquire(self, task: Task) -> NetworkInterface:
        """The task's interface exists and is attached to the instance."""
        refuse_other_subnets(task, self.subnets)
        self._held.add(task.id)  # from now on there may be one
        found = await _described(self._api, self._tags(task.id))
        interface = found[0] if found else await self._create(task)
        attachment = interface.get("Attachment") or await self._attach(interface)
        if not attachment.get("DeleteOnTermination"):
            await self._delete_with_instance(interface, attachment)
        return self._as_value(interface)

    async def release(self, task_id: TaskId) -> None:
        """The task's interface is detached and deleted; takes some seconds."""
        if task_id not in self._held:
            return
        await self._destroy(await _described(self._api, self._tags(task_id)))
        self._held.discard(task_id)

    def held(self, task_id: TaskId) -> bool:
        """Whether EC2 may have an interface for the task."""
        return task_id in self._held

    async def release_all_but(self, alive: Collection[str]) -> list[str]:
        """Interfaces that this agent had made for other tasks are deleted."""
        ours = await _described(self._api, {AGENT_TAG: self._agent})
        orphans = [each for each in ours if _tags(each)[TASK_TAG] not in alive]
        await self._destroy(orphans)
        self._held &= {TaskId(each) for each in alive}
        return [each["NetworkInterfaceId"] for each in orphans]

    def _tags(self, task_id: TaskId) -> dict[str, str]:
        return {TASK_TAG: task_id, AGENT_TAG: self._agent}

    async def _create(self, task: Task) -> Any:
        wanted = [each for each in task.subnets if each in self.subnets]
        groups = [each for each in task.security_groups if each.startswith("sg-")] or self._groups
        for subnet in wanted or self._host.default_subnets:
            answer = await self._api.call(
                "create_network_interface",
                unless=("InsufficientFreeAddressesInSubnet",),
                ClientToken=f"{task.id}-{subnet}",
                SubnetId=subnet,
                Description=f"Hostler task {task.id}",
                TagSpecifications=[
                    {
                        "ResourceType": "network-interface",
                        "Tags": [
                            {"Key": key, "Value": value}
                            for key, value in self._tags(task.id).items()
                        ],
                    }
                ],
                **({"Groups": list(groups)} if groups else {}),
                **({"Ipv6AddressCount": 1} if self._host.subnets[subnet].ipv6 else {}),
            )
            if answer is not None:
                return answer["NetworkInterface"]
        tried = ", ".join(wanted or self._host.default_subnets)
        raise InterfacesExhausted(f"no address is free in subnet {tried}")

    async def _attach(self, interface: Any) -> Any:
        """The interface is attached at a free index; returns its attachment."""
        async with self._attaching:
            *likely, last = await self._free_indexes()
            for index in (*likely, last):
                attached = await self._api.call(
                    "attach_network_interface",
                    # What was attached a moment ago may not be in EC2's answer: try the next.
                    unless=() if index == last else ("InvalidParameterValue",),
                    InstanceId=self._host.instance_id,
                    NetworkInterfaceId=interface["NetworkInterfaceId"],
                    DeviceIndex=index,
                )
                if attached is not None:
                    return attached
        raise AssertionError("the last try gives an attachment or an error")

    async def _free_indexes(self) -> list[int]:
        """Where nothing is attached as far as EC2 says, and one more."""
        instance = await ec2host.find_instance(self._api, self._host.instance_id)
        used = {
            each["Attachment"]["DeviceIndex"]
            for each in instance["NetworkInterfaces"]
            if ec2host.card(each) == 0
        }
        return [each for each in range(1, self._host.limit + len(used) + 1) if each not in used]

    async def _delete_with_instance(self, interface: Any, attachment: Any) -> None:
        change = {"AttachmentId": attachment["AttachmentId"], "DeleteOnTermination": True}
        await self._api.ask(
            "modify_network_interface_attribute",
            NetworkInterfaceId=interface["NetworkInterfaceId"],
            Attachment=change,
        )

    async def _destroy(self, interfaces: Collection[Any]) -> None:
        """All are asked to let go first, since each takes seconds."""
        for each in interfaces:
            await self._detach(each, force=False)
        for each in interfaces:
            await self._wait_detached(each)
            await self._api.call(
                "delete_network_interface",
                unless=_GONE,
                NetworkInterfaceId=each["NetworkInterfaceId"],
            )

    async def _detach(self, interface: Any, *, force: bool) -> None:
        attachment = interface.get("Attachment")
        if attachment and attachment["Status"] in ("attaching", "attached", "detaching"):
            await self._api.call(
                "detach_network_interface",
                # Being detached already is an incorrect state.
                unless=(*_GONE, "IncorrectState"),
                AttachmentId=attachment["AttachmentId"],
                Force=force,
            )

    async def _wait_detached(self, interface: Any) -> None:
        """Raises InterfacesExhausted when it takes too long."""
        loop = asyncio.get_running_loop()
        began, forced = loop.time(), False
        while loop.time() - began < self._pace.give_up_after_s:
            answer = await self._api.call(
                "describe_network_interfaces",
                unless=_GONE,
                NetworkInterfaceIds=[interface["NetworkInterfaceId"]],
            )
            if answer is None or answer["NetworkInterfaces"][0]["Status"] == "available":
                return
            if not forced and loop.time() - began >= self._pace.force_after_s:
                await self._detach(interface, force=True)
                forced = True
            await asyncio.sleep(self._pace.poll_s)
        raise InterfacesExhausted(f"{interface['NetworkInterfaceId']} does not become detached")

    def _as_value(self, interface: Any) -> NetworkInterface:
        subnet = self._host.subnets[interface["SubnetId"]]
        addresses = [each["PrivateIpAddress"] for each in interface.get("PrivateIpAddresses", ())]
        addresses += [each["Ipv6Address"] for each in interface.get("Ipv6Addresses", ())]
        networks = {each.version: each for each in (subnet.ipv4, subnet.ipv6) if each is not None}
        versions = sorted({ip_address(each).version for each in addresses})
        return NetworkInterface(
            id=interface["NetworkInterfaceId"],
            kind="nic",
            mac=interface["MacAddress"].lower(),
            addresses=tuple(
                f"{each}/{networks[ip_address(each).version].prefixlen}" for each in addresses
            ),
            gateways=tuple(str(networks[each][1]) for each in versions),
            dns_servers=self._host.dns_servers,
            dns_search=self._host.dns_search,
            hostname=interface.get("PrivateDnsName", ""),
            subnet=interface["SubnetId"],
        )


async def _described(api: Api, tags: dict[str, str]) -> list[Any]:
    """The interfaces that have all of these tags."""
    filters = [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]
    answer = await api.ask("describe_network_interfaces", Filters=filters)
    return list(answer["NetworkInterfaces"])


def _tags(interface: Any) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in interface["TagSet"]}

"""A little AWS in this process (moto), with an instance in it, and ways to make EC2 fail.

moto answers botocore's requests; ``Cloud.fails`` and its like answer in its stead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto import mock_aws

from agent.config import load
from agent.host.interfaces.ec2 import AGENT_TAG, Ec2, Pace, open_ec2
from agent.settings import Settings
from agent.task.model import Task
from tests import worlds

REGION = "eu-west-1"
_ONCE = Config(retries={"total_max_attempts": 1})


QUICK = Pace(poll_s=0.01, force_after_s=0.02, give_up_after_s=0.1)


_UNAVAILABLE = (
    b"<Response><Errors><Error><Code>Unavailable</Code><Message>it is so</Message></Error></Errors>"
    b"<RequestID>1</RequestID></Response>"
)


class _Body:
    """The raw part of a response, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self._body


@dataclass
class Cloud:
    """An instance with room for two more interfaces, in the first of the zone's two subnets.

    The third subnet is in another zone.
    """

    ec2: Any
    vpc: str
    zone: str
    subnets: list[str]
    instance: str
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    _answers: dict[str, list[tuple[int, object]]] = field(default_factory=dict)
    _stumbling: set[str] = field(default_factory=set)
    _clients: dict[str, Any] = field(default_factory=dict)

    def connect(self, region: str) -> Any:
        """A client of the agents' that repeats nothing, so that no test waits."""
        if region not in self._clients:
            made = _session().client("ec2", region_name=region, config=_ONCE)
            self._clients[region] = self.watch(made)
        return self._clients[region]

    def watch(self, client: Any) -> Any:
        """From now on this is the client that fails, and whose ``requests`` are kept."""
        client.meta.events.register_first("before-call.ec2", self._called)
        client.meta.events.register_first("before-send.ec2", self._sent)
        return client

    def another(self) -> Cloud:
        """One with an instance of its own, in the same subnets."""
        return Cloud(self.ec2, self.vpc, self.zone, self.subnets, _started(self.subnets[0]))

    async def provider(self, pace: Pace = QUICK, **settings: str) -> Ec2:
        """What an agent that starts now has."""
        return await open_ec2(self.settings(**settings), connect=self.connect, pace=pace)

    def settings(self, **given: str) -> Settings:
        """Settings of an agent on the instance."""
        names = {"HOSTLER_EC2_INSTANCE_ID": self.instance, "AWS_DEFAULT_REGION": REGION}
        return load({"HOSTLER_ENI_PROVIDER": "ec2", **names, **given}, {}, ())

    def interfaces(self) -> list[Any]:
        """The interfaces made for tasks."""
        return [each for each in self._interfaces() if _agent(each).startswith(self.instance)]

    def primary(self) -> Any:
        """The interface that the instance began with."""
        mine = (
            each
            for each in self._interfaces()
            if each["Attachment"]["DeviceIndex"] == 0
            and each["Attachment"]["InstanceId"] == self.instance
        )
        return next(mine)

    def fails(self, operation: str, *codes: str) -> None:
        """The next calls of ``operation`` (``AttachNetworkInterface``) are refused with these."""
        self._answers[operation] = [
            (400, {"Error": {"Code": code, "Message": "it is so"}}) for code in codes
        ]

    def ignores(self, operation: str, times: int) -> None:
        """The next calls of ``operation`` have no effect, though they are said to have."""
        self._answers[operation] = [(200, {"Return": True})] * times

    def stumbles(self, operation: str) -> None:
        """The next request of ``operation`` takes effect, but is answered with an error."""
        self._stumbling.add(operation)

    def sent(self, operation: str) -> list[dict[str, str]]:
        """The parameters of each request of ``operation``, repetitions included."""
        return [request for name, request in self.requests if name == operation]

    def _interfaces(self) -> list[Any]:
        here = [{"Name": "vpc-id", "Values": [self.vpc]}]
        return list(self.ec2.describe_network_interfaces(Filters=here)["NetworkInterfaces"])

    def _called(
        self, params: dict[str, Any], event_name: str, **_: object
    ) -> tuple[AWSResponse, object] | None:
        operation = event_name.rpartition(".")[2]
        if not self._answers.get(operation):
            return None
        self.requests.append((operation, {key: str(each) for key, each in params["body"].items()}))
        status, parsed = self._answers[operation].pop(0)
        return AWSResponse("", status, {}, None), parsed

    def _sent(self, request: Any, event_name: str, **_: object) -> AWSResponse | None:
        """botocore lets all have the request, moto too, and takes the first answer."""
        operation = event_name.rpartition(".")[2]
        self.requests.append((operation, dict(parse_qsl(request.body))))
        if operation not in self._stumbling:
            return None
        self._stumbling.remove(operation)
        return AWSResponse(request.url, 503, {}, _Body(_UNAVAILABLE))


def _agent(interface: Any) -> str:
    tags = {each["Key"]: each["Value"] for each in interface["TagSet"]}
    return str(tags.get(AGENT_TAG, ""))


@contextmanager
def mocked() -> Iterator[None]:
    """EC2 is moto's meanwhile. Entering takes as long as a test; what is made in it stays."""
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        environment.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # hundreds, that nobody asks for
        yield


@cache
def _session() -> boto3.Session:
    """For all tests: each session reads the description of EC2's API anew, which is large."""
    return boto3.Session(aws_access_key_id="any", aws_secret_access_key="any")


@cache
def _administrator() -> Any:
    return _session().client("ec2", region_name=REGION)


def cloud(*, ipv6: bool = False) -> Cloud:
    """Makes a VPC and the instance."""
    ec2 = _administrator()
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=ipv6)["Vpc"]
    ec2.modify_vpc_attribute(VpcId=vpc["VpcId"], EnableDnsHostnames={"Value": True})
    zone, other = [
        each["ZoneName"] for each in ec2.describe_availability_zones()["AvailabilityZones"]
    ][:2]
    more = {}
    if ipv6:
        whole = ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"][0]
        block = whole["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
        more = {"Ipv6CidrBlock": block.replace("/56", "/64")}
    subnets = [
        ec2.create_subnet(
            VpcId=vpc["VpcId"], CidrBlock=f"10.0.{at}.0/24", AvailabilityZone=there, **extra
        )["Subnet"]["SubnetId"]
        for at, there, extra in ((1, zone, more), (2, zone, {}), (3, other, {}))
    ]
    return Cloud(ec2, vpc["VpcId"], zone, subnets, _started(subnets[0]))


def _started(subnet: str) -> str:
    """The id of a new instance."""
    ec2 = _administrator()
    image = ec2.register_image(Name="any", RootDeviceName="/dev/xvda")["ImageId"]
    ran = ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.small", SubnetId=subnet
    )
    return str(ran["Instances"][0]["InstanceId"])


def task(number: int, *subnets: str, groups: tuple[str, ...] = ()) -> Task:
    """A task that asks for these."""
    made = worlds.task(task_id=f"{number:032}")
    return replace(made, subnets=subnets, security_groups=groups)

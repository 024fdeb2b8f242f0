"""The ECS ``TaskDefinition`` around its containers, as frozen values.

The structure only, as ``container`` does for one container. Task ``cpu`` and ``memory``
are the exception: the API takes text such as ``".25 vCPU"`` or ``"0.5 GB"`` and everybody here
wants a number. Import these names from ``agent.task.definition``.
"""

import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer
from pydantic_core import PydanticCustomError

from agent.task.definition.container import ContainerDefinition, KeyValuePair
from agent.task.definition.shape import Flag, Shape, Text, TextMap, Whole

NetworkMode = Literal["bridge", "host", "awsvpc", "none"]

_AMOUNT = re.compile(r"\s*(\d{1,12}|\d{0,9}\.\d{1,9})\s*(vcpu|gb)?\s*", re.IGNORECASE | re.ASCII)


def _amount(value: object, unit: str, example: str) -> int:
    """A plain number (units, MiB), or one with its unit, of which there are 1024 smaller ones."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match:
        number, suffix = Decimal(match[1]), (match[2] or "").lower()
        amount = number * 1024 if suffix == unit else number
        if suffix in ("", unit) and amount == int(amount):
            return int(amount)
    raise PydanticCustomError(
        "amount", "must be a whole number as text, such as {e}", {"e": example}
    )


def _cpu_units(value: object) -> int:
    return _amount(value, "vcpu", '"256" (units) or ".25 vCPU"')


def _memory_mib(value: object) -> int:
    return _amount(value, "gb", '"512" (MiB) or "0.5 GB"')


CpuUnits = Annotated[int, BeforeValidator(_cpu_units), PlainSerializer(str)]
MemoryMiB = Annotated[int, BeforeValidator(_memory_mib), PlainSerializer(str)]


class HostVolume(Shape):
    """A directory of the host; without a path, one made for the task and removed with it."""

    source_path: Text | None = None


class DockerVolume(Shape):
    """A named volume of a volume driver."""

    scope: Literal["task", "shared"] = "task"
    autoprovision: Flag = False
    driver: Text | None = None
    driver_opts: TextMap = Field(default_factory=dict)
    labels: TextMap = Field(default_factory=dict)


class EfsAuthorization(Shape):
    """How an EFS mount identifies itself."""

    access_point_id: Text | None = None
    iam: Literal["ENABLED", "DISABLED"] = "DISABLED"


class EfsVolume(Shape):
    """An EFS file system."""

    file_system_id: Text
    root_directory: Text = "/"
    transit_encryption: Literal["ENABLED", "DISABLED"] = "DISABLED"
    transit_encryption_port: Whole | None = None
    authorization_config: EfsAuthorization | None = None


class S3FilesVolume(Shape):
    """An S3 file system."""

    file_system_arn: Text
    root_directory: Text | None = None
    transit_encryption_port: Whole | None = None
    access_point_arn: Text | None = None


class FsxAuthorization(Shape):
    """The login of an FSx share."""

    credentials_parameter: Text
    domain: Text


class FsxVolume(Shape):
    """An FSx for Windows file system."""

    file_system_id: Text
    root_directory: Text
    authorization_config: FsxAuthorization


class Volume(Shape):
    """Something containers of the task mount by name; ``host`` unless another kind is given."""

    name: Text
    host: HostVolume | None = None
    docker_volume_configuration: DockerVolume | None = None
    efs_volume_configuration: EfsVolume | None = None
    s3files_volume_configuration: S3FilesVolume | None = Field(
        None, alias="s3filesVolumeConfiguration"
    )
    fsx_windows_file_server_volume_configuration: FsxVolume | None = None
    configured_at_launch: Flag = False


class PlacementConstraint(Shape):
    """Where the scheduler may put the task; nothing for an agent to do."""

    type: Literal["memberOf"] = "memberOf"
    expression: Text = ""


class RuntimePlatform(Shape):
    """What the images are built for."""

    cpu_architecture: Literal["X86_64", "ARM64"] | None = None
    operating_system_family: Text | None = None


class ProxyConfiguration(Shape):
    """A service-mesh proxy container."""

    container_name: Text
    type: Literal["APPMESH"] = "APPMESH"
    properties: tuple[KeyValuePair, ...] = ()


class EphemeralStorage(Shape):
    """Disk size on Fargate."""

    size_in_gib: Whole = Field(alias="sizeInGiB")


class InferenceAccelerator(Shape):
    """An Elastic Inference device."""

    device_name: Text
    device_type: Text


class TrustedExecution(Shape):
    """A sandbox around the task."""

    isolation_mode: Literal["SHARED", "ISOLATED_SANDBOX", "CONFIDENTIAL_SANDBOX"]
    attestation_policy: Text | None = None


class Tag(Shape):
    """A label of the control plane."""

    key: Text
    value: Text = ""


class TaskDefinition(Shape):
    """What a family's revision says. ``cpu`` in units (1024 = one core), ``memory`` in MiB."""

    family: Text
    container_definitions: tuple[ContainerDefinition, ...]
    network_mode: NetworkMode = "bridge"
    cpu: CpuUnits | None = None
    memory: MemoryMiB | None = None
    pid_mode: Literal["host", "task"] | None = None
    ipc_mode: Literal["host", "task", "none"] | None = None
    volumes: tuple[Volume, ...] = ()
    task_role_arn: Text | None = None
    execution_role_arn: Text | None = None
    placement_constraints: tuple[PlacementConstraint, ...] = ()
    requires_compatibilities: tuple[
        Literal["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"], ...
    ] = ()
    runtime_platform: RuntimePlatform | None = None
    proxy_configuration: ProxyConfiguration | None = None
    inference_accelerators: tuple[InferenceAccelerator, ...] = ()
    ephemeral_storage: EphemeralStorage | None = None
    enable_fault_injection: Flag = False
    trusted_execution_configuration: TrustedExecution | None = None
    tags: tuple[Tag, ...] = ()

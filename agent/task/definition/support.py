"""What ECS has and this agent can't do yet.

A feature that is asked for and would be ignored is worse than a refusal, so registration refuses it
with this list. Fields that only steer a scheduler (placementConstraints, requiresCompatibilities,
tags, roles) are not in it. A feature that gets implemented loses its line here.
"""

from collections.abc import Iterator

from agent.task.definition.container import (
    ContainerDefinition,
    LogConfiguration,
    ResourceRequirement,
)
from agent.task.definition.log_rules import idle_options
from agent.task.definition.problems import Problem
from agent.task.definition.task import EfsVolume, TaskDefinition, Volume

EPHEMERAL_STORAGE = Problem(
    "ephemeralStorage",
    "is the size of a disk that Fargate gives to a task; nothing would keep or enforce it here: "
    "remove it",
)
"""Also as an override of RunTask."""

_LOG_DRIVERS = ("json-file", "none")
_NO_GMSA = "is not supported: there is no domain controller that Hostler speaks to; remove it"
_NO_INFERENCE = "Elastic Inference was a service of AWS"


def unsupported(definition: TaskDefinition) -> tuple[Problem, ...]:
    """Every feature used in the definition that would not take effect, by JSON path."""
    return tuple(_unsupported(definition))


def _unsupported(definition: TaskDefinition) -> Iterator[Problem]:
    yield from _of_task(definition)
    for index, volume in enumerate(definition.volumes):
        for problem in _of_volume(volume):
            yield problem.under(f"volumes[{index}]")
    for index, container in enumerate(definition.container_definitions):
        for problem in _of_container(container):
            yield problem.under(f"containerDefinitions[{index}]")


def _of_task(task: TaskDefinition) -> Iterator[Problem]:
    platform, sandbox = task.runtime_platform, task.trusted_execution_configuration
    system = platform.operating_system_family if platform else None
    if system not in (None, "LINUX"):
        yield _not_yet("runtimePlatform.operatingSystemFamily", str(system), "use LINUX")
    if sandbox and sandbox.attestation_policy:
        yield Problem(
            "trustedExecutionConfiguration.attestationPolicy",
            "is not supported: there is nothing to attest; remove it",
        )
    if sandbox and sandbox.isolation_mode != "SHARED":
        yield _not_yet(
            "trustedExecutionConfiguration.isolationMode", sandbox.isolation_mode, "use SHARED"
        )
    if task.proxy_configuration:
        yield Problem(
            "proxyConfiguration",
            "is not supported: App Mesh's control plane and proxy set-up are AWS's; remove it",
        )
    if task.inference_accelerators:
        yield Problem("inferenceAccelerators", f"are not supported: {_NO_INFERENCE}; remove them")
    if task.ephemeral_storage:
        yield EPHEMERAL_STORAGE


def _of_volume(volume: Volume) -> Iterator[Problem]:
    docker, efs = volume.docker_volume_configuration, volume.efs_volume_configuration
    if docker and docker.driver not in (None, "", "local"):
        yield Problem(
            "dockerVolumeConfiguration.driver",
            f"{docker.driver} is a plugin of Docker, which is not here: use local, which mounts "
            "what mount(8) can (NFS too) with driverOpts type, device and o",
        )
    if efs:
        for problem in _of_efs(efs):
            yield problem.under("efsVolumeConfiguration")
    if volume.s3files_volume_configuration:
        yield _needs_helper("s3filesVolumeConfiguration", "S3 Files")
    if volume.fsx_windows_file_server_volume_configuration:
        yield Problem(
            "fsxWindowsFileServerVolumeConfiguration",
            "is for Windows only, with ECS too: use a dockerVolumeConfiguration with driverOpts "
            "type cifs",
        )
    if volume.configured_at_launch:
        yield Problem(
            "configuredAtLaunch",
            "needs the cloud to make and attach an EBS volume: attach a disk to the host, and use "
            "a dockerVolumeConfiguration with driverOpts type ext4 and device, or host.sourcePath",
        )


def _of_efs(efs: EfsVolume) -> Iterator[Problem]:
    """What the helper of EFS does beside mounting: a tunnel, and proof of who mounts."""
    authorization = efs.authorization_config
    if efs.transit_encryption == "ENABLED":
        yield _needs_helper("transitEncryption", "encryption on the way")
    elif efs.transit_encryption_port is not None:
        yield _needs_helper("transitEncryptionPort", "encryption on the way")
    if authorization and authorization.access_point_id:
        yield _needs_helper("authorizationConfig.accessPointId", "an access point")
    if authorization and authorization.iam == "ENABLED":
        yield _needs_helper("authorizationConfig.iam", "IAM")


def _needs_helper(path: str, what: str) -> Problem:
    return Problem(
        path,
        f"{what} needs the mount helper amazon-efs-utils, which Hostler does not drive: remove it "
        "(EFS is mounted by plain NFS 4.1), or mount it on the host and use host.sourcePath",
    )


def _of_container(container: ContainerDefinition) -> Iterator[Problem]:
    yield from _used(
        firelensConfiguration=container.firelens_configuration,
    )
    for index, wanted in enumerate(container.resource_requirements):
        for problem in _of_resource(wanted):
            yield problem.under(f"resourceRequirements[{index}]")
    if container.credential_specs:
        yield Problem("credentialSpecs", _NO_GMSA)
    for index, option in enumerate(container.docker_security_options):
        if option.startswith("credentialspec:"):
            yield Problem(f"dockerSecurityOptions[{index}]", _NO_GMSA)
    if container.log_configuration:
        for problem in _of_log(container.log_configuration):
            yield problem.under("logConfiguration")


def _of_resource(wanted: ResourceRequirement) -> Iterator[Problem]:
    if wanted.type == "InferenceAccelerator":
        yield Problem("type", f"is not supported: {_NO_INFERENCE}; remove it")
    if wanted.type == "NeuronDevice":
        yield Problem("type", "is not supported: give the devices with linuxParameters.devices")
    yield from _used(sharingStrategy=wanted.sharing_strategy)


def _of_log(log: LogConfiguration) -> Iterator[Problem]:
    if log.log_driver not in _LOG_DRIVERS:
        yield _not_yet("logDriver", log.log_driver, f"use {' or '.join(_LOG_DRIVERS)}")
    yield from idle_options(log)
    yield from _used(secretOptions=log.secret_options)


def _used(**fields: object) -> Iterator[Problem]:
    for name, value in fields.items():
        if value:
            yield Problem(name, "is not supported yet: remove it")


def _not_yet(path: str, value: str, instead: str = "remove it") -> Problem:
    return Problem(path, f"{value} is not supported yet: {instead}")

"""The ECS agent's JSON file: its keys are names of Go fields, and its times whole nanoseconds.

Each key stands for a variable, whose parser takes the value as text. As in the ECS agent a value
that is empty or zero is none, but for ``false``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_PULL_BEHAVIOURS = ("default", "always", "once", "prefer-cached")


class JsonError(Exception):
    """The file or one of its values can't be read; the text says which."""


def read(path: Path, text: str) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """By variable its text and where it stands, and keys that are not known. Raises JsonError."""
    if not text.strip():
        return {}, []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise JsonError(f"{path} is not a JSON object")
    settings, unknown = {}, []
    for key, value in found.items():
        if key.lower() not in _KEYS:
            unknown.append(key)
        elif value or value is False:
            name, text_of = _KEYS[key.lower()]
            try:
                settings[name] = text_of(value), f"{key} of {path}"
            except (TypeError, ValueError, LookupError):
                raise JsonError(f"{key} of {path} can't be {_kind(value)} like this") from None
    settings |= _rate(path, found)
    return settings, unknown


def _rate(path: Path, found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The two numbers of the limit of metadata requests, which are one variable."""
    keys = "TaskMetadataSteadyStateRate", "TaskMetadataBurstRate"
    given = {key.lower(): value for key, value in found.items()}
    numbers = [given.get(each.lower(), 0) for each in keys]
    if not any(numbers):
        return {}
    return {"ECS_TASK_METADATA_RPS_LIMIT": (",".join(map(str, numbers)), f"{keys[0]} of {path}")}


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false"}.get(
        type(value), "a number"
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _flag(value: object) -> str:
    if not isinstance(value, bool):
        raise TypeError
    return str(value).lower()


def _number(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return str(value)


def _time(value: object) -> str:
    return f"{_number(value)}ns"


def _json(value: object) -> str:
    return json.dumps(value)


def _pull_behaviour(value: object) -> str:
    return _PULL_BEHAVIOURS[int(_number(value))]


def _listed(value: object) -> str:
    if not isinstance(value, list):
        raise TypeError
    return ",".join(map(_text, value))


_KEYS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    key.lower(): (name, text_of)
    for text_of, names in (
        (
            _text,
            {
                "Cluster": "ECS_CLUSTER",
                "ClusterArn": "ECS_CLUSTER",
                "AWSRegion": "AWS_DEFAULT_REGION",
                "EngineAuthType": "ECS_ENGINE_AUTH_TYPE",
                "CredentialsAuditLogFile": "ECS_AUDIT_LOGFILE",
                "CNIPluginsPath": "ECS_CNI_PLUGINS_PATH",
                "APIEndpoint": "ECS_BACKEND_HOST",
                "DockerEndpoint": "DOCKER_HOST",
                "DataDir": "ECS_DATADIR",
                "DataDirOnHost": "ECS_HOST_DATA_DIR",
                "CgroupPath": "ECS_CGROUP_PATH",
            },
        ),
        (
            _flag,
            {
                "Checkpoint": "ECS_CHECKPOINT",
                "UpdatesEnabled": "ECS_UPDATES_ENABLED",
                "DisableMetrics": "ECS_DISABLE_METRICS",
                "PollMetrics": "ECS_POLL_METRICS",
                "DependentContainersPullUpfront": "ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT",
                "PrivilegedDisabled": "ECS_DISABLE_PRIVILEGED",
                "SELinuxCapable": "ECS_SELINUX_CAPABLE",
                "AppArmorCapable": "ECS_APPARMOR_CAPABLE",
                "TaskIAMRoleEnabled": "ECS_ENABLE_TASK_IAM_ROLE",
                "TaskIAMRoleEnabledForNetworkHost": "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST",
                "DeleteNonECSImagesEnabled": "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP",
                "TaskCPUMemLimit": "ECS_ENABLE_TASK_CPU_MEM_LIMIT",
                "CredentialsAuditLogDisabled": "ECS_AUDIT_LOGFILE_DISABLED",
                "TaskENIEnabled": "ECS_ENABLE_TASK_ENI",
                "ImageCleanupDisabled": "ECS_DISABLE_IMAGE_CLEANUP",
                "AWSVPCBlockInstanceMetdata": "ECS_AWSVPC_BLOCK_IMDS",
                "ContainerMetadataEnabled": "ECS_ENABLE_CONTAINER_METADATA",
                "SharedVolumeMatchFullConfig": "ECS_SHARED_VOLUME_MATCH_FULL_CONFIG",
                "SpotInstanceDrainingEnabled": "ECS_ENABLE_SPOT_INSTANCE_DRAINING",
                "GPUSupportEnabled": "ECS_ENABLE_GPU_SUPPORT",
                "FirelensAsyncEnabled": "ECS_ENABLE_FIRELENS_ASYNC",
            },
        ),
        (
            _time,
            {
                "PollingMetricsWaitDuration": "ECS_POLLING_METRICS_WAIT_DURATION",
                "ManifestPullTimeout": "ECS_MANIFEST_PULL_TIMEOUT",
                "DockerStopTimeout": "ECS_CONTAINER_STOP_TIMEOUT",
                "ContainerStartTimeout": "ECS_CONTAINER_START_TIMEOUT",
                "ContainerCreateTimeout": "ECS_CONTAINER_CREATE_TIMEOUT",
                "ImagePullInactivityTimeout": "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT",
                "ImagePullTimeout": "ECS_IMAGE_PULL_TIMEOUT",
                "TaskCleanupWaitDuration": "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION",
                "TaskCleanupWaitDurationJitter": "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER",
                "MinimumImageDeletionAge": "ECS_IMAGE_MINIMUM_CLEANUP_AGE",
                "NonECSMinimumImageDeletionAge": "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE",
                "ImageCleanupInterval": "ECS_IMAGE_CLEANUP_INTERVAL",
            },
        ),
        (
            _number,
            {
                "ReservedMemory": "ECS_RESERVED_MEMORY",
                "NumImagesToDeletePerCycle": "ECS_NUM_IMAGES_DELETE_PER_CYCLE",
                "TaskPidsLimit": "ECS_TASK_PIDS_LIMIT",
            },
        ),
        (
            _json,
            {
                "EngineAuthData": "ECS_ENGINE_AUTH_DATA",
                "ReservedPorts": "ECS_RESERVED_PORTS",
                "ReservedPortsUDP": "ECS_RESERVED_PORTS_UDP",
                "AvailableLoggingDrivers": "ECS_AVAILABLE_LOGGING_DRIVERS",
                "InstanceAttributes": "ECS_INSTANCE_ATTRIBUTES",
                "ContainerInstanceTags": "ECS_CONTAINER_INSTANCE_TAGS",
                "AWSVPCAdditionalLocalRoutes": "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES",
                "TaskMetadataSteadyStateRate": "ECS_TASK_METADATA_RPS_LIMIT",
                "TaskMetadataBurstRate": "ECS_TASK_METADATA_RPS_LIMIT",
            },
        ),
        (_pull_behaviour, {"ImagePullBehavior": "ECS_IMAGE_PULL_BEHAVIOR"}),
        (_listed, {"ImageCleanupExclusionList": "ECS_EXCLUDE_UNTRACKED_IMAGE"}),
    )
    for key, name in names.items()
}
"""By key in lower case its variable, and how its value is written there."""

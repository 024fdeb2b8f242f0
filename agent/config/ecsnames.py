"""Settings of the ECS agent that Hostler has no use for, each with the reason.

What may be ignored without harm is accepted, so that a host's ``ecs.config`` can stay as it is;
what would be missed is refused. A name that is in neither table is told at the start: it is
misspelt, or newer than this list (amazon-ecs-agent 1.105). docs/configuration.md has both tables.
"""

from __future__ import annotations

from collections.abc import Mapping

_NO_CLUSTER = "there is no control plane to tell it to"
_CAPABILITY = "only tells a control plane what to place here; what is asked for works or is refused"
_LOG = "the agent logs to standard error, which the journal keeps, rotates and ships"
_DOCKER = "there is no Docker"
_INIT = "there is no init container around the agent"

WITHOUT_EFFECT: Mapping[str, str] = {
    "ECS_BACKEND_HOST": _NO_CLUSTER,
    "ECS_CONTAINER_INSTANCE_PROPAGATE_TAGS_FROM": (
        "tags of the instance are what ECS_CONTAINER_INSTANCE_TAGS says"
    ),
    "ECS_EXTERNAL": "every host is treated alike; awsvpc works outside AWS too",
    "ECS_WARM_POOLS_CHECK": _NO_CLUSTER,
    "ECS_DETAILED_OS_FAMILY": _NO_CLUSTER,
    "ECS_INSTANCE_IP_COMPATIBILITY": _NO_CLUSTER,
    "ECS_ALTERNATE_CREDENTIAL_PROFILE": "use AWS_PROFILE, which the AWS libraries read",
    "ECS_UPDATES_ENABLED": "the package manager updates Hostler; tasks run on meanwhile",
    "ECS_UPDATE_DOWNLOAD_DIR": "the package manager updates Hostler",
    "ECS_DATADIR": "state is in HOSTLER_STATE_DIR, and always kept",
    "ECS_HOST_DATA_DIR": "the agent does not run in a container: paths are the host's",
    "ECS_CHECKPOINT": "state is always kept",
    "ECS_AGENT_HEALTHCHECK_HOST": "health is asked of HOSTLER_INTROSPECTION_LISTEN",
    "ECS_PAUSE_LABELS": "there are no pause containers",
    "ECS_CGROUP_PATH": "cgroups are where the kernel has them: /sys/fs/cgroup",
    "ECS_NVIDIA_RUNTIME": "devices come from CDI specifications, with any runtime",
    "ECS_ENABLE_INF_SUPPORT": "inference accelerators are refused in task definitions",
    "ECS_VOLUME_PLUGIN_CAPABILITIES": "EFS is mounted by NFS, without a volume plugin",
    "ECS_EBSTA_SUPPORTED": "nobody attaches EBS volumes; configuredAtLaunch is refused",
    "ECS_SELINUX_CAPABLE": _CAPABILITY,
    "ECS_APPARMOR_CAPABLE": _CAPABILITY,
    "ECS_GMSA_SUPPORTED": "credentialSpecs are refused in task definitions",
    "ECS_DOMAIN_JOINED_LINUX_INSTANCE": "credentialSpecs are refused in task definitions",
    "CREDENTIALS_FETCHER_HOST": "credentialSpecs are refused in task definitions",
    "CREDENTIALS_FETCHER_HOST_DIR": "credentialSpecs are refused in task definitions",
    "CREDENTIALS_FETCHER_SECRET_NAME_FOR_DOMAINLESS_GMSA": (
        "credentialSpecs are refused in task definitions"
    ),
    "ECS_DISABLE_DOCKER_HEALTH_CHECK": _CAPABILITY,
    "NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE": "containers of others are never removed",
    "ECS_ENABLE_HIGH_DENSITY_ENI": "trunks are what the file HOSTLER_ENIS says",
    "ECS_EXCLUDE_IPV6_PORTBINDING": "a published port is shown once, whatever its family",
    "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER": "no such filter is needed: metadata is served inside",
    "ECS_OFFHOST_INTROSPECTION_INTERFACE_NAME": "the ECS agent does not read it any more either",
    "ECS_ENABLE_TASK_IAM_ROLE": "tasks have credentials where there is a file HOSTLER_TASK_ROLES",
    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": (
        "in host mode too, where there is a file HOSTLER_TASK_ROLES"
    ),
    "ECS_AVAILABLE_LOGGING_DRIVERS": _CAPABILITY,
    "ECS_ENABLE_AWSLOGS_EXECUTIONROLE_OVERRIDE": _CAPABILITY,
    "ECS_ENABLE_FIRELENS_ASYNC": "firelensConfiguration is refused in task definitions",
    "ECS_POLL_METRICS": "figures are read at intervals of ECS_POLLING_METRICS_WAIT_DURATION",
    "ECS_ENABLE_RUNTIME_STATS": "they are figures of Go; see /metrics for the agent's own",
    "ECS_ENABLE_PROMETHEUS_METRICS": "/metrics is always there, at HOSTLER_INTROSPECTION_LISTEN",
    "ECS_LOGLEVEL_ON_INSTANCE": _LOG,
    "ECS_LOGFILE": _LOG,
    "ECS_LOG_OUTPUT_FORMAT": _LOG,
    "ECS_LOG_ROLLOVER_TYPE": _LOG,
    "ECS_LOG_MAX_FILE_SIZE_MB": _LOG,
    "ECS_LOG_MAX_ROLL_COUNT": _LOG,
    "ECS_LOG_DRIVER": _INIT,
    "ECS_LOG_OPTS": _INIT,
    "ECS_INIT_DOCKER_LOG_FILE_SIZE": _INIT,
    "ECS_INIT_DOCKER_LOG_FILE_NUM": _INIT,
    "ECS_AGENT_RUN_PRIVILEGED": _INIT,
    "ECS_AGENT_LABELS": _INIT,
    "ECS_AGENT_APPARMOR_PROFILE": _INIT,
    "ECS_AGENT_PID_NAMESPACE_HOST": _INIT,
    "DOCKER_HOST": f"{_DOCKER}; HOSTLER_CONTAINERD names containerd's socket",
}
"""By name why it has no effect here."""

REFUSED: Mapping[str, tuple[tuple[str, ...], str]] = {
    "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES": (
        ("[]",),
        "a task in awsvpc mode has no way to the host beside its own interface, these routes would "
        "lead nowhere: remove it",
    ),
    "ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS": (
        ("0", "f", "F", "FALSE", "false", "False"),
        "say with HOSTLER_INTROSPECTION_LISTEN where introspection listens: remove it",
    ),
}
"""By name the values that do no harm, and why no other can be taken."""

IN_CONTAINERS = frozenset(
    {
        *("ECS_CONTAINER_METADATA_URI", "ECS_CONTAINER_METADATA_URI_V4", "ECS_AGENT_URI"),
        "ECS_CONTAINER_METADATA_FILE",
    }
)
"""No settings: what an ECS agent tells the containers that it starts."""

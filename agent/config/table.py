"""All settings: the name of each, the field of Settings that it sets, and what it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from agent.config import adjusting, network, values
from agent.settings import Settings

SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "HOSTLER_STATE_DIR": ("state_dir", values.own_folder),
    "HOSTLER_RUN_DIR": ("run_dir", values.own_folder),
    "HOSTLER_API_LISTEN": ("api_listen", network.listen),
    "HOSTLER_ACCOUNT": ("account", values.matching(r"[0-9]{12}", "an account number of 12 digits")),
    "HOSTLER_CONTAINERD": (
        "containerd",
        values.matching(r"auto|embedded|/.+", "auto, embedded, or the path of a containerd socket"),
    ),
    "HOSTLER_CONTAINERD_NAMESPACE": ("containerd_namespace", values.WORD),
    "HOSTLER_SNAPSHOTTER": ("snapshotter", values.WORD),
    "HOSTLER_RUNTIME": ("runtime", values.matching(r"\S+", "the name or path of an OCI runtime")),
    "HOSTLER_BRIDGE": ("bridge", network.INTERFACE),
    "HOSTLER_BRIDGE_SUBNET": ("bridge_subnet", network.subnet),
    "HOSTLER_NFT_TABLE": ("nft_table", network.nft_table),
    "HOSTLER_CGROUP_PARENT": (
        "cgroup_parent",
        values.matching(
            r"(/[A-Za-z0-9_.-]+)+|[A-Za-z0-9_.:]+(-[A-Za-z0-9_.:]+)*\.slice",
            "a path below the cgroup mount such as /hostler, or a slice such as hostler.slice",
        ),
    ),
    "HOSTLER_VETH_PREFIX": (
        "veth_prefix",
        values.matching(r"[a-z][a-z0-9]{0,3}", "1 to 4 letters"),
    ),
    "ECS_CLUSTER": ("cluster", values.cluster),
    "AWS_DEFAULT_REGION": (
        "region",
        values.trimmed(values.matching(r"[a-z0-9-]+", "a region such as eu-west-1")),
    ),
    "ECS_CONTAINER_STOP_TIMEOUT": ("stop_timeout_s", adjusting.at_least(1.0, 1.0, unset=30.0)),
    "ECS_CONTAINER_CREATE_TIMEOUT": (
        "create_timeout_s",
        adjusting.at_least(60.0, 60.0, unset=240.0),
    ),
    "ECS_CONTAINER_START_TIMEOUT": ("start_timeout_s", adjusting.at_least(45.0, 45.0, unset=180.0)),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": (
        "keep_stopped_s",
        adjusting.at_least(1.0, 3 * 3600.0, unset=3 * 3600.0),
    ),
    "ECS_DYNAMIC_HOST_PORT_RANGE": ("port_range", network.port_range),
    "ECS_LOGLEVEL": (
        "log_level",
        values.matching(
            r"crit|error|warn|info|debug|none", "crit, error, warn, info, debug or none"
        ),
    ),
    "HOSTLER_BRIDGE_SUBNET6": ("bridge_subnet6", network.subnet6),
    "HOSTLER_BRIDGE_BLOCK_IMDS": ("bridge_block_imds", values.boolean),
    "HOSTLER_SECURITY_GROUPS": ("security_groups", values.absolute),
    "HOSTLER_CNI_CONF_DIR": ("cni_conf_dir", values.absolute),
    "ECS_CNI_PLUGINS_PATH": ("cni_plugin_path", values.search_path),
    "ECS_ENABLE_TASK_ENI": ("awsvpc", values.boolean),
    "ECS_AWSVPC_BLOCK_IMDS": ("awsvpc_block_imds", values.boolean),
    "HOSTLER_ENI_PROVIDER": (
        "eni_provider",
        values.matching(r"pool|macvlan|ec2|none", "pool, macvlan, ec2 or none"),
    ),
    "HOSTLER_ENI_TIMEOUT": ("eni_timeout_s", values.duration),
    "HOSTLER_ENI_LIMIT": ("eni_limit", values.at_least_one),
    "HOSTLER_ENIS": ("enis", values.absolute),
    "HOSTLER_ENI_PARENT": ("eni_parent", network.INTERFACE),
    "HOSTLER_ENI_SUBNET": ("eni_subnets", network.networks),
    "HOSTLER_ENI_GATEWAY": ("eni_gateways", network.addresses),
    "HOSTLER_ENI_RANGE": ("eni_ranges", network.address_ranges),
    "HOSTLER_EC2_INSTANCE_ID": (
        "ec2_instance_id",
        values.matching(r"i-[0-9a-f]{8,17}", "an id such as i-0123456789abcdef0"),
    ),
    "HOSTLER_EC2_SUBNETS": ("ec2_subnets", network.ids("subnet")),
    "HOSTLER_EC2_SECURITY_GROUPS": ("ec2_security_groups", network.ids("sg")),
    "ECS_TASK_METADATA_RPS_LIMIT": ("metadata_rate", adjusting.rate(40.0, 60)),
    "ECS_CONTAINER_INSTANCE_TAGS": ("instance_tags", values.tags),
    "HOSTLER_AVAILABILITY_ZONE": (
        "availability_zone",
        values.matching(r"[a-z0-9-]+", "a zone such as eu-west-1a"),
    ),
    "ECS_DISABLE_TASK_METADATA_AZ": ("zone_hidden", values.boolean),
    "ECS_DISABLE_METRICS": ("metrics_disabled", values.boolean),
    "ECS_POLLING_METRICS_WAIT_DURATION": ("metrics_interval_s", adjusting.between(5, 20, unset=10)),
    "ECS_ENABLE_CONTAINER_METADATA": ("metadata_files", values.boolean),
    "HOSTLER_INTROSPECTION_LISTEN": ("introspection_listen", network.listen),
    "HOSTLER_TASK_ROLES": ("task_roles", values.absolute),
    "ECS_AUDIT_LOGFILE": ("audit_log", values.absolute),
    "ECS_AUDIT_LOGFILE_DISABLED": ("audit_log_disabled", values.boolean),
    "ECS_IMAGE_PULL_BEHAVIOR": ("pull_behavior", adjusting.pull_behavior),
    "ECS_IMAGE_PULL_TIMEOUT": ("pull_timeout_s", adjusting.at_least(0, 0, unset=2 * 3600.0)),
    "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT": (
        "pull_inactivity_s",
        adjusting.at_least(60.0, 60.0, unset=60.0),
    ),
    "ECS_MANIFEST_PULL_TIMEOUT": ("manifest_timeout_s", adjusting.at_least(30.0, 30.0, unset=60.0)),
    "ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT": ("pull_upfront", values.boolean),
    "HOSTLER_PULL_PARALLEL": ("pull_parallel", values.at_least_one),
    "HOSTLER_LAYER_LIMIT": ("layer_limit", values.size),
    "HOSTLER_REGISTRY_HOSTS": ("registry_hosts", values.search_path),
    "HOSTLER_INSECURE_REGISTRIES": ("insecure_registries", values.texts),
    "HOSTLER_DOCKER_CONFIG": ("docker_config", values.absolute),
    "ECS_ENGINE_AUTH_TYPE": (
        "engine_auth_type",
        values.trimmed(values.matching(r"docker|dockercfg", "docker or dockercfg")),
    ),
    "ECS_ENGINE_AUTH_DATA": ("engine_auth_data", str),
    "HOSTLER_SECRETS_DIR": ("secrets_dir", values.absolute),
    "ECS_DISABLE_IMAGE_CLEANUP": ("image_cleanup_disabled", values.boolean),
    "ECS_IMAGE_CLEANUP_INTERVAL": (
        "image_cleanup_interval_s",
        adjusting.at_least(600.0, 1800.0, unset=1800.0),
    ),
    "ECS_IMAGE_MINIMUM_CLEANUP_AGE": ("image_min_age_s", adjusting.at_least(0, 0, unset=3600.0)),
    "ECS_NUM_IMAGES_DELETE_PER_CYCLE": ("images_per_cycle", adjusting.count_or(5)),
    "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP": ("untracked_image_cleanup", values.boolean),
    "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE": (
        "untracked_image_min_age_s",
        adjusting.at_least(0, 0, unset=3600.0),
    ),
    "ECS_EXCLUDE_UNTRACKED_IMAGE": ("kept_images", values.texts),
    "HOSTLER_IMAGE_DISK_HIGH": ("image_disk_high", values.percent),
    "HOSTLER_IMAGE_DISK_LOW": ("image_disk_low", values.percent),
    "ECS_DISABLE_PRIVILEGED": ("privileged_disabled", values.boolean),
    "HOSTLER_RUNTIMES": ("runtimes", values.absolute),
    "HOSTLER_CGROUP_DRIVER": (
        "cgroup_driver",
        values.matching(r"auto|cgroupfs|systemd", "auto, cgroupfs or systemd"),
    ),
    "ECS_ENABLE_TASK_CPU_MEM_LIMIT": ("task_limits", values.boolean),
    "ECS_CGROUP_CPU_PERIOD": ("cpu_period_s", adjusting.within(0.008, 0.1, otherwise=0.1)),
    "ECS_TASK_PIDS_LIMIT": ("pids_limit", adjusting.count_within(1, 4194304)),
    "ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2": ("limits_shown", values.boolean),
    "ECS_ENABLE_GPU_SUPPORT": ("gpus", values.boolean),
    "HOSTLER_GPU_KIND": (
        "gpu_kind",
        values.matching(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", "a CDI kind such as nvidia.com/gpu"),
    ),
    "HOSTLER_CDI_DIRS": ("cdi_dirs", values.search_path),
    "HOSTLER_ENV_FILES_DIR": ("env_files_dir", values.absolute),
    "ECS_SHARED_VOLUME_MATCH_FULL_CONFIG": ("shared_volumes_match_full", values.boolean),
    "HOSTLER_EFS_SERVERS": ("efs_servers", network.nfs_servers),
    "HOSTLER_CPU": ("cpu_units", values.whole(2**31 - 1, 1)),
    "HOSTLER_MEMORY": ("memory_mib", values.whole(2**31 - 1, 1)),
    "ECS_RESERVED_MEMORY": ("reserved_memory_mib", values.whole(65535)),
    "ECS_RESERVED_PORTS": ("reserved_ports", network.ports),
    "ECS_RESERVED_PORTS_UDP": ("reserved_ports_udp", network.ports_or_none),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER": ("keep_stopped_jitter_s", values.duration),
    "ECS_INSTANCE_ATTRIBUTES": ("instance_attributes", values.tags),
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING": ("spot_draining", values.boolean),
    "HOSTLER_SPOT_NOTICE": ("spot_notice", values.absolute),
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": ("metadata_service", network.http_address),
}

assert {known_as for known_as, _ in SETTINGS.values()} == {each.name for each in fields(Settings)}

HIDDEN = frozenset(each.name for each in fields(Settings) if not each.repr)
"""Fields of Settings whose values are secret."""

"""The settings of an agent as values. How they are set, and by which names, is in ``config``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING

from agent.task.names import Names

if TYPE_CHECKING:  # for real, whoever imports this module first would import it half made
    from agent.config.network import Address, Network, Range

_SUBNET = IPv4Network("10.213.0.0/16")

RUNTIMES_FILE = Path("/etc/hostler/runtimes.json")

LOCAL_REGION = "local"
"""The region of a host that is in none of AWS's."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. Times in seconds. See ``config`` for the names they are set by."""

    state_dir: Path = Path("/var/lib/hostler")
    run_dir: Path = Path("/run/hostler")
    api_listen: tuple[str, int] | None = ("127.0.0.1", 51680)
    cluster: str = "default"
    region: str = LOCAL_REGION
    account: str = "000000000000"
    containerd: str = "auto"
    containerd_namespace: str = "hostler"
    snapshotter: str = "overlayfs"
    runtime: str = "runc"
    bridge: str = "hostler0"
    bridge_subnet: IPv4Network = _SUBNET
    nft_table: str = "hostler"
    cgroup_parent: str = ""
    veth_prefix: str = "hv"
    stop_timeout_s: float = 30.0
    create_timeout_s: float = 240.0
    start_timeout_s: float = 180.0
    keep_stopped_s: float = 3 * 3600.0
    port_range: tuple[int, int] | None = None
    log_level: str = "info"
    bridge_subnet6: IPv6Network | None = None
    bridge_block_imds: bool = True
    security_groups: Path | None = None
    cni_conf_dir: Path = Path("/etc/hostler/cni")
    cni_plugin_path: tuple[Path, ...] = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))
    awsvpc: bool = True
    awsvpc_block_imds: bool = True
    eni_provider: str = "none"
    eni_timeout_s: float = 300.0
    eni_limit: int | None = None
    enis: Path | None = None
    eni_parent: str = ""
    eni_subnets: tuple[Network, ...] = ()
    eni_gateways: tuple[Address, ...] = ()
    eni_ranges: tuple[Range, ...] = ()
    ec2_instance_id: str = ""
    ec2_subnets: tuple[str, ...] = ()
    ec2_security_groups: tuple[str, ...] = ()
    metadata_rate: tuple[float, int] = (40.0, 60)
    instance_tags: Mapping[str, str] = field(default_factory=dict)
    availability_zone: str = ""
    zone_hidden: bool = False
    metrics_disabled: bool = False
    metrics_interval_s: float = 10.0
    metadata_files: bool = False
    introspection_listen: tuple[str, int] | None = ("127.0.0.1", 51678)
    task_roles: Path = Path("/etc/hostler/roles")
    audit_log: Path = Path("/var/log/hostler/audit.log")
    audit_log_disabled: bool = False
    pull_behavior: str = "default"
    pull_timeout_s: float = 2 * 3600.0
    pull_inactivity_s: float = 60.0
    manifest_timeout_s: float = 60.0
    pull_upfront: bool = False
    pull_parallel: int = 6
    layer_limit: int = 32 * 1024**3
    registry_hosts: tuple[Path, ...] = (
        Path("/etc/hostler/certs.d"),
        Path("/etc/containerd/certs.d"),
        Path("/etc/docker/certs.d"),
    )
    insecure_registries: frozenset[str] = frozenset()
    docker_config: Path = Path("/root/.docker/config.json")
    engine_auth_type: str = ""
    engine_auth_data: str = field(default="", repr=False)
    secrets_dir: Path = Path("/etc/hostler/secrets")
    image_cleanup_disabled: bool = False
    image_cleanup_interval_s: float = 1800.0
    image_min_age_s: float = 3600.0
    images_per_cycle: int = 5
    untracked_image_cleanup: bool = False
    untracked_image_min_age_s: float = 3600.0
    kept_images: frozenset[str] = frozenset()
    image_disk_high: int = 85
    image_disk_low: int = 75
    privileged_disabled: bool = False
    runtimes: Path = RUNTIMES_FILE
    cgroup_driver: str = "auto"
    task_limits: bool | None = None
    cpu_period_s: float = 0.1
    pids_limit: int | None = None
    limits_shown: bool = True
    gpus: bool = False
    gpu_kind: str = ""
    cdi_dirs: tuple[Path, ...] = (Path("/etc/cdi"), Path("/var/run/cdi"))
    env_files_dir: Path = Path("/etc/hostler/env-files")
    shared_volumes_match_full: bool = False
    efs_servers: Mapping[str, str] = field(default_factory=dict)
    cpu_units: int | None = None
    memory_mib: int | None = None
    reserved_memory_mib: int = 0
    reserved_ports: frozenset[int] | None = None
    reserved_ports_udp: frozenset[int] = frozenset()
    keep_stopped_jitter_s: float = 0.0
    instance_attributes: Mapping[str, str] = field(default_factory=dict)
    spot_draining: bool = False
    spot_notice: Path | None = None
    metadata_service: str = "http://169.254.169.254"

    @property
    def names(self) -> Names:
        """The names that follow from these settings."""
        return Names(
            run_dir=self.run_dir,
            state_dir=self.state_dir,
            cgroup_parent=self.cgroup_parent if self.cgroup_parent.startswith("/") else "/hostler",
            veth_prefix=self.veth_prefix,
        )

    @property
    def faults_table(self) -> str:
        """The nftables table of network faults, in each namespace that has some."""
        return f"{self.nft_table}-faults"

    @property
    def metadata_table(self) -> str:
        """The nftables table before the metadata socket, in each namespace that has one."""
        return f"{self.nft_table}-metadata"

    @property
    def api_socket(self) -> Path:
        """The control API's unix socket."""
        return self.run_dir / "api.sock"

    @property
    def credentials(self) -> Path:
        """The keys of the control API over TCP."""
        return self.state_dir / "credentials"

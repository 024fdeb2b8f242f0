"""Settings: a flag beats the environment, the environment beats the files, the files beat defaults.

Files hold ``KEY=VALUE`` lines like ``/etc/ecs/ecs.config``, which is read too (our own beats it).
Names that begin with ``ECS_`` mean what they mean to the ECS agent; ours begin with ``HOSTLER_``.
Every name on the host can be set, so that two agents with different settings never meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from agent import values
from agent.task.names import Names
from agent.values import Address, Network, Range

OUR_FILE = Path("/etc/hostler/hostler.config")
FILES = (Path("/etc/ecs/ecs.config"), OUR_FILE)
"""Later files beat earlier ones."""

_SUBNET = IPv4Network("10.213.0.0/16")

LOCAL_REGION = "local"
"""The region of a host that is in none of AWS's."""


class ConfigError(Exception):
    """A setting can't be used; the text names it, where it was set, and what it may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. Times in seconds. See ``_SETTINGS`` for the names they are set by."""

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
    cgroup_parent: str = "/hostler"
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

    @property
    def names(self) -> Names:
        """The names that follow from these settings."""
        return Names(
            run_dir=self.run_dir,
            state_dir=self.state_dir,
            cgroup_parent=self.cgroup_parent,
            veth_prefix=self.veth_prefix,
        )

    @property
    def faults_table(self) -> str:
        """The nftables table of network faults, in each namespace that has some."""
        return f"{self.nft_table}-faults"

    @property
    def api_socket(self) -> Path:
        """The control API's unix socket."""
        return self.run_dir / "api.sock"

    @property
    def credentials(self) -> Path:
        """The keys of the control API over TCP."""
        return self.state_dir / "credentials"


def load(
    flags: Mapping[str, str], environ: Mapping[str, str], files: tuple[Path, ...] = FILES
) -> Settings:
    """Reads the settings from flags, environment and files. Raises ConfigError.

    An empty value is as good as none: it hides nothing that was set elsewhere.
    """
    sources = [
        *map(_read, files),
        {name: (value, "the environment") for name, value in environ.items()},
        {name: (value, "the command line") for name, value in flags.items()},
    ]
    found: dict[str, tuple[str, str]] = {}
    for source in sources:
        _refuse_unknown(source)
        found.update({name: setting for name, setting in source.items() if setting[0] != ""})
    settings = _parsed(found)
    if "HOSTLER_ENI_PROVIDER" not in found:
        settings = replace(settings, eni_provider=_eni_provider(settings))
    _refuse_contradictions(settings)
    return settings


def _parsed(found: Mapping[str, tuple[str, str]]) -> Settings:
    fields_set: dict[str, Any] = {}
    for name, (known_as, parse) in _SETTINGS.items():
        if name not in found:
            continue
        text, where = found[name]
        try:
            fields_set[known_as] = parse(text)
        except ValueError as error:
            raise ConfigError(f"{name}={text} ({where}): {error}") from error
    return Settings(**fields_set)


def _eni_provider(given: Settings) -> str:
    """The provider that the other settings speak of, when none is named."""
    if given.enis and given.eni_parent:
        raise ConfigError(
            "HOSTLER_ENIS and HOSTLER_ENI_PARENT are both set: "
            "say with HOSTLER_ENI_PROVIDER=pool or =macvlan which of them it shall be"
        )
    if given.eni_parent:
        return "macvlan"
    return "pool" if given.enis else "none"


def _refuse_contradictions(given: Settings) -> None:
    """What no setting alone shows."""
    if given.eni_provider == "pool" and not given.enis:
        raise ConfigError("HOSTLER_ENI_PROVIDER=pool needs HOSTLER_ENIS, the file of interfaces")
    if given.eni_provider == "macvlan" and not (given.eni_parent and given.eni_subnets):
        raise ConfigError(
            "macvlan interfaces need both HOSTLER_ENI_PARENT, the interface they are children of, "
            "and HOSTLER_ENI_SUBNET, the network whose addresses they get"
        )
    if given.eni_provider == "none" and given.eni_subnets:
        raise ConfigError("HOSTLER_ENI_SUBNET is of no use without HOSTLER_ENI_PARENT")
    for gateway in given.eni_gateways:
        _refuse_outside("HOSTLER_ENI_GATEWAY", gateway, given.eni_subnets)
    for ends in given.eni_ranges:
        for end in ends:
            _refuse_outside("HOSTLER_ENI_RANGE", end, given.eni_subnets)


def _refuse_outside(name: str, address: Address, subnets: tuple[Network, ...]) -> None:
    if not any(address in each for each in subnets):
        listed = ",".join(map(str, subnets)) or "unset"
        raise ConfigError(f"{name}: {address} is not in HOSTLER_ENI_SUBNET, which is {listed}")


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """The settings of one file, each with where it stands. A missing file has none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        name, equals, value = (each.strip() for each in line.partition("="))
        if line.strip() == "" or name.startswith("#"):
            continue
        if not equals or not name:
            raise ConfigError(f"{path} line {number}: {line.strip()!r} is not KEY=VALUE")
        found[name] = (value, f"{path} line {number}")
    return found


def _refuse_unknown(found: Mapping[str, tuple[str, str]]) -> None:
    """A misspelt setting of ours would be a silent default; the ECS agent has many more than we."""
    for name, (_, where) in found.items():
        if name.startswith("HOSTLER_") and name not in _SETTINGS:
            raise ConfigError(f"{name} ({where}) is no setting of Hostler; {_meant(name)}")
    routes, where = found.get("ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES", ("", ""))
    if routes not in ("", "[]"):
        raise ConfigError(
            f"ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES={routes} ({where}): a task in awsvpc mode has no "
            "way to the host beside its own interface, these routes would lead nowhere: remove it"
        )


def _meant(name: str) -> str:
    known = [each.removeprefix("HOSTLER_") for each in _SETTINGS if each.startswith("HOSTLER_")]
    near = get_close_matches(name.removeprefix("HOSTLER_"), known, n=1)
    if near:
        return f"did you mean HOSTLER_{near[0]}?"
    return f"there are {', '.join(f'HOSTLER_{each}' for each in known)}"


_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "HOSTLER_STATE_DIR": ("state_dir", values.absolute),
    "HOSTLER_RUN_DIR": ("run_dir", values.absolute),
    "HOSTLER_API_LISTEN": ("api_listen", values.listen),
    "HOSTLER_ACCOUNT": ("account", values.matching(r"[0-9]{12}", "an account number of 12 digits")),
    "HOSTLER_CONTAINERD": (
        "containerd",
        values.matching(r"auto|embedded|/.+", "auto, embedded, or the path of a containerd socket"),
    ),
    "HOSTLER_CONTAINERD_NAMESPACE": ("containerd_namespace", values.WORD),
    "HOSTLER_SNAPSHOTTER": ("snapshotter", values.WORD),
    "HOSTLER_RUNTIME": ("runtime", values.matching(r"\S+", "the name or path of an OCI runtime")),
    "HOSTLER_BRIDGE": ("bridge", values.INTERFACE),
    "HOSTLER_BRIDGE_SUBNET": ("bridge_subnet", values.subnet),
    "HOSTLER_NFT_TABLE": (
        "nft_table",
        values.matching(r"[A-Za-z][A-Za-z0-9_-]{0,30}", "a table name"),
    ),
    "HOSTLER_CGROUP_PARENT": (
        "cgroup_parent",
        values.matching(r"(/[A-Za-z0-9_.-]+)+", "a path below the cgroup mount such as /hostler"),
    ),
    "HOSTLER_VETH_PREFIX": (
        "veth_prefix",
        values.matching(r"[a-z][a-z0-9]{0,3}", "1 to 4 letters"),
    ),
    "ECS_CLUSTER": ("cluster", values.WORD),
    "AWS_DEFAULT_REGION": ("region", values.matching(r"[a-z0-9-]+", "a region such as eu-west-1")),
    "ECS_CONTAINER_STOP_TIMEOUT": ("stop_timeout_s", values.at_least(1.0, 1.0, unset=30.0)),
    "ECS_CONTAINER_CREATE_TIMEOUT": ("create_timeout_s", values.at_least(60.0, 60.0, unset=240.0)),
    "ECS_CONTAINER_START_TIMEOUT": ("start_timeout_s", values.at_least(45.0, 45.0, unset=180.0)),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": (
        "keep_stopped_s",
        values.at_least(1.0, 3 * 3600.0, unset=3 * 3600.0),
    ),
    "ECS_DYNAMIC_HOST_PORT_RANGE": ("port_range", values.port_range),
    "ECS_LOGLEVEL": (
        "log_level",
        values.matching(r"crit|error|warn|info|debug", "crit, error, warn, info or debug"),
    ),
    "HOSTLER_BRIDGE_SUBNET6": ("bridge_subnet6", values.subnet6),
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
    "HOSTLER_ENI_PARENT": ("eni_parent", values.INTERFACE),
    "HOSTLER_ENI_SUBNET": ("eni_subnets", values.networks),
    "HOSTLER_ENI_GATEWAY": ("eni_gateways", values.addresses),
    "HOSTLER_ENI_RANGE": ("eni_ranges", values.address_ranges),
    "HOSTLER_EC2_INSTANCE_ID": (
        "ec2_instance_id",
        values.matching(r"i-[0-9a-f]{8,17}", "an id such as i-0123456789abcdef0"),
    ),
    "HOSTLER_EC2_SUBNETS": ("ec2_subnets", values.ids("subnet")),
    "HOSTLER_EC2_SECURITY_GROUPS": ("ec2_security_groups", values.ids("sg")),
    "ECS_TASK_METADATA_RPS_LIMIT": ("metadata_rate", values.rate(40.0, 60)),
    "ECS_CONTAINER_INSTANCE_TAGS": ("instance_tags", values.tags),
    "HOSTLER_AVAILABILITY_ZONE": (
        "availability_zone",
        values.matching(r"[a-z0-9-]+", "a zone such as eu-west-1a"),
    ),
    "ECS_DISABLE_TASK_METADATA_AZ": ("zone_hidden", values.boolean),
    "ECS_DISABLE_METRICS": ("metrics_disabled", values.boolean),
    "ECS_POLLING_METRICS_WAIT_DURATION": ("metrics_interval_s", values.between(5, 20, unset=10)),
    "ECS_ENABLE_CONTAINER_METADATA": ("metadata_files", values.boolean),
    "HOSTLER_INTROSPECTION_LISTEN": ("introspection_listen", values.listen),
    "HOSTLER_TASK_ROLES": ("task_roles", values.absolute),
    "ECS_AUDIT_LOGFILE": ("audit_log", values.absolute),
    "ECS_AUDIT_LOGFILE_DISABLED": ("audit_log_disabled", values.boolean),
}

assert {known_as for known_as, _ in _SETTINGS.values()} == {each.name for each in fields(Settings)}

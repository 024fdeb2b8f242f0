"""Settings: a flag beats the environment, the environment beats the files, the files beat defaults.

Files hold ``KEY=VALUE`` lines like ``/etc/ecs/ecs.config``, which is read too (our own beats it,
and it beats the ECS agent's JSON file). Names that begin with ``ECS_`` mean what they mean to the
ECS agent; ours begin with ``HOSTLER_``. Every name on the host can be set, so that two agents with
different settings never meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from agent import configjson, values
from agent.ecsnames import IN_CONTAINERS, REFUSED, WITHOUT_EFFECT
from agent.registry.logins import engine_auth
from agent.settings import Settings
from agent.values import Address, Network

OUR_FILE = Path("/etc/hostler/hostler.config")
JSON_FILE = "ECS_AGENT_CONFIG_FILE_PATH"
"""The variable that names the ECS agent's JSON file."""

FILES = (Path("/etc/ecs/ecs.config.json"), Path("/etc/ecs/ecs.config"), OUR_FILE)
"""Later files beat earlier ones. The first is where ECS's init keeps the JSON file."""

PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What a file may say that is not ours but of the agent's environment; and all of AWS_…"""


class ConfigError(Exception):
    """A setting can't be used; the text names it, where it was set, and what it may be."""


class Given(NamedTuple):
    """The text of a setting, and where it was set in words."""

    text: str
    where: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings with where they come from: ``given`` are those that were set anywhere.

    ``warnings`` are sentences. ``ignored`` were set and have no effect, each with the reason.
    ``environment`` are variables for the agent's own environment that only a file has.
    """

    settings: Settings
    given: Mapping[str, Given]
    warnings: tuple[str, ...] = ()
    ignored: Mapping[str, tuple[Given, str]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def load(
    flags: Mapping[str, str], environ: Mapping[str, str], files: tuple[Path, ...] = FILES
) -> Settings:
    """Reads the settings from flags, environment and files. Raises ConfigError.

    An empty value is as good as none: it hides nothing that was set elsewhere.
    """
    return read(flags, environ, files).settings


def read(
    flags: Mapping[str, str], environ: Mapping[str, str], files: tuple[Path, ...] = FILES
) -> Loaded:
    """The same, with where each comes from and what there is to say about them."""
    warnings: list[str] = []
    outer = [
        {name: Given(value, "the environment") for name, value in environ.items()},
        {name: Given(value, "the command line") for name, value in flags.items()},
    ]
    plain = [_read(path) for path in files if path.suffix != ".json"]
    sources = [*plain, *outer]
    sources.insert(0, _read_json(_json_file(sources, files), warnings))
    found: dict[str, Given] = {}
    for source in sources:
        _refuse_unknown(source)
        found.update({name: setting for name, setting in source.items() if setting.text != ""})
    settings = _parsed(found, warnings)
    if "HOSTLER_ENI_PROVIDER" not in found:
        settings = replace(settings, eni_provider=_eni_provider(settings))
    _refuse_contradictions(settings)
    warnings += _unknown(found)
    passed = {
        name: setting.text
        for source in plain
        for name, setting in source.items()
        if (name in PASSED_ON or name.startswith("AWS_")) and not environ.get(name)
    }
    ignored = {
        name: (found[name], why)
        for name, why in WITHOUT_EFFECT.items()
        if name in found and name not in _SETTINGS
    }
    given = {name: found[name] for name in _SETTINGS if name in found}
    return Loaded(settings, given, tuple(warnings), ignored, passed)


def names() -> Mapping[str, str]:
    """By its name the field of Settings that each setting sets, in the order of the table."""
    return {name: known_as for name, (known_as, _) in _SETTINGS.items()}


def parsed(name: str, text: str) -> Any:
    """The value that the text of this setting stands for. Raises ValueError."""
    value = _SETTINGS[name][1](text)
    return value.value if isinstance(value, values.Adjusted) else value


def _parsed(found: Mapping[str, Given], warnings: list[str]) -> Settings:
    fields_set: dict[str, Any] = {}
    problems: list[str] = []
    for name, (known_as, parse) in _SETTINGS.items():
        if name not in found:
            continue
        text, where = found[name]
        said = name if known_as in HIDDEN else f"{name}={text}"
        try:
            value = parse(text)
        except ValueError as error:
            problems.append(f"{said} ({where}): {error}")
            continue
        if isinstance(value, values.Adjusted):
            warnings.append(f"{said} ({where}) {value.why}")
            value = value.value
        fields_set[known_as] = value
    if problems:
        raise ConfigError("; ".join(problems))
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
    _refuse_wrong_parent(given)
    if given.image_disk_low > given.image_disk_high:
        raise ConfigError("HOSTLER_IMAGE_DISK_LOW is more than HOSTLER_IMAGE_DISK_HIGH")
    try:
        engine_auth.read(given.engine_auth_type, given.engine_auth_data)
    except ValueError as error:
        raise ConfigError(f"ECS_ENGINE_AUTH_DATA: {error}") from None
    for gateway in given.eni_gateways:
        _refuse_outside("HOSTLER_ENI_GATEWAY", gateway, given.eni_subnets)
    for ends in given.eni_ranges:
        for end in ends:
            _refuse_outside("HOSTLER_ENI_RANGE", end, given.eni_subnets)


def _refuse_wrong_parent(given: Settings) -> None:
    """The form of HOSTLER_CGROUP_PARENT is the driver's."""
    forms = {"systemd": "a slice such as hostler.slice", "cgroupfs": "a path such as /hostler"}
    driver = "cgroupfs" if given.cgroup_parent.startswith("/") else "systemd"
    if given.cgroup_parent and given.cgroup_driver not in ("auto", driver):
        raise ConfigError(
            f"HOSTLER_CGROUP_PARENT={given.cgroup_parent} must be {forms[given.cgroup_driver]} "
            f"with HOSTLER_CGROUP_DRIVER={given.cgroup_driver}"
        )


def _refuse_outside(name: str, address: Address, subnets: tuple[Network, ...]) -> None:
    if not any(address in each for each in subnets):
        listed = ",".join(map(str, subnets)) or "unset"
        raise ConfigError(f"{name}: {address} is not in HOSTLER_ENI_SUBNET, which is {listed}")


def _json_file(sources: list[dict[str, Given]], files: tuple[Path, ...]) -> Path | None:
    """The ECS agent's JSON file: the one that is named, else the usual one."""
    named = [source[JSON_FILE] for source in sources if source.get(JSON_FILE, Given("", "")).text]
    if not named:
        return next((path for path in files if path.suffix == ".json"), None)
    try:
        return values.absolute(named[-1].text)
    except ValueError as error:
        raise ConfigError(f"{JSON_FILE}={named[-1].text} ({named[-1].where}): {error}") from error


def _read_json(path: Path | None, warnings: list[str]) -> dict[str, Given]:
    """The settings of the JSON file. A missing or blank one has none."""
    if path is None:
        return {}
    try:
        found, unknown = configjson.read(path, _text_of(path))
    except configjson.JsonError as error:
        raise ConfigError(str(error)) from error
    warnings += [f"{key} of {path} is not known, so it has no effect" for key in unknown]
    return {name: Given(*setting) for name, setting in found.items()}


def _read(path: Path) -> dict[str, Given]:
    """The settings of one file, each with where it stands. A missing file has none."""
    found = {}
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        name, equals, value = (each.strip() for each in line.partition("="))
        if line.strip() == "" or name.startswith("#"):
            continue
        if not equals or not name:
            # Not quoted: it may go on with a secret that begins on the line before.
            raise ConfigError(f"{path} line {number} is not KEY=VALUE")
        found[name] = Given(value, f"{path} line {number}")
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error


def _refuse_unknown(found: Mapping[str, Given]) -> None:
    """A misspelt setting of ours would be a silent default, and so would what is missed."""
    for name, (_, where) in found.items():
        if name.startswith("HOSTLER_") and name not in _SETTINGS:
            raise ConfigError(f"{name} ({where}) is no setting of Hostler; {_meant(name)}")
    for name, (harmless, why) in REFUSED.items():
        text, where = found.get(name, Given("", ""))
        if text not in ("", *harmless):
            raise ConfigError(f"{name}={text} ({where}): {why}")


def _unknown(found: Mapping[str, Given]) -> Iterator[str]:
    """Names like those of the ECS agent which it does not have: it may be newer than we know."""
    known = {*_SETTINGS, *WITHOUT_EFFECT, *REFUSED, *IN_CONTAINERS, JSON_FILE}
    theirs = [each.removeprefix("ECS_") for each in known if each.startswith("ECS_")]
    for name, (_, where) in found.items():
        if name.startswith("ECS_") and name not in known:
            near = get_close_matches(name.removeprefix("ECS_"), theirs, n=1)
            meant = f"; did you mean ECS_{near[0]}?" if near else ""
            yield f"{name} ({where}) is not known, so it has no effect{meant}"


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
    "HOSTLER_NFT_TABLE": ("nft_table", values.nft_table),
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
        values.matching(
            r"crit|error|warn|info|debug|none", "crit, error, warn, info, debug or none"
        ),
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
    "ECS_IMAGE_PULL_BEHAVIOR": ("pull_behavior", values.pull_behavior),
    "ECS_IMAGE_PULL_TIMEOUT": ("pull_timeout_s", values.at_least(0, 0, unset=2 * 3600.0)),
    "ECS_IMAGE_PULL_INACTIVITY_TIMEOUT": (
        "pull_inactivity_s",
        values.at_least(60.0, 60.0, unset=60.0),
    ),
    "ECS_MANIFEST_PULL_TIMEOUT": ("manifest_timeout_s", values.at_least(30.0, 30.0, unset=60.0)),
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
        values.at_least(600.0, 1800.0, unset=1800.0),
    ),
    "ECS_IMAGE_MINIMUM_CLEANUP_AGE": ("image_min_age_s", values.at_least(0, 0, unset=3600.0)),
    "ECS_NUM_IMAGES_DELETE_PER_CYCLE": ("images_per_cycle", values.count_or(5)),
    "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP": ("untracked_image_cleanup", values.boolean),
    "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE": (
        "untracked_image_min_age_s",
        values.at_least(0, 0, unset=3600.0),
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
    "ECS_CGROUP_CPU_PERIOD": ("cpu_period_s", values.within(0.008, 0.1, otherwise=0.1)),
    "ECS_TASK_PIDS_LIMIT": ("pids_limit", values.count_within(1, 4194304)),
    "ECS_PROPAGATE_TASK_MEMORY_LIMIT_CGROUPV2": ("limits_shown", values.boolean),
    "ECS_ENABLE_GPU_SUPPORT": ("gpus", values.boolean),
    "HOSTLER_GPU_KIND": (
        "gpu_kind",
        values.matching(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+", "a CDI kind such as nvidia.com/gpu"),
    ),
    "HOSTLER_CDI_DIRS": ("cdi_dirs", values.search_path),
    "HOSTLER_ENV_FILES_DIR": ("env_files_dir", values.absolute),
    "ECS_SHARED_VOLUME_MATCH_FULL_CONFIG": ("shared_volumes_match_full", values.boolean),
    "HOSTLER_EFS_SERVERS": ("efs_servers", values.nfs_servers),
    "HOSTLER_CPU": ("cpu_units", values.whole(2**31 - 1, 1)),
    "HOSTLER_MEMORY": ("memory_mib", values.whole(2**31 - 1, 1)),
    "ECS_RESERVED_MEMORY": ("reserved_memory_mib", values.whole(65535)),
    "ECS_RESERVED_PORTS": ("reserved_ports", values.ports),
    "ECS_RESERVED_PORTS_UDP": ("reserved_ports_udp", values.ports_or_none),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER": ("keep_stopped_jitter_s", values.duration),
    "ECS_INSTANCE_ATTRIBUTES": ("instance_attributes", values.tags),
    "ECS_ENABLE_SPOT_INSTANCE_DRAINING": ("spot_draining", values.boolean),
    "HOSTLER_SPOT_NOTICE": ("spot_notice", values.absolute),
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": ("metadata_service", values.http_address),
}

assert {known_as for known_as, _ in _SETTINGS.values()} == {each.name for each in fields(Settings)}

HIDDEN = frozenset(each.name for each in fields(Settings) if not each.repr)
"""Fields of Settings whose values are secret."""

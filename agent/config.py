"""Settings: a flag beats the environment, the environment beats the files, the files beat defaults.

Files hold ``KEY=VALUE`` lines like ``/etc/ecs/ecs.config``, which is read too (our own beats it).
Names that begin with ``ECS_`` mean what they mean to the ECS agent; ours begin with ``HOSTLER_``.
Every name on the host can be set, so that two agents with different settings never meet.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent.task.names import Names

OUR_FILE = Path("/etc/hostler/hostler.config")
FILES = (Path("/etc/ecs/ecs.config"), OUR_FILE)
"""Later files beat earlier ones."""

_SUBNET = ipaddress.IPv4Network("10.213.0.0/16")
_LONGEST_S = 2**63 / 1e9
"""Go's durations are 64-bit nanoseconds."""


class ConfigError(Exception):
    """A setting can't be used; the text names it, where it was set, and what it may be."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, parsed. Times in seconds. See ``_SETTINGS`` for the names they are set by."""

    state_dir: Path = Path("/var/lib/hostler")
    run_dir: Path = Path("/run/hostler")
    api_listen: tuple[str, int] | None = ("127.0.0.1", 51680)
    cluster: str = "default"
    region: str = "local"
    account: str = "000000000000"
    containerd: str = "auto"
    containerd_namespace: str = "hostler"
    snapshotter: str = "overlayfs"
    runtime: str = "runc"
    bridge: str = "hostler0"
    bridge_subnet: ipaddress.IPv4Network = _SUBNET
    nft_table: str = "hostler"
    cgroup_parent: str = "/hostler"
    veth_prefix: str = "hv"
    stop_timeout_s: float = 30.0
    create_timeout_s: float = 240.0
    start_timeout_s: float = 180.0
    keep_stopped_s: float = 3 * 3600.0
    port_range: tuple[int, int] | None = None
    log_level: str = "info"

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
    values: dict[str, Any] = {}
    for name, (field, parse) in _SETTINGS.items():
        if name not in found:
            continue
        text, where = found[name]
        try:
            values[field] = parse(text)
        except ValueError as error:
            raise ConfigError(f"{name}={text} ({where}): {error}") from error
    return Settings(**values)


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
            known = ", ".join(each for each in _SETTINGS if each.startswith("HOSTLER_"))
            raise ConfigError(f"{name} ({where}) is no setting of Hostler; there are {known}")


def _directory(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _matching(pattern: str, what: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f"must be {what}")
        return text

    return parse


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TERM = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(h|ms|us|µs|ns|m|s)")


def duration(text: str) -> float:
    """Seconds of a duration in Go's syntax: ``90s``, ``10m``, ``1h30m``, ``0``; not negative."""
    if text == "0":
        return 0.0
    parts = _TERM.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("must be a duration such as 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds >= _LONGEST_S:
        raise ValueError("is longer than 292 years")
    return seconds


def _at_least(lowest: float, otherwise: float, *, unset: float) -> Callable[[str], float]:
    """A duration with the ECS agent's bound: below ``lowest`` it is ``otherwise``; 0 is unset."""

    def parse(text: str) -> float:
        seconds = duration(text)
        if seconds == 0:
            return unset
        return seconds if seconds >= lowest else otherwise

    return parse


def _port_range(text: str) -> tuple[int, int]:
    ends = re.fullmatch("([0-9]{1,5})-([0-9]{1,5})", text)
    low, high = (int(ends[1]), int(ends[2])) if ends else (0, 0)
    if not 1 <= low <= high <= 65535:
        raise ValueError("must be a range of ports such as 32768-60999")
    return low, high


def _listen(text: str) -> tuple[str, int] | None:
    if text == "off":
        return None
    found = re.fullmatch(r"([0-9.]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text)
    port = int(found[2]) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise ValueError("must be off, or an address and port such as 127.0.0.1:51680")
    return str(ipaddress.ip_address(found[1].strip("[]"))), port


def _subnet(text: str) -> ipaddress.IPv4Network:
    network = ipaddress.IPv4Network(text)
    if network.prefixlen > 29:
        raise ValueError("must have room for containers: /29 or wider")
    return network


_INTERFACE = _matching(r"[A-Za-z0-9_.-]{1,15}", "an interface name of at most 15 characters")
_WORD = _matching(r"[A-Za-z0-9_-]{1,255}", "letters, digits, - and _")

_SETTINGS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "HOSTLER_STATE_DIR": ("state_dir", _directory),
    "HOSTLER_RUN_DIR": ("run_dir", _directory),
    "HOSTLER_API_LISTEN": ("api_listen", _listen),
    "HOSTLER_ACCOUNT": ("account", _matching(r"[0-9]{12}", "an account number of 12 digits")),
    "HOSTLER_CONTAINERD": (
        "containerd",
        _matching(r"auto|embedded|/.+", "auto, embedded, or the path of a containerd socket"),
    ),
    "HOSTLER_CONTAINERD_NAMESPACE": ("containerd_namespace", _WORD),
    "HOSTLER_SNAPSHOTTER": ("snapshotter", _WORD),
    "HOSTLER_RUNTIME": ("runtime", _matching(r"\S+", "the name or path of an OCI runtime")),
    "HOSTLER_BRIDGE": ("bridge", _INTERFACE),
    "HOSTLER_BRIDGE_SUBNET": ("bridge_subnet", _subnet),
    "HOSTLER_NFT_TABLE": ("nft_table", _matching(r"[A-Za-z][A-Za-z0-9_-]{0,30}", "a table name")),
    "HOSTLER_CGROUP_PARENT": (
        "cgroup_parent",
        _matching(r"(/[A-Za-z0-9_.-]+)+", "a path below the cgroup mount such as /hostler"),
    ),
    "HOSTLER_VETH_PREFIX": ("veth_prefix", _matching(r"[a-z][a-z0-9]{0,3}", "1 to 4 letters")),
    "ECS_CLUSTER": ("cluster", _WORD),
    "AWS_DEFAULT_REGION": ("region", _matching(r"[a-z0-9-]+", "a region such as eu-west-1")),
    "ECS_CONTAINER_STOP_TIMEOUT": ("stop_timeout_s", _at_least(1.0, 1.0, unset=30.0)),
    "ECS_CONTAINER_CREATE_TIMEOUT": ("create_timeout_s", _at_least(60.0, 60.0, unset=240.0)),
    "ECS_CONTAINER_START_TIMEOUT": ("start_timeout_s", _at_least(45.0, 45.0, unset=180.0)),
    "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": (
        "keep_stopped_s",
        _at_least(1.0, 3 * 3600.0, unset=3 * 3600.0),
    ),
    "ECS_DYNAMIC_HOST_PORT_RANGE": ("port_range", _port_range),
    "ECS_LOGLEVEL": (
        "log_level",
        _matching(r"crit|error|warn|info|debug", "crit, error, warn, info or debug"),
    ),
}

assert {field for field, _ in _SETTINGS.values()} == {each.name for each in fields(Settings)}

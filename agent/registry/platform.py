"""What machine an image is for, and which images run on which machines, as containerd sees it.

The names are Go's (``GOOS``, ``GOARCH``), with a variant where one name stands for several
generations of a processor: v5 to v8 of arm, v8 of arm64, v1 to v4 of amd64.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(r"[A-Za-z0-9._-]{0,64}")
_MACHINES = {
    "aarch64": ("arm64", ""),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "i386": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
    "x86_64": ("amd64", ""),
}
"""From uname(2); what is missing has the same name in both, such as ppc64le, riscv64, s390x."""

_ALIASES = {
    "aarch64": ("arm64", ""),
    "armel": ("arm", "v6"),
    "armhf": ("arm", "v7"),
    "i386": ("386", ""),
    "x86-64": ("amd64", ""),
    "x86_64": ("amd64", ""),
}
"""Other names that are found in images."""

_DEFAULT_VARIANT = {"amd64": "v1", "arm": "v7", "arm64": "v8"}

_AMD64_LEVELS = (
    ("v2", "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"),
    ("v3", "abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"),
    ("v4", "avx512bw avx512cd avx512dq avx512f avx512vl"),
)
"""x86-64 psABI, "microarchitecture levels", in the words of /proc/cpuinfo."""


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and a processor; ``variant`` is empty for the most common one."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def normal(self) -> "Platform":
        """The same by its usual name: equal for all ways to write it."""
        system, variant = self.os.lower(), self.variant.lower()
        architecture = self.architecture.lower()
        if architecture in _ALIASES:
            architecture, implied = _ALIASES[architecture]
            variant = implied or variant
        if variant.isdigit():
            variant = f"v{variant}"
        if variant == _DEFAULT_VARIANT.get(architecture):
            variant = ""
        return Platform(system, architecture, variant)

    def runs(self) -> "tuple[Platform, ...]":
        """What this machine can run, best first; a 64-bit one ends with its 32-bit ancestors."""
        mine = self.normal()
        match mine.architecture:
            case "amd64":
                older = [*_down(mine, "amd64", 1), Platform(mine.os, "386")]
            case "arm64":
                older = [Platform(mine.os, "arm", "v8"), *_down(Platform(mine.os, "arm", "v8"))]
            case "arm":
                older = _down(mine)
            case _:
                older = []
        return tuple(dict.fromkeys((mine, *(each.normal() for each in older))))


def platform_from(document: object) -> Platform:
    """As it stands in an index. Raises ``ValueError`` with what is wrong."""
    match document:
        case {"os": str(system), "architecture": str(architecture), **more}:
            variant = more.get("variant") or ""
            if not isinstance(variant, str):
                raise ValueError("a variant that is not text")  # noqa: TRY004 - one kind of error
            for part in (system, architecture, variant):
                if not _PART.fullmatch(part):
                    raise ValueError(f"{part[:100]!a} is not part of a platform")
            return Platform(system, architecture, variant)
        case _:
            raise ValueError("a platform has an os and an architecture")


def host_platform(cpuinfo: Path = Path("/proc/cpuinfo")) -> Platform:
    """This machine; of amd64 also the level that its first processor has."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    if architecture == "amd64":
        variant = _amd64_level(cpuinfo)
    return Platform("linux", architecture, variant).normal()


def _down(platform: Platform, architecture: str = "arm", least: int = 5) -> list[Platform]:
    """The generations before this one."""
    variant = platform.variant or _DEFAULT_VARIANT[architecture]
    generation = int(variant[1:]) if variant[1:].isdigit() else least
    older = range(generation - 1, least - 1, -1)
    return [Platform(platform.os, architecture, f"v{number}") for number in older]


def _amd64_level(cpuinfo: Path) -> str:
    try:
        with cpuinfo.open() as file:
            flags = next((line for line in file if line.startswith("flags")), "")
    except OSError:  # hidden in some containers: every amd64 is at least the first level
        flags = ""
    has = set(flags.partition(":")[2].split())
    level = "v1"
    for name, needs in _AMD64_LEVELS:
        if not has.issuperset(needs.split()):
            break
        level = name
    return level

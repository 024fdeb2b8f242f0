"""The package itself: its control files, and all of it as one .deb (deb(5))."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Final

from deb import NAME, PREFIX, TEMPLATES, BuildError, environment
from deb.interpreter import Interpreter
from deb.payload import CONFIG, MAINTAINER

SCRIPTS: Final = ("preinst", "postinst", "prerm", "postrm")

DIRECTORY, EXECUTABLE, FILE = 0o755, 0o755, 0o644


def write(stage: Path, site: Path, python: Interpreter, version: str, target: Path) -> Path:
    """Makes a package of everything below ``stage``, in the directory ``target``; gives which."""
    _set_modes(stage)
    architecture = _dpkg("--print-architecture")
    control = stage / "DEBIAN"
    control.mkdir()
    values = {
        "NAME": NAME,
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "MAINTAINER": MAINTAINER,
        "INSTALLED_SIZE": str(installed_kib(stage)),
        "PYTHON": python.name,
        "GLIBC": environment.glibc(site),
        "PREFIX": f"/{PREFIX}",
    }
    (control / "control").write_text(_filled("control", values))
    (control / "conffiles").write_text(f"/{CONFIG}\n")
    (control / "md5sums").write_text(_md5sums(stage))
    for name in SCRIPTS:
        (control / name).write_text(_filled(name, values))
        (control / name).chmod(EXECUTABLE)
    target.mkdir(parents=True, exist_ok=True)
    package = target / f"{NAME}_{version}_{architecture}.deb"
    _dpkg_deb(stage, package)
    return package


def installed_kib(stage: Path) -> int:
    """Disk space as Installed-Size has it (deb-substvars(5)): KiB, a whole one for each file."""
    total = 0
    for each in stage.rglob("*"):
        regular = each.is_file() and not each.is_symlink()
        total += -(-each.stat().st_size // 1024) if regular else 1
    return total


def _filled(template: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _md5sums(stage: Path) -> str:
    """Of all files but those that an administrator may change."""
    lines = []
    for each in sorted(stage.rglob("*")):
        where = each.relative_to(stage)
        regular = each.is_file() and not each.is_symlink()
        if regular and where != CONFIG and where.parts[0] != "DEBIAN":
            digest = hashlib.md5(each.read_bytes(), usedforsecurity=False).hexdigest()
            lines.append(f"{digest}  {where}\n")
    return "".join(lines)


def _set_modes(stage: Path) -> None:
    """Whatever the builder's umask and pip made of them: only commands may be executed."""
    stage.chmod(DIRECTORY)
    for each in stage.rglob("*"):
        if each.is_symlink():
            continue
        if each.is_dir():
            each.chmod(DIRECTORY)
        else:
            each.chmod(EXECUTABLE if each.parent == stage / PREFIX / "bin" else FILE)


def _dpkg(*arguments: str) -> str:
    return subprocess.run(
        ["dpkg", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()


def _dpkg_deb(stage: Path, package: Path) -> None:
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(stage), str(package)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if ran.returncode != 0:
        raise BuildError(f"dpkg-deb failed: {ran.stderr.strip()}")


def set_epoch(root: Path) -> int:
    """The time that all files in the package have, in seconds; also for dpkg-deb.

    SOURCE_DATE_EPOCH if it is set, else that of the last commit, else that of pyproject.toml.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH") or _committed(root)
    epoch = int(given or (root / "pyproject.toml").stat().st_mtime)
    os.environ["SOURCE_DATE_EPOCH"] = str(epoch)
    return epoch


def _committed(root: Path) -> str:
    command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()

"""Writes the plugins' executables, for runtimes that look for them in a directory."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cni.plugin import NAMES, REFERENCE_NAMES

_SHEBANG_LIMIT: Final = 255  # Linux (BINPRM_BUF_SIZE), without its end
_OURS: Final = "from cni.program.launch import main\n"


def install(
    directory: Path,
    names: Iterable[str] = NAMES,
    *,
    reference_names: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write the executables of the plugins `names`; they run on this interpreter and this package.

    With `reference_names` also under the names of the reference plugins whose place they can take.
    Raises FileExistsError, before anything is written, when a file is not ours to replace (unless
    `overwrite`); ValueError when the kernel could not run them; OSError.
    """
    wanted = list(names)
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        raise ValueError(f"no plugins of Hostler's: {', '.join(unknown)}")
    if reference_names:
        wanted += [name for name, ours in REFERENCE_NAMES.items() if ours in wanted]
    paths = [directory / name for name in wanted]
    foreign = [str(path) for path in paths if os.path.lexists(path) and not is_ours(path)]
    if foreign and not overwrite:
        raise FileExistsError(f"not Hostler's, so not replaced: {', '.join(foreign)}")
    directory.mkdir(parents=True, exist_ok=True)
    for path in paths:
        _write(path, _script(path.name))
    return paths


def is_ours(path: Path) -> bool:
    """Whether a file is an executable that `install` wrote."""
    try:
        return _OURS in path.read_text(errors="replace")
    except OSError:
        return False


def _script(name: str) -> str:
    shebang = f"#!{sys.executable} -IS"
    if len(os.fsencode(shebang)) > _SHEBANG_LIMIT or len(sys.executable.split()) != 1:
        raise ValueError(f"the kernel cannot run scripts with the interpreter {sys.executable!r}")
    root = str(Path(__file__).resolve().parents[2])
    # The package is found, and nothing else there can take the place of a standard module.
    return (
        f"{shebang}\n"
        "import sys\n"
        f"sys.path.insert(0, {root!r})\n"
        "import cni\n"
        "del sys.path[0]\n"
        f"{_OURS}"
        f"main({name!r})\n"
    )


def _write(path: Path, script: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(script)
        temporary.chmod(0o755)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise

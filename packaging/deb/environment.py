"""The virtual environment in the package: Hostler and what it needs, made for one Python.

It is laid out by hand: the Python that it is for may have neither pip nor ensurepip, and nothing of
either is needed at run time.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from deb import PREFIX, ROOT, BuildError
from deb.interpreter import Interpreter

SOURCES = ("agent", "cni", "metadata", "pyproject.toml", "README.md", "LICENSE")

INSTALL_S = 900.0
"""Deadline for pip: wheels may come from far away."""

DROPPED = (
    # Made for building, for other tools or for tests.
    *("**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.c", "**/*.h", "**/*.proto", "bin"),
    *("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.dist-info/REQUESTED"),
    *("*.dist-info/direct_url.json", "aiohttp/pytest_plugin.py", "aiohttp/test_utils.py"),
    *("google/protobuf/testdata", "jeepney/tests", "jeepney/io/tests", "multidict/_testcapi.*"),
    *("pyroute2/config/test_platform.py", "pyroute2/fixtures", "pydantic/mypy.py"),
    # rich highlights code and formats Markdown with these; we show progress bars.
    *("pygments", "pygments-*.dist-info", "markdown_it", "markdown_it_py-*.dist-info"),
    *("mdurl", "mdurl-*.dist-info", "rich/markdown.py", "rich/syntax.py", "rich/traceback.py"),
    # For other systems, for PyPy, or where a compiled module can't be had.
    *(f"psutil/_ps{each}.py" for each in ("aix", "bsd", "osx", "sunos", "windows")),
    *("pyroute2/bsd", "pyroute2/iproute/bsd.py", "pyroute2/iproute/darwin.py"),
    *("rich/_win32_console.py", "backports/zstd/_cffi", "multidict/_multidict_py.py"),
    "aiohttp/_websocket/reader_py.py",
    # Whole parts that nothing here is made with: older interfaces, archives, servers, TLS.
    *("pydantic/v1", "pydantic/experimental", "grpc/beta", "grpc/framework"),
    *("grpc/_cython/_credentials", "pyroute2/dhcp", "isal/igzip.py", "isal/igzip_threaded.py"),
    *("backports/zstd/tarfile.py", "backports/zstd/zipfile"),
    *("prometheus_client/parser.py", "prometheus_client/openmetrics/parser.py"),
)
"""What is not needed at run time, as patterns below site-packages."""

_COMMAND = """\
#!/{prefix}/bin/python
import sys

from agent.cli.main import main

sys.exit(main())
"""

_GLIBC = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
"""The oldest that the wheels with these older names run with."""


def make(stage: Path, work: Path, python: Interpreter) -> Path:
    """``PREFIX`` below ``stage`` is complete; gives its site-packages. Raises BuildError."""
    site = stage / PREFIX / "lib" / python.name / "site-packages"
    site.mkdir(parents=True)
    _install(_wheel(work), site, python)
    _thin_out(site)
    _frame(stage, python)
    _run(
        *(python.path, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"),
        *("-s", str(stage), "-p", "/", str(stage / PREFIX / "lib")),
    )
    return site


def glibc(site: Path) -> str:
    """The oldest version of the C library that all extension modules run with."""
    oldest = [min(_floors(each), default=(0, 0)) for each in site.glob("*.dist-info/WHEEL")]
    return ".".join(map(str, max(oldest)))


def _floors(wheel: Path) -> Iterator[tuple[int, ...]]:
    """One version for each platform that the wheel says it is for."""
    for tag in re.findall(r"^Tag: \S+-(manylinux\S*)$", wheel.read_text(), re.MULTILINE):
        platform = tag.removeprefix("manylinux_").split("_")
        version = _GLIBC.get(platform[0]) or ".".join(platform[:2])
        yield tuple(map(int, version.split(".")))


def _wheel(work: Path) -> Path:
    """Hostler's own, built from a copy: setuptools would take up what an older build left."""
    source = work / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy2(ROOT / name, source / name)
    _pip("wheel", "--no-deps", "--wheel-dir", work, source)
    (found,) = work.glob("*.whl")
    return found


def _install(wheel: Path, site: Path, python: Interpreter) -> None:
    _pip(
        *("--python", python.path, "install", "--target", site, "--no-compile"),
        *("--only-binary=:all:", "--constraint", ROOT / "constraints.txt", wheel),
    )


def _pip(*arguments: str | Path) -> None:
    _run(sys.executable, "-m", "pip", "--quiet", "--no-input", *arguments)


def _thin_out(site: Path) -> None:
    """What is not needed is gone, and so are symbols for debuggers."""
    for pattern in DROPPED:
        for each in sorted(site.glob(pattern)):
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    for metadata in site.glob("*.dist-info/METADATA"):
        head, _, _description = metadata.read_text().partition("\n\n")
        metadata.write_text(f"{head}\n")
    for folder in sorted(site.rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for module in sorted(site.rglob("*.so")):
        module.chmod(0o644)
        _run("strip", "--strip-unneeded", module)


def _frame(stage: Path, python: Interpreter) -> None:
    """What makes it a virtual environment (PEP 405), and the command."""
    prefix = stage / PREFIX
    (prefix / "bin").mkdir()
    (prefix / "bin/python").symlink_to(f"/usr/bin/{python.name}")
    (prefix / "bin/python3").symlink_to("python")
    (prefix / "pyvenv.cfg").write_text(
        "home = /usr/bin\n"
        "include-system-site-packages = false\n"
        f"version = {python.major}.{python.minor}\n"
    )
    command = prefix / "bin/hostler"
    command.write_text(_COMMAND.format(prefix=PREFIX))
    command.chmod(0o755)


def _run(*command: str | Path) -> None:
    """Runs a tool to its end; its words are shown only if it fails."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if ran.returncode != 0:
        words = " ".join(map(str, command))
        raise BuildError(f"{words} failed ({ran.returncode}):\n{_last(ran.stderr or ran.stdout)}")


def _last(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-20:])


def sizes(site: Path) -> list[tuple[str, int]]:
    """By name, the bytes of everything directly below ``site``, largest first."""
    found = [
        (each.name, sum(one.stat().st_size for one in (each, *each.rglob("*")) if one.is_file()))
        for each in site.iterdir()
    ]
    return sorted(found, key=lambda pair: -pair[1])

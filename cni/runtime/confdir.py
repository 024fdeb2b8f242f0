"""Networks as files in a directory, found as libcni finds them.

Other runtimes take the first file whatever its name; here, as in libcni, the network's name counts.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cni import formats
from cni.conf import Fields
from cni.errors import CNIError, Code
from cni.runtime.conflist import Network, network_from


def load(directory: Path, name: str) -> Network:
    """The network `name`, as `find` finds it. Raises number 7 when there is none, and as that."""
    network = find(directory, name)
    if network is None:
        raise CNIError(Code.INVALID_CONFIG, f"there is no network {name} in {directory}")
    return network


def find(directory: Path, name: str) -> Network | None:
    """The network `name`: of the first list that has it, else of the first single plugin.

    To a list belong the plugins in DIRECTORY/NAME/*.conf too, unless it says
    `loadOnlyInlinedPlugins`. A broken file before the one looked for is an error (number 6 or 7,
    naming the file), since it might be meant to be that one.
    """
    for path in _files(directory, ".conflist"):
        raw = _read(path)
        conflist = _object(raw, path)
        if conflist.get("name") == name:
            return _network(path, conflist, raw, _inlined(directory, conflist))
    for path in _files(directory, ".conf", ".json"):
        conf = _object(_read(path), path)
        if conf.get("name") == name:
            version = {key: conf[key] for key in ("cniVersion", "cniVersions") if key in conf}
            return _network(path, {"name": name, **version, "plugins": [conf]}, b"", ())
    return None


def _files(directory: Path, *suffixes: str) -> Iterator[Path]:
    """The files with one of the suffixes, by their names' bytes."""
    try:
        found = sorted(directory.iterdir(), key=lambda path: os.fsencode(path.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot read {directory}", str(error)) from error
    for path in found:
        if path.suffix in suffixes and not path.is_dir():
            yield path


def _inlined(directory: Path, conflist: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    if Fields(conflist).flag("loadOnlyInlinedPlugins"):
        return ()
    paths = _files(directory / conflist["name"], ".conf")
    return tuple(_object(_read(path), path) for path in paths)


def _network(
    path: Path,
    conflist: Mapping[str, Any],
    raw: bytes,
    inlined: tuple[Mapping[str, Any], ...],
) -> Network:
    try:
        return network_from(conflist, raw, inlined)
    except CNIError as error:
        raise CNIError(error.code, f"{path}: {error.msg}", error.details) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CNIError(Code.IO_FAILURE, f"cannot read {path}", str(error)) from error


def _object(raw: bytes, path: Path) -> Mapping[str, Any]:
    """A network's or plugin's object; what makes a file a broken one is checked here."""
    found = formats.decode(raw, str(path))
    if not isinstance(found, dict):
        raise CNIError(Code.UNDECODABLE, f"{path} must be an object")
    if not isinstance(found.get("name"), str | None):
        raise CNIError(Code.INVALID_CONFIG, f"{path}: name must be a string")
    return found

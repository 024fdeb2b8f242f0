"""The files that settings are in: lines of KEY=VALUE, and the ECS agent's JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agent.config import jsonfile, values
from agent.config.given import ConfigError, Given

JSON_FILE = "ECS_AGENT_CONFIG_FILE_PATH"
"""The variable that names the ECS agent's JSON file."""


def json_file(sources: Sequence[dict[str, Given]], files: tuple[Path, ...]) -> Path | None:
    """The ECS agent's JSON file: the one that is named, else the usual one.

    Raises ConfigError.
    """
    named = [source[JSON_FILE] for source in sources if source.get(JSON_FILE, Given("", "")).text]
    if not named:
        return next((path for path in files if path.suffix == ".json"), None)
    try:
        return values.absolute(named[-1].text)
    except ValueError as error:
        raise ConfigError(f"{JSON_FILE}={named[-1].text} ({named[-1].where}): {error}") from error


def read_json(path: Path | None, warnings: list[str]) -> dict[str, Given]:
    """The settings of the JSON file. A missing or blank one has none.

    What there is to say about them goes to ``warnings``. Raises ConfigError.
    """
    if path is None:
        return {}
    try:
        found, unknown = jsonfile.read(path, _text_of(path))
    except jsonfile.JsonError as error:
        raise ConfigError(str(error)) from error
    warnings += [f"{key} of {path} is not known, so it has no effect" for key in unknown]
    return {name: Given(*setting) for name, setting in found.items()}


def read_lines(path: Path, problems: list[str]) -> dict[str, Given]:
    """The settings of one file, each with where it stands. A missing file has none.

    ``problems`` are told of what can't be read.
    """
    found: dict[str, Given] = {}
    try:
        text = _text_of(path)
    except ConfigError as error:
        problems.append(str(error))
        return found
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = (each.strip() for each in line.partition("="))
        if line.strip() == "" or name.startswith("#"):
            continue
        if not equals or not name:
            # Not quoted: it may go on with a secret that begins on the line before.
            problems.append(f"{path} line {number} is not KEY=VALUE")
            continue
        found[name] = Given(value, f"{path} line {number}")
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path}: {error}") from error

"""Settings: a flag beats the environment, the environment beats the files, the files beat defaults.

Files hold ``KEY=VALUE`` lines like ``/etc/ecs/ecs.config``, which is read too (our own beats it,
and it beats the ECS agent's JSON file). Names that begin with ``ECS_`` mean what they mean to the
ECS agent; ours begin with ``HOSTLER_``. Every name on the host can be set, so that two agents with
different settings never meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from agent.config import contradictions, sources
from agent.config.adjusting import Adjusted
from agent.config.ecsnames import IN_CONTAINERS, REFUSED, WITHOUT_EFFECT
from agent.config.given import ConfigError, Given
from agent.config.sources import JSON_FILE
from agent.config.table import HIDDEN, SETTINGS
from agent.settings import Settings

OUR_FILE = Path("/etc/hostler/hostler.config")
FILES = (Path("/etc/ecs/ecs.config.json"), Path("/etc/ecs/ecs.config"), OUR_FILE)
"""Later files beat earlier ones. The first is where ECS's init keeps the JSON file."""

PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
"""What a file may say that is not ours but of the agent's environment; and all of AWS_…"""


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
    problems: list[str] = []
    loaded = _read(flags, environ, files, problems)
    if problems:
        raise ConfigError("; ".join(problems))
    contradictions.refuse_contradictions(loaded.settings)
    return loaded


def salvaged(
    flags: Mapping[str, str], environ: Mapping[str, str], files: tuple[Path, ...] = FILES
) -> tuple[Settings, list[str]]:
    """What can be used of settings that ``read`` may refuse, and defaults for the rest.

    With it what is wrong, each problem in one sentence without its full stop.
    """
    problems: list[str] = []
    settings = _read(flags, environ, files, problems).settings
    try:
        contradictions.refuse_contradictions(settings)
    except ConfigError as error:
        problems.append(str(error))
    return settings, problems


def _read(
    flags: Mapping[str, str],
    environ: Mapping[str, str],
    files: tuple[Path, ...],
    problems: list[str],
) -> Loaded:
    """What can be used; ``problems`` are told of the rest."""
    warnings: list[str] = []
    outer = [
        {name: Given(value, "the environment") for name, value in environ.items()},
        {name: Given(value, "the command line") for name, value in flags.items()},
    ]
    plain = [sources.read_lines(path, problems) for path in files if path.suffix != ".json"]
    ours = [*plain, *outer]
    theirs: dict[str, Given] = {}
    with _noting(problems):
        theirs = sources.read_json(sources.json_file(ours, files), warnings)
    found: dict[str, Given] = {}
    for source in (theirs, *ours):
        problems += _refused(source)
        found.update({name: setting for name, setting in source.items() if setting.text != ""})
    settings = _parsed(found, warnings, problems)
    if "HOSTLER_ENI_PROVIDER" not in found:
        with _noting(problems):
            settings = replace(settings, eni_provider=contradictions.eni_provider(settings))
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
        if name in found and name not in SETTINGS
    }
    given = {name: found[name] for name in SETTINGS if name in found}
    return Loaded(settings, given, tuple(warnings), ignored, passed)


def names() -> Mapping[str, str]:
    """By its name the field of Settings that each setting sets, in the order of the table."""
    return {name: known_as for name, (known_as, _) in SETTINGS.items()}


def parsed(name: str, text: str) -> Any:
    """The value that the text of this setting stands for. Raises ValueError."""
    value = SETTINGS[name][1](text)
    return value.value if isinstance(value, Adjusted) else value


@contextmanager
def _noting(problems: list[str]) -> Iterator[None]:
    """What is wrong ends the block, and nothing else."""
    try:
        yield
    except ConfigError as error:
        problems.append(str(error))


def _parsed(found: Mapping[str, Given], warnings: list[str], problems: list[str]) -> Settings:
    fields_set: dict[str, Any] = {}
    for name, (known_as, parse) in SETTINGS.items():
        if name not in found:
            continue
        text, where = found[name]
        said = name if known_as in HIDDEN else f"{name}={text}"
        try:
            value = parse(text)
        except ValueError as error:
            problems.append(f"{said} ({where}): {error}")
            continue
        if isinstance(value, Adjusted):
            warnings.append(f"{said} ({where}) {value.why}")
            value = value.value
        fields_set[known_as] = value
    return Settings(**fields_set)


def _refused(found: Mapping[str, Given]) -> Iterator[str]:
    """A misspelt setting of ours would be a silent default, and so would what is missed."""
    for name, (_, where) in found.items():
        if name.startswith("HOSTLER_") and name not in SETTINGS:
            yield f"{name} ({where}) is no setting of Hostler; {_meant(name)}"
    for name, (harmless, why) in REFUSED.items():
        text, where = found.get(name, Given("", ""))
        if text not in ("", *harmless):
            yield f"{name}={text} ({where}): {why}"


def _unknown(found: Mapping[str, Given]) -> Iterator[str]:
    """Names like those of the ECS agent which it does not have: it may be newer than we know."""
    known = {*SETTINGS, *WITHOUT_EFFECT, *REFUSED, *IN_CONTAINERS, JSON_FILE}
    theirs = [each.removeprefix("ECS_") for each in known if each.startswith("ECS_")]
    for name, (_, where) in found.items():
        if name.startswith("ECS_") and name not in known:
            near = get_close_matches(name.removeprefix("ECS_"), theirs, n=1)
            meant = f"; did you mean ECS_{near[0]}?" if near else ""
            yield f"{name} ({where}) is not known, so it has no effect{meant}"


def _meant(name: str) -> str:
    known = [each.removeprefix("HOSTLER_") for each in SETTINGS if each.startswith("HOSTLER_")]
    near = get_close_matches(name.removeprefix("HOSTLER_"), known, n=1)
    if near:
        return f"did you mean HOSTLER_{near[0]}?"
    return f"there are {', '.join(f'HOSTLER_{each}' for each in known)}"

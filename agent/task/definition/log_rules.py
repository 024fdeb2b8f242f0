"""The options of ``logConfiguration`` by driver: which there are, and what they may say.

Paths are relative to the log configuration. Docker's driver json-file has more; what is not here
would have no effect. ``agent.logs.jsonfile`` reads the values.
"""

import re
from collections.abc import Iterator

from agent.task.definition.container import LogConfiguration
from agent.task.definition.problems import Problem

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?) ?([kmgt]?)b?\s*", re.IGNORECASE | re.ASCII)
_UNITS = ("", "k", "m", "g", "t")
_NUMBER = re.compile(r"0*[1-9][0-9]{0,3}")
_JSON_FILE = ("max-size", "max-file", "mode")


def log_problems(log: LogConfiguration) -> Iterator[Problem]:
    """Values that the driver could not use."""
    if log.log_driver != "json-file":
        return
    size, files = log.options.get("max-size", "-1"), log.options.get("max-file", "1")
    if size != "-1" and not _is_size(size):
        yield Problem("options.max-size", "must be a size such as 10m, or -1 for no limit")
    if not _NUMBER.fullmatch(files):
        yield Problem("options.max-file", "must be a number of files from 1 to 9999")


def idle_options(log: LogConfiguration) -> Iterator[Problem]:
    """Options that would have no effect with json-file. (Nothing is logged with none, anyhow.)"""
    if log.log_driver != "json-file":
        return
    for name in log.options:
        if name not in _JSON_FILE:
            yield Problem(
                f"options.{name}",
                "is not supported: json-file has max-size and max-file here; remove it",
            )
    if log.options.get("mode", "blocking") != "blocking":
        yield Problem("options.mode", "must be blocking: other modes are not supported")


def _is_size(text: str) -> bool:
    """Of at least one byte."""
    match = _SIZE.fullmatch(text)
    return match is not None and float(match[1]) * 1000 ** _UNITS.index(match[2].lower()) >= 1

"""What an agent is told by flags, environment and files, as one value."""

from agent.config.given import ConfigError, Given
from agent.config.loading import FILES, OUR_FILE, Loaded, load, names, parsed, read, salvaged
from agent.config.sources import JSON_FILE
from agent.config.table import HIDDEN

__all__ = [
    "FILES",
    "HIDDEN",
    "JSON_FILE",
    "OUR_FILE",
    "ConfigError",
    "Given",
    "Loaded",
    "load",
    "names",
    "parsed",
    "read",
    "salvaged",
]

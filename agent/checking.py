"""Whether an agent that starts now could use what it would be configured with."""

from __future__ import annotations

from collections.abc import Mapping

from agent import config
from agent.config import ConfigError, Loaded
from agent.doors import keys
from agent.doors.keys import KeysError
from agent.host.containers.runtimes import load_runtimes
from agent.host.interfaces import poolfile
from agent.host.network import securitygroups
from agent.host.network.securitygroups import SecurityGroupError


def checked(flags: Mapping[str, str], environ: Mapping[str, str]) -> Loaded:
    """The settings, once the files that they name were read as well. Blocking.

    Raises ConfigError for whatever would keep an agent from starting.
    """
    loaded = config.read(flags, environ)
    try:
        securitygroups.load(loaded.settings.security_groups)
        if loaded.settings.enis is not None:
            poolfile.read(loaded.settings.enis)
        load_runtimes(loaded.settings)
        if loaded.settings.api_listen is not None and loaded.settings.credentials.exists():
            keys.read(loaded.settings.credentials)
    except (SecurityGroupError, KeysError, OSError) as error:
        raise ConfigError(str(error)) from error
    return loaded

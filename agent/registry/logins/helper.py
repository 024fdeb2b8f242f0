"""Docker's credential helpers: programs that keep logins where the system keeps secrets.

``docker-credential-NAME get`` reads the registry from its input and prints a JSON object.
Reference: docker/docker-credential-helpers, README, section "Development".
"""

from __future__ import annotations

import json
import os
import pwd
import re

from agent.registry.errors import RegistryError, RegistryUnavailable
from agent.registry.logins.entries import login
from agent.registry.logins.login import Login
from agent.registry.reference import DEFAULT_REGISTRY
from metadata.credentials import program
from metadata.credentials.program import Outcome, ProgramError, ProgramUnavailable

DEADLINE_S = 30.0

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DOCKER_HUB = "https://index.docker.io/v1/"
"""By this name ``docker login`` keeps the login of docker.io; all others by their host."""
_NONE = "credentials not found"


async def get(name: str, host: str, deadline_s: float = DEADLINE_S) -> Login | None:
    """What helper ``name`` has for the registry ``host``.

    Raises RegistryError; RegistryUnavailable where it fails by itself or takes too long.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(f"{name!r} is not the name of a credential helper, such as pass")
    helper = f"docker-credential-{name}"
    server = _DOCKER_HUB if host == DEFAULT_REGISTRY else host
    try:
        outcome = await program.run([helper, "get"], _environment(), deadline_s, server.encode())
    except ProgramUnavailable as error:
        raise RegistryUnavailable(f"{helper} {error}") from None
    except ProgramError as error:
        raise RegistryError(f"{helper} {error}") from None
    if outcome.code == 0:
        return _read(helper, outcome.printed)
    if _NONE in outcome.printed.decode(errors="replace").lower():
        return None
    raise RegistryUnavailable(f"{helper} {outcome.ended}{_why(outcome)}")


def _environment() -> dict[str, str]:
    """With a home, which a service need not have, and in which helpers keep things."""
    return {"HOME": pwd.getpwuid(os.geteuid()).pw_dir, **program.inherited()}


def _why(outcome: Outcome) -> str:
    """Its message: by the protocol on its output, else on standard error."""
    printed = outcome.printed.strip()
    # Begun like an answer it may be one, with a secret in it.
    said = program.last_line(b"" if b"{" in printed else printed)
    said = said or program.last_line(outcome.said)
    return f": {said}" if said else ""


def _read(helper: str, printed: bytes) -> Login | None:
    try:
        match json.loads(printed):
            case {"Username": "", "Secret": ""}:
                return None
            case {"Username": str(username), "Secret": str(secret)}:
                return login(username, secret)
            case _:
                pass
    except (ValueError, RecursionError):
        pass
    raise RegistryError(f"{helper} did not print a JSON object with Username and Secret")

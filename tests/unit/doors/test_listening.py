"""Whether a successor could listen where it would: asked without being in anybody's way."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from agent.config import ConfigError
from agent.doors.listening import listening, refuse_taken
from agent.settings import Settings

LISTENS = """
import socket, sys
taken = socket.create_server((sys.argv[1], int(sys.argv[2])))
print(taken.getsockname()[1], flush=True)
sys.stdin.read()
"""
OFF = replace(Settings(), api_listen=None, introspection_listen=None)


@contextmanager
def another(host: str, port: int = 0) -> Iterator[int]:
    """A port on which another process listens."""
    command = [sys.executable, "-c", LISTENS, host, str(port)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.communicate(timeout=10)


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    """A socket that this process listens on."""
    with listening(("127.0.0.1", 0), "HOSTLER_API_LISTEN") as sock:
        yield sock


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_what_another_has_is_refused(host: str) -> None:
    with another("127.0.0.1") as port:
        api = replace(OFF, api_listen=(host, port))
        introspection = replace(OFF, introspection_listen=(host, port))
        for name, wanted in (("API", api), ("INTROSPECTION", introspection)):
            said = f"^HOSTLER_{name}_LISTEN: can't listen on {host} port {port}: Address already"
            with pytest.raises(ConfigError, match=said):
                refuse_taken(wanted, OFF)


def test_what_the_host_has_not_is_refused() -> None:
    wanted = replace(OFF, api_listen=("192.0.2.1", 51680))
    with pytest.raises(ConfigError, match="Cannot assign requested address"):
        refuse_taken(wanted, OFF)


def test_what_is_free_stays_free(ours: socket.socket) -> None:
    host, port = ours.getsockname()
    ours.close()
    refuse_taken(replace(OFF, api_listen=(host, port)), OFF)
    listening((host, port), "HOSTLER_API_LISTEN").close()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_what_this_process_has_is_free_by_then(ours: socket.socket, host: str) -> None:
    serving = replace(OFF, api_listen=ours.getsockname())
    port = ours.getsockname()[1]
    refuse_taken(replace(OFF, api_listen=(host, port)), serving)
    refuse_taken(replace(OFF, introspection_listen=(host, port)), serving)


def test_of_all_addresses_another_may_have_one(ours: socket.socket) -> None:
    serving = replace(OFF, api_listen=ours.getsockname())
    port = ours.getsockname()[1]
    everywhere = replace(OFF, api_listen=("0.0.0.0", port))
    with another("127.0.0.2", port), pytest.raises(ConfigError, match="Address already in use"):
        refuse_taken(everywhere, serving)
    refuse_taken(everywhere, serving)

"""Registries for tests: Debian's docker-registry as a child process, in all its forms.

Plain, with TLS, asking for client certificates, for a user's password, or behind a token server.
What it should have is pushed by ``Registry.push``, whatever it asks of others.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import bcrypt

from tests.system import pushing
from tests.system.certificates import Certificate
from tests.system.imagelab import Built
from tests.system.tokenserver import TokenServer

START_S = 60.0
END_S = 10.0
REALM = "lab"
_CHEAP = 4
"""The least work that bcrypt knows."""
_PORT = "listening on "


@dataclass(frozen=True, slots=True)
class Demands:
    """What a registry asks of whoever comes; by default nothing, over plain HTTP.

    ``users``: passwords by name. ``clients``: a PEM file of who issues client certificates.
    """

    tls: Certificate | None = None
    clients: Path | None = None
    users: Mapping[str, str] | None = None
    tokens: TokenServer | None = None


@dataclass(frozen=True, slots=True)
class Registry:
    """A running registry. ``host``: as references name it, address and port."""

    host: str
    storage: Path
    demands: Demands

    @property
    def url(self) -> str:
        """Without a slash at the end."""
        return f"http{'s' if self.demands.tls else ''}://{self.host}"

    def push(self, built: Built, name: str) -> str:
        """The registry has the image under ``name`` (``repository:tag``); gives its reference."""
        if self.demands == Demands():
            pushing.push(self.host, built, name)
        else:
            with registry(storage=self.storage) as open_to_all:
                pushing.push(open_to_all.host, built, name)
        return f"{self.host}/{name}"


@contextmanager
def registry(demands: Demands | None = None, storage: Path | None = None) -> Iterator[Registry]:
    """A docker-registry on a free port of loopback; ended at the end.

    With ``storage`` it has what another one with the same has, else its blobs go with it.
    """
    asked = demands or Demands()
    with tempfile.TemporaryDirectory(prefix="hostler-r-") as made:
        folder = Path(made)
        kept = storage or folder / "storage"
        config = folder / "config.yml"
        # Every JSON document is a YAML document.
        config.write_text(json.dumps(_config(asked, kept, folder)))
        with _running(config) as port:
            yield Registry(f"127.0.0.1:{port}", kept, asked)


@contextmanager
def _running(config: Path) -> Iterator[int]:
    process = subprocess.Popen(
        ["docker-registry", "serve", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"OTEL_TRACES_EXPORTER": "none"},
    )
    assert process.stdout is not None
    said = _Said(process.stdout)
    try:
        yield said.port()
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said.end()


class _Said:
    """What the registry says, read as it comes: the port that the kernel gave it is among it."""

    def __init__(self, output: IO[str]) -> None:
        self._output = output
        self._lines: list[str] = []
        self._port: int | None = None
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, name="registry")
        self._reader.start()

    def port(self) -> int:
        """Where it listens, as soon as it does."""
        in_time = self._known.wait(START_S)
        assert in_time, "docker-registry does not begin:\n" + "".join(self._lines)
        assert self._port is not None, "docker-registry has ended:\n" + "".join(self._lines)
        return self._port

    def end(self) -> None:
        """The process has ended, and all was read."""
        self._reader.join()
        self._output.close()

    def _read(self) -> None:
        for line in self._output:
            self._lines.append(line)
            if self._port is None:
                self._port = _port(line)
                if self._port is not None:
                    self._known.set()
        self._known.set()


def _port(line: str) -> int | None:
    try:
        message: str = json.loads(line)["msg"]
    except (ValueError, KeyError, TypeError):
        return None
    if not message.startswith(_PORT):
        return None
    return int(message.removeprefix(_PORT).partition(",")[0].rpartition(":")[2])


def _config(demands: Demands, storage: Path, folder: Path) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": "127.0.0.1:0", "secret": "lab"}
    if demands.tls is not None:
        http["tls"] = {
            "certificate": str(demands.tls.certificate),
            "key": str(demands.tls.key),
            **({"clientcas": [str(demands.clients)]} if demands.clients else {}),
        }
    return {
        "version": "0.1",
        "log": {"level": "info", "formatter": "json", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(storage)},
            "delete": {"enabled": True},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
        **_auth(demands, folder),
    }


def _auth(demands: Demands, folder: Path) -> dict[str, Any]:
    if demands.tokens is not None:
        return {"auth": demands.tokens.config}
    if demands.users is None:
        return {}
    lines = [f"{name}:{_hashed(password)}\n" for name, password in demands.users.items()]
    passwords = folder / "htpasswd"
    passwords.write_text("".join(lines))
    return {"auth": {"htpasswd": {"realm": REALM, "path": str(passwords)}}}


def _hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(_CHEAP)).decode()

"""Debian's docker-registry, and what was fetched from it, by its own log."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.programs import daemon, installed
from bench.world import World

ADDRESS = ("127.0.0.1", 5000)
HOST = f"{ADDRESS[0]}:{ADDRESS[1]}"
URL = f"http://{HOST}"

_LINE = re.compile(r'"GET /v2/\S+/(?:blobs|manifests)/(\S+) HTTP/1\.1" (?:200|206) (\d+) ')


@dataclass(frozen=True, slots=True)
class Transfer:
    """A blob or manifest (then ``digest`` may be a tag) that somebody got, in bytes."""

    digest: str
    size: int


@dataclass(slots=True)
class Registry:
    """A running one, and where it logs. ``transfers`` gives each transfer once."""

    log: Path
    _read: int = 0

    def transfers(self) -> list[Transfer]:
        """What was fetched since the last call."""
        with self.log.open() as file:
            file.seek(self._read)
            text = file.read()
            self._read = file.tell()
        return [Transfer(digest, int(size)) for digest, size in _LINE.findall(text)]


@asynccontextmanager
async def registry(world: World) -> AsyncIterator[Registry]:
    """An empty registry at ``HOST``. Raises Missing, ProgramFailed."""
    installed("docker-registry")
    world.entered("registry")
    folder = world.scratch / "registry"
    folder.mkdir()
    config = folder / "config.yml"
    config.write_text(
        json.dumps(  # every JSON document is a YAML document
            {
                "version": "0.1",
                "log": {"level": "warn"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}},
                "http": {"addr": HOST, "secret": "bench"},
            }
        )
    )
    command = ("docker-registry", "serve", str(config))
    env = {"PATH": os.environ.get("PATH", os.defpath), "OTEL_TRACES_EXPORTER": "none"}
    async with daemon(*command, env=env, scratch=folder, ready=ADDRESS):
        yield Registry(folder / "log")

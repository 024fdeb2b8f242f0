"""The images that are pulled, and how a registry gets them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import aiohttp

from agent.registry import hello
from agent.registry.descriptor import CONFIG, LAYER_GZIP, MANIFEST
from bench.pull.layers import Made, Shape, compressed, make
from bench.world import architecture

SIZE = 500_000_000
FILES = 23_000
SHARES = (24, 16, 12, 11, 9, 8, 7, 6, 4, 3)
"""Per cent of files and bytes, from the lowest layer up."""
CHANGED = 4
"""Of the layers the one that differs in the changed image."""
_OTHER_SEED = 100
_FEW = (Shape(500, 20_000_000, 200), Shape(500, 20_000_000, 201))
_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Layers:
    """``big``: those of the image. ``changed``: what stands in for one of them in the other image.

    ``runnable``: those of an image from which tasks can be started.
    """

    big: tuple[Made, ...]
    changed: Made
    runnable: tuple[Made, ...]

    @property
    def other(self) -> tuple[Made, ...]:
        """The layers of the changed image."""
        return (*self.big[:CHANGED], self.changed, *self.big[CHANGED + 1 :])


async def make_layers(folder: Path, userland: Path) -> Layers:
    """All layers, in files of the directory ``folder``, made on all processors.

    ``userland``: a tar file with a shell.
    """
    shapes = [
        *(Shape(FILES * share // 100, SIZE * share // 100, n) for n, share in enumerate(SHARES)),
        Shape(FILES * SHARES[CHANGED] // 100, SIZE * SHARES[CHANGED] // 100, _OTHER_SEED),
        *_FEW,
    ]
    loop = asyncio.get_running_loop()
    # Spawned, not forked: this process has threads, those of gRPC among them.
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as workers:
        tasks = [
            loop.run_in_executor(workers, make, shape, folder / f"{shape.seed}.gz")
            for shape in shapes
        ]
        made = await asyncio.gather(*tasks)
    count = len(SHARES)
    shell = await asyncio.to_thread(_squeezed, userland, folder / "userland.gz")
    return Layers(tuple(made[:count]), made[count], (shell, *made[count + 1 :]))


async def push(url: str, repository: str, tag: str, layers: Sequence[Made]) -> None:
    """The registry at ``url`` has an image of these layers. Raises aiohttp.ClientError."""
    place = f"{url}/v2/{repository}"
    config = _config(layers)
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for each in layers:
            with each.path.open("rb") as file:
                await _put_blob(session, place, each.digest, file)
        await _put_blob(session, place, _digest(config), config)
        await session.put(
            f"{place}/manifests/{tag}",
            data=_manifest(config, layers),
            headers={"Content-Type": MANIFEST},
        )


async def _put_blob(session: aiohttp.ClientSession, place: str, digest: str, data: Any) -> None:
    begun = await session.post(f"{place}/blobs/uploads/")
    kind = {"Content-Type": "application/octet-stream"}
    await session.put(f"{begun.headers['Location']}&digest={digest}", data=data, headers=kind)


def _squeezed(tar: Path, path: Path) -> Made:
    with tar.open("rb") as file, path.open("wb") as out:
        parts: Iterator[bytes] = iter(lambda: file.read(_PART), b"")
        return compressed(parts, out, path)


def _config(layers: Sequence[Made]) -> bytes:
    return _json(
        {
            "created": "1970-01-01T00:00:00Z",
            "architecture": architecture(),
            "os": "linux",
            "config": {"Env": [f"PATH={hello.PATH}"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        }
    )


def _manifest(config: bytes, layers: Sequence[Made]) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [
                {"mediaType": LAYER_GZIP, "digest": each.digest, "size": each.size}
                for each in layers
            ],
        }
    )


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"

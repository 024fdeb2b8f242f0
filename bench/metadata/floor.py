"""The least that an answer costs with aiohttp: a server that always says the same.

``python -m bench.metadata.floor SIZE...`` in a network namespace of its own answers ``/SIZE`` on
port 80 of its loopback with a body of so many bytes, until it is ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys

from aiohttp import web


async def serve(sizes: list[int]) -> None:
    """Serves until cancelled."""
    bodies = {f"/{size}": b"x" * size for size in sizes}

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=bodies[request.path], content_type="application/json")

    server = web.Server(handler, access_log=None)
    await asyncio.get_running_loop().create_server(server, "127.0.0.1", 80, backlog=128)
    print("serving", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asyncio.run(serve([int(each) for each in sys.argv[1:]]))

"""A client that asks at a steady pace, whatever becomes of the answers, until standard input ends.

``python -m bench.metadata.probe URL`` prints how long answers took. A request is due at its time
whether or not the ones before it are answered, and is timed from then: a server that stops for a
moment keeps all those waiting who would have come meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from urllib.parse import SplitResult, urlsplit

PACE_S = 0.005
CONNECTIONS = 16


class Client:
    """Connections to one URL, each for one request at a time; and what came of the requests."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._idle: asyncio.Queue[Connection] = asyncio.Queue()
        self.taken_s: list[float] = []
        self.failed = 0

    async def open(self) -> None:
        """Connected."""
        for _ in range(CONNECTIONS):
            self._idle.put_nowait(await Connection.to(self._url))

    async def close(self) -> None:
        """No connection is left. Nothing may be asked any more, or meanwhile."""
        while not self._idle.empty():
            await self._idle.get_nowait().close()

    async def ask(self, due: float) -> None:
        """One request that was due then has its answer, on the first connection that is free."""
        connection = await self._idle.get()
        self.failed += await connection.status() != 200
        self.taken_s.append(asyncio.get_running_loop().time() - due)
        self._idle.put_nowait(connection)


class Connection:
    """Of HTTP/1.1, as far as an answer with a Content-Length goes."""

    def __init__(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._request, self._reader, self._writer = request, reader, writer

    @classmethod
    async def to(cls, url: SplitResult) -> Connection:
        """Connected. Raises OSError."""
        request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n".encode()
        return cls(request, *await asyncio.open_connection(url.hostname, url.port or 80))

    async def close(self) -> None:
        """Not connected any more."""
        self._writer.close()
        await self._writer.wait_closed()

    async def status(self) -> int:
        """The status code of one more answer, which has come whole."""
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(head.split(b" ")[1])


async def run(url: str) -> dict[str, float]:
    """Asks until standard input ends."""
    client = Client(url)
    await client.open()
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, stopped.set)
    due = loop.time()
    async with asyncio.TaskGroup() as asking:
        while not stopped.is_set():
            asking.create_task(client.ask(due))
            due += PACE_S
            await asyncio.sleep(due - loop.time())
    await client.close()
    p50, p99 = (statistics.quantiles(client.taken_s, n=100)[each] for each in (49, 98))
    return {"p50_s": p50, "p99_s": p99, "count": len(client.taken_s), "failed": client.failed}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1]))))

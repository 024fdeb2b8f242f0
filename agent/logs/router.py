"""The log router's event loop: FIFOs and requests, in one thread, over epoll.

Plain selectors rather than asyncio: the same work in half the memory, and a turn of the loop is a
page of code. Each ready FIFO gets one bounded read per turn, so a container that never stops
talking delays the others by one read, not by its output.
"""

import os
import selectors
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent.logs.client import Client
from agent.logs.fifo import NotAFifo
from agent.logs.protocol import ProtocolError, Stream, checked_id, stream_from
from agent.logs.records import Records
from agent.logs.stream import Lane, LogStream, Turn

CLOSING_READS = 64
"""Reads in one turn of a FIFO that is being closed: what a pipe of the largest size can hold."""

Answer = dict[str, Any] | None


def say(text: str) -> None:
    """A line for the journal."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class Router:
    """All streams and clients of one run directory. ``listener`` is its listening socket."""

    def __init__(self, run_dir: Path, listener: socket.socket) -> None:
        self._records = Records(run_dir)
        self._listener = listener
        self._selector = selectors.EpollSelector()
        self._streams: dict[str, LogStream] = {}
        self._clients: set[Client] = set()
        self._closing: dict[str, list[tuple[Client, object]]] = {}
        self._stopping = False
        self._watch(listener, self._accept)

    def restore(self) -> None:
        """Every stream that was open when the last router ended is open again."""
        for spec in self._records.load():
            if isinstance(spec, ProtocolError):
                say(f"record ignored: {spec}")
                continue
            try:
                self._attach(LogStream(spec, self._records.journal_prefix(spec.id)))
            except (ProtocolError, NotAFifo, OSError) as error:
                say(f"{spec.id}: cannot resume its log: {error}")

    def stop_on(self, fd: int) -> None:
        """Anything to read there ends ``serve``."""
        self._watch(fd, self._stop)

    def serve(self) -> None:
        """Until told to stop. The streams then stay recorded, for the next router."""
        while not self._stopping:
            for key, events in self._selector.select():
                # A callback earlier in this turn may have closed this file, or even replaced it.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(events)
        for stream in self._streams.values():
            stream.detach()
        for client in tuple(self._clients):
            self._drop(client)
        self._selector.close()

    def _stop(self, _events: int) -> None:
        self._stopping = True

    def _watch(self, file: socket.socket | int, then: Callable[[int], None]) -> None:
        self._selector.register(file, selectors.EVENT_READ, then)

    # FIFOs

    def _attach(self, stream: LogStream) -> None:
        new = stream.attach()
        self._streams[stream.spec.id] = stream
        for lane in new:
            self._watch_lane(stream, lane)

    def _watch_lane(self, stream: LogStream, lane: Lane) -> None:
        if lane.fd is not None:
            self._watch(lane.fd, partial(self._pump, stream, lane))

    def _pump(self, stream: LogStream, lane: Lane, _events: int = 0) -> None:
        reads = CLOSING_READS if stream.spec.id in self._closing else 1
        for _ in range(reads):
            turn = stream.pump(lane)
            if turn is Turn.QUIET:
                return
            if turn is Turn.END:
                self._ended(stream, lane)
                return

    def _ended(self, stream: LogStream, lane: Lane) -> None:
        if lane.fd is not None:
            self._selector.unregister(lane.fd)
            lane.reopen()
            self._watch_lane(stream, lane)
        if stream.ended and stream.spec.id in self._closing:
            self._remove(stream)

    def _remove(self, stream: LogStream) -> None:
        for lane in stream.lanes:
            if lane.fd is not None:
                self._selector.unregister(lane.fd)
        stream.remove()
        self._records.remove(stream.spec.id)
        del self._streams[stream.spec.id]
        for client, seq in self._closing.pop(stream.spec.id):
            self._send(client, {"seq": seq, "ok": True})

    # Clients

    def _accept(self, _events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it went away again, or there are too many open files
            say(f"connection refused: {error}")
            return
        client = Client(connection)
        self._clients.add(client)
        self._watch(connection, partial(self._serve_client, client))

    def _serve_client(self, client: Client, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                for request in client.requests():
                    self._request(client, request)
            self._flush(client)
        except (OSError, ProtocolError):  # it has gone, or speaks another language
            self._drop(client)
        if client.gone:
            self._drop(client)

    def _request(self, client: Client, request: dict[str, Any]) -> None:
        seq = request.get("seq")
        try:
            answer = self._answer(client, seq, request)
        except (ProtocolError, NotAFifo, OSError) as error:
            client.queue({"seq": seq, "ok": False, "error": str(error)})
        else:
            if answer is not None:
                client.queue({"seq": seq, "ok": True, **answer})

    def _send(self, client: Client, message: dict[str, Any]) -> None:
        client.queue(message)
        try:
            self._flush(client)
        except OSError:
            self._drop(client)

    def _flush(self, client: Client) -> None:
        if client not in self._clients:
            return
        key = self._selector.get_key(client.connection)
        events = selectors.EVENT_READ | (0 if client.flush() else selectors.EVENT_WRITE)
        if events != key.events:
            self._selector.modify(client.connection, events, key.data)

    def _drop(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.connection.close()

    # Requests

    def _answer(self, client: Client, seq: object, request: dict[str, Any]) -> Answer:
        match request.get("op"):
            case "open":
                return self._open(stream_from(request.get("stream")))
            case "close":
                return self._close(client, seq, checked_id(request.get("id")))
            case "list":
                return {"streams": [stream.state for stream in self._streams.values()]}
            case "ping":
                return {"pid": os.getpid(), "service": "NOTIFY_SOCKET" in os.environ}
            case "stop_if_idle":
                self._stopping = not self._streams
                return {"stopped": self._stopping}
            case other:
                raise ProtocolError(f"op: {other!r} is none of ours")

    def _open(self, spec: Stream) -> Answer:
        stream = self._streams.get(spec.id)
        if stream is None:
            self._open_new(spec)
        elif spec.id in self._closing:
            raise ProtocolError(f"{spec.id}: is being closed")
        elif stream.spec != spec:
            raise ProtocolError(f"{spec.id}: is open already, with other paths or options")
        else:
            stream.make_fifos()
            self._attach(stream)
        return {}

    def _open_new(self, spec: Stream) -> None:
        stream = LogStream(spec, self._records.journal_prefix(spec.id))
        self._records.save(spec)
        try:
            stream.make_fifos()
            self._attach(stream)
        except (NotAFifo, OSError):
            stream.remove()
            self._records.remove(spec.id)
            raise

    def _close(self, client: Client, seq: object, container_id: str) -> Answer:
        stream = self._streams.get(container_id)
        if stream is None:
            self._records.remove(container_id)  # one that could not be resumed
            return {}
        self._closing.setdefault(container_id, []).append((client, seq))
        # An end that was reached before anybody asked is not reported again: look.
        for lane in stream.lanes:
            lane.ended = False
        for lane in stream.lanes:
            self._pump(stream, lane)
        if not stream.lanes:
            self._remove(stream)
        return None

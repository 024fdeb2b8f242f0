"""The process of a plugin: hands the call to a running agent, or does it itself.

Starting Python takes 9 ms, importing the plugins 40 more. An agent has them loaded: where one
listens at HOSTLER_CNI_SOCKET (default /run/hostler/cni.sock, empty: ask nobody), it does the work
and this process only passes bytes on. So nothing but built-in modules is imported up to there. An
agent that sees other mounts or another network than this process declines; then, and when nobody
listens or the agent ends meanwhile, the work is done here.

A request is: its length (4 bytes, big-endian); the plugin's name and, as KEY=VALUE, the variables
PATH and CNI_*, each followed by a NUL; one more NUL; standard input. The answer is: its length;
one byte exit status (`DECLINED`: none of the rest); the length of standard output (4 bytes);
standard output; standard error.
"""

import posix
from _socket import AF_UNIX, SOCK_STREAM, socket

DECLINED = 255

_SOCKET = b"/run/hostler/cni.sock"
_STATE = "/run/hostler/cni"
_DEADLINE_S = 90.0  # longer than the agent's own, which gives an answer
_CHUNK = 1 << 16
_TOO_LATE = b'{"cniVersion":"1.1.0","code":11,"msg":"the agent gave no answer in time"}\n'


def main(plugin_name: str) -> None:
    """Answer for the plugin of that name; ends the process."""
    stdin = b""
    if posix.environ.get(b"CNI_COMMAND", b"") not in (b"", b"VERSION"):
        stdin = _read(0)
    try:
        answer = _ask(plugin_name, stdin)
    except TimeoutError:  # it may be at work still: doing it twice at once would be worse
        answer = (1, _TOO_LATE, b"")
    status, stdout, stderr = answer or _do(plugin_name, stdin)
    try:
        _write(2, stderr)
        _write(1, stdout)
    except OSError:
        status = status or 1
    # Nothing is left to tidy up, which saves Python's own tidying.
    posix._exit(status)


def _ask(plugin_name: str, stdin: bytes) -> tuple[int, bytes, bytes] | None:
    """The agent's answer, if there is one. Raises TimeoutError."""
    path = posix.environ.get(b"HOSTLER_CNI_SOCKET", _SOCKET)
    if not path:
        return None
    connection = socket(AF_UNIX, SOCK_STREAM)
    try:
        connection.connect(path)
        connection.settimeout(_DEADLINE_S)
        connection.sendall(_request(plugin_name, stdin))
        length = int.from_bytes(_receive(connection, 4), "big")
        answer = _receive(connection, length)
    except TimeoutError:
        raise
    except OSError:
        return None
    finally:
        connection.close()
    if answer[0] == DECLINED:
        return None
    split = 5 + int.from_bytes(answer[1:5], "big")
    return answer[0], answer[5:split], answer[split:]


def _request(plugin_name: str, stdin: bytes) -> bytes:
    told = [plugin_name.encode()]
    for key, value in posix.environ.items():
        if key == b"PATH" or key.startswith(b"CNI_"):
            told.append(key + b"=" + value)
    body = b"\0".join([*told, b"", stdin])
    return len(body).to_bytes(4, "big") + body


def _receive(connection: socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        chunk = connection.recv(length - len(received))
        if not chunk:
            raise ConnectionResetError
        received += chunk
    return received


def _do(plugin_name: str, stdin: bytes) -> tuple[int, bytes, bytes]:
    """Do the work in this process."""
    import os
    from contextlib import closing
    from pathlib import Path

    from cni import context
    from cni.program import skel

    state = Path(os.environ.get("HOSTLER_CNI_STATE", _STATE))
    return skel.run(os.environ, stdin, plugin_name, lambda: closing(context.open_context(state)))


def _read(descriptor: int) -> bytes:
    chunks = []
    while chunk := posix.read(descriptor, _CHUNK):
        chunks.append(chunk)
    return b"".join(chunks)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[posix.write(descriptor, data) :]

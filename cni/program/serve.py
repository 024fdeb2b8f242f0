"""The agent's end of `launch`: one request of a plugin's process in, its answer out.

The caller's files and namespaces are told by their paths, so it must see the same mounts from the
same root; and "the host" must be the same network.
"""

import os
from pathlib import Path

from cni.program import skel
from cni.program.launch import DECLINED
from cni.program.skel import OpenContext, Outcome

_DECLINE = bytes([DECLINED])


def answer(request: bytes, peer_pid: int, open_context: OpenContext) -> bytes:
    """The answer (both without their lengths) to a process; run in the thread of the context.

    `peer_pid` is who asks, as the kernel says; 0 is somebody in another PID namespace.
    """
    told = _parsed(request)
    if told is None or not _is_here(peer_pid):
        return _DECLINE
    return packed(skel.run(told[1], told[2], told[0], open_context))


def packed(outcome: Outcome) -> bytes:
    """An outcome as answer."""
    length = len(outcome.stdout).to_bytes(4, "big")
    return bytes([outcome.status]) + length + outcome.stdout + outcome.stderr


def _parsed(request: bytes) -> tuple[str, dict[str, str], bytes] | None:
    """The plugin's name, environment and standard input."""
    head, separator, stdin = request.partition(b"\0\0")
    name, *variables = head.split(b"\0")
    pairs = [each.partition(b"=") for each in variables]
    if not separator or not name.isascii() or not all(sign for _, sign, _ in pairs):
        return None
    environ = {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}
    return name.decode(), environ, stdin


def _is_here(pid: int) -> bool:
    """Whether a process lives with the same root, mounts and network as this thread."""
    places = ("root", "ns/mnt", "ns/net")
    try:
        theirs = [Path(f"/proc/{pid}", place).stat() for place in places]
        ours = [Path("/proc/thread-self", place).stat() for place in places]
    except OSError:
        return False
    return all(map(os.path.samestat, theirs, ours))

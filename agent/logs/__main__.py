"""``python -m agent.logs --dir RUNDIR [--detach]``: the log router as a process.

In the foreground (under systemd: ``Type=notify``) until SIGTERM or SIGINT, or, with ``--detach``,
in the background: the command then returns as soon as the router listens. One router per run
directory: another one waits a moment for the first to end (an upgrade), then gives up with
status 75.
"""

import fcntl
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from types import FrameType

from agent.logs.protocol import SOCKET_NAME
from agent.logs.router import Router, say

USAGE = "usage: python -m agent.logs --dir RUNDIR [--detach]"
EX_USAGE, EX_TEMPFAIL = 64, 75
LOCK_WAIT_S = 5
"""How long a router that has been told to stop may take to hand over."""


def main(arguments: list[str]) -> int:
    """The process's exit status."""
    detach = "--detach" in arguments
    rest = [argument for argument in arguments if argument != "--detach"]
    if len(rest) != 2 or rest[0] != "--dir":
        say(USAGE)
        return EX_USAGE
    run_dir = Path(rest[1]).absolute()
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chdir("/")
    lock = os.open(f"{run_dir}/logs.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not locked(lock):
        say(f"another log router serves {run_dir}")
        return EX_TEMPFAIL
    path = run_dir / SOCKET_NAME
    listener = listening(path)
    if detach and os.fork():
        return 0
    serve(run_dir, listener)
    path.unlink()
    return 0


def locked(fd: int) -> bool:
    """Whether the lock was to be had within ``LOCK_WAIT_S``. The kernel drops it at our end."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    previous = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LOCK_WAIT_S)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
    except TimeoutError:
        return False
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return True


def listening(path: Path) -> socket.socket:
    """A socket there that root alone may connect to. We hold the lock, so an old one is dead."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o077)
    listener.bind(str(path))
    os.umask(before)
    listener.listen(128)
    listener.settimeout(0)
    return listener


def serve(run_dir: Path, listener: socket.socket) -> None:
    """Route logs until a signal ends it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # up to six files per container
    wake, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(woken)
    router = Router(run_dir, listener)
    router.restore()
    router.stop_on(wake)
    notify("READY=1")
    router.serve()


def notify(state: str) -> None:
    """Tell systemd, where it is systemd that started us (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.send(state.encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Two namespaces for a lab, `host` and its neighbour `outside`, and a thread that lives in `host`.

They are not connected: how is the lab's own.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cni.kernel import netns


@dataclass(frozen=True, slots=True)
class ScratchHosts:
    """The namespaces, the threads that visit them, and the one that lives on the host."""

    threads: netns.NamespaceThread
    host: Path
    outside: Path
    host_thread: ThreadPoolExecutor


@contextlib.contextmanager
def scratch_hosts(root: Path) -> Iterator[ScratchHosts]:
    """Make them below a temporary directory; at the end remove them, and all in `root/netns`."""
    threads = netns.NamespaceThread()
    host, outside = root / "host", root / "outside"
    threads.create(host)
    threads.create(outside)
    host_thread = ThreadPoolExecutor(1, "host", initializer=netns.enter, initargs=(host,))
    try:
        yield ScratchHosts(threads, host, outside, host_thread)
    finally:
        host_thread.shutdown()
        threads.stop()
        for path in [*(root / "netns").glob("*"), host, outside]:
            netns.remove(path)

"""A world of its own for a benchmark: network, mounts and processes apart from the host's.

All daemons, firewall rules, bridges and mounts of a run live in namespaces that end with its first
process, whatever happened to it: nobody has to clean up after three container engines. Only the
scratch directory and the cgroups are the host's; both carry one name and are removed here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from agent.host.cgroups.kernel import Cgroups
from bench.command import Options

RESULT = "result.json"
"""What the program inside leaves in the scratch directory."""

# catatonit is a first process that reaps what the engines leave to it.
_SEAL = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_INIT = ("catatonit", "--")
_NEEDED = ("unshare", "catatonit", "containerd", "runc", "ip")


def run(options: Options) -> int:
    """Runs the benchmark; gives its exit status. Nothing of it is left when this returns.

    Ends the program with a message where it can't be run.
    """
    for each in _NEEDED:
        if shutil.which(each) is None:
            sys.exit(f"bench: {each} is not installed")
    if os.geteuid() != 0:
        sys.exit("bench: must run as root")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    scratch = Path(tempfile.mkdtemp(prefix="hostler-bench-"))
    try:
        inside = [sys.executable, "-m", "bench.inside", str(scratch), *options.arguments]
        status = _wait([*_SEAL, *_INIT, *inside])
        if status == 0 and options.json is not None:
            shutil.copyfile(scratch / RESULT, options.json)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    finally:
        Cgroups().remove(f"/{scratch.name}")
        shutil.rmtree(scratch)
    return status


def _wait(command: list[str]) -> int:
    # In a session of its own, so that Ctrl-C reaches us alone and everything ends in one way.
    root = Path(__file__).parent.parent  # where -m finds the package
    process = subprocess.Popen(command, cwd=root, start_new_session=True)
    try:
        return process.wait()
    finally:
        if process.poll() is None:
            # With the first process of a namespace the kernel ends all others before it is reaped.
            for first in psutil.Process(process.pid).children():
                first.kill()
            process.wait()

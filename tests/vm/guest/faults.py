"""Network faults that a task asks for, measured where they act."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Final

from tests.vm.guest.nics import Attached
from tests.vm.guest.telling import Facts, output
from tests.vm.wires import MACHINES

DELAY_MS: Final = 3000
MODULES: Final = ("sch_prio", "sch_netem", "cls_flow")
PAUSE_S: Final = 30.0
"""ECS allows each question once in five seconds."""

_TIMES = re.compile(r"time=([0-9.]+) ms")


def faults(machine: str, attached: Attached) -> Facts:
    """Round trips to the peer: as they are, with latency, with loss, and after each."""
    (other,) = set(MACHINES) - {machine}
    at, peer = attached.task.namespace(), attached.end.address(other)
    uri = attached.task.log().splitlines()[0]
    output("modprobe", "--all", *MODULES)
    facts: Facts = {"before": _trips(at, peer)}
    bodies = {
        "network-latency": {"DelayMilliseconds": DELAY_MS, "JitterMilliseconds": 0},
        "network-packet-loss": {"LossPercent": 100},
    }
    for name, body in bodies.items():
        ask = f"{uri}/fault/v1/{name}"
        started = _started(at, ask, {**body, "Sources": [peer]})
        trips = _trips(at, peer)
        facts[name] = {
            "start": started,
            "trips": trips,
            "status": _asked(at, f"{ask}/status", {}),
            "metadata": _metadata(at, uri),
            "stop": _asked(at, f"{ask}/stop", {}),
            "after": _trips(at, peer),
        }
    return facts


def _started(at: Path, ask: str, body: Any) -> Any:
    """What comes of a start. One that took longer than ECS allows goes on; then its status."""
    answer = _asked(at, f"{ask}/start", body)
    if "timed out" not in answer.get("Error", ""):
        return answer
    time.sleep(PAUSE_S)  # noqa: TID251 - the first one has the kernel load its modules
    return _asked(at, f"{ask}/status", {})


def _trips(at: Path, peer: str) -> list[float]:
    """Milliseconds that each of three packets took there and back, if it was answered."""
    script = f"ping -c 3 -W {3 * DELAY_MS // 1000} {peer} || true"
    said = output("nsenter", f"--net={at}", "sh", "-c", script)
    return [float(each) for each in _TIMES.findall(said)]


def _asked(at: Path, url: str, body: Any) -> Any:
    return json.loads(output(*_curl(at), "-d", json.dumps(body), url))


def _metadata(at: Path, uri: str) -> str:
    """The task's ARN, as its metadata endpoint has it meanwhile."""
    v4 = uri.replace("/api/", "/v4/")
    return str(json.loads(output(*_curl(at), f"{v4}/task"))["TaskARN"])


def _curl(at: Path) -> list[str]:
    return ["nsenter", f"--net={at}", "curl", "-sS", "--max-time", "60"]

"""What traffic control of this kernel can do."""

import subprocess
from functools import cache
from typing import Final

WITHOUT: Final = "this kernel lacks sch_prio, sch_netem or cls_flow"


@cache
def shapes() -> bool:
    """Whether this kernel has what latency and loss are made of; tc(8) tells."""
    script = (
        "tc qdisc add dev lo root handle 1: prio && tc qdisc add dev lo parent 1:1 netem delay 1ms"
        " && tc filter add dev lo parent 1: prio 1 protocol all handle 1 flow hash keys dst"
    )
    ran = subprocess.run(["unshare", "--net", "sh", "-c", script], capture_output=True, check=False)
    return ran.returncode == 0

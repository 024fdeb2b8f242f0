"""Ten tasks that start when the power is cut, and what the next boot makes of all tasks."""

from __future__ import annotations

import json
from typing import Any, Final

from tests.vm.guest import tasks
from tests.vm.guest.nics import Attached
from tests.vm.guest.tasks import AGENT, Task
from tests.vm.guest.telling import SHARE, Facts, output, tell, until
from tests.vm.wires import ENDS

STARTING: Final = 10


def until_cut(attached: list[Attached]) -> None:
    """Tells the host of every task that was accepted, then that some of ten have started."""
    ten = tasks.start(tasks.definition("starting", tasks.STAYS), count=STARTING)
    arns = [each.task.arn for each in attached] + [each.arn for each in ten]
    tell("accepted", {"arns": arns})
    tell("cut", until(lambda: _half_way(arns[-STARTING:]), "some tasks run, others not yet"))
    until(lambda: False, "the power is cut")


def _half_way(arns: list[str]) -> dict[str, str]:
    """The tasks' statuses, when some of them run and others don't."""
    found = _statuses(arns)
    return found if "RUNNING" in found.values() else {}


def _statuses(arns: list[str]) -> dict[str, str]:
    shown = AGENT.call("DescribeTasks", {"tasks": arns})["tasks"]
    return {each["taskArn"]: each["lastStatus"] for each in shown}


def after_cut(machine: str) -> Facts:
    """What became of them, what is left of them, and whether the machine is good for more."""
    arns: list[str] = json.loads((SHARE / "accepted").read_text())["arns"]
    until(lambda: set(_statuses(arns).values()) <= {"RUNNING", "STOPPED"}, "all are settled")
    described: dict[str, Any] = AGENT.call("DescribeTasks", {"tasks": arns})
    listed = [
        arn
        for status in ("RUNNING", "STOPPED")
        for arn in AGENT.call("ListTasks", {"desiredStatus": status})["taskArns"]
    ]
    facts = {"tasks": described["tasks"], "failures": described["failures"], "listed": listed}
    running = [each["taskArn"] for each in described["tasks"] if each["lastStatus"] == "RUNNING"]
    fresh = tasks.definition("fresh", tasks.STAYS, networkMode="awsvpc")
    again = tasks.run(fresh, ENDS[0].name)
    facts["fresh"] = again.until_running()
    tasks.end(again, *map(Task, running))
    tasks.until_closed(*map(Task, arns))
    left = output("ctr", "-n", "hostler", "containers", "list", "--quiet").split()
    snapshots = output("ctr", "-n", "hostler", "snapshots", "list").splitlines()[1:]
    return {
        **facts,
        "findings": AGENT.call("Hostler.Diagnose", {"fix": False})["findings"],
        "containers": left,
        "snapshots": [each.split()[0] for each in snapshots if each.split()[-1] == "Active"],
    }

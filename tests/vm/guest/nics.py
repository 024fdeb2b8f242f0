"""Network cards and branches of a trunk in tasks, and tasks of two machines that talk.

Each machine has three cards: two that are moved into tasks, and a trunk. What one machine's tasks
say at their addresses, the other's ask for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.vm.guest import tasks
from tests.vm.guest.tasks import Task
from tests.vm.guest.telling import Facts, output
from tests.vm.wires import ENDS, MACHINES, End

OWN_ADDRESS: Final = "192.0.2.7/24"
"""Of the second card, on its host."""
OWN_MTU: Final = 1400


@dataclass(frozen=True, slots=True)
class Attached:
    """A task at one end of a wire."""

    end: End
    task: Task


def pool(machine: str) -> dict[str, Any]:
    """What this machine may lend to tasks."""
    return {"interfaces": [_entry(machine, each) for each in ENDS]}


def _entry(machine: str, end: End) -> dict[str, Any]:
    common = {"addresses": [f"{end.address(machine)}/24"], "subnet": end.name}
    mac = end.mac(machine)
    if end.vlan:
        return {"type": "vlan", "trunk": mac, "vlan": end.vlan, **common}
    return {"type": "nic", "mac": mac, **common}


def start(machine: str) -> list[Attached]:
    """A task at each end, which serves its name and asks its peer, over and over, for its."""
    (other,) = set(MACHINES) - {machine}
    found = []
    for end in ENDS:
        script = (
            f"mkdir /tmp/www; echo {machine} {end.name} > /tmp/www/name; echo $ECS_AGENT_URI; "
            "httpd -p 80 -h /tmp/www; "
            f"until wget -qO- http://{end.address(other)}/name; do sleep 1; done; "
            f"{tasks.STAYS}"
        )
        wanted = tasks.definition(end.name, script, networkMode="awsvpc", enableFaultInjection=True)
        found.append(Attached(end, tasks.run(wanted, end.name)))
    return found


def talked(machine: str, attached: list[Attached]) -> Facts:
    """What each has and heard."""
    facts: Facts = {}
    for each in attached:
        shown = each.task.until_running()
        log = each.task.until_log("up")
        at = each.task.namespace()
        link, _ = links(at)["eth0"], None
        facts[each.end.name] = {
            "heard": log.splitlines()[1:-1],
            "mac": link["address"],
            "kind": link.get("linkinfo", {}).get("info_kind"),
            "addresses": [one["local"] for one in link["addr_info"] if one["family"] == "inet"],
            "attachment": shown["attachments"][0]["status"],
        }
    return facts


def isolated(machine: str, attached: list[Attached]) -> Facts:
    """Whether a branch of the trunk reaches branches of another tag; its own was asked before."""
    (other,) = set(MACHINES) - {machine}
    first, second = (each for each in attached if each.end.vlan)
    at = first.task.namespace()
    far, near = second.end.address(other), second.end.address(machine)
    return {
        "own": reaches(at, first.end.address(other)),
        "far": reaches(at, far),
        "near": reaches(at, near),
    }


def given_back(machine: str, attached: list[Attached], before: Facts) -> Facts:
    """The cards of the machine before, and after all tasks have ended."""
    meanwhile = cards(machine)
    tasks.end(*(each.task for each in attached))
    return {"before": before, "meanwhile": meanwhile, "after": cards(machine)}


def cards(machine: str) -> Facts:
    """What the machine itself has of its cards by MAC: name, MTU, state, addresses."""
    output("udevadm", "settle", "--timeout=60")
    macs = {each.mac(machine) for each in ENDS}
    return {
        link["address"]: {
            "name": name,
            "mtu": link["mtu"],
            "up": "UP" in link["flags"],
            "addresses": [one["local"] for one in link["addr_info"] if one["family"] == "inet"],
        }
        for name, link in links().items()
        if link["address"] in macs
    }


def dress(machine: str) -> None:
    """The second card has an address and an MTU of its own before any task gets it."""
    name = cards(machine)[ENDS[1].mac(machine)]["name"]
    output("ip", "link", "set", name, "mtu", str(OWN_MTU))
    output("ip", "address", "add", OWN_ADDRESS, "dev", name)


def links(at: Path | None = None) -> dict[str, Any]:
    """The interfaces here, or in a namespace, by name."""
    inside = ["nsenter", f"--net={at}"] if at else []
    shown = json.loads(output(*inside, "ip", "-json", "-details", "address"))
    return {each["ifname"]: each for each in shown}


def reaches(at: Path, address: str) -> bool:
    """Whether any of three packets is answered."""
    try:
        output("nsenter", f"--net={at}", "ping", "-c", "3", "-W", "5", address)
    except RuntimeError:
        return False
    return True

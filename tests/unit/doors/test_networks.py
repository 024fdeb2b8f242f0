"""Which way to a container is told: what the built-in bridge makes, or an operator's own list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.cli import packetpath
from agent.doors import networks
from agent.engine.feed import Picture
from agent.host.network import networks as host_networks
from agent.settings import Settings
from agent.task.model import Intent
from tests import worlds

PTP: dict[str, Any] = {
    "cniVersion": "1.0.0",
    "name": "bridge",
    "plugins": [
        {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}},
        {"type": "hostler-portmap", "capabilities": {"portMappings": True}},
    ],
}


def described(folder: Path) -> dict[str, Any]:
    """The networks with one task in bridge mode, where ``folder`` has the operator's lists."""
    settings = replace(Settings(), cni_conf_dir=folder)
    task = worlds.task(worlds.container("web"))
    picture = Picture(Intent(task), worlds.running(Intent(task)), worlds.view(task, {}))
    return networks.describe(settings, host_networks.load(settings, folder / "leases"), [picture])


def drawn(answer: dict[str, Any]) -> str:
    return "\n".join(packetpath.drawing(answer["attachments"][0], answer["networks"][0]))


def test_the_built_in_bridge_is_named_with_what_it_masquerades(tmp_path: Path) -> None:
    answer = described(tmp_path)
    bridge = answer["networks"][0]
    assert bridge["plugins"] == ["hostler-bridge", "hostler-portmap", "hostler-firewall"]
    assert (bridge["bridge"], bridge["subnets"]) == ("hostler0", ["10.213.0.0/16"])
    assert answer["attachments"][0]["hostInterface"].startswith("hv")
    assert "masquerades what leaves 10.213.0.0/16" in drawn(answer)


def test_of_a_list_of_other_plugins_no_bridge_of_ours_is_told(tmp_path: Path) -> None:
    (tmp_path / "own.conflist").write_text(json.dumps(PTP))
    answer = described(tmp_path)
    assert (answer["networks"][0]["network"], answer["networks"][0]["bridge"]) == ("bridge", None)
    assert answer["attachments"][0]["hostInterface"] is None
    assert "made by ptp, hostler-portmap" in drawn(answer)
    assert "masquerades" not in drawn(answer)


def test_an_own_list_with_our_bridge_is_told_as_it_says(tmp_path: Path) -> None:
    plugin = {"type": "hostler-bridge", "bridge": "br7", "vethPrefix": "q"}
    (tmp_path / "own.conflist").write_text(json.dumps({**PTP, "plugins": [plugin]}))
    answer = described(tmp_path)
    assert (answer["networks"][0]["bridge"], answer["networks"][0]["subnets"]) == ("br7", [])
    assert answer["attachments"][0]["hostInterface"].startswith("q")
    assert "masquerades" not in drawn(answer)


def test_notes_of_a_drawing_stand_below_each_other(tmp_path: Path) -> None:
    answer = described(tmp_path)
    answer["attachments"][0]["attachment"] |= {"ipv6": "fd00:213::2", "prefix6": 64}
    stages = [
        line for line in drawn(answer).splitlines() if line.startswith("  ") and "│" not in line
    ]
    notes = ("masquerades", "host end", "MAC")
    found = [line.index(note) for line in stages for note in notes if note in line]
    assert len(found) == len(notes)
    assert len(set(found)) == 1

"""Making good an attachment's part in the firewall: who is asked, and with what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cni import plugin as plugins
from cni.context import Context
from cni.errors import CNIError, Code
from cni.plugin import Restorable
from cni.runtime import cache
from cni.runtime.cache import Cached
from cni.runtime.chain import Runtime
from cni.runtime.conflist import Network, network_from
from cni.spec import Args, Attachment
from tests.fakes.cni_plugin import Recorder, program, refusal
from tests.unit.cni.runtime.test_chain import FIRST, LAST, NETNS, PORTS


@dataclass
class Restoring(Recorder):
    """A plugin with a part in the firewall."""

    def restore(self, conf: Any, args: Args, context: Context, /) -> None:
        """Nothing."""
        self._called("RESTORE", args)


@dataclass
class World:
    """A bridge with such a part, one of another vendor, a firewall without, ports with."""

    root: Path

    def __post_init__(self) -> None:
        self.plugins = {
            "hostler-bridge": Restoring(FIRST),
            "hostler-firewall": Recorder(FIRST),
            "hostler-portmap": Restoring(LAST),
        }
        program(self.root / "bin" / "other")
        unused: Any = None
        context = Context(unused, unused, unused, self.root)
        self.runtime = Runtime(context, self.root / "cache", (self.root / "bin",), 20)

    @property
    def network(self) -> Network:
        other = {"type": "other", "record": str(self.root / "calls")}
        ports = {"type": "hostler-portmap", "capabilities": {"portMappings": True}}
        bridge, firewall = {"type": "hostler-bridge"}, {"type": "hostler-firewall"}
        listed = [bridge, other, firewall, ports]
        return network_from({"name": "net", "cniVersion": "1.1.0", "plugins": listed})

    def attached(self, *containers: str) -> list[Cached]:
        """What is kept of these containers, which have been attached just now."""
        for each in containers:
            given = {"portMappings": PORTS, "other": 1}
            self.runtime.add(self.network, each, NETNS, "eth0", given, {"K": "V"})
        for plugin in self.plugins.values():
            plugin.calls.clear()
        (self.root / "calls").unlink()
        return list(cache.of_network(self.root / "cache", "net", "1.1.0"))

    def verbs(self) -> dict[str, list[str]]:
        return {name: [verb for verb, _ in each.calls] for name, each in self.plugins.items()}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    built = World(tmp_path)
    monkeypatch.setattr(plugins, "find", built.plugins.__getitem__)
    return built


def test_only_those_with_a_part_in_the_firewall_are_asked(world: World) -> None:
    (kept,) = world.attached("c1")
    world.runtime.restore(world.network, kept)

    assert world.verbs() == {
        "hostler-bridge": ["RESTORE"],
        "hostler-firewall": [],
        "hostler-portmap": ["RESTORE"],
    }
    assert not (world.root / "calls").exists()


def test_they_are_told_what_add_was_given_and_gave(world: World) -> None:
    (kept,) = world.attached("c1")
    world.runtime.restore(world.network, kept)

    (_, bridge), (_, ports) = (
        world.plugins[name].calls[0] for name in ("hostler-bridge", "hostler-portmap")
    )
    for args in (bridge, ports):
        assert args.attachment == Attachment("c1", "eth0")
        assert (args.netns, args.cni_args, args.prev) == (NETNS, {"K": "V"}, LAST)
        assert args.path == (world.root / "bin",)
    assert bridge.runtime == {}
    assert ports.runtime == {"portMappings": PORTS}


def test_each_attachment_is_restored_for_itself(world: World) -> None:
    for kept in world.attached("c1", "c2"):
        world.runtime.restore(world.network, kept)

    asked = [args.container_id for _, args in world.plugins["hostler-portmap"].calls]
    assert sorted(asked) == ["c1", "c2"]


def test_a_failure_ends_it_and_what_is_kept_stays_for_the_next_try(world: World) -> None:
    (kept,) = world.attached("c1")
    world.plugins["hostler-bridge"].fails = {"RESTORE": refusal(Code.IO_FAILURE, "busy")}
    with pytest.raises(CNIError, match="busy"):
        world.runtime.restore(world.network, kept)
    assert world.verbs()["hostler-portmap"] == []

    world.plugins["hostler-bridge"].fails = {}
    world.runtime.restore(world.network, kept)
    assert world.verbs()["hostler-portmap"] == ["RESTORE"]
    assert list(cache.of_network(world.root / "cache", "net", "1.1.0")) == [kept]


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("hostler-bridge", True),
        ("hostler-portmap", True),
        ("hostler-ipam", False),
        ("hostler-awsvpc", False),
        ("hostler-firewall", False),
    ],
)
def test_which_of_our_plugins_have_a_part_in_the_hosts_firewall(name: str, has: bool) -> None:
    plugin: object = plugins.find(name)
    assert isinstance(plugin, Restorable) is has

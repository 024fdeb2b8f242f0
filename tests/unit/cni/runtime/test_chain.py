"""A network's plugins: in which order they are asked, with what, and what is kept."""

import json
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from cni import plugin as plugins
from cni.context import Context
from cni.errors import CNIError, Code
from cni.runtime import cache
from cni.runtime.cache import Cached
from cni.runtime.chain import Runtime
from cni.runtime.conflist import Network, network_from
from cni.spec import IP, Attachment, Interface, Result
from tests.fakes.cni_plugin import Recorder, calls, program, refusal

FIRST = Result((Interface("eth0"),), (IP(IPv4Interface("10.0.0.2/8"), interface=0),))
LAST = replace(FIRST, interfaces=(Interface("eth0", mtu=1400),))
NETNS = Path("/netns/c1")
ONE = Attachment("c1", "eth0")
PORTS = [{"hostPort": 80, "containerPort": 8080}]


@dataclass
class World:
    """Two of our plugins with one of another vendor between, recording their calls."""

    root: Path
    first: Recorder = field(default_factory=lambda: Recorder(FIRST))
    last: Recorder = field(default_factory=lambda: Recorder(LAST))

    def __post_init__(self) -> None:
        program(self.root / "bin" / "other")
        unused: Any = None
        context = Context(unused, unused, unused, self.root)
        self.runtime = Runtime(context, self.root / "cache", (self.root / "bin",), 20)

    def network(self, version: str = "1.1.0", **other: Any) -> Network:
        """The network of the three; `other` goes into the other vendor's configuration."""
        external = {"type": "other", "record": str(self.root / "calls"), **other}
        return network_from(
            {
                "name": "net",
                "cniVersion": version,
                "plugins": [
                    {"type": "hostler-bridge"},
                    {**external, "capabilities": {"mac": True}},
                    {"type": "hostler-portmap", "capabilities": {"portMappings": True}},
                ],
            }
        )

    def external(self) -> list[dict[str, Any]]:
        """The calls of the other vendor's plugin."""
        return calls(self.root / "calls")

    def verbs(self) -> dict[str, list[str]]:
        """Who was asked what."""
        return {
            "first": [verb for verb, _ in self.first.calls],
            "other": [call["environ"]["CNI_COMMAND"] for call in self.external()],
            "last": [verb for verb, _ in self.last.calls],
        }

    def kept(self) -> Cached | None:
        """What is kept of the attachment."""
        return cache.read(self.root / "cache", "net", ONE, "1.1.0")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    built = World(tmp_path)
    ours = {"hostler-bridge": built.first, "hostler-portmap": built.last}
    monkeypatch.setattr(plugins, "find", ours.__getitem__)
    return built


def all_three(*verbs: str) -> dict[str, list[str]]:
    return {name: list(verbs) for name in ("first", "other", "last")}


def test_add_goes_forward_and_each_sees_the_result_of_the_one_before(world: World) -> None:
    assert world.runtime.add(world.network(), "c1", NETNS) == LAST

    assert [(verb, args.prev) for verb, args in world.first.calls] == [("ADD", None)]
    assert [(verb, args.prev) for verb, args in world.last.calls] == [("ADD", FIRST)]
    (call,) = world.external()
    assert call["conf"]["prevResult"]["ips"] == [{"address": "10.0.0.2/8", "interface": 0}]
    assert (call["conf"]["name"], call["conf"]["cniVersion"]) == ("net", "1.1.0")


def test_each_gets_the_capabilities_that_it_has(world: World) -> None:
    given = {"portMappings": PORTS, "mac": "02::", "unknown": 1}
    world.runtime.add(world.network(), "c1", NETNS, "eth0", given, {"IP": "10.0.0.9"})

    assert world.first.calls[0][1].runtime == {}
    assert world.last.calls[0][1].runtime == {"portMappings": PORTS}
    assert world.last.calls[0][1].cni_args == {"IP": "10.0.0.9"}
    assert world.external()[0]["conf"]["runtimeConfig"] == {"mac": "02::"}
    assert world.external()[0]["environ"]["CNI_ARGS"] == "IP=10.0.0.9"

    world.runtime.add(world.network(), "c2", NETNS)
    assert "runtimeConfig" not in world.external()[1]["conf"]


def test_check_goes_forward_and_all_see_the_last_result(world: World) -> None:
    network = world.network()
    world.runtime.add(network, "c1", NETNS, capabilities={"portMappings": PORTS})
    world.runtime.check(network, "c1", NETNS)

    assert world.verbs() == all_three("ADD", "CHECK")
    assert world.first.calls[1][1].prev == LAST
    assert world.last.calls[1][1].runtime == {"portMappings": PORTS}
    assert world.external()[1]["conf"]["prevResult"]["interfaces"] == [
        {"name": "eth0", "mtu": 1400}
    ]


def test_check_stops_at_the_first_that_objects(world: World) -> None:
    network = world.network()
    world.runtime.add(network, "c1", NETNS)
    world.first.fails = {"CHECK": refusal(Code.CHECK_FAILED)}

    with pytest.raises(CNIError) as failed:
        world.runtime.check(network, "c1", NETNS)
    assert failed.value.code == Code.CHECK_FAILED
    assert world.verbs() == {"first": ["ADD", "CHECK"], "other": ["ADD"], "last": ["ADD"]}


def test_check_needs_a_known_attachment_and_a_version_that_has_it(world: World) -> None:
    with pytest.raises(CNIError) as failed:
        world.runtime.check(world.network(), "c1", NETNS)
    assert failed.value.code == Code.UNKNOWN_CONTAINER
    with pytest.raises(CNIError) as failed:
        world.runtime.check(world.network("0.3.1"), "c1", NETNS)
    assert failed.value.code == Code.INCOMPATIBLE_VERSION

    world.runtime.check(replace(world.network(), disable_check=True), "c1", NETNS)
    assert world.first.calls == []


def test_delete_goes_backward_with_what_add_was_given_and_gave(world: World) -> None:
    network = world.network()
    given = {"portMappings": PORTS, "mac": "02::"}
    world.runtime.add(network, "c1", NETNS, capabilities=given, cni_args={"K": "V"})
    order: list[str] = []
    for name, recorder in (("first", world.first), ("last", world.last)):
        recorder.calls = _Noting(order, name)
    world.runtime.delete(network, "c1", None)

    assert order == ["last", "first"]
    args = world.last.calls[0][1]
    assert (args.prev, args.runtime) == (LAST, {"portMappings": PORTS})
    assert (args.netns, args.cni_args) == (None, {"K": "V"})
    call = world.external()[1]
    assert call["conf"]["runtimeConfig"] == {"mac": "02::"}
    assert (call["environ"]["CNI_NETNS"], call["environ"]["CNI_ARGS"]) == ("", "K=V")
    assert world.kept() is None


class _Noting(list[tuple[str, Any]]):
    def __init__(self, order: list[str], name: str) -> None:
        super().__init__()
        self._order, self._name = order, name

    def append(self, call: tuple[str, Any]) -> None:
        self._order.append(self._name)
        super().append(call)


def test_what_delete_is_given_counts_more_than_what_is_kept(world: World) -> None:
    network = world.network()
    world.runtime.add(network, "c1", NETNS, capabilities={"portMappings": PORTS})
    world.runtime.delete(network, "c1", NETNS, capabilities={"portMappings": []})

    assert world.last.calls[1][1].runtime == {"portMappings": []}


@pytest.mark.parametrize("damage", ["", "{", "[]"])
def test_delete_works_without_anything_kept_and_again(world: World, damage: str) -> None:
    results = world.root / "cache" / "results"
    results.mkdir(parents=True)
    (results / "net-c1-eth0").write_text(damage)
    world.runtime.delete(world.network(), "c1", NETNS)
    world.runtime.delete(world.network(), "c1", NETNS)

    assert world.verbs() == all_three("DEL", "DEL")
    assert [args.prev for _, args in world.first.calls] == [None, None]
    assert list(results.iterdir()) == []


def test_before_0_4_delete_tells_no_result(world: World) -> None:
    network = world.network("0.3.1")
    world.runtime.add(network, "c1", NETNS)
    world.runtime.delete(network, "c1", NETNS)

    assert world.last.calls[1][1].prev is None
    assert "prevResult" not in world.external()[1]["conf"]


def test_delete_stops_at_the_first_failure_and_keeps_what_it_needs(world: World) -> None:
    answers = {"DEL": {"status": 1, "stdout": json.dumps({"code": 11, "msg": "busy"})}}
    network = world.network(answers=answers)
    world.runtime.add(network, "c1", NETNS, capabilities={"portMappings": PORTS})

    with pytest.raises(CNIError, match="other: busy") as failed:
        world.runtime.delete(network, "c1", NETNS)
    assert failed.value.code == Code.TRY_AGAIN_LATER
    assert world.verbs()["first"] == ["ADD"]
    world.runtime.delete(world.network(), "c1", NETNS)
    assert world.last.calls[2][1].runtime == {"portMappings": PORTS}


@pytest.mark.parametrize("error", [refusal(Code.PORT_TAKEN), OSError(5, "oh"), ZeroDivisionError()])
def test_after_a_failed_add_the_whole_list_is_asked_to_delete(
    world: World, error: Exception
) -> None:
    world.last.fails = {"ADD": error, "DEL": refusal(999)}
    network = world.network(answers={"DEL": {"status": 1}})

    expected = CNIError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        world.runtime.add(network, "c1", NETNS, capabilities={"portMappings": PORTS})
    assert world.verbs() == all_three("ADD", "DEL")
    assert world.last.calls[1][1].runtime == {"portMappings": PORTS}
    assert world.last.calls[1][1].prev == FIRST
    assert world.kept() is None


def test_gc_deletes_stale_attachments_then_asks_every_plugin(world: World) -> None:
    network = world.network()
    for each in ("c1", "c2"):
        world.runtime.add(network, each, Path(f"/netns/{each}"), "eth0", {"portMappings": PORTS})
    world.runtime.gc(network, {Attachment("c2", "eth0")})

    stale = [args for verb, args in world.last.calls if verb == "DEL"]
    assert [(args.container_id, args.netns) for args in stale] == [("c1", NETNS)]
    assert stale[0].runtime == {"portMappings": PORTS}
    assert world.first.calls[-1] == ("GC", {Attachment("c2", "eth0")})
    assert world.verbs()["other"] == ["ADD", "ADD", "DEL", "GC"]
    assert world.kept() is None


def test_gc_goes_on_after_errors_and_tells_them_all(world: World) -> None:
    network = world.network(answers={"GC": {"status": 1, "stderr": "other is unwell"}})
    world.runtime.add(network, "c1", NETNS)
    world.last.fails = {"DEL": refusal(101, "stuck")}
    world.first.fails = {"GC": OSError(5, "disk")}

    with pytest.raises(CNIError, match="stuck") as failed:
        world.runtime.gc(network, set())
    assert failed.value.code == Code.CHECK_FAILED
    assert "disk" in failed.value.details
    assert "other is unwell" in failed.value.details
    assert world.verbs()["last"] == ["ADD", "DEL", "GC"]


def test_gc_before_1_1_deletes_but_asks_nobody_and_may_be_disabled(world: World) -> None:
    network = world.network("1.0.0")
    world.runtime.add(network, "c1", NETNS)
    world.runtime.gc(replace(network, disable_gc=True), set())
    assert world.kept() is not None
    world.runtime.gc(network, set())

    assert world.verbs() == all_three("ADD", "DEL")


def test_status_stops_at_the_first_that_cannot(world: World) -> None:
    world.runtime.status(world.network())
    assert world.verbs() == all_three("STATUS")

    world.first.fails = {"STATUS": refusal(Code.PLUGIN_NOT_AVAILABLE)}
    with pytest.raises(CNIError) as failed:
        world.runtime.status(world.network())
    assert failed.value.code == Code.PLUGIN_NOT_AVAILABLE
    world.runtime.status(world.network("1.0.0"))
    assert world.verbs()["last"] == ["STATUS"]


def test_a_plugin_that_hangs_is_killed_and_everything_undone(world: World, tmp_path: Path) -> None:
    hanging = tmp_path / "bin" / "other"
    hanging.write_text('#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] || exec sleep 1000\n')
    unused: Any = None
    context = Context(unused, unused, unused, tmp_path)
    runtime = Runtime(context, tmp_path / "cache", (tmp_path / "bin",), deadline_s=0.2)

    with pytest.raises(CNIError, match="did not end within") as failed:
        runtime.add(world.network(), "c1", NETNS)
    assert failed.value.code == Code.TRY_AGAIN_LATER
    assert [verb for verb, _ in world.first.calls] == ["ADD", "DEL"]

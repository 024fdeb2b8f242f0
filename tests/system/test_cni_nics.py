"""NICs lent to containers come back as they were: after DEL, crashes anywhere, and deaths."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from cni.awsvpc import nics
from cni.awsvpc import plugin as awsvpc
from cni.awsvpc.plugin import AwsvpcConf
from cni.conf import Fields
from cni.context import Context, open_context
from cni.errors import CNIError, Code
from cni.kernel import netns, rtnetlink
from cni.kernel.netlink import NetlinkSocket
from cni.spec import Args, Result
from tests.system import vpclab
from tests.system.vpclab import GATEWAY, GATEWAY6, Vpc

MAC = "02:aa:00:00:00:01"
CONF: AwsvpcConf = awsvpc.parse(Fields({"name": "vpc"}))
ENI: dict[str, Any] = {
    "eniMACAddress": MAC,
    "eniIPAddresses": ["10.0.1.7/24", "2001:db8:1::7/64"],
    "gatewayIPAddresses": [GATEWAY, GATEWAY6],
}


@pytest.fixture
def vpc(tmp_path: Path) -> Iterator[Vpc]:
    """A host with a NIC that has all that a NIC can have."""
    with vpclab.vpc(tmp_path) as built:
        built.plug(built.host, "wan0", MAC)
        for words in (
            "link set wan0 mtu 1400 alias uplink",
            "link set wan0 up",
            "addr add 10.0.1.5/24 brd + dev wan0",
            "addr add 10.0.1.6/24 dev wan0 label wan0:1",
            "addr add 10.0.2.5/24 dev wan0 valid_lft 5000 preferred_lft 4000",
            "addr add 2001:db8:1::5/64 dev wan0 nodad",
            "route add 10.9.0.1/32 dev wan0",
            "route add default via 10.9.0.1 dev wan0 metric 77 mtu 1300",
            "route add 10.8.0.0/16 via 10.0.1.1 dev wan0 src 10.0.1.6",
            f"-6 route add default via {GATEWAY6} dev wan0 metric 88",
        ):
            built.host.ip(words)
        yield built


def add(vpc: Vpc, args: Args, context: Context | None = None) -> Result:
    return vpc.host.call(awsvpc.add, CONF, args, context or vpc.host.context)


def delete(vpc: Vpc, args: Args, context: Context | None = None) -> None:
    vpc.host.call(awsvpc.delete, CONF, args, context or vpc.host.context)


def restore(vpc: Vpc) -> list[str]:
    return vpc.host.call(nics.restore_all, vpc.host.context, [])


def inside(args: Args) -> Path:
    assert args.netns is not None
    return args.netns


def looks(vpc: Vpc) -> dict[str, Any]:
    """All that a host says of the NIC, but for what changes by itself."""
    link = vpc.host.link("wan0")
    addresses = link["addr_info"]
    for one in addresses:
        forever = one.pop("valid_life_time") > 10**6
        one.pop("preferred_life_time")
        one["forever"] = forever
    kept = ("ifname", "address", "mtu", "flags", "ifalias")
    return {
        **{key: link.get(key) for key in kept},
        "addresses": sorted(addresses, key=lambda one: str(one["local"])),
        "routes": vpc.host.ip("route", "show", "dev", "wan0").splitlines(),
        "routes6": sorted(vpc.host.ip("-6", "route", "show", "dev", "wan0").splitlines()),
    }


def settled(vpc: Vpc) -> dict[str, Any]:
    """As `looks`, after the search for duplicates of the link-local address."""
    found = looks(vpc)
    for one in found["addresses"]:
        one.pop("tentative", None)
    return found


def records(vpc: Vpc) -> list[str]:
    return records_at(vpc.host.state)


def records_at(state: Path) -> list[str]:
    return [path.name for path in (state / "nics").glob("*") if path.name != "lock"]


def test_a_nic_is_given_back_with_all_that_it_had(vpc: Vpc) -> None:
    before = settled(vpc)
    args = vpc.task("a", ENI)

    add(vpc, args)
    assert "wan0" not in vpc.host.ip("link")
    delete(vpc, args)

    assert settled(vpc) == before
    assert records(vpc) == []
    delete(vpc, args)
    assert settled(vpc) == before


def test_a_nic_that_was_down_and_bare_is_so_again(vpc: Vpc) -> None:
    vpc.plug(vpc.host, "wan1", "02:aa:00:00:00:02")
    args = vpc.task("a", {**ENI, "eniMACAddress": "", "eniName": "wan1"})

    add(vpc, args)
    delete(vpc, args)

    given_back = vpc.host.link("wan1")
    assert "UP" not in given_back["flags"]
    assert given_back["addr_info"] == []
    assert "ifalias" not in given_back


@pytest.mark.parametrize(
    "damage",
    [
        ["link set eth0 down", "link set eth0 name mine"],
        ["link set eth0 address 02:00:00:00:00:66", "link set eth0 mtu 900"],
        ["link set eth0 alias"],
        ["link add br0 type bridge", "link set eth0 master br0"],
        ["addr flush dev eth0", "link set lo down"],
    ],
    ids=["name", "mac and mtu", "alias", "bridge", "addresses"],
)
def test_a_nic_is_given_back_whatever_the_task_did_to_it(vpc: Vpc, damage: list[str]) -> None:
    before = settled(vpc)
    args = vpc.task("a", ENI)
    add(vpc, args)
    for words in damage:
        vpc.ip(inside(args), words, *([""] if words.endswith("alias") else []))

    delete(vpc, args)

    assert settled(vpc) == before


def returned_by_the_kernel(vpc: Vpc, args: Args, *, name: str = "dev7") -> None:
    """What the kernel does with a driver's NIC when the namespace dies, done by hand."""
    netns_of_host = vpc.host.path
    with netns_of_host.open() as home:

        def send_home() -> None:
            with rtnetlink.open_socket() as links:
                nic = next(link for link in rtnetlink.list_links(links) if link.mac == MAC)
                links.execute([rtnetlink.move_link(nic.index, home.fileno(), name)])

        vpc.threads.call(args.netns, send_home)
    netns.remove(inside(args))


def gives_back_by_gc(vpc: Vpc, _: Args) -> None:
    vpc.host.call(awsvpc.gc, CONF, [], vpc.host.context)


def gives_back_at_start(vpc: Vpc, _: Args) -> None:
    (told,) = restore(vpc)
    assert told.endswith(("given back", "is as it was")), told


def gives_back_by_add_and_delete(vpc: Vpc, args: Args) -> None:
    vpc.threads.create(inside(args))
    add(vpc, args)
    delete(vpc, args)


def gives_back_by_another(vpc: Vpc, args: Args) -> None:
    """The next task that wants the NIC finds it."""
    other = vpc.task("other", ENI)
    add(vpc, other)
    delete(vpc, other)
    delete(vpc, args)


WAYS: list[Callable[[Vpc, Args], None]] = [
    delete,
    gives_back_by_gc,
    gives_back_at_start,
    gives_back_by_add_and_delete,
]


@pytest.mark.parametrize("give_back", [*WAYS, gives_back_by_another])
def test_a_nic_that_the_kernel_brought_back_is_put_back(
    vpc: Vpc, give_back: Callable[[Vpc, Args], None]
) -> None:
    before = settled(vpc)
    args = vpc.task("a", ENI)
    add(vpc, args)
    returned_by_the_kernel(vpc, args)
    assert "dev7" in vpc.host.ip("link")

    give_back(vpc, args)

    assert settled(vpc) == before
    assert records(vpc) == []


def pretend_driver(vpc: Vpc) -> None:
    """Let the record say that the NIC is a driver's, which the kernel brings back."""
    (path,) = (vpc.host.state / "nics").glob("*.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "kind": ""}))


def test_delete_waits_for_the_kernel_to_bring_the_nic_back(
    vpc: Vpc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nics, "_PATIENCE_S", 30.0)
    before = settled(vpc)
    args = vpc.task("a", ENI)
    add(vpc, args)
    pretend_driver(vpc)
    dying = vpc.threads.call(args.netns, rtnetlink.open_socket)
    netns.remove(inside(args))
    with dying, vpc.host.path.open() as home, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(delete, vpc, args)
        with pytest.raises(TimeoutError):
            waiting.result(0.3)
        nic = next(link for link in rtnetlink.list_links(dying) if link.mac == MAC)
        dying.execute([rtnetlink.move_link(nic.index, home.fileno(), "dev7")])
        waiting.result(30)

    assert settled(vpc) == before


def test_a_nic_that_does_not_come_is_waited_for_without_end_but_not_by_delete(
    vpc: Vpc, caplog: pytest.LogCaptureFixture
) -> None:
    before = settled(vpc)
    args = vpc.task("a", ENI)
    add(vpc, args)
    pretend_driver(vpc)
    with vpc.threads.call(args.netns, rtnetlink.open_socket) as dying:
        netns.remove(inside(args))

        delete(vpc, args)
        assert "wan0 (02:aa:00:00:00:01) of container a has not come back yet" in caplog.text
        assert restore(vpc) == [f"wan0 ({MAC}) of container a has not come back yet"]

        with vpc.host.path.open() as home:
            nic = next(link for link in rtnetlink.list_links(dying) if link.mac == MAC)
            dying.execute([rtnetlink.move_link(nic.index, home.fileno(), "dev7")])
        assert restore(vpc) == [f"wan0 ({MAC}) of container a given back"]

    assert settled(vpc) == before


def test_what_died_with_its_namespace_is_forgotten(vpc: Vpc) -> None:
    args = vpc.task("a", ENI)
    add(vpc, args)
    netns.remove(inside(args))

    delete(vpc, args)

    assert records(vpc) == []


def test_a_name_that_was_taken_meanwhile_is_told_and_left_to_whoever_has_it(
    vpc: Vpc, caplog: pytest.LogCaptureFixture
) -> None:
    args = vpc.task("a", ENI)
    add(vpc, args)
    vpc.host.ip("link", "add", "wan0", "type", "bridge")
    vpc.host.ip("link", "add", "eth0", "type", "bridge")

    (told,) = restore(vpc)

    head, name = told.rsplit(" ", 1)
    assert head.endswith("given back, but its name is taken, it is called")
    assert f"its name is taken, it is called {name}" in caplog.text
    given_back = vpc.host.link(name)
    assert (given_back["address"], given_back["mtu"]) == (MAC, 1400)
    assert "UP" in given_back["flags"]
    assert given_back["ifalias"] == "uplink"
    assert records(vpc) == []


def test_valid_ones_and_other_networks_keep_their_nics(vpc: Vpc) -> None:
    args = vpc.task("a", ENI)
    result = add(vpc, args)
    other = awsvpc.parse(Fields({"name": "other"}))

    assert vpc.host.call(nics.restore_all, vpc.host.context, [args.attachment]) == []
    vpc.host.call(awsvpc.gc, CONF, [args.attachment], vpc.host.context)
    vpc.host.call(awsvpc.gc, other, [], vpc.host.context)

    checked = dataclasses.replace(args, prev=result)
    vpc.host.call(awsvpc.check, CONF, checked, vpc.host.context)


def test_of_many_that_want_a_nic_one_has_it(vpc: Vpc) -> None:
    before = settled(vpc)
    tasks = [vpc.task(f"t{number}", ENI) for number in range(4)]
    gate = threading.Barrier(len(tasks))

    def compete(args: Args) -> str:
        netns.enter(vpc.host.path)
        context = open_context(vpc.host.state)
        try:
            gate.wait(vpclab.DEADLINE_S)
            awsvpc.add(CONF, args, context)
        except CNIError as error:
            return f"{error.code}: {error.details}"
        else:
            return "won"
        finally:
            context.close()

    with ThreadPoolExecutor(len(tasks)) as pool:
        ends = list(pool.map(compete, tasks))

    winner = tasks[ends.index("won")]
    assert ends.count("won") == 1
    lost = f"{Code.TRY_AGAIN_LATER}: it is lent to container {winner.container_id}"
    assert ends.count(lost) == len(tasks) - 1
    delete(vpc, winner)
    assert settled(vpc) == before


def test_a_damaged_record_hinders_nobody_else(vpc: Vpc, caplog: pytest.LogCaptureFixture) -> None:
    root = vpc.host.state / "nics"
    root.mkdir(parents=True)
    (root / "x@eth0.json").write_text("{")
    (root / "y@eth0.new").write_text("half")

    args = vpc.task("a", ENI)
    add(vpc, args)
    restore(vpc)

    assert "x@eth0.json is damaged" in caplog.text
    assert records(vpc) == ["x@eth0.json"]


class Killed(BaseException):
    """No handler of ours catches it: what follows is not done, as after kill -9."""


@dataclass
class Fuse:
    """Lets `left` changes through, then kills before the next or right after the last."""

    left: int
    after: bool

    def guard(self, change: Callable[[], None]) -> None:
        if self.left == 0 and not self.after:
            raise Killed
        self.left -= 1
        change()
        if self.left < 0 and self.after:
            raise Killed


class MortalSocket:
    """A netlink socket whose user may be killed at any message that changes something."""

    def __init__(self, real: NetlinkSocket, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def __enter__(self) -> "MortalSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, requests: Any) -> None:
        self._fuse.guard(lambda: self._real.execute(requests))


class MortalThread:
    """The namespace thread, giving mortal sockets."""

    def __init__(self, real: netns.NamespaceThread, fuse: Fuse) -> None:
        self._real = real
        self._fuse = fuse

    def call(self, path: Path | None, work: Callable[[], Any]) -> Any:
        made = self._real.call(path, work)
        if isinstance(made, tuple):
            return tuple(map(self._mortal, made))
        return self._mortal(made)

    def _mortal(self, made: Any) -> Any:
        return MortalSocket(made, self._fuse) if isinstance(made, NetlinkSocket) else made


def mortal(context: Context, fuse: Fuse) -> Context:
    return dataclasses.replace(
        context,
        links=cast(NetlinkSocket, MortalSocket(context.links, fuse)),
        namespaces=cast(netns.NamespaceThread, MortalThread(context.namespaces, fuse)),
    )


def killed_at(vpc: Vpc, work: Callable[[Vpc, Args, Context], object], args: Args, cut: int) -> bool:
    """Do it, killed at cut number `cut`; False when it was done before that came."""
    fuse = Fuse(cut // 2, after=bool(cut % 2))
    with suppress(Killed):
        work(vpc, args, mortal(vpc.host.context, fuse))
        return False
    return True


@pytest.mark.parametrize("give_back", WAYS)
def test_an_add_killed_anywhere_is_undone(vpc: Vpc, give_back: Callable[[Vpc, Args], None]) -> None:
    before = settled(vpc)
    cut = 0
    while killed_at(vpc, add, args := vpc.task(f"t{cut}", ENI), cut):
        if records(vpc) or give_back is not gives_back_at_start:
            give_back(vpc, args)
        assert settled(vpc) == before, f"cut {cut}"
        assert records(vpc) == []
        cut += 1

    # A child that might be there, mark, move, all that is inside: two cuts each.
    assert cut == 8


@pytest.mark.parametrize("give_back", WAYS)
def test_a_delete_killed_anywhere_is_finished(
    vpc: Vpc, give_back: Callable[[Vpc, Args], None]
) -> None:
    before = settled(vpc)
    cut, finished = 0, False
    while not finished:
        args = vpc.task(f"t{cut}", ENI)
        add(vpc, args)
        finished = not killed_at(vpc, delete, args, cut)
        if records(vpc) or give_back is not gives_back_at_start:
            give_back(vpc, args)
        assert settled(vpc) == before, f"cut {cut}"
        assert records(vpc) == []
        cut += 1

    assert cut > 2 * 10


def test_an_add_killed_anywhere_whose_namespace_dies_gives_the_nic_back(vpc: Vpc) -> None:
    before = settled(vpc)
    cut = 0
    while killed_at(vpc, add, args := vpc.task(f"t{cut}", ENI), cut):
        if "wan0" in vpc.host.ip("link"):
            netns.remove(inside(args))
        else:
            returned_by_the_kernel(vpc, args, name=f"dev{cut}")

        delete(vpc, args)

        assert settled(vpc) == before, f"cut {cut}"
        assert records(vpc) == []
        cut += 1


def spare_nic() -> rtnetlink.Link | None:
    """A driver's NIC that nobody uses, as the virtual machine of the lab has one."""
    with rtnetlink.open_socket() as links:
        for link in rtnetlink.list_links(links):
            if link.device.startswith("virtio") and not link.kind and not link.up:
                return link
    return None


def test_a_real_nic_is_brought_back_by_the_kernel_and_put_back(tmp_path: Path) -> None:
    spare = spare_nic()
    if spare is None or not netns.is_own(Path("/proc/1/ns/net")):
        pytest.skip("no spare virtio NIC in the initial namespace; the virtual machine has one")
    context = open_context(tmp_path / "state")
    args = Args("real", tmp_path / "netns", runtime={"eni": {**ENI, "eniMACAddress": spare.mac}})
    try:
        for remove_first in (False, True):
            context.namespaces.create(inside(args))
            awsvpc.add(CONF, args, context)
            assert rtnetlink.get_link(context.links, spare.name) is None
            if remove_first:
                netns.remove(inside(args))
            awsvpc.delete(CONF, args, context)
            for _ in range(20):  # each waits some seconds for a slow machine
                if records_at(context.state_dir):
                    awsvpc.delete(CONF, args, context)
            assert rtnetlink.get_link(context.links, spare.name) == spare
    finally:
        netns.remove(inside(args))
        nics.restore_all(context, [])
        context.close()
    assert records_at(tmp_path / "state") == []

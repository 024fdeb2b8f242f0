"""Foreign changes of our nftables table: noticed, named, and undone within seconds."""

import asyncio
import contextlib
import logging
import selectors
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.host.network import guard
from agent.host.network.guard import Guard
from cni.firewall import networks, ruleset
from cni.firewall.nftwatch import LOST, Change, Watch
from cni.kernel.nfnetlink import open_socket
from cni.portmap import plugin as portmap
from cni.portmap import ports
from cni.portmap.mappings import PortMapping, Protocol
from cni.spec import Args
from tests.system import portlab
from tests.system.portlab import BRIDGE, HOST, NETWORK, OUTSIDE, TABLE, Lab

DEADLINE_S = 20.0


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with portlab.lab(tmp_path) as built:
        yield built


@pytest.fixture
def watch(lab: Lab) -> Iterator[Watch]:
    with lab.on_host(Watch, TABLE, {lab.context.firewall.port}) as watch:
        yield watch


def nft(lab: Lab, command: str) -> None:
    lab.run(lab.host, f"nft {command}")


def next_change(watch: Watch) -> Change:
    """The next change, waited for: the kernel hands messages on in its own time."""
    with selectors.DefaultSelector() as selector:
        selector.register(watch, selectors.EVENT_READ)
        while True:
            assert selector.select(DEADLINE_S), "no change was noticed"
            if changes := watch.changes():
                return changes[0]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("flush ruleset", "table deleted"),
        (f"delete table inet {TABLE}", "table deleted"),
        (f"flush chain inet {TABLE} guard", "2 x rule deleted"),
        (f"add rule inet {TABLE} forward drop", "1 x rule added"),
        (f"add chain inet {TABLE} mine", "1 x chain added"),
        (f"delete element inet {TABLE} bridges {{ '\"{BRIDGE}\"' }}", "1 x element deleted"),
        (f"flush set inet {TABLE} masqueraded", "1 x element deleted"),
        (f"flush set inet {TABLE} version", "1 x element deleted"),
    ],
)
def test_what_another_process_does_to_the_table_is_named_with_the_process(
    lab: Lab, watch: Watch, command: str, what: str
) -> None:
    nft(lab, command)

    change = next_change(watch)

    assert change.what == what
    assert change.by.startswith("nft (process ")


def test_our_own_changes_and_those_of_other_tables_are_none(lab: Lab, watch: Watch) -> None:
    args = lab.publish(lab.container("a"), PortMapping(80, 8080), PortMapping(53, 53, Protocol.UDP))
    lab.withdraw(args)
    lab.on_host(networks.enlist, lab.context.firewall, TABLE, NETWORK)
    lab.on_host(networks.strike, lab.context.firewall, TABLE, BRIDGE)
    lab.on_host(ruleset.make_table, TABLE)
    for command in (
        "add table inet another",
        f"add table ip {TABLE}",
        "add set inet another bridges { type ifname \\; }",
        "delete table inet another",
        f"delete table ip {TABLE}",
    ):
        nft(lab, command)
    nft(lab, f"add chain inet {TABLE} mine")  # the first to be seen

    assert next_change(watch).what == "1 x chain added"
    assert watch.changes() == []


def test_another_socket_than_ours_is_another_process(lab: Lab, watch: Watch) -> None:
    lab.publish(lab.container("a"), PortMapping(80, 8080))
    with lab.on_host(open_socket) as other:
        lab.on_host(ports.withdraw, other, TABLE, "lab a eth0")

    assert next_change(watch).what == "2 x element deleted"


def test_changes_that_were_missed_count_as_one(lab: Lab, watch: Watch) -> None:
    args = lab.container("a")
    for _ in range(6):  # of ours, but more than the queue holds
        lab.publish(args, PortMapping(1, 1, Protocol.SCTP, count=5000))
        lab.withdraw(args)

    assert watch.changes() == [LOST]


class Restoring:
    """The agent's part: makes the table, its network and its ports anew."""

    def __init__(self, lab: Lab, args: Args) -> None:
        self.lab = lab
        self.args = args
        self.reasons: list[str] = []
        self.failures = 0
        self.restored = asyncio.Event()
        self.reopened = asyncio.Event()

    async def reopen(self) -> None:
        self.reopened.set()

    async def __call__(self, why: str) -> None:
        self.reasons.append(why)
        if self.failures:
            self.failures -= 1
            raise OSError("nft is busy")
        await asyncio.to_thread(self.lab.on_host, self._restore)
        self.restored.set()

    def _restore(self) -> None:
        firewall = self.lab.context.firewall
        ruleset.make_table(TABLE)
        networks.enlist(firewall, TABLE, NETWORK, anew=True)
        portmap.add(portlab.CONF, self.args, self.lab.context)


@contextlib.asynccontextmanager
async def guarded(lab: Lab) -> AsyncIterator[Restoring]:
    args = lab.publish(lab.container("web"), PortMapping(80, 8080))
    restoring = Restoring(lab, args)
    ours = {lab.context.firewall.port}
    keeper = lab.on_host(partial(Guard, TABLE, restoring, restoring.reopen, ours))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(keeper.run())
        yield restoring
        running.cancel()


@pytest.mark.parametrize(
    "command",
    [
        "flush ruleset",
        f"delete table inet {TABLE}",
        f"flush chain inet {TABLE} publish",
        f"flush map inet {TABLE} ports4",
        f"flush set inet {TABLE} networks4",
        f"flush set inet {TABLE} bridges",
    ],
)
async def test_a_destroyed_table_is_restored_within_seconds_and_once(
    lab: Lab, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, guard.__name__)
    async with guarded(lab) as restoring:
        before = lab.listed()
        async with asyncio.timeout(DEADLINE_S):
            nft(lab, command)
            await restoring.restored.wait()
        assert lab.listed() == before
        with lab.listen(restoring.args.netns, Protocol.TCP, 80) as listener:
            to = (HOST[4], 8080)
            seen = await asyncio.to_thread(lab.talk, lab.outside, to, listener)
            assert seen == OUTSIDE[4]
        # A second one would be at once: what restoring did is already pending.
        restoring.restored.clear()
        nft(lab, f"add chain inet {TABLE} mine")
        async with asyncio.timeout(DEADLINE_S):
            await restoring.restored.wait()
    assert len(restoring.reasons) == 2
    assert restoring.reasons[1].startswith("1 x chain added by nft (process ")
    assert caplog.records[0].levelname == "WARNING"
    assert f"nftables table {TABLE}" in caplog.messages[0]
    assert "by nft (process" in caplog.messages[0]
    assert caplog.messages[0].endswith("; restored")


async def test_restoring_that_fails_is_tried_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "RETRY_S", 0.01)
    async with guarded(lab) as restoring:
        restoring.failures = 2
        nft(lab, "flush ruleset")
        async with asyncio.timeout(DEADLINE_S):
            await restoring.restored.wait()
    assert len(restoring.reasons) == 3
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR", "WARNING"]


async def test_many_changes_in_a_row_are_restored_once_at_the_end(lab: Lab) -> None:
    async with guarded(lab) as restoring:
        for number in range(5):
            nft(lab, f"add chain inet {TABLE} mine{number}")
        nft(lab, "flush ruleset")
        async with asyncio.timeout(DEADLINE_S):
            await restoring.restored.wait()
    assert len(restoring.reasons) == 1
    assert "table deleted by nft" in restoring.reasons[0] or "more changes" in restoring.reasons[0]


async def test_a_change_of_another_table_has_the_way_through_it_looked_at_again(lab: Lab) -> None:
    async with guarded(lab) as restoring:
        nft(lab, "add table inet others")
        nft(lab, "add chain inet others fw { type filter hook forward priority 0; policy drop; }")
        async with asyncio.timeout(DEADLINE_S):
            await restoring.reopened.wait()
        assert not restoring.reasons

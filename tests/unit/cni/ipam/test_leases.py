"""The lease store: random histories with crashes, races, host-local's files, and the kernel's view.

A crash is an exception out of one of the system calls that change the store: what it leaves is
what `kill -9` leaves there.
"""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cni.ipam.leases import LeaseStore
from cni.ipam.ranges import Address
from cni.spec import Attachment

POOL = list(IPv4Network("10.0.0.0/29").hosts())
POOL6 = list(IPv6Network("fd00::/125").hosts())
CHANGES = ("os.symlink", "os.link", "os.remove", "os.mkdir", "os.truncate", "open")
A, B = Attachment("a", "eth0"), Attachment("b", "eth0")


class Killed(BaseException):
    """The process ends here."""


_armed: list[int] = []


def _hook(event: str, _args: tuple[Any, ...]) -> None:
    """The interpreter tells of each system call before it is made (PEP 578)."""
    if _armed and event in CHANGES:
        _armed[0] -= 1
        if _armed[0] < 0:
            _armed.clear()
            raise Killed


sys.addaudithook(_hook)


@contextmanager
def killed_after(calls: int) -> Iterator[None]:
    """Whoever is inside dies at the call after so many."""
    _armed[:] = [calls]
    try:
        yield
    except Killed:
        pass
    finally:
        _armed.clear()


def claims(store: LeaseStore) -> dict[str, Attachment]:
    """What host-local would read."""
    return {
        path.name: Attachment(*path.read_bytes().decode().split("\r\n"))
        for path in store.root.glob("*[.:]*")
        if not path.name.startswith("last")
    }


def take_two(store: LeaseStore, owner: Attachment) -> list[Address]:
    """Claim one address of each pool as `ipam` does, or none; what was claimed."""
    if store.held_at(owner):
        store.release_at(owner)
    found = []
    pools: list[Sequence[Address]] = [POOL, POOL6]
    for place, pool in enumerate(pools):
        address = store.claim(owner, place, pool)
        if address is None:
            store.release_at(owner)
            return []
        found.append(address)
    return found


class Histories(RuleBasedStateMachine):
    """Claims and releases of few attachments and addresses, each of which may die on its way.

    Who died without having been told of an address holds either nothing or something that the next
    claim or release finds.
    """

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.store = LeaseStore(Path(self.directory.name) / "net")
        self.told: dict[Attachment, list[Address]] = {}

    def teardown(self) -> None:
        self.directory.cleanup()

    owners = st.sampled_from([Attachment(name, "eth0") for name in "abcdefgh"])
    deaths = st.integers(0, 12)

    @rule(owner=owners)
    def claim(self, owner: Attachment) -> None:
        if owner in self.told:
            assert self.store.held_at(owner) == self.told[owner]
        elif found := take_two(self.store, owner):
            self.told[owner] = found
        else:
            taken = set(self.store.taken())
            assert taken >= set(POOL) or taken >= set(POOL6)

    @rule(owner=owners)
    def release(self, owner: Attachment) -> None:
        self.store.release(owner)
        self.told.pop(owner, None)
        assert owner not in claims(self.store).values()
        assert self.store.held(owner) == []
        ways = (self.store.root / "attachments").glob(f"*@{owner.container_id}@*")
        assert list(ways) == []

    @rule(owner=owners, calls=deaths)
    def claim_and_die(self, owner: Attachment, calls: int) -> None:
        if owner not in self.told:
            with killed_after(calls):
                take_two(self.store, owner)

    @rule(owner=owners, calls=deaths)
    def release_and_die(self, owner: Attachment, calls: int) -> None:
        self.told.pop(owner, None)
        with killed_after(calls):
            self.store.release(owner)

    @rule(owner=owners)
    def hint_and_die(self, owner: Attachment) -> None:
        if owner in self.told:
            with killed_after(1):
                self.store.remember(0, self.told[owner][0])

    @rule()
    def collect(self) -> None:
        self.store.release_all_but(self.told)
        assert claims(self.store) == self.promised()

    @invariant()
    def nobody_loses_an_address(self) -> None:
        assert self.promised().items() <= claims(self.store).items()

    def promised(self) -> dict[str, Attachment]:
        return {str(each): owner for owner, held in self.told.items() for each in held}

    @invariant()
    def each_claim_is_found_by_its_owner(self) -> None:
        for name, owner in claims(self.store).items():
            assert ip_address(name) in self.store.held_at(owner)


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.fixture
def store(tmp_path: Path) -> LeaseStore:
    return LeaseStore(tmp_path / "net")


def test_a_crash_leaves_one_of_these_states_and_each_can_be_reached(tmp_path: Path) -> None:
    def state(store: LeaseStore) -> tuple[int, int]:
        return len(claims(store)), len(list((store.root / "attachments").glob("*")))

    claiming, releasing = set(), set()
    for calls in range(20):
        store, other = LeaseStore(tmp_path / f"{calls}"), LeaseStore(tmp_path / f"other{calls}")
        with killed_after(calls):
            store.claim(A, 0, POOL)
        claiming.add(state(store))
        other.claim(A, 0, POOL)
        with killed_after(calls):
            other.release(A)
        releasing.add(state(other))

    assert claiming == {(0, 0), (0, 1), (1, 1)}
    assert releasing == {(1, 1), (0, 1), (0, 0)}


def test_nothing_is_left_when_a_release_that_died_is_repeated(tmp_path: Path) -> None:
    for calls in range(20):
        store = LeaseStore(tmp_path / f"{calls}")
        assert len(take_two(store, A)) == 2
        with killed_after(calls):
            store.release(A)
        store.release(A)
        assert claims(store) == {}
        assert list((store.root / "attachments").iterdir()) == []


def test_a_claim_is_written_as_host_local_writes_it(store: LeaseStore) -> None:
    store.claim(A, 0, POOL)

    claim = store.root / "10.0.0.1"
    assert claim.read_bytes() == b"a\r\neth0"
    assert claim.stat().st_mode == 0o100600
    assert claim.stat().st_nlink == 1
    assert sorted(path.name for path in store.root.iterdir()) == ["10.0.0.1", "attachments"]


def test_ways_cannot_be_read_as_claims(store: LeaseStore) -> None:
    store.claim(A, 0, POOL)

    for way in (store.root / "attachments").iterdir():
        with pytest.raises(FileNotFoundError):
            way.read_bytes()


@pytest.mark.parametrize("content", [b"a\r\neth0", b"a\r\neth0\n", b"a"])
def test_a_claim_of_host_local_is_found_and_released(store: LeaseStore, content: bytes) -> None:
    store.root.mkdir()
    (store.root / "10.0.0.5").write_bytes(content)

    assert store.held(A) == [ip_address("10.0.0.5")]
    assert store.held(B) == []
    assert store.claim(B, 0, [ip_address("10.0.0.5")]) is None
    store.release(A)
    assert claims(store) == {}


def test_a_claim_that_host_local_died_over_is_taken_until_it_is_collected(
    store: LeaseStore,
) -> None:
    store.root.mkdir()
    (store.root / "10.0.0.1").touch()

    assert store.claim(A, 0, POOL) == POOL[1]
    store.release_all_but([A])
    assert list(claims(store)) == ["10.0.0.2"]


def test_a_way_to_somebody_elses_claim_means_nothing(store: LeaseStore) -> None:
    store.claim(B, 0, POOL)
    (store.root / "attachments" / "0@a@eth0").symlink_to("10.0.0.1")

    assert store.held(A) == []
    store.release(A)
    assert claims(store) == {"10.0.0.1": B}


def test_a_lost_index_is_done_without(store: LeaseStore) -> None:
    store.claim(A, 0, POOL)
    for way in (store.root / "attachments").iterdir():
        way.unlink()
    (store.root / "attachments").rmdir()

    assert store.held(A) == [POOL[0]]
    assert store.claim(B, 0, POOL) == POOL[1]
    store.release(A)
    assert claims(store) == {"10.0.0.2": B}


def test_several_addresses_of_one_attachment_come_and_go_together(store: LeaseStore) -> None:
    six = [ip_address("fd00::2")]
    assert store.claim(A, 0, POOL) == POOL[0]
    assert store.claim(A, 1, six) == six[0]

    assert store.held_at(A) == [POOL[0], six[0]]
    store.release(A)
    assert store.taken() == []
    assert list((store.root / "attachments").iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"\xff\xfe", b"10.0.0.1\n"])
def test_a_damaged_hint_is_forgiven(store: LeaseStore, damage: bytes) -> None:
    store.claim(A, 0, POOL)
    (store.root / "last_reserved_ip.0").write_bytes(damage)

    assert store.last(0) in (None, POOL[0])


def test_a_shorter_hint_leaves_nothing_of_a_longer_one(store: LeaseStore) -> None:
    store.claim(A, 0, POOL)
    for text in ("10.0.0.254", "10.0.0.3"):
        store.remember(0, ip_address(text))
        assert (store.root / "last_reserved_ip.0").read_text() == text


def test_releasing_is_fine_before_the_first_claim(store: LeaseStore) -> None:
    store.release(A)
    store.release_all_but([])

    assert store.taken() == []
    assert store.last(0) is None
    assert not store.root.exists()


def test_claiming_reads_no_directory_however_many_are_taken(store: LeaseStore) -> None:
    seen: list[str] = []
    pool = list(IPv4Network("10.1.0.0/23").hosts())
    for at in range(500):
        store.claim(Attachment(f"c{at}", "eth0"), 0, pool[at:])
    with listening(lambda event: seen.append(event)):
        store.held_at(A)
        store.claim(A, 0, pool[500:])
        store.release(A)
    assert "os.listdir" not in seen
    assert "os.scandir" not in seen
    assert seen.count("os.link") == 1
    assert len(seen) < 15


_listeners: list[Callable[[str], object]] = []
sys.addaudithook(lambda event, _args: [listener(event) for listener in _listeners] and None)


@contextmanager
def listening(listener: Callable[[str], object]) -> Iterator[None]:
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.clear()


def test_threads_never_share_an_address(store: LeaseStore) -> None:
    pool = list(IPv4Network("10.1.0.0/24").hosts())

    def take(thread: int) -> list[Address | None]:
        owners = [Attachment(f"t{thread}-{at}", "eth0") for at in range(25)]
        return [store.claim(owner, 0, pool) for owner in owners]

    with ThreadPoolExecutor(8) as threads:
        found = [address for batch in threads.map(take, range(8)) for address in batch]
    assert None not in found
    assert len(found) == len(set(found)) == 200


def churn(root: Path, process: int, rounds: int) -> None:
    """Claim and release for ever new attachments, as fast as it goes."""
    store = LeaseStore(root)
    pool = list(IPv4Network("10.1.0.0/26").hosts())
    rng = random.Random(process)
    for at in range(rounds):
        owner = Attachment(f"p{process}-{at % 8}", "eth0")
        store.release(owner)
        rng.shuffle(pool)
        address = store.claim(owner, 0, pool)
        if address is None or store.held_at(owner) != [address]:
            raise SystemExit(f"{owner} lost {address}")


def test_processes_that_are_killed_leave_what_the_next_ones_clean_up(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("fork")
    rng = random.Random(7)
    store = LeaseStore(tmp_path / "net")
    survivor = spawn.Process(target=churn, args=(store.root, 99, 800))
    survivor.start()
    for _ in range(15):
        victim = spawn.Process(target=churn, args=(store.root, 1, 10**9))
        victim.start()
        victim.join(rng.uniform(0.002, 0.03))
        assert victim.exitcode is None, "it must not end by itself"
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        victim.join(10)
    survivor.join(60)
    assert survivor.exitcode == 0
    found = claims(store)
    owners = list(found.values())
    assert all(ip_address(name) in store.held_at(owner) for name, owner in found.items())
    for owner in owners:
        store.release(owner)
    assert claims(store) == {}


def test_processes_never_share_an_address(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        found = [one for batch in pool.map(take_many, [tmp_path] * 3, range(3)) for one in batch]
    assert None not in found
    assert len(found) == len(set(found)) == 150


def take_many(root: Path, process: int) -> list[Address | None]:
    store = LeaseStore(root / "net")
    pool = list(IPv4Network("10.1.0.0/24").hosts())
    return [store.claim(Attachment(f"p{process}-{at}", "eth0"), 0, pool) for at in range(50)]

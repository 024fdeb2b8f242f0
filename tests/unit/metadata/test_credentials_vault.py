"""The vault in simulated time: what it keeps, when it obtains anew, and what it never gives out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import looptime
import pytest

from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need
from metadata.credentials.vault import Expired, Uninitialized, Vault

ROLE, TASK = "arn:aws:iam::111122223333:role/web", "arn:aws:ecs:x:1:task/lab/0123"
ONE, TWO = Need("id-1", ROLE, TASK), Need("id-2", ROLE, f"{TASK}4")

Run = Callable[[Awaitable[None]], None]


class Issuer:
    """Gives keys that hold for `lifetime` seconds, numbered; fails while `error` is set."""

    def __init__(self, lifetime: float | None = 3600.0) -> None:
        self.lifetime = lifetime
        self.error: CredentialsError | None = None
        self.takes = 0.0
        self.slept = 0.0  # how long the loop's time stood still
        self.asked: list[tuple[float, str]] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.slept

    async def obtain(self, need: Need) -> Keys:
        self.asked.append((round(self.now(), 3), need.id))
        number = len(self.asked)
        await asyncio.sleep(self.takes)
        if self.error is not None:
            raise self.error
        end = None if self.lifetime is None else self.now() + self.lifetime
        return Keys(f"AKID{number}", "hush", "hush", end)


@pytest.fixture
def run() -> Iterator[Run]:
    loop = looptime.new_event_loop()
    yield lambda work: loop.run_until_complete(work)
    loop.close()


async def pass_time(vault: Vault, seconds: float) -> None:
    """The vault refreshes for so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await vault.run()


def test_what_was_never_obtained_is_not_here(run: Run) -> None:
    async def scenario() -> None:
        vault = Vault(Issuer().obtain, lambda: 0.0)
        assert not vault.holds("id-1")
        with pytest.raises(Uninitialized):
            vault.keys("id-1")
        vault.forget("id-1")

    run(scenario())


def test_credentials_are_kept_until_forgotten(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        await vault.obtain(ONE)
        assert len(issuer.asked) == 1, "what is here is not obtained again"
        assert vault.holds("id-1")
        assert vault.keys("id-1").access_key_id == "AKID1"
        assert "hush" not in f"{vault.keys('id-1')!r} {ONE!r}"
        assert "id-1" not in repr(ONE)
        vault.forget("id-1")
        assert not vault.holds("id-1")
        with pytest.raises(Uninitialized):
            vault.keys("id-1")

    run(scenario())


def test_what_could_not_be_obtained_is_not_held(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.error = CredentialsError("no section")
        vault = Vault(issuer.obtain, issuer.now)
        with pytest.raises(CredentialsError, match="no section"):
            await vault.obtain(ONE)
        assert not vault.holds("id-1")

    run(scenario())


@pytest.mark.parametrize(
    ("lifetime", "at"),
    [(3600.0, [2700, 5400]), (900.0, [600, 1200, 1800]), (None, [900, 1800]), (43200.0, [])],
)
def test_they_are_obtained_again_in_time(run: Run, lifetime: float | None, at: list[float]) -> None:
    """15 minutes before the end, or when a third of the lifetime is left; or each 15 minutes."""

    async def scenario() -> None:
        issuer = Issuer(lifetime)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        await pass_time(vault, at[-1] + 1 if at else 42000)
        assert issuer.asked == [(0, "id-1"), *((each, "id-1") for each in at)]
        assert vault.keys("id-1").access_key_id == f"AKID{len(issuer.asked)}"

    run(scenario())


def test_a_refresh_that_fails_is_repeated_with_growing_delay_and_logged_once(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        issuer = Issuer(900.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        issuer.error = CredentialsUnavailable("STS is away")
        await pass_time(vault, 800)
        tries = [at for at, _ in issuer.asked[1:]]
        assert tries == [600, 601, 603, 607, 615, 631, 663, 723, 783]
        assert vault.keys("id-1").access_key_id == "AKID1", "the old ones still hold"
        issuer.error = CredentialsError("no section")
        await pass_time(vault, 60)
        issuer.error = None
        await pass_time(vault, 60)
        assert vault.keys("id-1").expires_at == pytest.approx(issuer.now() + 900, abs=60)

    run(scenario())
    who = f"role {ROLE} for task {TASK}"
    assert [each.message for each in caplog.records] == [
        f"can't get credentials of {who}: STS is away",
        f"can't get credentials of {who}: no section",
        f"role {ROLE} of task {TASK} has credentials again",
    ]


def test_expired_ones_are_never_given_out(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(90.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        issuer.error = CredentialsUnavailable("STS is away")
        await pass_time(vault, 89.9)
        assert vault.keys("id-1").access_key_id == "AKID1"
        await pass_time(vault, 0.1)
        with pytest.raises(Expired) as expired:
            vault.keys("id-1")
        assert str(expired.value) == (
            f"credentials of role {ROLE} are expired since 1970-01-01T00:01:30Z: STS is away"
        )

    run(scenario())


def test_who_asks_after_a_sleep_of_the_machine_sets_off_a_refresh(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(3600.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)

        async def wake() -> None:
            await asyncio.sleep(1)
            issuer.slept = 7200.0
            with pytest.raises(Expired, match="new ones are being obtained"):
                vault.keys("id-1")
            await asyncio.sleep(0.1)
            assert vault.keys("id-1").access_key_id == "AKID2"

        await asyncio.gather(pass_time(vault, 2), wake())

    run(scenario())


def test_what_sleeps_unasked_is_found_soon(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(3600.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)

        async def wake() -> None:
            await asyncio.sleep(1)
            issuer.slept = 3000.0

        await asyncio.gather(pass_time(vault, 40), wake())
        assert issuer.asked == [(0, "id-1"), (3030, "id-1")]

    run(scenario())


def test_credentials_that_come_expired_are_refused(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(0.0)
        vault = Vault(issuer.obtain, issuer.now)
        told = "the credentials that were given expired at 1970-01-01T00:00:00Z"
        with pytest.raises(CredentialsUnavailable, match=told):
            await vault.obtain(ONE)

    run(scenario())


def test_what_is_expected_comes_by_itself(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        vault = Vault(issuer.obtain, issuer.now)
        issuer.error = CredentialsUnavailable("STS is away")

        async def expect() -> None:
            await asyncio.sleep(5)
            vault.expect(ONE)
            vault.expect(ONE)
            assert vault.holds("id-1")
            with pytest.raises(Uninitialized):
                vault.keys("id-1")
            await asyncio.sleep(0.5)
            with pytest.raises(Expired, match="web can't be had: STS is away"):
                vault.keys("id-1")
            issuer.error = CredentialsError("no section")
            await asyncio.sleep(1)
            with pytest.raises(Expired, match="web can't be had: no section"):
                vault.keys("id-1")
            issuer.error = None
            await asyncio.sleep(900)
            assert vault.keys("id-1").access_key_id == "AKID3"

        await asyncio.gather(pass_time(vault, 910), expect())
        assert issuer.asked == [(5, "id-1"), (6, "id-1"), (906, "id-1")]
        await vault.obtain(ONE)
        assert len(issuer.asked) == 3

    run(scenario())


def test_what_was_expected_in_vain_can_still_be_obtained(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        vault = Vault(issuer.obtain, issuer.now)
        vault.expect(ONE)
        await vault.obtain(ONE)
        assert vault.keys("id-1").access_key_id == "AKID1"

    run(scenario())


def test_what_is_forgotten_during_its_refresh_stays_forgotten(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(900.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        issuer.takes = 5.0

        async def forget() -> None:
            await asyncio.sleep(602)
            vault.forget("id-1")

        await asyncio.gather(pass_time(vault, 2000), forget())
        assert not vault.holds("id-1")
        assert len(issuer.asked) == 2

    run(scenario())


def test_all_that_is_due_is_obtained_at_once(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(900.0)
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        await vault.obtain(TWO)
        issuer.takes = 30.0
        await pass_time(vault, 640)
        assert issuer.asked[2:] == [(600, "id-1"), (600, "id-2")]
        assert vault.keys("id-1") != vault.keys("id-2")

    run(scenario())


def test_whoever_asks_a_moment_early_waits_for_them(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.takes = 0.3
        vault = Vault(issuer.obtain, issuer.now)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(vault.settled("id-1", 0.8))
            await vault.obtain(TWO)
            assert not waiting.done()
            await vault.obtain(ONE)
            await waiting
        assert issuer.now() == pytest.approx(0.6)
        assert vault.keys("id-1").access_key_id == "AKID2"
        await vault.settled("id-1", 0.8)
        assert issuer.now() == pytest.approx(0.6)

    run(scenario())


def test_nobody_waits_for_them_longer_than_that(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        vault = Vault(issuer.obtain, issuer.now)
        await vault.settled("id-1", 0.8)
        assert issuer.now() == pytest.approx(0.8)
        with pytest.raises(Uninitialized):
            vault.keys("id-1")

    run(scenario())


def test_who_waits_for_what_can_not_be_had_is_told_at_once(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.error = CredentialsError("no such role")
        vault = Vault(issuer.obtain, issuer.now)
        vault.expect(ONE)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(vault.settled("id-1", 0.8))
            await pass_time(vault, 0.1)
            assert waiting.done()

    run(scenario())


@pytest.mark.parametrize("had", [True, False])
def test_a_clock_that_is_set_back_delays_nothing(run: Run, *, had: bool) -> None:
    async def scenario() -> None:
        issuer = Issuer(lifetime=None)
        vault = Vault(issuer.obtain, issuer.now)
        if not had:
            issuer.error = CredentialsUnavailable("STS is away")
        issuer.slept = 86400.0
        vault.expect(ONE)
        await pass_time(vault, 1)
        issuer.slept, issuer.error = 0.0, None
        asked = len(issuer.asked)
        await pass_time(vault, 60)
        assert len(issuer.asked) == asked + 1
        assert vault.keys("id-1").secret_access_key == "hush"

    run(scenario())


def test_credentials_that_are_kept_are_lent(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        vault = Vault(issuer.obtain, issuer.now)
        await vault.obtain(ONE)
        assert await vault.lend(ONE) == vault.keys(ONE.id)
        assert issuer.asked == [(0.0, ONE.id)]

    run(scenario())


def test_credentials_that_are_not_kept_are_lent_and_still_not_kept(run: Run) -> None:
    async def scenario() -> None:
        issuer = Issuer(lifetime=60.0)
        vault = Vault(issuer.obtain, issuer.now)
        assert (await vault.lend(ONE)).access_key_id == "AKID1"
        assert not vault.holds(ONE.id)
        await vault.obtain(TWO)
        await asyncio.sleep(60)
        assert (await vault.lend(TWO)).access_key_id == "AKID3", "what is kept has expired"
        with pytest.raises(Expired):
            vault.keys(TWO.id)

    run(scenario())


@pytest.mark.parametrize("kind", [CredentialsError, CredentialsUnavailable])
def test_credentials_that_cant_be_had_are_not_lent(run: Run, kind: type[CredentialsError]) -> None:
    async def scenario() -> None:
        issuer = Issuer()
        issuer.error = kind("no section")
        vault = Vault(issuer.obtain, issuer.now)
        with pytest.raises(CredentialsError, match="no section") as failed:
            await vault.lend(ONE)
        assert type(failed.value) is kind

    run(scenario())

"""Signals end a wait, are never lost and break off nothing else."""

import signal
import threading

import pytest

from agent.cli.interrupts import Interrupts


def test_a_signal_ends_a_wait() -> None:
    def wait() -> None:
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the wait goes on")

    with Interrupts() as interrupts:
        assert interrupts.wait(wait) is None
        assert (interrupts.take(), interrupts.take()) == (1, 0)


def test_a_blocked_wait_is_woken() -> None:
    never = threading.Event()
    main = threading.main_thread().ident
    assert main is not None
    with Interrupts() as interrupts:
        timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGTERM))
        timer.start()
        assert interrupts.wait(lambda: never.wait(30)) is None
        timer.join()


def test_signals_outside_a_wait_are_kept_for_the_next() -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert interrupts.wait(lambda: "answer") is None
        assert [interrupts.take(), interrupts.take(), interrupts.take()] == [1, 2, 0]
        assert interrupts.wait(lambda: "answer") == "answer"


def test_an_error_in_a_wait_is_passed_on() -> None:
    def fail() -> None:
        raise ValueError("broken")

    with Interrupts() as interrupts:
        with pytest.raises(ValueError, match="broken"):
            interrupts.wait(fail)
        signal.raise_signal(signal.SIGINT)
        assert interrupts.take() == 1


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.take() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_handlers_before_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before

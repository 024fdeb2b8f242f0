"""The jobs of the machines: ``python -m tests.vm.guest.main alpha``, ``beta`` or ``beta-again``."""

from __future__ import annotations

import sys
from functools import partial

from tests.vm.guest import confinement, crash, faults, limits, nics, suite, tasks
from tests.vm.guest.telling import Facts, check, output, until_asked


def alpha() -> None:
    """Tasks that talk to beta's, then all that one machine can do alone."""
    nics.dress("alpha")
    before = nics.cards("alpha")
    tasks.until_served()
    attached = nics.start("alpha")
    busy, greedy = limits.start()
    check("system", system)
    check("oom", partial(limits.greedy, greedy))
    check("limits", partial(limits.busy, busy))
    check("talked", partial(nics.talked, "alpha", attached))
    check("isolated", partial(nics.isolated, "alpha", attached))
    check("faults", partial(faults.faults, "alpha", attached[-1]))
    check("confinement", confinement.confinement)
    check("given-back", partial(nics.given_back, "alpha", attached, before))


def beta() -> None:
    """Tasks for alpha to talk to; then ten that start, until the power is cut."""
    tasks.until_served()
    attached = nics.start("beta")
    check("talked", partial(nics.talked, "beta", attached))
    check("suite", suite.suite)
    until_asked("crash")
    crash.until_cut(attached)


def beta_again() -> None:
    """After the power cut."""
    tasks.until_served()
    check("crashed", partial(crash.after_cut, "beta"))


def system() -> Facts:
    """What this machine is."""
    shown = output("systemctl", "show", "-p", "ActiveState", "-p", "NRestarts", "hostler.service")
    return {
        "kernel": output("uname", "-r").strip(),
        "service": dict(line.split("=", 1) for line in shown.splitlines()),
        "failed": output("systemctl", "--failed", "--plain", "--no-legend").splitlines(),
        "version": output("hostler", "version").strip(),
    }


if __name__ == "__main__":
    {"alpha": alpha, "beta": beta, "beta-again": beta_again}[sys.argv[1]]()

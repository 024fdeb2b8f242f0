"""The machines, once for all tests: they boot when the first test asks for what they told."""

from __future__ import annotations

import platform

import pytest

from tests.machines.kept import PLACE
from tests.machines.kernel import kernel
from tests.vm import building
from tests.vm import lab as laboratory
from tests.vm.lab import Lab

_LAB = pytest.StashKey[Lab]()


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Both machines have done what they have to do."""
    if (platform.machine(), platform.freedesktop_os_release()["ID"]) != ("x86_64", "debian"):
        pytest.skip("the machines are Debian's, on x86_64, made of what their host installs from")
    top = tmp_path_factory.mktemp("lab")
    debian = kernel(PLACE)
    building.built(debian, top / "disk.ext4")
    made = laboratory.run(top, debian, top / "disk.ext4")
    request.config.stash[_LAB] = made
    return made


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """How long the machines were on; and all that they said, if a test failed."""
    made = config.stash.get(_LAB, None)
    if made is None:
        return
    terminalreporter.section("machines")
    for job in (made.alpha, made.beta, made.again):
        failed = bool(terminalreporter.stats.get("failed"))
        terminalreporter.write_line(job.said() if failed else f"{job.role}: {job.times}")

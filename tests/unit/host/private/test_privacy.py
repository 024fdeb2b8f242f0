"""Which runtimes can be given private variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.host.containers.runtimes import RUNC, Runtime
from agent.host.private.handover import Handover
from agent.host.private.privacy import Privacy
from agent.oci.errors import SpecError


@pytest.fixture
def privacy(tmp_path: Path) -> Privacy:
    unused: Any = None
    return Privacy(unused, Handover(tmp_path / "notes", tmp_path / "bin"))


@pytest.mark.parametrize(
    ("runtime", "real"),
    [(RUNC, "runc"), (Runtime("crun", binary="/usr/bin/crun"), "/usr/bin/crun")],
)
def test_runcs_shim_runs_a_script_that_runs_the_runtime(
    privacy: Privacy, runtime: Runtime, real: str
) -> None:
    given = privacy.runtime(runtime)
    assert (given.name, given.shim) == (runtime.name, runtime.shim)
    assert f"\nruntime={real}\n" in Path(given.binary).read_text()


def test_no_other_shim_can(privacy: Privacy) -> None:
    runsc = Runtime("runsc", shim="io.containerd.runsc.v1")
    with pytest.raises(
        SpecError, match=r"runtime runsc can't give it .* has io\.containerd\.runsc"
    ):
        privacy.runtime(runsc)

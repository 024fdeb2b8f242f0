"""System tests that most hosts skip, for want of what this kernel has."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from tests.vm.guest.telling import DEADLINE_S, SHARE, Facts

CASES: Final = (
    "test_cni_awsvpc.py::test_a_branch_of_a_trunk_reaches_the_gateway_by_its_tag",
    "test_cni_faults.py::test_a_tree_is_made_and_removed",
    "test_cni_nics.py::test_a_real_nic_is_brought_back_by_the_kernel_and_put_back",
    "test_oci_runc.py::test_the_cgroup_has_the_limits_of_version_2",
)
REPORT: Final = "junit.xml"


def suite() -> Facts:
    """How they end; each of them is in the report."""
    ran = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pytest",
                "-p",
                "no:cacheprovider",
                f"--timeout={DEADLINE_S:g}",
            ),
            *(f"--junitxml={REPORT}", *(f"tests/system/{each}" for each in CASES)),
        ],
        cwd=SHARE,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return {"code": ran.returncode, "said": ran.stdout + ran.stderr}

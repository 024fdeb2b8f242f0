"""AppArmor: a profile that is loaded confines, one that is not keeps a container away."""

from __future__ import annotations

import subprocess
from typing import Final

from tests.vm.guest import tasks
from tests.vm.guest.telling import COMMAND_S, Facts

PROFILE: Final = """
profile hostler-vm-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  ptrace,
  umount,
  deny /tmp/forbidden w,
}
"""
_SCRIPT = (
    "cat /proc/self/attr/current; "
    "echo x > /tmp/allowed && echo allowed is written; "
    "echo x > /tmp/forbidden || echo forbidden is refused"
)


def confinement() -> Facts:
    """Tasks under the profile, under one that nobody has loaded, and under none."""
    subprocess.run(
        ["apparmor_parser", "--replace", "--skip-cache"],
        input=PROFILE.encode(),
        check=True,
        timeout=COMMAND_S,
    )
    started = {
        name: tasks.run(
            tasks.definition(f"confined-{name}", _SCRIPT, container={"dockerSecurityOptions": says})
        )
        for name, says in (
            ("loaded", ["apparmor:hostler-vm-test"]),
            ("missing", ["apparmor:nobody-has-this"]),
            ("none", []),
        )
    }
    return {
        name: {"task": each.until_stopped(), "log": each.log()} for name, each in started.items()
    }

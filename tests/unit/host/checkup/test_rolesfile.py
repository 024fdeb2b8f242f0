"""Mistakes in the roles file, before a task needs it."""

from __future__ import annotations

from pathlib import Path

from agent.host.checkup import rolesfile
from tests.unit.host.checkup.lab import Host, errors


def test_every_section_that_can_not_be_used_is_found(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "roles"
    host.set(task_roles=path)
    assert list(rolesfile.check(host.subject)) == []
    path.touch(mode=0o600)
    path.write_text("[default]\nsource = sts\n[one]\nkey = 1\n[two]\nsource = st\n")
    assert len(errors(rolesfile.check(host.subject))) == 2
    path.chmod(0o644)
    assert errors(rolesfile.check(host.subject)) == [
        f"{path} is open to others (mode 0644): chmod 600 {path}"
    ]

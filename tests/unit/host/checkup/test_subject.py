"""Files of the host as checks read them: there, not there, hidden, or something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.host.checkup.lab import Host


def test_what_a_file_holds(host: Host) -> None:
    host.write("/proc/x", " 1 2\n")
    assert host.subject.text("/proc/x") == "1 2"
    assert host.subject.words("/proc/x") == ["1", "2"]
    assert host.subject.number("/proc/x") is None
    host.write("/proc/y", "-7\n")
    assert host.subject.number("/proc/y") == -7


def test_what_is_not_there(host: Host) -> None:
    host.write("/proc/x")
    for each in ("/proc/none", "/proc/x/below"):
        assert host.subject.text(each) is None
        assert host.subject.words(each) == []
        assert host.subject.number(each) is None
        assert not host.subject.exists(each)
    assert host.subject.exists("/proc/x")


def test_what_is_hidden_may_be_there(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_how: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    assert host.subject.exists("/run/containerd/containerd.sock")

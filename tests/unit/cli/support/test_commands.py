"""Pieces by programs: what they print, and why there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli.support import commands
from agent.cli.support.masks import Masks
from agent.cli.support.pieces import Missing, Piece, Site
from agent.host.checkup.programs import NotRun, Ran
from tests.unit.host.checkup.lab import Host

PIECES = {each.name: each for each in commands.PIECES}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def got(host: Host, piece: Piece) -> dict[str, str]:
    return dict(piece.get(Site(host.subject, Path("/api.sock"), None, Masks())))


def test_every_piece_has_a_name_of_its_own() -> None:
    assert len(PIECES) == len(commands.PIECES)


def test_a_listing(host: Host) -> None:
    host.answers["ip rule"] = Ran(0, "0: from all lookup local\n")
    assert got(host, PIECES["network/ip-rule"]) == {
        "network/ip-rule.txt": "$ ip rule\n0: from all lookup local\n"
    }


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (NotRun("there is no program ip"), "there is no program ip"),
        (Ran(1, "", "Error: no\n  ^^^\n"), "ip rule: Error: no"),
        (Ran(7, "", ""), "ip rule: exit code 7"),
    ],
)
def test_a_listing_that_cant_be_had(host: Host, answer: Ran | NotRun, why: str) -> None:
    host.answers["ip rule"] = answer
    with pytest.raises(Missing) as caught:
        got(host, PIECES["network/ip-rule"])
    assert str(caught.value) == why


def test_a_part_is_better_than_nothing(host: Host) -> None:
    host.answers["df -hT"] = Ran(1, "/dev/sda 1G\n", "df: /nas: Stale file handle\n", cut=True)
    (text,) = got(host, PIECES["disk/df"]).values()
    assert text == "$ df -hT\n/dev/sda 1G\ndf: /nas: Stale file handle\n\n(more was cut)\n"


def test_half_a_line_at_the_end_of_what_is_cut_is_left_out(host: Host) -> None:
    host.answers["ip rule"] = Ran(0, "one\npassword hunter", "two\nhunt", cut=True)
    (text,) = got(host, PIECES["network/ip-rule"]).values()
    assert text == "$ ip rule\none\ntwo\n\n(more was cut)\n"


def test_versions_of_programs_that_are_not_all_there(host: Host) -> None:
    host.answers["runc --version"] = Ran(0, "runc version 1.1.5\n")
    (text,) = got(host, PIECES["versions/programs"]).values()
    assert "$ runc --version\nrunc version 1.1.5\n" in text
    assert "$ crun --version\nthere is no program crun\n" in text


def test_containerd_is_asked_where_it_is(host: Host) -> None:
    host.set(containerd="/their.sock")
    with pytest.raises(Missing, match=r"there is no /their\.sock"):
        got(host, PIECES["containerd/tasks"])
    host.write("/their.sock")
    asked = "ctr --address /their.sock -n hostler tasks ls"
    host.answers[asked] = Ran(0, "TASK PID STATUS\n")
    (text,) = got(host, PIECES["containerd/tasks"]).values()
    assert text.endswith("TASK PID STATUS\n")


def test_the_journal_of_a_unit(host: Host) -> None:
    piece = PIECES["journal/hostler.service"]
    with pytest.raises(Missing, match="systemd is not the first process"):
        got(host, piece)
    host.folder("/run/systemd/system")
    asked = "journalctl --no-pager --quiet --unit=hostler.service"
    host.answers[asked] = Ran(0, "a line\n", cut=True)
    assert got(host, piece) == {"journal/hostler.service.log": "a line\n\n(more was cut)\n"}
    host.answers[asked] = Ran(0, "", "")
    with pytest.raises(Missing, match="the journal has nothing of it"):
        got(host, piece)
    host.answers[asked] = NotRun("there is no program journalctl")
    with pytest.raises(Missing, match="there is no program journalctl"):
        got(host, piece)


def test_the_kernels_log_without_a_journal(host: Host) -> None:
    host.answers["dmesg --ctime"] = Ran(0, "oom-kill\n")
    assert got(host, PIECES["journal/kernel"]) == {
        "journal/kernel.log": "$ dmesg --ctime\noom-kill\n"
    }
    host.answers["journalctl --no-pager --quiet --dmesg"] = Ran(0, "from the journal\n")
    assert got(host, PIECES["journal/kernel"]) == {"journal/kernel.log": "from the journal\n"}


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        ("Environment = A=hush\nType=notify\n", "Environment =(hidden)\nType=notify\n"),
        ("Environment=A=1 \\\n# why\n ; and\n B=hush\nType=x\n", "Environment=(hidden)\nType=x\n"),
        (
            "ExecStart=/a \\\n  --set X=hush \\\n  --b\nType=x\n",
            "ExecStart=/a \\\n  --set (hidden)\nType=x\n",
        ),
        ("ExecStart=/a --set \\\n  X=hush\nType=x\n", "ExecStart=/a --set (hidden)\nType=x\n"),
        ("ExecStart = /a --set=X=hush\n", "ExecStart = /a --set=(hidden)\n"),
        ("ExecStart=/a \\\n  --b\nType=x\n", "ExecStart=/a \\\n  --b\nType=x\n"),
    ],
)
def test_values_as_systemd_reads_them(unit: str, shown: str) -> None:
    assert commands.without_values(unit) == shown


def test_a_unit_without_the_values_of_its_variables(host: Host) -> None:
    host.folder("/run/systemd/system")
    host.answers["systemctl show hostler.service"] = Ran(0, "Id=hostler.service\n")
    host.answers["systemctl cat hostler.service"] = Ran(
        0,
        "[Service]\nEnvironment=DB_PW=abc 'X=d e'\nEnvironmentFile=-/etc/x\n"
        "Environment=Y=1 \\\n  LATER=fgh \\\n  LAST=ijk\nDelegate=yes\n"
        "SetCredential=db:secret\nExecStart=/opt/hostler/bin/hostler agent\n"
        "ExecStart=/usr/bin/hostler agent --set=ECS_ENGINE_AUTH_DATA={}\n",
    )
    (text,) = got(host, PIECES["units/hostler.service"]).values()
    for secret in ("abc", "d e", "fgh", "ijk", "db:secret", "ECS_ENGINE_AUTH_DATA"):
        assert secret not in text
    assert "ExecStart=/opt/hostler/bin/hostler agent\n" in text
    assert "EnvironmentFile=-/etc/x\n" in text
    assert "Delegate=yes\n" in text
    assert "Id=hostler.service" in text

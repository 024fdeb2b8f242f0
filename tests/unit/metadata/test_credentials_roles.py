"""The roles file: which section serves a role, and how what is wrong with it is told."""

import errno
import os
import sys
from itertools import count
from pathlib import Path

import pytest

from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys, Need
from metadata.credentials.roles import RolesFile, find_section, problems
from metadata.credentials.sections import ProcessSection, StaticSection, StsSection

WEB = "arn:aws:iam::111122223333:role/web"
NEED = Need("id-1", WEB, "arn:aws:ecs:xx-test-1:111122223333:task/lab/0123")
STATIC = "aws_access_key_id = AKID1\naws_secret_access_key = hush\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "roles"
    path.touch(mode=0o600)
    return path


def why(path: Path, text: str) -> str:
    """How the file is refused."""
    path.write_text(text)
    with pytest.raises(CredentialsError) as refused:
        find_section(path, WEB)
    assert not isinstance(refused.value, CredentialsUnavailable)
    assert "hush" not in str(refused.value), "a secret is told"
    return str(refused.value)


async def test_a_role_has_its_section_and_all_others_the_default(path: Path) -> None:
    path.write_text(f"# ours\n[default]\ncredential_process = true\n[{WEB}]\n{STATIC}")
    assert isinstance(find_section(path, WEB), StaticSection)
    assert find_section(path, f"{WEB}-2") == ProcessSection(credential_process="true")
    assert await RolesFile(path).obtain(NEED) == Keys("AKID1", "hush")


async def test_static_keys_may_have_a_session_token_and_an_end(path: Path) -> None:
    more = "aws_session_token = t\nexpiration = 2031-02-03T04:05:06"
    for zone in ("", "Z", "+00:00"):
        path.write_text(f"[default]\n{STATIC}{more}{zone}\n")
        assert await RolesFile(path).obtain(NEED) == Keys("AKID1", "hush", "t", 1927857906.0)


async def test_an_edit_takes_effect_at_once(path: Path) -> None:
    file = RolesFile(path)
    path.write_text(f"[default]\n{STATIC}")
    assert (await file.obtain(NEED)).access_key_id == "AKID1"
    path.write_text(f"[default]\n{STATIC}".replace("AKID1", "AKID2"))
    assert (await file.obtain(NEED)).access_key_id == "AKID2"


async def test_a_program_is_run_as_the_section_says(path: Path) -> None:
    printed = '{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "%"}'
    path.write_text(f"[default]\ncredential_process = echo '{printed}'\n")
    assert await RolesFile(path).obtain(NEED) == Keys("A", "%")


def test_sts_may_be_told_how(path: Path) -> None:
    said = "source = sts\nduration_seconds = 3600\nexternal_id = e\nregion = r\n"
    path.write_text(f"[{WEB}]\n{said}endpoint_url = http://sts\nrole_arn = other\n")
    assert find_section(path, WEB) == StsSection(
        source="sts",
        duration_seconds=3600,
        external_id="e",
        region="r",
        endpoint_url="http://sts",
        role_arn="other",
    )


def test_a_role_without_a_section_is_named(path: Path) -> None:
    said = why(path, f"[{WEB}-2]\n{STATIC}")
    assert said == f"{path} has neither a section [{WEB}] nor [default]"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{STATIC}aws_sesion_token = hush", "unknown key aws_sesion_token; there are aws_access"),
        ("secret = hush", "unknown key secret; there are aws_access_key_id, aws_secret_access_key"),
        ("aws_access_key_id = A", "aws_secret_access_key is missing beside aws_access_key_id"),
        (
            "aws_secret_access_key = hush",
            "aws_access_key_id is missing beside aws_secret_access_key",
        ),
        (f"{STATIC}region = r", "region does not go with aws_access_key_id"),
        (f"{STATIC}credential_process = x", "aws_access_key_id does not go with credential_proc"),
        (f"source = sts\n{STATIC}", "aws_access_key_id does not go with source"),
        ("source = imds", "source: Input should be 'sts'"),
        ("source = sts\nduration_seconds = 60", "duration_seconds: Input should be greater than"),
        ("source = sts\nduration_seconds = hush", "duration_seconds: Input should be a valid int"),
        (f"{STATIC}expiration = hush", "expiration: Input should be a valid datetime"),
        ("credential_process =", "credential_process: String should have at least 1 character"),
        ("region = r", "says no source of credentials: give aws_access_key_id and"),
        ("", "says no source of credentials"),
    ],
)
def test_a_section_that_cant_be_used_is_told_with_its_key(path: Path, said: str, told: str) -> None:
    got = why(path, f"[default]\n{said}\n")
    assert got.startswith(f"{path} [default]")
    assert told in got


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("aws_secret_access_key = hush\n", "line 1: comes before any [section]"),
        ("[default]\nhush\n", "line 2: is neither [section] nor key = value"),
        (f"[a]\n[{WEB}]\n[{WEB}]\n", f"line 3: section [{WEB}] is there twice"),
        (f"[default]\n{STATIC}{STATIC}", "line 4: [default] has aws_access_key_id twice"),
    ],
)
def test_a_file_that_cant_be_read_is_told_with_the_line(path: Path, text: str, told: str) -> None:
    assert why(path, text) == f"{path} {told}"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    told = f"{path} is open to others (mode {mode:04o}): chmod 600 {path}"
    assert why(path, f"[default]\n{STATIC}") == told


def test_a_file_of_somebody_else_is_refused(path: Path) -> None:
    os.chown(path, 12345, 12345)
    assert why(path, STATIC) == f"{path} does not belong to root: chown root {path}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (f"{STATIC}expiration = 2020-01-02T03:04:05", "the keys expired at 2020-01-02T03:04:05Z"),
        ("credential_process = /nowhere/p x", "credential_process: there is no program /nowhere/p"),
        ("credential_process = no-such-p", "credential_process: there is no program no-such-p"),
        ("credential_process = 'p", "credential_process can't be split into words: No closing quo"),
        ("source = sts", "source = sts needs boto3: install Hostler with its extra 'aws'"),
    ],
)
def test_a_source_that_is_not_ready_is_a_problem(
    path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    path.write_text(f"[default]\n{said}\n")
    assert [each.removeprefix(f"{path} [default]: ")[:60] for each in problems(path)] == [told[:60]]


def test_sources_that_are_ready_are_no_problem(path: Path) -> None:
    path.write_text(f"[a]\n{STATIC}[b]\ncredential_process = /bin/true\n[c]\nsource = sts\n")
    assert list(problems(path)) == []


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for each in (fifo, tmp_path):
        with pytest.raises(CredentialsError, match="is not a regular file"):
            find_section(each, WEB)


def test_a_file_too_long_or_in_no_text_is_refused(path: Path) -> None:
    assert why(path, "#" * (1024 * 1024 + 1)).endswith("has more than 1048576 bytes")
    path.write_bytes(b"[default]\n# \xff\n")
    with pytest.raises(CredentialsError, match="is not UTF-8 text"):
        find_section(path, WEB)


def test_a_file_that_went_away_is_missed(path: Path) -> None:
    path.unlink()
    with pytest.raises(CredentialsError, match="is not there any more"):
        find_section(path, WEB)


def test_a_disk_that_fails_may_get_well(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(CredentialsUnavailable, match="can't be read: Input/output error"):
        find_section(path, WEB)


async def test_without_boto3_it_is_said_what_to_install(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("[default]\nsource = sts\n")
    monkeypatch.delitem(sys.modules, "metadata.credentials.sts", raising=False)
    monkeypatch.delattr("metadata.credentials.sts", raising=False)
    monkeypatch.setitem(sys.modules, "boto3", None)
    file = RolesFile(path)
    with pytest.raises(CredentialsError, match="needs boto3: install Hostler with its extra 'aws'"):
        await file.obtain(NEED)
    file.close()


@pytest.mark.parametrize(
    "text",
    [
        f"{STATIC}aws_session_token = hush\nfwohushhushhushhushhushhush==",
        f"{STATIC}fwo/hush= 1\nfwo/hush= 2",
    ],
)
def test_what_may_be_part_of_a_secret_is_not_taken_for_a_key(path: Path, text: str) -> None:
    assert "may be part of a secret" in why(path, f"[default]\n{text}\n")


async def test_a_host_that_runs_out_of_files_meanwhile_may_have_some_later(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, tries = os.pidfd_open, count()

    def short(pid: int) -> int:
        if next(tries) == 0:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(pid)

    path.write_text("[default]\ncredential_process = sh -c 'exec >&- 2>&-; exec sleep 60'\n")
    monkeypatch.setattr(os, "pidfd_open", short)
    with pytest.raises(CredentialsUnavailable, match="Too many open files"):
        await RolesFile(path).obtain(NEED)

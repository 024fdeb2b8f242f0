"""The file of keys: made once, read as AWS's tools read it, and never shown."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import botocore.session
import pytest

from agent.doors import keys
from agent.doors.keys import KeysError
from agent.doors.sigv4 import Key

SECRET = "a-secret-that-nobody-may-see-anywhere"


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "credentials"
    path.write_text(text)
    path.chmod(mode)
    return path


def profile(name: str, key_id: str, secret: str = SECRET) -> str:
    return f"[{name}]\naws_access_key_id = {key_id}\naws_secret_access_key={secret}\n"


def test_the_first_start_makes_a_key_that_only_the_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    (key,) = keys.ensure(path).values()
    assert re.fullmatch("HOSTLER[A-Z0-9]{13}", key.access_key_id)
    assert re.fullmatch("[A-Za-z0-9]{40}", key.secret)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_later_starts_read_it_again(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    assert keys.ensure(path) == keys.ensure(path)


def test_no_two_hosts_have_the_same_key(tmp_path: Path) -> None:
    one, other = (keys.ensure(tmp_path / each) for each in ("one", "other"))
    assert not set(one) & set(other)
    assert {each.secret for each in one.values()} != {each.secret for each in other.values()}


def test_what_a_broken_start_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "credentials.new").write_text("half a fi")
    assert len(keys.ensure(tmp_path / "credentials")) == 1
    assert not (tmp_path / "credentials.new").exists()


def test_awss_tools_find_the_key_by_the_files_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    (key,) = keys.ensure(path).values()
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    found = botocore.session.Session().get_credentials()
    assert found is not None
    assert (found.access_key, found.secret_key) == (key.access_key_id, key.secret)


def test_every_profile_counts(tmp_path: Path) -> None:
    text = "# ours\n" + profile("default", "HOSTLER0000000000000") + profile("ci", "A" * 16)
    assert list(keys.ensure(written(tmp_path, text))) == ["HOSTLER0000000000000", "A" * 16]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no keys"),
        ("# nothing\n", "has no keys"),
        (f"aws_secret_access_key={SECRET}\n", "can't be read as an AWS credentials file"),
        (f"[default]\n{SECRET}\n", "can't be read as an AWS credentials file"),
        (profile("a", "A" * 20) + profile("a", "B" * 20), "can't be read as an AWS credentials"),
        (profile("a", "A" * 20) + profile("b", "A" * 20), "profile b has the same access key id"),
        ("[a]\naws_access_key_id=AAAAAAAAAAAAAAAAAAAA\n", "profile a needs an aws_access_key_id"),
        (f"[a]\naws_secret_access_key={SECRET}\n", "profile a needs an aws_access_key_id"),
        (profile("a", "short"), "profile a needs an aws_access_key_id"),
        (profile("a", "A/" * 10), "profile a needs an aws_access_key_id"),
        (profile("a", "A" * 20, "short"), "an aws_secret_access_key of at least 20 characters"),
    ],
)
def test_a_file_that_can_not_be_used_is_named_without_its_secrets(
    tmp_path: Path, text: str, why: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(KeysError, match=why) as caught:
        keys.ensure(path)
    assert str(path) in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert path.read_text() == text


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_bytes(b"[default]\n\xff")
    with pytest.raises(KeysError, match="can't be read as an AWS credentials file"):
        keys.ensure(path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o644])
def test_a_file_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(KeysError, match="chmod 600"):
        keys.ensure(written(tmp_path, profile("default", "A" * 20), mode))


def test_a_key_does_not_show_its_secret() -> None:
    assert SECRET not in repr(Key("A" * 20, SECRET))
    assert SECRET not in f"{ {'A': Key('A' * 20, SECRET)} }"

"""`credential_process`: real programs that print well, print badly, fail, hang, or never stop."""

import asyncio
import errno
import json
import os
import shlex
from pathlib import Path

import psutil
import pytest

from metadata.credentials import program
from metadata.credentials.keys import (
    CredentialsError,
    CredentialsUnavailable,
    Keys,
    Need,
    second_text,
)
from metadata.credentials.process import ProcessSource
from metadata.credentials.program import OUTPUT_LIMIT
from tests.sleepers import until_none_sleeps

NEED = Need("id-1", "arn:aws:iam::111122223333:role/web", "arn:aws:ecs:x:1:task/lab/0123")
PRINTED = {"Version": 1, "AccessKeyId": "AKID1", "SecretAccessKey": "hush"}


def shell(script: str) -> ProcessSource:
    return ProcessSource(f"sh -c {shlex.quote(script)}", deadline_s=20)


def printing(**members: object) -> ProcessSource:
    return ProcessSource(f"echo {shlex.quote(json.dumps({**PRINTED, **members}))}")


async def why(source: ProcessSource) -> str:
    with pytest.raises(CredentialsError) as refused:
        await source.obtain(NEED)
    assert not isinstance(refused.value, CredentialsUnavailable)
    assert "hush" not in str(refused.value), "what was printed may be secret"
    return str(refused.value)


async def test_credentials_are_as_they_were_printed() -> None:
    assert await printing().obtain(NEED) == Keys("AKID1", "hush")
    assert await printing(SessionToken=None, More=1).obtain(NEED) == Keys("AKID1", "hush")
    for zone in ("Z", "+00:00", ""):
        end = f"2031-02-03T04:05:06{zone}"
        whole = printing(SessionToken="t", Expiration=end)
        assert await whole.obtain(NEED) == Keys("AKID1", "hush", "t", 1927857906.0)


async def test_the_program_is_told_for_whom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LAB", "kept")
    script = (
        'printf \'{"Version":1,"AccessKeyId":"%s","SecretAccessKey":"%s","SessionToken":"%s"}\' '
        '"$HOSTLER_ROLE_ARN" "$HOSTLER_TASK_ARN" "$LAB-$NOTIFY_SOCKET-$PWD"'
    )
    assert await shell(script).obtain(NEED) == Keys(NEED.role_arn, NEED.task_arn, "kept--/")


async def test_no_shell_reads_the_command_and_there_is_no_input() -> None:
    source = ProcessSource("cat '$HOME;' -")
    with pytest.raises(CredentialsUnavailable, match=r"cat ended with exit code 1: cat: '\$HOME;'"):
        await source.obtain(NEED)


@pytest.mark.parametrize(
    ("printed", "told"),
    [
        ("hush", "it is not a JSON object"),
        ("[1]", "it is not a JSON object"),
        ("", "it is not a JSON object"),
        (json.dumps({**PRINTED, "Version": 2}), "Version missing or wrong"),
        (json.dumps({"AccessKeyId": "hush"}), "SecretAccessKey, Version missing or wrong"),
        (json.dumps({**PRINTED, "AccessKeyId": ""}), "AccessKeyId missing or wrong"),
        (json.dumps({**PRINTED, "Expiration": "hush"}), "Expiration missing or wrong"),
    ],
)
async def test_what_is_printed_wrong_is_told_without_quoting_it(printed: str, told: str) -> None:
    said = await why(shell(f"printf %s {shlex.quote(printed)}"))
    assert said == f"credential_process sh did not print version 1 credentials: {told}"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/no/such/program", "/no/such/program can't be started: No such file or directory"),
        ("/etc/passwd", "/etc/passwd can't be started: Permission denied"),
        ("echo 'open", "can't be split into words: No closing quotation"),
        ("''  ", " can't be started: "),
        ("  ", "names no program"),
    ],
)
async def test_a_program_that_cant_be_started_is_named(command: str, told: str) -> None:
    assert told in await why(ProcessSource(command))


async def test_a_failing_program_is_quoted_by_its_last_line() -> None:
    with pytest.raises(CredentialsUnavailable) as failed:
        await shell("echo hush; echo first >&2; printf 'la\\033st\\n\\n' >&2; exit 3").obtain(NEED)
    assert str(failed.value) == "credential_process sh ended with exit code 3: la st"
    with pytest.raises(CredentialsUnavailable, match=r"was ended by signal 9$"):
        await shell("kill -9 $$").obtain(NEED)
    with pytest.raises(CredentialsUnavailable) as failed:
        await shell("printf %0999d 1 >&2; exit 1").obtain(NEED)
    assert len(str(failed.value)) < 260


@pytest.mark.parametrize("stream", [1, 2])
async def test_a_program_that_prints_without_end_is_killed(stream: int) -> None:
    said = await why(shell(f"while :; do printf %09999d 1 >&{stream}; done"))
    assert said == f"credential_process sh printed more than {OUTPUT_LIMIT} bytes"


def printing_file(folder: Path, text: str) -> ProcessSource:
    path = folder / "printed"
    path.write_text(text)
    return ProcessSource(f"cat {path}")


async def test_a_program_may_print_just_as_much_as_is_read(tmp_path: Path) -> None:
    printed = json.dumps(PRINTED).ljust(OUTPUT_LIMIT)
    assert (await printing_file(tmp_path, printed).obtain(NEED)).access_key_id == "AKID1"
    assert "printed more than" in await why(printing_file(tmp_path, f"{printed} "))


async def test_a_program_that_hangs_is_killed_with_its_children() -> None:
    source = ProcessSource("sh -c 'sleep 4712 & sleep 4712'", deadline_s=0.3)
    with pytest.raises(CredentialsUnavailable, match=r"sh was not done after 0\.3 s"):
        await source.obtain(NEED)
    await until_none_sleeps("4712")


async def test_a_child_that_keeps_the_output_open_is_not_waited_for_longer(
    tmp_path: Path,
) -> None:
    told = tmp_path / "pid"
    child = shlex.quote(f"echo $$ >{told}; exec sleep 4713")
    source = ProcessSource(f"sh -c {shlex.quote(f'setsid sh -c {child} & echo up')}", deadline_s=3)
    with pytest.raises(CredentialsUnavailable, match="was not done"):
        await source.obtain(NEED)
    left = psutil.Process(int(told.read_text()))
    assert left.cmdline() == ["sleep", "4713"]
    left.kill()  # it left its group on purpose


async def test_who_is_cancelled_leaves_no_program_behind(tmp_path: Path) -> None:
    fifo = tmp_path / "up"
    os.mkfifo(fifo)
    source = ProcessSource(f"sh -c 'sleep 4714 & echo up > {fifo}; wait'")

    async def heard() -> None:
        assert await asyncio.to_thread(fifo.read_text) == "up\n"

    async with asyncio.TaskGroup() as group:
        asking = group.create_task(source.obtain(NEED))
        await heard()
        asking.cancel()
    await until_none_sleeps("4714")


async def test_a_command_that_no_program_can_have_is_refused() -> None:
    assert await why(ProcessSource("echo a\0b")) == (
        "credential_process echo can't be started: embedded null byte"
    )


async def test_a_host_that_is_short_of_files_may_have_some_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def short(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(program, "Popen", short)
    with pytest.raises(CredentialsUnavailable, match="can't be started: Too many open files"):
        await ProcessSource("true").obtain(NEED)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59-05:00", "9999-12-31T23:59:59Z"),
    ],
)
async def test_an_end_out_of_all_time_can_be_told(said: str, shown: str) -> None:
    keys = await printing(Expiration=said).obtain(NEED)
    assert keys.expires_at is not None
    assert second_text(keys.expires_at) == shown

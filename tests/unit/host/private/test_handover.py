"""A whole spec goes past the disk to the runtime, here a script that tells what it was given."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.host.private.handover import Handover
from agent.oci.errors import SpecError

KEY = "c" * 64
WHOLE: dict[str, Any] = {"process": {"env": ["KEY=hush"]}, "root": {"path": "../rootfs"}}


class Site:
    """A handover, a bundle as a shim has one, and a runtime that writes down what it sees."""

    def __init__(self, folder: Path) -> None:
        self.notes, self.bundle = folder / "run" / "private", folder / "bun'dle"
        self.scripts, self.root = folder / "st at'e" / "bin", folder / "root"
        self.handover = Handover(self.notes, self.scripts)
        self.handover.open()
        self.bundle.mkdir()
        (self.bundle / "config.json").write_text("{}")
        self.runtime = folder / "run $HOME c"
        self.seen = folder / "seen"
        self.runs(f'[ -z "$bundle" ] || cat "$bundle/config.json" > {self.seen}')

    def runs(self, script: str) -> None:
        """From now on the runtime does this; ``bundle`` and ``process`` are as its options say."""
        self.runtime.write_text(
            "#!/bin/sh\nprintf '%s\\n' \"$@\"; bundle= process= last=\n"
            "for each; do\n"
            "case $last in --bundle) bundle=$each ;; --process) process=$each ;; esac\n"
            f"last=$each; done\n{script}\n"
        )
        self.runtime.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs what a shim runs, with the options that it puts first."""
        program = self.handover.binary(str(self.runtime))
        options = ("--root", str(self.root), "--log", str(self.log), "--log-format", "json")
        return subprocess.run(
            [program, *options, *arguments], capture_output=True, text=True, timeout=60
        )

    def create(self) -> subprocess.CompletedProcess[str]:
        """As a shim creates a container."""
        pid_file = str(self.bundle / "init.pid")
        return self.run("create", "--bundle", str(self.bundle), "--pid-file", pid_file, KEY)

    @property
    def log(self) -> Path:
        return self.bundle / "log.json"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def files(below: Path) -> Iterator[Path]:
    return (each for each in below.rglob("*") if each.is_file())


def test_the_runtime_creates_from_what_is_in_memory(site: Site, tmp_path: Path) -> None:
    with site.handover.offering(KEY, WHOLE):
        assert not any("hush" in each.read_text() for each in files(tmp_path))
        done = site.create()
    assert done.returncode == 0, done.stderr
    assert json.loads(site.seen.read_text()) == WHOLE
    assert done.stdout.splitlines()[-5:] == [
        "--bundle",
        f"{site.bundle}/private",
        "--pid-file",
        f"{site.bundle}/init.pid",
        KEY,
    ]
    assert (site.bundle / "config.json").read_text() == "{}"
    site.seen.unlink()
    assert not any("hush" in each.read_text() for each in files(tmp_path))
    assert [each.name for each in site.notes.iterdir()] == [".bundle"]


def test_it_runs_in_the_place_of_the_script(site: Site) -> None:
    site.runs("echo pid $$ >&2; exit 7")
    with site.handover.offering(KEY, WHOLE):
        program = site.handover.binary(str(site.runtime))
        with subprocess.Popen(
            [program, "create", "--bundle", str(site.bundle), KEY],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            _, said = process.communicate(timeout=60)
    assert said == f"pid {process.pid}\n", "so what kills the one kills the other"
    assert process.returncode == 7


def test_a_process_is_run_from_what_is_in_memory(site: Site) -> None:
    site.runs(f'cat "$process" > {site.seen}')
    given = site.bundle / "process.json"
    given.write_text("{}")
    options = ("exec", "--process", str(given), "--detach", "--pid-file")
    with site.handover.offering("probe-1", WHOLE["process"]):
        assert site.run(*options, str(site.bundle / "probe-1.pid"), KEY).returncode == 0
    assert json.loads(site.seen.read_text()) == WHOLE["process"]
    assert site.run(*options, str(site.bundle / "other.pid"), KEY).returncode == 0
    assert site.seen.read_text() == "{}", "what nobody offers variables for has none"


@pytest.mark.parametrize(
    "arguments",
    [
        ("kill", KEY, "15"),
        ("delete", "--force", KEY),
        ("state", KEY),
        ("start", KEY),
        ("--version",),
    ],
)
def test_all_else_is_the_runtimes_alone(site: Site, arguments: tuple[str, ...]) -> None:
    done = site.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[6:] == list(arguments)


def test_a_copy_that_the_runtime_keeps_is_cleaned_at_the_start(site: Site) -> None:
    kept = site.root / KEY / "config.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps(WHOLE))
    assert site.run("start", KEY).returncode == 0
    assert kept.read_text() == "{}"


def refused(site: Site) -> str:
    """Why nothing is created: as shims read it, and with no other word."""
    done = site.create()
    assert done.returncode == 1
    assert not site.seen.exists()
    (line,) = site.log.read_text().splitlines()
    assert done.stderr == f"{json.loads(line)['msg']}\n"
    assert json.loads(line)["level"] == "error"
    return str(json.loads(line)["msg"])


def test_without_an_offer_nothing_is_created(site: Site) -> None:
    assert refused(site) == f"hostler offers no variables for {KEY}"
    with site.handover.offering(KEY, WHOLE):
        pass
    site.log.unlink()
    assert refused(site) == f"hostler offers no variables for {KEY}"


@pytest.mark.parametrize(
    ("note", "told"),
    [
        ("{pid} {began} 987654", f"hostler no longer offers variables for {KEY}"),
        ("{pid} 1 {file}", "hostler has ended"),
        ("999999999 {began} {file}", f"hostler no longer offers variables for {KEY}"),
        ("{other} {began} 0", "hostler has ended"),
        ("{pid} {began} {null}", f"hostler offers something else for {KEY}"),
        ("{pid} {began} {another}", f"hostler offers something else for {KEY}"),
    ],
)
def test_a_stale_offer_is_not_taken(site: Site, note: str, told: str) -> None:
    with ExitStack() as stack:
        stack.enter_context(site.handover.offering(KEY, WHOLE))
        stack.enter_context(site.handover.offering("another", WHOLE))
        sleeper = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
        stack.callback(sleeper.wait)
        stack.callback(sleeper.kill)
        null = stack.enter_context(Path("/dev/null").open())
        pid, began, file = (site.notes / KEY).read_text().split()
        another = (site.notes / "another").read_text().split()[2]
        written = note.format(
            pid=pid, began=began, file=file, other=sleeper.pid, null=null.fileno(), another=another
        )
        (site.notes / KEY).write_text(f"{written}\n")
        assert refused(site) == told


def test_a_failing_runtime_is_heard_unchanged(site: Site) -> None:
    site.runs("echo 'runc: no' >&2; exit 3")
    with site.handover.offering(KEY, WHOLE):
        done = site.create()
    assert (done.returncode, done.stderr) == (3, "runc: no\n")


def test_an_agent_that_starts_forgets_notes_and_renews_scripts(site: Site) -> None:
    program = site.handover.binary(str(site.runtime))
    (site.notes / KEY).write_text("1 2 3\n")
    common = site.scripts / "common.sh"
    common.write_text("exit 9\n")
    later = Handover(site.notes.parent / "moved", site.scripts)
    later.open()
    assert oct((site.notes.parent / "moved").stat().st_mode) == "0o40700"
    assert str(site.notes.parent / "moved") in common.read_text()
    assert later.binary(str(site.runtime)) == program, "containers know it by its name"
    Handover(site.notes, site.scripts).open()
    assert [each.name for each in site.notes.iterdir()] == [".bundle"]


def test_each_runtime_has_a_script_of_its_own(site: Site) -> None:
    every = {site.handover.binary(each) for each in ("runc", "/usr/bin/runc", "/opt/x/runc")}
    assert len(every) == 3
    assert all(each.name.startswith("runc-") for each in every)


def test_a_file_in_memory_is_closed_whatever_happens(site: Site) -> None:
    files_open = Path("/proc/self/fd")
    before = len(list(files_open.iterdir()))
    with pytest.raises(RuntimeError), site.handover.offering(KEY, WHOLE):
        raise RuntimeError
    shutil.rmtree(site.notes)
    with pytest.raises(FileNotFoundError), site.handover.offering(KEY, WHOLE):
        pass
    assert len(list(files_open.iterdir())) == before


def test_a_folder_that_programs_cant_be_run_from_is_told(site: Site) -> None:
    site.scripts.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", site.scripts], check=True)
    try:
        with pytest.raises(SpecError, match=f"mount {site.scripts} without noexec, or move HOST"):
            site.handover.binary("runc")
    finally:
        subprocess.run(["umount", site.scripts], check=True)


def test_a_full_disk_keeps_no_agent_from_starting(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    program = site.handover.binary("runc")
    (site.scripts / "common.sh").write_text("exit 9")
    (site.scripts / ".common.sh.new").mkdir()
    Handover(site.notes, site.scripts).open()
    assert "can't renew the scripts that give containers secrets" in caplog.text
    assert site.handover.binary("runc") == program

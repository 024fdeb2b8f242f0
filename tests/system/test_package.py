"""The Debian package: what is in it, and its life on a system where no systemd runs.

With systemd, tasks and upgrades under them: ``test_install.py``.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import VERSION, config
from agent.settings import Settings
from tests.machines import image, package
from tests.machines.chroots import Chroot, chroot
from tests.machines.package import ROOT
from tests.system.agent import running_agent
from tests.system.containerd_daemon import private_containerd
from tests.system.tasks import run, shell

pytestmark = [package.needed, image.needed, pytest.mark.timeout(1800)]

LIMIT = 60_000_000
"""Bytes of disk that the installed package may take."""

NEXT = "99.0"
SITE = "opt/hostler/lib/python3*/site-packages"

EXPECTED = (
    *("opt/hostler/bin/python", "opt/hostler/pyvenv.cfg", f"{SITE}/agent/py.typed"),
    *("lib/systemd/system/hostler.service", "etc/hostler/hostler.config"),
    *("usr/share/man/man1/hostler.1.gz", "usr/share/man/man1/hostler-image-pull.1.gz"),
    *("usr/share/man/man5/hostler.config.5.gz", "usr/share/zsh/vendor-completions/_hostler"),
    *("usr/share/bash-completion/completions/hostler", "usr/share/doc/hostler/copyright"),
    *("usr/share/fish/vendor_completions.d/hostler.fish", "usr/share/doc/hostler/changelog.gz"),
)

IMPORT_ALL = """
import importlib, pkgutil, sys
for top in ("agent", "cni", "metadata"):
    package = importlib.import_module(top)
    for each in pkgutil.walk_packages(package.__path__, f"{top}."):
        if each.name.endswith(("__main__", ".generate", ".ec2", ".ec2api", ".ec2host", ".sts")):
            continue  # programs, what makes code, and what needs the extra aws
        importlib.import_module(each.name)
from rich.console import Console
from rich.progress import BarColumn, Progress
from pyroute2 import IPRoute
with Progress(BarColumn()) as shown:
    shown.add_task("pull", total=1)
outside = [
    each.__file__ for each in sys.modules.values()
    if getattr(each, "__file__", None)
    and not each.__file__.startswith(("/opt/hostler/", "/usr/lib/python3."))
]
assert not outside, outside
print("all of it")
"""

_OF_OTHERS = (
    *("/etc/.pwd.lock", "/etc/group-", "/etc/gshadow-", "/etc/ld.so.cache"),
    *("/var/cache", "/var/lib/dpkg", "/var/log"),
)
"""What the package manager and its tools keep for themselves."""


@pytest.fixture(scope="module")
def deb() -> Path:
    return package.built()


@pytest.fixture(scope="module")
def contents(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in it, control files and all."""
    folder = tmp_path_factory.mktemp("contents") / "deb"
    subprocess.run(["dpkg-deb", "--raw-extract", deb, folder], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def successor(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.renamed(deb, NEXT, tmp_path_factory.mktemp("next"))


@pytest.fixture
def system() -> Iterator[Chroot]:
    """A system where Hostler never was."""
    with chroot(image.tree()) as made:
        yield made


def take(system: Chroot, deb: Path) -> str:
    """The package is among the system's files; this is where."""
    shutil.copy(deb, system.path / "srv")
    return f"/srv/{deb.name}"


def installed(system: Chroot, deb: Path) -> None:
    system.run("dpkg", "--install", take(system, deb))


def version(system: Chroot) -> str:
    """What dpkg has on record."""
    return system.run("dpkg-query", "--show", "--showformat=${Version}", "hostler")


def left(system: Chroot) -> list[str]:
    """What is not as it was before, but for what others keep for themselves."""
    return [
        each
        for each in system.changed()
        if not each.startswith(_OF_OTHERS) and not each.startswith("/srv/")
    ]


def test_its_control_file_says_what_it_needs(deb: Path) -> None:
    assert package.field(deb, "Version") == VERSION
    wanted = package.field(deb, "Depends").split(", ")
    assert wanted[0].startswith("python3.")
    assert {"containerd | containerd.io", "runc | containerd.io"} < set(wanted)
    assert {"nftables", "iproute2"} < set(wanted)
    assert package.field(deb, "Recommends") == "catatonit, busybox-static"
    architecture = subprocess.run(
        ["dpkg", "--print-architecture"], capture_output=True, text=True, check=True
    ).stdout
    assert package.field(deb, "Architecture") == architecture.strip()


def test_it_is_small(deb: Path, contents: Path) -> None:
    listed = subprocess.run(["du", "-sk", contents], capture_output=True, text=True, check=True)
    assert int(listed.stdout.split()[0]) * 1024 < LIMIT
    assert int(package.field(deb, "Installed-Size")) * 1024 < LIMIT


def test_it_has_everything_in_its_place(contents: Path) -> None:
    missing = [each for each in EXPECTED if not list(contents.glob(each))]
    assert not missing
    assert (contents / "usr/bin/hostler").readlink() == Path("/opt/hostler/bin/hostler")
    units = {each.name for each in (ROOT / "systemd").glob("*.service")}
    assert units == {each.name for each in contents.glob("lib/systemd/system/*.service")}
    assert (contents / "DEBIAN/conffiles").read_text() == "/etc/hostler/hostler.config\n"


def test_it_has_nothing_that_is_not_needed(contents: Path) -> None:
    (site,) = contents.glob(SITE)
    assert not list(site.rglob("*.pyi"))
    assert not list(site.rglob("*.proto"))
    assert not list(site.rglob("tests"))
    for name in ("pip", "setuptools", "pytest", "boto3"):
        assert not (site / name).exists()
    files = [each for each in contents.rglob("*") if each.is_file() and not each.is_symlink()]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} <= {0o644, 0o755}
    executable = {
        each.relative_to(contents) for each in files if each.stat().st_mode & stat.S_IXUSR
    }
    scripts = {Path("DEBIAN") / each for each in ("preinst", "postinst", "prerm", "postrm")}
    assert executable == {*scripts, Path("opt/hostler/bin/hostler")}


def test_every_module_is_compiled_for_good(contents: Path) -> None:
    """By PEP 552: found valid whatever the source's time, without looking at the source."""
    (site,) = contents.glob(SITE)
    sources = list(site.rglob("*.py"))
    assert len(sources) > 1000
    for source in sources:
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-3*.pyc")
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 0b01


def test_what_dpkg_runs_is_for_any_shell(contents: Path) -> None:
    for name in ("preinst", "postinst", "prerm", "postrm"):
        script = contents / "DEBIAN" / name
        assert "@" not in script.read_text().replace('"$@"', "")
        ran = subprocess.run(["dash", "-n", script], capture_output=True, text=True)
        assert (ran.returncode, ran.stderr) == (0, "")


def test_the_settings_are_all_there_and_all_comments(contents: Path) -> None:
    text = (contents / "etc/hostler/hostler.config").read_text()
    assert all(line.startswith("#") for line in text.splitlines() if line)
    found = re.findall("^#([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    assert sorted(name for name, _ in found) == sorted(config.names())
    for name, default in found:
        value = getattr(Settings(), config.names()[name])
        assert (config.parsed(name, default) == value) if default else not value


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
def test_a_judge_has_nothing_to_say_of_the_man_pages(contents: Path) -> None:
    pages = sorted(contents.glob("usr/share/man/man*/*.gz"))
    assert {each.name for each in pages} >= {"hostler.1.gz", "hostler-run.1.gz"}
    for page in pages:
        ran = subprocess.run(
            ["mandoc", "-T", "lint", "-W", "warning"],
            input=gzip.decompress(page.read_bytes()),
            capture_output=True,
        )
        assert (page.name, ran.returncode, ran.stdout) == (page.name, 0, b"")


def test_installed_it_works_with_nothing_but_what_it_depends_on(system: Chroot, deb: Path) -> None:
    installed(system, deb)
    assert system.run("hostler", "version") == f"hostler {VERSION}\n"
    assert system.run("/opt/hostler/bin/python", "-c", IMPORT_ALL).endswith("all of it\n")
    assert system.run("hostler", "agent", "--check") == "the settings can be used\n"
    assert system.run("getent", "group", "hostler").startswith("hostler:x:")
    assert system.run("dpkg", "--verify", "hostler") == ""
    assert not list((system.path / "opt/hostler").rglob("*.pyc.*"))


def test_an_upgrade_keeps_what_an_administrator_wrote(
    system: Chroot, deb: Path, successor: Path
) -> None:
    installed(system, deb)
    mine = system.path / "etc/hostler/hostler.config"
    mine.write_text("ECS_CLUSTER=mine\n")
    system.run("dpkg", "--install", "--force-confold", take(system, successor))
    assert version(system) == NEXT
    assert mine.read_text() == "ECS_CLUSTER=mine\n"


def test_a_downgrade_is_refused_and_changes_nothing(
    system: Chroot, deb: Path, successor: Path
) -> None:
    installed(system, successor)
    refused = system.tried("dpkg", "--install", take(system, deb))
    assert refused.returncode != 0
    assert f"version {NEXT} is or was installed, and {VERSION} may not read" in refused.stderr
    assert "apt-get purge hostler" in refused.stderr
    assert version(system) == NEXT
    assert system.run("dpkg", "--audit") == ""
    assert system.run("hostler", "version") == f"hostler {VERSION}\n"
    system.run("dpkg", "--remove", "hostler")  # what is kept then is the newer version's too
    assert system.tried("dpkg", "--install", take(system, deb)).returncode != 0
    system.run("dpkg", "--purge", "hostler")
    installed(system, deb)


def test_an_interrupted_installation_is_taken_up_again(system: Chroot, deb: Path) -> None:
    system.run("dpkg", "--unpack", take(system, deb))
    system.run("dpkg", "--configure", "hostler")
    system.run("sh", "/var/lib/dpkg/info/hostler.postinst", "configure", "")
    installed(system, deb)
    assert system.run("dpkg", "--audit") == ""


def test_removed_it_leaves_settings_and_state_and_purged_nothing(system: Chroot, deb: Path) -> None:
    (system.path / "opt/another").mkdir()  # dpkg would take an empty /opt with the package
    installed(system, deb)
    state, secret = system.path / "var/lib/hostler", system.path / "etc/hostler/secrets/token"
    for each in (state / "state.db", secret):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_text("kept\n")
    system.run("dpkg", "--remove", "hostler")
    assert not (system.path / "opt/hostler").exists()
    assert not (system.path / "usr/bin/hostler").is_symlink()
    assert (state / "state.db").exists()
    assert (system.path / "etc/hostler/hostler.config").exists()
    assert secret.exists()
    system.run("dpkg", "--purge", "hostler")
    assert left(system) == ["/opt/another"]


COMPLETING = {
    "bash": """
        . /usr/share/bash-completion/completions/hostler
        complete -p hostler >&2
        COMP_WORDS=(hostler image p) COMP_CWORD=2
        _hostler_completion hostler
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": "complete --do-complete 'hostler image p'",
    # The first completion of a shell, typed at a terminal.
    "zsh": r"""
        zmodload zsh/zpty
        zpty shell zsh --no-rcs -i
        zpty -w shell 'PS1=; fpath=(/usr/share/zsh/vendor-completions $fpath)
            autoload -U compinit; compinit -u -D; print re""ady'
        zpty -r shell said "*ready*"
        zpty -w -n shell "hostler image p"$'\t\t'
        zpty -r shell said "*prune*pull*"
        print -r -- "$said"
    """,
}
"""For each shell a script that prints what it would complete."""


@pytest.fixture(scope="module")
def shells(deb: Path) -> Iterator[Chroot]:
    """A system with Hostler and this host's other shells."""
    with chroot(Path("/")) as made:
        installed(made, deb)
        yield made


@pytest.mark.parametrize("name", COMPLETING)
def test_a_shell_completes_verbs(shells: Chroot, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}")
    said = shells.run("timeout", "60", name, "-c", COMPLETING[name])
    assert {"pull", "prune"} <= set(re.findall("[a-z]+", said))
    assert "inspect" not in said


def test_a_purge_takes_the_images_and_layers_of_the_hosts_containerd() -> None:
    script = (ROOT / "packaging/debian/postrm").read_text()
    function = re.search(r"^remove_images\(\) \{.*?^\}$", script, re.MULTILINE | re.DOTALL)
    assert function
    with private_containerd() as host:
        environment = {**os.environ, "CONTAINERD_ADDRESS": str(host.socket)}

        def sh(command: str) -> str:
            ran = subprocess.run(
                ["sh", "-ec", command], env=environment, capture_output=True, text=True, timeout=60
            )
            assert ran.returncode == 0, ran.stderr
            return ran.stdout

        with running_agent(
            HOSTLER_CONTAINERD=str(host.socket), HOSTLER_CONTAINERD_NAMESPACE="hostler"
        ) as agent:
            run(agent, shell("app", "true")).until_closed()
        assert "hello" in sh("ctr -n hostler images ls -q")
        sh(f"{function[0]}\nremove_images")
        for kind in ("images ls -q", "content ls -q", "namespaces ls -q"):
            assert sh(f"ctr -n hostler {kind}") == ""
        assert len(sh("ctr -n hostler snapshots ls").splitlines()) == 1
        sh(f"{function[0]}\nremove_images")  # nothing there is fine

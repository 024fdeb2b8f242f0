"""The table of runtimes: what is built in, what a file says, and what is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config import ConfigError
from agent.containerd.types import RUNC_SHIM, ConfigOptions, RuncOptions
from agent.host.containers.runtimes import RUNC, Runtime, Runtimes, load_runtimes
from agent.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With a file of no runtimes, and nothing on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "runtimes.json").write_text("{}")
    return replace(Settings(), runtimes=tmp_path / "runtimes.json")


def program(settings: Settings, name: str) -> Path:
    """A program on the PATH."""
    path = settings.runtimes.parent / "bin" / name
    path.touch(mode=0o755)
    return path


def say(settings: Settings, runtimes: object) -> None:
    settings.runtimes.write_text(json.dumps(runtimes))


def test_runc_is_always_there(settings: Settings) -> None:
    assert load_runtimes(settings) == Runtimes("runc", {"runc": RUNC})
    assert load_runtimes(settings).find("") == RUNC


def test_crun_is_there_if_it_is_on_the_path(settings: Settings) -> None:
    program(settings, "crun")
    found = load_runtimes(replace(settings, runtime="crun"))
    assert found.find("") == found.find("crun") == Runtime("crun", binary="crun")


def test_the_default_may_be_a_path(settings: Settings) -> None:
    found = load_runtimes(replace(settings, runtime="/opt/youki"))
    assert found.find("") == Runtime("/opt/youki", binary="/opt/youki")
    assert found.find("runc") == RUNC


def test_a_file_adds_runtimes_and_says_built_in_ones_anew(settings: Settings) -> None:
    say(
        settings,
        {
            "runc": {"binary": "/opt/runc"},
            "gvisor": {
                "shim": "io.containerd.runsc.v1",
                "config": "/etc/runsc.toml",
                "configType": "io.containerd.runsc.v1.options",
            },
            "vm": {"shim": "/opt/shim-vm"},
        },
    )
    found = load_runtimes(replace(settings, runtime="gvisor"))
    assert found.named == {
        "runc": Runtime("runc", RUNC_SHIM, "/opt/runc"),
        "gvisor": Runtime(
            "gvisor",
            "io.containerd.runsc.v1",
            config="/etc/runsc.toml",
            config_type="io.containerd.runsc.v1.options",
        ),
        "vm": Runtime("vm", "/opt/shim-vm"),
    }
    assert found.default == "gvisor"


def test_options_are_those_of_the_shim() -> None:
    assert RUNC.options(systemd=False) == RuncOptions()
    crun = Runtime("crun", binary="crun")
    assert crun.options(systemd=True) == RuncOptions(binary_name="crun", systemd_cgroup=True)
    kata = Runtime("kata", "io.containerd.kata.v2")
    assert kata.options(systemd=True) is None
    assert replace(kata, config="/k").options(systemd=True) == ConfigOptions("/k")


@pytest.mark.parametrize(
    ("runtimes", "said"),
    [
        ([], "runtimes.json: Input should be"),
        ({"A b": {}}, "A b: must be a name of small letters"),
        ({"x": {"shim": "runsc"}}, "x.shim: must be a shim as containerd names it"),
        ({"x": {"binary": "crun"}}, "x.binary: must be an absolute path"),
        ({"x": {"bin": "/crun"}}, "x.bin: there is no such field"),
        ({"x": {"config": "/c"}}, "x: the runc shim takes no config"),
        ({"x": {"configType": "t"}}, "x: the runc shim takes no config"),
        (
            {"x": {"shim": "io.containerd.kata.v2", "binary": "/b"}},
            "x: io.containerd.kata.v2 takes no binary",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_place(
    settings: Settings, runtimes: object, said: str
) -> None:
    say(settings, runtimes)
    with pytest.raises(ConfigError) as raised:
        load_runtimes(settings)
    assert str(raised.value).startswith(f"HOSTLER_RUNTIMES: {settings.runtimes}: ")
    assert said in str(raised.value)


def test_a_file_that_was_named_must_be_there(settings: Settings) -> None:
    settings.runtimes.unlink()
    with pytest.raises(ConfigError, match=r"can't read .*runtimes\.json: No such file"):
        load_runtimes(settings)


def test_the_default_must_be_known(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"HOSTLER_RUNTIME=kata: .* there are runc; name another"):
        load_runtimes(replace(settings, runtime="kata"))


def test_what_a_runtime_lacks_is_named(settings: Settings) -> None:
    crun = Runtime("crun", binary="/nowhere/crun")
    assert list(crun.missing()) == ["containerd-shim-runc-v2", "/nowhere/crun"]
    assert list(RUNC.missing()) == ["containerd-shim-runc-v2", "runc"]
    program(settings, "containerd-shim-runc-v2")
    program(settings, "runc")
    assert list(RUNC.missing()) == []
    kata = Runtime("kata", "io.containerd.kata.v2", config="/nowhere/kata.toml")
    assert list(kata.missing()) == ["containerd-shim-kata-v2", "/nowhere/kata.toml"]
    assert list(Runtime("vm", "/nowhere/shim").missing()) == ["/nowhere/shim"]

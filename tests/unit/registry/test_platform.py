import os
from pathlib import Path

import pytest

from agent.registry.platform import Platform, host_platform, platform_from

V2 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} abm avx avx2 bmi1 bmi2 f16c fma movbe xsave"
V4 = f"{V3} avx512bw avx512cd avx512dq avx512f avx512vl"


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        (("linux", "amd64", "v1"), "linux/amd64"),
        (("Linux", "x86_64", ""), "linux/amd64"),
        (("linux", "x86-64", "v3"), "linux/amd64/v3"),
        (("linux", "aarch64", "8"), "linux/arm64"),
        (("linux", "ARM64", "V8"), "linux/arm64"),
        (("linux", "arm", "v7"), "linux/arm"),
        (("linux", "armhf", ""), "linux/arm"),
        (("linux", "armel", ""), "linux/arm/v6"),
        (("linux", "arm", "6"), "linux/arm/v6"),
        (("linux", "i386", ""), "linux/386"),
        (("linux", "riscv64", ""), "linux/riscv64"),
    ],
)
def test_all_ways_to_write_a_platform_are_one(written: tuple[str, str, str], usual: str) -> None:
    assert str(Platform(*written).normal()) == usual


@pytest.mark.parametrize(
    ("machine", "runs"),
    [
        (Platform("linux", "amd64", "v3"), "amd64/v3 amd64/v2 amd64 386"),
        (Platform("linux", "amd64"), "amd64 386"),
        (Platform("linux", "arm64"), "arm64 arm/v8 arm arm/v6 arm/v5"),
        (Platform("linux", "arm"), "arm arm/v6 arm/v5"),
        (Platform("linux", "arm", "v6"), "arm/v6 arm/v5"),
        (Platform("linux", "arm", "v5"), "arm/v5"),
        (Platform("linux", "arm", "odd"), "arm/odd"),
        (Platform("linux", "s390x"), "s390x"),
    ],
)
def test_a_machine_runs_what_was_made_for_its_ancestors(machine: Platform, runs: str) -> None:
    assert [str(each) for each in machine.runs()] == [f"linux/{each}" for each in runs.split()]


@pytest.mark.parametrize(
    ("flags", "level"),
    [("", ""), (V2, "v2"), (V3, "v3"), (V4, "v4"), (V4.replace("sse4_1 ", ""), "")],
)
def test_the_level_of_an_amd64_comes_from_its_flags(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, level: str
) -> None:
    _machine(monkeypatch, "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: none\n")
    assert host_platform(cpuinfo) == Platform("linux", "amd64", level)


def test_an_amd64_that_tells_no_flags_is_of_the_first_level(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _machine(monkeypatch, "x86_64")
    assert host_platform(tmp_path / "cpuinfo") == Platform("linux", "amd64")


@pytest.mark.parametrize(
    ("machine", "platform"),
    [
        ("aarch64", Platform("linux", "arm64")),
        ("armv6l", Platform("linux", "arm", "v6")),
        ("armv7l", Platform("linux", "arm")),
        ("i686", Platform("linux", "386")),
        ("riscv64", Platform("linux", "riscv64")),
    ],
)
def test_this_machine_has_its_usual_name(
    monkeypatch: pytest.MonkeyPatch, machine: str, platform: Platform
) -> None:
    _machine(monkeypatch, machine)
    assert host_platform() == platform


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "has an os and an architecture"),
        ([], "has an os and an architecture"),
        ({"os": "linux", "architecture": 1}, "has an os and an architecture"),
        ({"os": "linux", "architecture": "arm", "variant": 7}, "not text"),
        ({"os": "linux", "architecture": "a/b"}, "'a/b' is not part"),
        ({"os": "linux\n", "architecture": "arm"}, "is not part"),
        ({"os": "linux", "architecture": "x" * 65}, "is not part"),
    ],
)
def test_what_is_no_platform_is_refused(document: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        platform_from(document)


def _machine(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    uname = os.uname_result(("Linux", "host", "6.1", "#1", name))
    monkeypatch.setattr(os, "uname", lambda: uname)

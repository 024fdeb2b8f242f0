"""What the package has beside the virtual environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from deb import BuildError, environment, payload


def test_the_changelog_is_in_debians_form() -> None:
    lines = payload.changelog("1.2", 0).splitlines()
    assert lines[0] == "hostler (1.2) unstable; urgency=medium"
    assert lines[-1] == f" -- {payload.MAINTAINER}  Thu, 01 Jan 1970 00:00:00 +0000"
    points = [line for line in lines[1:-1] if line]
    assert points
    assert all(line.startswith(("  * ", "    ")) for line in points)
    assert max(map(len, points)) <= 80


def test_units_are_where_systemd_looks_and_others_are_refused() -> None:
    place = payload._unit_place
    assert place(Path("a.service")) == Path("lib/systemd/system/a.service")
    assert place(Path("sysusers.d/a.conf")) == Path("usr/lib/sysusers.d/a.conf")
    with pytest.raises(BuildError, match=r"systemd/a\.strange: the package has no place"):
        place(Path("a.strange"))


def test_the_licence_of_a_package_is_what_it_says_best(tmp_path: Path) -> None:
    site = tmp_path / "opt/hostler/lib/python3.11/site-packages"
    said = {
        "one-1.dist-info": "Name: one\nVersion: 1\nLicense-Expression: MIT\nLicense: other\n",
        "two-2.dist-info": (
            "Name: two\nVersion: 2\nClassifier: License :: OSI Approved :: BSD License\n"
        ),
        "three-3.dist-info": "Name: three\nVersion: 3\nLicense: Apache\n",
        "hostler-1.dist-info": "Name: hostler\nVersion: 1\n",
    }
    for name, text in said.items():
        (site / name).mkdir(parents=True)
        (site / name / "METADATA").write_text(text)
    (site / "one-1.dist-info/LICENSE.txt").write_text("do as you like")
    packages = payload._bundled(site)
    where = "/opt/hostler/lib/python3.11/site-packages/one-1.dist-info/LICENSE.txt"
    assert list(packages) == [
        f"one 1: MIT\n    {where}",
        "three 3: Apache\n    in its METADATA",
        "two 2: BSD License\n    in its METADATA",
    ]


def test_the_c_library_is_as_new_as_the_most_demanding_wheel_needs(tmp_path: Path) -> None:
    tags = {
        "a-1": "cp311-cp311-manylinux2014_x86_64\nTag: cp311-cp311-manylinux_2_17_x86_64",
        "b-1": "cp311-cp311-manylinux_2_28_x86_64\nTag: cp311-cp311-manylinux2010_x86_64",
        "c-1": "py3-none-any",
    }
    for name, text in tags.items():
        (tmp_path / f"{name}.dist-info").mkdir()
        (tmp_path / f"{name}.dist-info/WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {text}\n")
    assert environment.glibc(tmp_path) == "2.17"

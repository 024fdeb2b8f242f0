import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import package


def test_the_package_that_was_made_last_is_weighed(tmp_path: Path) -> None:
    assert package.newest(tmp_path) is None
    for number, name in enumerate(("hostler_0.2_all.deb", "hostler_0.1_all.deb", "other_1.deb")):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (number, number))
    assert package.newest(tmp_path) == tmp_path / "hostler_0.1_all.deb"


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
def test_a_package_takes_what_its_unpacked_files_take(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        "Package: hostler\nVersion: 1\nArchitecture: all\nMaintainer: none\nDescription: none\n"
    )
    (tree / "opt").mkdir()
    (tree / "opt/big").write_bytes(os.urandom(3_000_000))
    built = tmp_path / "hostler_1_all.deb"
    subprocess.run(("dpkg-deb", "--build", tree, built), check=True, capture_output=True)
    found = package.weight(built, tmp_path / "unpacked")
    assert found.installed_mb == 2931 * 1024 / 1e6  # whole KiB, and one for the directory
    assert found.disk_mb == pytest.approx(3.0, abs=0.1)

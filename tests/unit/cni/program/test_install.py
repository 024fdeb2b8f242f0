"""Installing the executables."""

import subprocess
import sys
from pathlib import Path

import pytest

from cni import plugin
from cni.program import install


def names(paths: list[Path]) -> set[str]:
    return {path.name for path in paths}


def test_every_plugin_is_an_executable_that_runs(tmp_path: Path) -> None:
    written = install.install(tmp_path / "bin")

    assert names(written) == set(plugin.NAMES) == names(list((tmp_path / "bin").iterdir()))
    for path in written:
        assert path.stat().st_mode & 0o777 == 0o755
        ran = subprocess.run([path], env={}, capture_output=True, text=True, check=True)
        assert ran.stderr.startswith(f"CNI plugin {path.name}\n")
        assert ran.stdout == ""


def test_reference_names_are_those_of_the_wanted_plugins(tmp_path: Path) -> None:
    written = install.install(tmp_path, ["hostler-portmap"], reference_names=True)

    assert names(written) == {"hostler-portmap", "portmap"}


def test_its_own_files_are_replaced_and_others_are_not(tmp_path: Path) -> None:
    install.install(tmp_path, reference_names=True)
    (tmp_path / "hostler-bridge").unlink()
    (tmp_path / "portmap").write_text("somebody else's")

    with pytest.raises(FileExistsError, match="portmap"):
        install.install(tmp_path, reference_names=True)
    assert not (tmp_path / "hostler-bridge").exists()
    assert (tmp_path / "portmap").read_text() == "somebody else's"

    install.install(tmp_path)
    install.install(tmp_path, reference_names=True, overwrite=True)
    assert install.is_ours(tmp_path / "portmap")


def test_a_dangling_link_is_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "hostler-bridge").symlink_to("nowhere")

    with pytest.raises(FileExistsError):
        install.install(tmp_path)


def test_a_name_that_is_no_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no plugins of Hostler's: bridge"):
        install.install(tmp_path, ["bridge"])


@pytest.mark.parametrize("interpreter", ["/a path/python", "/" + "x" * 255])
def test_an_interpreter_that_the_kernel_cannot_be_told_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    monkeypatch.setattr(sys, "executable", interpreter)

    with pytest.raises(ValueError, match="the kernel cannot run scripts"):
        install.install(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_beside_the_package_takes_the_place_of_a_standard_module(tmp_path: Path) -> None:
    script = install.install(tmp_path, ["hostler-ipam"])[0].read_text()

    searched = script.replace("main('hostler-ipam')", "print(sys.path)")
    ran = subprocess.run([sys.executable, "-IS", "-c", searched], capture_output=True, text=True)
    assert str(Path(install.__file__).parent.parent) not in ran.stdout

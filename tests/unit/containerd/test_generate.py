"""The generated code says what the ``.proto`` files say."""

from __future__ import annotations

from pathlib import Path

from agent.containerd import generate


def test_generated_code_is_that_of_the_proto_files(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    fresh = descriptors(tmp_path / generate.PACKAGE)
    assert fresh
    assert descriptors(generate.ROOT / generate.PACKAGE) == fresh, (
        "stale: run python -m agent.containerd.generate"
    )


def test_every_module_has_its_stub(tmp_path: Path) -> None:
    generate.generate(tmp_path)
    kept = {each.name for each in (generate.ROOT / generate.PACKAGE).glob("*_pb2.py*")}
    assert kept == {each.name for each in (tmp_path / generate.PACKAGE).glob("*_pb2.py*")}


def descriptors(folder: Path) -> dict[str, str]:
    """The line of each module that holds its compiled descriptor: alike with every protoc."""
    return {
        path.name: next(
            line for line in path.read_text().splitlines() if "AddSerializedFile(" in line
        )
        for path in folder.glob("*_pb2.py")
    }

"""CDI specifications: what is read, what hides what, what makes a file unusable."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from agent.host.gpus import specifications

KIND = "example.com/gpu"


def written(folder: Path, name: str = "gpu.json", **changes: Any) -> Path:
    """A specification of one device ``0``; ``changes`` to its fields."""
    folder.mkdir(exist_ok=True)
    edits = {"deviceNodes": [{"path": "/dev/null"}]}
    whole = {
        "cdiVersion": "0.6.0",
        "kind": KIND,
        "devices": [{"name": "0", "containerEdits": edits}],
        **changes,
    }
    (folder / name).write_text(json.dumps(whole))
    return folder


def test_a_device_has_the_edits_of_its_file_and_its_own(tmp_path: Path) -> None:
    common = {"env": ["A=1"], "hooks": [{"hookName": "prestart", "path": "/bin/true"}]}
    found = specifications.read([written(tmp_path, containerEdits=common)])
    assert found.problems == ()
    device = found.devices[f"{KIND}=0"]
    assert device.kind == KIND
    assert [each.env for each in device.edits] == [("A=1",), ()]
    assert device.own.device_nodes[0].path == "/dev/null"


def test_yaml_is_read_as_well(tmp_path: Path) -> None:
    (tmp_path / "nvidia.yaml").write_text(
        "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: '0'\n  containerEdits:\n"
        "    deviceNodes:\n    - path: /dev/null\n"
    )
    assert list(specifications.read([tmp_path]).devices) == ["nvidia.com/gpu=0"]


def test_without_a_library_for_yaml_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "nvidia.yml").write_text("kind: x")
    (problem,) = specifications.read([tmp_path]).problems
    assert "PyYAML" in problem
    assert "--format=json" in problem


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", "{", "Expecting"),
        ("a.yaml", "a: [", "is no YAML"),
        ("a.json", "[]", "valid dictionary"),
        ("a.json", '{"kind": "example.com/gpu", "devices": []}', "cdiVersion"),
    ],
)
def test_a_file_that_is_none_is_told_and_hides_no_other(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    written(tmp_path, "b.json")
    (tmp_path / name).write_text(text)
    found = specifications.read([tmp_path])
    assert list(found.devices) == [f"{KIND}=0"]
    assert str(tmp_path / name) in found.problems[0]
    assert words in found.problems[0]


def test_an_edit_that_would_not_take_effect_makes_the_file_unusable(tmp_path: Path) -> None:
    common = {"intelRdt": {"closID": "x"}}
    found = specifications.read([written(tmp_path, containerEdits=common)])
    assert found.devices == {}
    assert "containerEdits.intelRdt" in found.problems[0]


def test_a_later_directory_hides_an_earlier_one(tmp_path: Path) -> None:
    first = written(tmp_path / "first", containerEdits={"env": ["A=first"]})
    second = written(tmp_path / "second", containerEdits={"env": ["A=second"]})
    found = specifications.read([first, second, tmp_path / "none"])
    assert found.devices[f"{KIND}=0"].edits[0].env == ("A=second",)


def test_two_of_a_name_in_one_directory_are_none(tmp_path: Path) -> None:
    written(tmp_path, "a.json")
    found = specifications.read([written(tmp_path, "b.json")])
    assert found.devices == {}
    assert "described 2 times" in found.problems[0]


def test_other_files_are_no_specifications(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    assert specifications.read([tmp_path]) == specifications.Found({})

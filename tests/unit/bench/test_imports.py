import subprocess
import sys

from bench import imports
from bench.imports import Import

SAID = """\
import time: self [us] | cumulative | imported package
import time:      1500 |       1500 |     one.deep
2026-11-26 11:24:15,000 INFO agent.app: hostler 0.1.0 serves
import time:       500 |       2000 |   one
import time:       700 |        700 | two
"""


def test_the_imports_are_found_among_other_lines() -> None:
    assert imports.read(SAID.splitlines()) == [
        Import("one.deep", 1500, 1500),
        Import("one", 500, 2000),
        Import("two", 700, 700),
    ]


def test_what_python_says_of_imports_is_read() -> None:
    command = (sys.executable, "-c", "import json.tool")
    said = subprocess.run(command, env=imports.PROFILED, capture_output=True, text=True, check=True)
    found = {each.name: each for each in imports.read(said.stderr.splitlines())}
    assert found["json.tool"].all_us >= found["json.tool"].own_us


def test_packages_come_with_all_their_modules_and_the_dearest_first() -> None:
    packages, modules = imports.tables(imports.read(SAID.splitlines())).split("\n\n")
    assert [each.split() for each in packages.splitlines()[1:]] == [
        ["one", "2", "2.0"],
        ["two", "1", "0.7"],
        ["all", "3", "2.7"],
    ]
    assert [each.split() for each in modules.splitlines()[1:]] == [
        ["one.deep", "1.5", "1.5"],
        ["two", "0.7", "0.7"],
        ["one", "0.5", "2.0"],
    ]

"""A plugin that remembers how it was called, as a module and as a program.

As a module (`Recorder`): its conf is what `parse` was given. As a program (`program`): it appends
each call to the file `record` of its configuration, and prints what that says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError
from cni.spec import Args, Attachment, Result

SCRIPT = """\
import json, os, sys
text = sys.stdin.read()
conf = json.loads(text)
verb = os.environ["CNI_COMMAND"]
call = {"environ": dict(os.environ), "conf": conf}
with open(conf["record"], "a") as file:
    file.write(json.dumps(call) + chr(10))
answer = conf.get("answers", {}).get(verb, {})
sys.stderr.write(answer.get("stderr", ""))
if "stdout" in answer:
    sys.stdout.write(answer["stdout"])
elif verb == "ADD":
    given = conf.get("prevResult") or {"cniVersion": conf["cniVersion"]}
    print(json.dumps({**given, **answer.get("result", {})}))
sys.exit(answer.get("status", 0))
"""


def program(path: Path) -> Path:
    """Install the plugin as a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable} -IS\n{SCRIPT}")
    path.chmod(0o755)
    return path


def calls(record: Path) -> list[dict[str, Any]]:
    """What the programs with that record were called with, oldest first."""
    return [json.loads(line) for line in record.read_text().splitlines()]


@dataclass
class Recorder:
    """One plugin of ours; `fails` names the verbs that raise, `gives` is what ADD gives."""

    gives: Result = field(default_factory=Result)
    fails: Mapping[str, BaseException] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)

    def parse(self, fields: Fields, /) -> Any:
        """The keys themselves."""
        if fields.flag("broken"):
            raise fields.wrong("broken", "must not be true")
        return fields.values

    def add(self, conf: Any, args: Args, context: Context, /) -> Result:
        """What it gives."""
        self._called("ADD", args)
        return self.gives

    def check(self, conf: Any, args: Args, context: Context, /) -> None:
        """Nothing."""
        self._called("CHECK", args)

    def delete(self, conf: Any, args: Args, context: Context, /) -> None:
        """Nothing."""
        self._called("DEL", args)

    def gc(self, conf: Any, valid: Collection[Attachment], context: Context, /) -> None:
        """Nothing."""
        self._called("GC", set(valid))

    def status(self, conf: Any, context: Context, /) -> None:
        """Nothing."""
        self._called("STATUS", context)

    def _called(self, verb: str, told: Any) -> None:
        self.calls.append((verb, told))
        if verb in self.fails:
            raise self.fails[verb]


def refusal(code: int, msg: str = "no") -> CNIError:
    """An error to fail with."""
    return CNIError(code, msg)

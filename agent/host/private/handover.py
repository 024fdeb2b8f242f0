"""Handing a container's whole spec, private variables included, to the OCI runtime past every file.

containerd keeps a container's spec in a database on disk and writes it into the bundle. So what it
gets has no values in it. For containers that have some, the program that the shim runs is a script
of ours: when it is to create a container or to run a process in one, it opens a file that is in the
agent's memory (memfd_create(2)), makes sure that it is that, and executes the real runtime in its
own place, with that file for the one it was given. Nothing is written, nothing is left to undo
after a crash at any point, and only containers with private variables pay, some 5 ms.

A note says where in the agent's memory: process id, when the process began, file descriptor. Notes
are in the run directory, by container or process; the script is in the state directory, as a run
directory may be mounted ``noexec``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agent.oci.errors import SpecError

log = logging.getLogger(__name__)

_BEGAN = 19
"""When a process began: field 22 of proc(5)'s stat, counted from after the name."""

_SCRIPT = """\
# Written by Hostler at each start; run by the scripts beside it, which set $runtime.
# Executes the OCI runtime $runtime with what the agent offers for it in its memory.
notes=%(notes)s

fail() {
    [ -z "$log" ] || printf '{"level":"error","msg":"%%s"}\\n' "$1" >>"$log"
    echo "$1" >&2
    exit 1
}

# Opens as file 9 what the agent offers under the name $1, in memory and by the agent itself.
take() {
    { read -r pid began file <"$notes/$1"; } 2>/dev/null ||
        fail "hostler offers no variables for $1"
    [ -e "/proc/$pid/fd/$file" ] || fail "hostler no longer offers variables for $1"
    exec 9<"/proc/$pid/fd/$file"
    # Opened first: if this is the process that wrote the note, it was that when it was opened.
    { read -r stat <"/proc/$pid/stat"; } 2>/dev/null || fail "hostler has ended"
    nth_of ${stat##*) }
    [ "$nth" = "$began" ] || fail "hostler has ended"
    [ "$(readlink /proc/self/fd/9)" = "/memfd:hostler-$1 (deleted)" ] ||
        fail "hostler offers something else for $1"
}

nth_of() { shift %(began)d; nth=$1; }

verb= previous= root= log= bundle= pid_file=
for word; do
    case $word in create | exec | start) verb=${verb:-$word} ;; esac
    case $previous in
    --root) root=$word ;;
    --log) log=$word ;;
    --bundle) bundle=$word ;;
    --pid-file) pid_file=${word##*/} ;;
    esac
    previous=$word
done

case $verb in
create)
    take "$previous"
    cp -RP "$notes/.bundle" "$bundle/private" || fail "can't prepare $bundle"
    replaced=--bundle instead=$bundle/private
    ;;
exec)
    [ -e "$notes/${pid_file%%.pid}" ] || exec "$runtime" "$@"
    take "${pid_file%%.pid}"
    replaced=--process instead=/proc/self/fd/9
    ;;
start)
    # crun keeps a copy of what it was given for as long as the container runs.
    copy=$root/$previous/config.json
    [ ! -e "$copy" ] || cp "${log%%/*}/config.json" "$copy" || fail "can't clean $copy"
    exec "$runtime" "$@"
    ;;
*) exec "$runtime" "$@" ;;
esac

previous=
for word; do
    shift
    [ "$previous" != "$replaced" ] || word=$instead
    previous=$word
    set -- "$@" "$word"
done
exec "$runtime" "$@"
"""


class Handover:
    """``notes`` is a directory for nothing else, ``scripts`` one that programs may be in."""

    def __init__(self, notes: Path, scripts: Path) -> None:
        self._notes = notes
        self._scripts = scripts
        self._began = _began(Path("/proc/self/stat").read_text())

    def open(self) -> None:
        """Notes of an earlier agent are gone; scripts that containers use are this version's.

        Blocking. Raises OSError, but not for scripts: those that there are serve.
        """
        shutil.rmtree(self._notes, ignore_errors=True)
        self._notes.mkdir(parents=True, mode=0o700)
        bundle = self._notes / ".bundle"
        bundle.mkdir()
        (bundle / "config.json").symlink_to("/proc/self/fd/9")
        if self._scripts.exists():
            try:
                self._write_common()
            except OSError as error:
                log.warning("can't renew the scripts that give containers secrets: %s", error)

    def binary(self, runtime: str) -> Path:
        """The program that a shim is to run instead of ``runtime``, a name or path. Blocking.

        It must stay for as long as such containers do. Raises OSError, SpecError.
        """
        word = re.sub(r"[^A-Za-z0-9.-]", "-", Path(runtime).name)
        path = self._scripts / f"{word}-{hashlib.sha256(runtime.encode()).hexdigest()[:8]}"
        if not path.exists():
            self._scripts.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._write_common()
            lines = ("#!/bin/sh", f"runtime={shlex.quote(runtime)}", f". {self._common}", "")
            _write(path, "\n".join(lines), 0o755)
        if not os.access(path, os.X_OK):
            raise SpecError(
                f"it has secrets, for which {path} must be run: mount {self._scripts} without "
                "noexec, or move HOSTLER_STATE_DIR"
            )
        return path

    @contextmanager
    def offering(self, key: str, content: Mapping[str, Any]) -> Iterator[None]:
        """Meanwhile the runtime finds ``content``, as JSON, under a container's or process's id.

        Raises OSError.
        """
        descriptor = os.memfd_create(f"hostler-{key}")
        note = self._notes / key
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(json.dumps(content).encode())
            note.write_text(f"{os.getpid()} {self._began} {descriptor}\n")
            yield
        finally:
            with suppress(OSError):
                note.unlink()
            os.close(descriptor)

    @property
    def _common(self) -> str:
        return shlex.quote(str(self._scripts / "common.sh"))

    def _write_common(self) -> None:
        path = self._scripts / "common.sh"
        script = _SCRIPT % {"notes": shlex.quote(str(self._notes)), "began": _BEGAN}
        with suppress(FileNotFoundError):
            if path.read_text() == script:
                return
        _write(path, script, 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    """The file has this text, at no moment a part of it. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.replace(path)


def _began(stat: str) -> str:
    return stat.rpartition(") ")[2].split()[_BEGAN]

"""Credential helpers: real programs on PATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Helpers:
    """A folder of helpers, first on PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def add(self, name: str, script: str) -> None:
        """``docker-credential-NAME`` is this shell script."""
        path = self.folder / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def add_store(self, name: str, **logins: str) -> None:
        """One that has ``SERVER='USER SECRET'``, and notes in ``asked`` what it is asked."""
        cases = "".join(
            f'{server}) set -- {login}; printf \'{{"ServerURL":"%s","Username":"%s",'
            f'"Secret":"%s"}}\' "$server" "$1" "$2";;\n'
            for server, login in logins.items()
        )
        self.add(
            name,
            f'read -r server; echo "{name} $1 $server" >> {self.asked_file}\n'
            f'case "$server" in\n{cases}'
            "*) echo credentials not found in native keychain; exit 1;;\nesac",
        )

    @property
    def asked_file(self) -> Path:
        """Where stores note what they are asked."""
        return self.folder / "asked"

    @property
    def asked(self) -> list[str]:
        """What stores were asked, as ``NAME VERB SERVER``."""
        return self.asked_file.read_text().splitlines() if self.asked_file.exists() else []

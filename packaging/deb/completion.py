"""What the shells complete: typer's own scripts, where each shell looks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from deb import NAME, ROOT

PLACES: Final = {
    "bash": Path("usr/share/bash-completion/completions/hostler"),
    "zsh": Path("usr/share/zsh/vendor-completions/_hostler"),
    "fish": Path("usr/share/fish/vendor_completions.d/hostler.fish"),
}

# zsh runs the file itself for the first completion, which the script only prepares for.
_FIRST_TIME = '[[ $zsh_eval_context[-1] != loadautofunc ]] || _hostler_completion "$@"\n'


def scripts() -> dict[Path, str]:
    """The text of each by its place below the root."""
    return {place: _script(shell) for shell, place in PLACES.items()}


def _script(shell: str) -> str:
    asked = subprocess.run(
        [sys.executable, "-m", "agent"],
        cwd=ROOT,
        env={**os.environ, f"_{NAME.upper()}_COMPLETE": f"source_{shell}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    script = asked.stdout.strip() + "\n"
    return f"{script}\n{_FIRST_TIME}" if shell == "zsh" else script

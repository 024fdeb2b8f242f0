"""What the shells complete: typer's own scripts, where each shell looks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from typer.completion import get_completion_script

from deb import NAME

PLACES: Final = {
    "bash": Path("usr/share/bash-completion/completions/hostler"),
    "zsh": Path("usr/share/zsh/vendor-completions/_hostler"),
    "fish": Path("usr/share/fish/vendor_completions.d/hostler.fish"),
}


def scripts() -> dict[Path, str]:
    """The text of each by its place below the root."""
    return {
        place: get_completion_script(prog_name=NAME, complete_var="_HOSTLER_COMPLETE", shell=shell)
        + "\n"
        for shell, place in PLACES.items()
    }

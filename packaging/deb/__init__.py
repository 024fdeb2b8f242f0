"""Builds Hostler's Debian package, without debhelper: ``./dev deb``.

    interpreter   the Python that the package is for
    environment   the virtual environment /opt/hostler: installed, thinned out, compiled
    payload       everything else that the package installs
    archive       control files, scripts, and the .deb itself
    settings      docs/configuration.md as values: for the commented file and its man page
    manual        man pages from the command line and the settings
    completion    what the shells complete

Templates and the scripts that dpkg runs are in ``../debian``.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that is built."""

TEMPLATES = ROOT / "packaging" / "debian"

PREFIX = Path("opt/hostler")
"""Where the virtual environment is, below the root."""

NAME = "hostler"


class BuildError(Exception):
    """The package can't be built here; the text says why and what to do."""

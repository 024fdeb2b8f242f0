"""``hostler doctor``: what is wrong with this host, and mending what can be mended.

Exit codes: 1 when anything is wrong, 125 when nothing is but not all could be seen.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.errors import FAILED
from agent.cli.options import AsJson, Socket
from agent.cli.output import coloured, dim, print_json

if TYPE_CHECKING:
    from agent.cli.checkup import Report

FOUND = 1
"""Exit code when something is wrong."""

_GREEN, _YELLOW, _RED = 2, 1, 5
"""Of ``output``'s colours."""

Row = tuple[str, str]
"""A check and the lines to say of it."""


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what was found to be in order.")
    ] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Look for what is wrong with this host.

    A running agent looks at everything; without one this command looks at the host by itself. The
    exit code is 1 if anything is wrong, 125 if nothing is but not all could be looked at.
    """
    from agent.cli.checkup import AGENT, diagnose  # loads what other verbs need not wait for

    report = diagnose(socket, fix=fix)
    if json:
        print_json(report)
    else:
        _print(report, verbose=verbose)
    if fix and not json and AGENT in {each["check"] for each in report["findings"]}:
        print("hostler: only a running agent can mend: nothing was done", file=sys.stderr)
    if report["findings"]:
        raise typer.Exit(FOUND)
    if report["unseen"]:
        raise typer.Exit(FAILED)


def _print(report: Report, *, verbose: bool) -> None:
    for each in report["fixed"]:
        print(each)
    rows = [*map(_finding, report["findings"]), *map(_unseen, report["unseen"])]
    if verbose:
        rows += map(_fact, report["facts"])
    for _, lines in _grouped(rows):
        print(lines)
    print(_summary(report))


def _grouped(rows: list[Row]) -> Iterator[Row]:
    """By check, those first which are mentioned first."""
    order = list(dict.fromkeys(check for check, _ in rows))
    return iter(sorted(rows, key=lambda row: order.index(row[0])))


def _finding(found: dict[str, Any]) -> Row:
    light = found.get("severity") == "warning"
    check = coloured(f"{found['check']}:", _YELLOW if light else _RED)
    said = f"warning: {found['what']}" if light else found["what"]
    return found["check"], f"{check} {said}\n    {found['cure']}"


def _unseen(unseen: dict[str, Any]) -> Row:
    return unseen["check"], f"{unseen['check']}: could not be looked at: {unseen['why']}"


def _fact(fact: dict[str, Any]) -> Row:
    return fact["check"], f"{coloured(fact['check'] + ':', _GREEN)} {dim('ok: ' + fact['what'])}"


def _summary(report: Report) -> str:
    findings = report["findings"]
    light = sum(each.get("severity") == "warning" for each in findings)
    counts = ((len(findings) - light, "error"), (light, "warning"))
    told = [f"{count} {word}{'s' * (count > 1)}" for count, word in counts if count]
    if report["unseen"]:
        told.append(f"{len(report['unseen'])} not seen")
    return ", ".join(told) or "nothing is wrong"

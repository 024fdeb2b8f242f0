"""Man pages: one for the command, one for each verb, and one for the settings. See man(7).

They say what ``--help`` and docs/configuration.md say, so they can't tell anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import typer

from agent.cli.errors import FAILED
from agent.cli.main import app
from deb import BuildError
from deb import settings as known

Command = Any
"""A command of typer's or a group of them, which has no types of its own for them."""

COMMAND = "hostler"

_FILES = (
    ("/etc/hostler/hostler.config", "settings, see hostler.config(5)"),
    ("/etc/ecs/ecs.config", "settings of the ECS agent, which are taken too"),
    ("/var/lib/hostler", "what survives a reboot: state, logs and volumes of tasks"),
    ("/run/hostler/api.sock", "where the agent is asked, by root and the group hostler"),
)


_DONE, _MISUSED = ("0", "It is done."), ("2", "The command line is wrong.")
_FAILED = (str(FAILED), "Hostler could not do what was asked; standard error says why.")
_LEFT = "It was left with Ctrl-C"

ENDS: Final = {
    "run": (
        ("the container's", "What the essential container ended with that ended first."),
        ("1", "That one never ran; the reason is shown."),
        ("130", f"{_LEFT} for the third time; the task runs on."),
    ),
    "drain": (
        ("1", "The time was up, and there are tasks left."),
        ("130", f"{_LEFT}. In either case the host takes no new tasks."),
    ),
    "doctor": (
        ("1", "Something is wrong, be it only a warning."),
        (str(FAILED), "Nothing is wrong, but not everything could be looked at."),
    ),
    "config": (("1", "The settings can't be used; standard error says why."),),
    "agent": (
        ("1", "It could not start; standard error says why."),
        ("78", "Its configuration is wrong, as it starts or with --check; systemd does not retry."),
    ),
    "reset": (
        ("1", "Something is left; standard error says what, and why."),
        (str(FAILED), "Nothing was tried; standard error says why."),
    ),
    "image-pull": (("130", f"{_LEFT}: the pull is cancelled."),),
}
"""How commands end otherwise than all do: exit codes with their meanings."""


def pages(version: str, date: str, config_page: str) -> dict[str, str]:
    """The text of every page by its file name, such as ``hostler.1``."""
    root, edition = typer.main.get_command(app), f'"{date}" "Hostler {version}" "Hostler"'
    found = {f"{COMMAND}.config.5": _settings(edition, config_page)}
    for path, command in _commands([COMMAND], root):
        found[f"{'-'.join(path)}.1"] = "\n".join(_page(edition, path, command, root)) + "\n"
    return found


def _commands(path: list[str], command: Command) -> Iterator[tuple[list[str], Command]]:
    """The command and all below it but hidden ones, each with how it is called."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from _commands([*path, name], each)


def _page(edition: str, path: list[str], command: Command, root: Command) -> Iterator[str]:
    context = _context(path, root)
    first, *more = _paragraphs(command)
    yield _title("-".join(path), 1, edition)
    yield ".SH NAME"
    yield rf"{_plain('-'.join(path))} \- {_plain(first[0].lower() + first[1:].rstrip('.'))}"
    yield ".SH SYNOPSIS"
    yield rf"\fB{_plain(' '.join(path))}\fR " + " ".join(_usage(command, context))
    yield ".SH DESCRIPTION"
    for number, paragraph in enumerate([first, *more]):
        yield from [".PP"] * (number > 0)
        yield _plain(paragraph)
    yield from _records("ARGUMENTS", command, context, "argument")
    yield from _records("OPTIONS", command, context, "option")
    yield from _verbs(path, command)
    yield from _status("-".join(path[1:]))
    if command is root:
        yield from _listed("FILES", _FILES)
    others = ["hostler.config(5)"] if command is root else ["hostler(1)", "hostler.config(5)"]
    yield from (".SH SEE ALSO", ", ".join(map(_reference, others)))


def _context(path: list[str], root: Command) -> Any:
    """What typer hands down from a command to those below it, at the end of the path."""
    command, context = root, None
    for name in path:
        command = command.commands[name] if context else root
        given = command.context_settings
        context = command.context_class(command, info_name=name, parent=context, **given)
    return context


def _paragraphs(command: Command) -> list[str]:
    text = command.help
    if not text:
        raise BuildError(f"the command {command.name} has no help")
    return [" ".join(each.split()) for each in text.split("\n\n")]


def _usage(command: Command, context: Any) -> Iterator[str]:
    """Arguments as the command's own help has them."""
    for each in command.collect_usage_pieces(context):
        yield rf"\fI{_plain(each.strip('{}'))}\fR"


def _records(heading: str, command: Command, context: Any, kind: str) -> Iterator[str]:
    found = [each for each in command.get_params(context) if each.param_type_name == kind]
    records = [record for each in found if (record := each.get_help_record(context)) is not None]
    yield from _listed(heading, records)


def _verbs(path: list[str], command: Command) -> Iterator[str]:
    below = [each for each in _commands(path, command) if len(each[0]) == len(path) + 1]
    if below:
        yield ".SH COMMANDS"
    for verb, each in below:
        yield from (".TP", _reference(f"{'-'.join(verb)}(1)"), _plain(_paragraphs(each)[0]))


def _status(verb: str) -> Iterator[str]:
    """Those that are no numbers first; what a command says of one beats what all say."""
    ends = dict((_DONE, _MISUSED, _FAILED)) | dict(ENDS.get(verb, ()))
    order = sorted(ends, key=lambda code: int(code) if code.isdigit() else -1)
    yield from _listed("EXIT STATUS", [(code, ends[code]) for code in order])


def _settings(edition: str, config_page: str) -> str:
    lines = [
        _title(f"{COMMAND}.config", 5, edition),
        *(".SH NAME", r"hostler.config \- settings of the Hostler agent"),
        *(".SH SYNOPSIS", r"\fI/etc/hostler/hostler.config\fR"),
        *(".SH DESCRIPTION", _plain(_ABOUT)),
    ]
    section = ""
    for each in known.read(config_page):
        if each.section != section:
            section = each.section
            lines.append(f'.SH "{_plain(section.upper())}"')
        default = f"Default: `{each.default}`." if each.default else "It has no default."
        lines += [".TP", rf"\fB{_plain(each.name)}\fR", _marked(_sentence(each.meaning))]
        lines += [".br", _marked(f"{default} Values: {each.values}.")]
    lines += [".SH SEE ALSO", ", ".join(map(_reference, ("hostler(1)", "hostler-config(1)")))]
    return "\n".join(lines) + "\n"


_ABOUT = (
    "A line is NAME=VALUE; one that begins with # is a comment. Quotes stay in the value. "
    "A flag of hostler-agent(1) beats the environment, which beats this file, which beats the "
    "ECS agent's /etc/ecs/ecs.config. An empty value is as good as none. hostler-config(1) shows "
    "what is in force and where it comes from."
)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."


def _listed(heading: str, pairs: Any) -> Iterator[str]:
    if pairs:
        yield f".SH {heading}"
    for term, text in pairs:
        yield from (".TP", rf"\fB{_plain(term)}\fR", _plain(text or ""))


def _title(name: str, section: int, edition: str) -> str:
    return f'.TH "{_plain(name.upper())}" "{section}" {edition}'


def _reference(page: str) -> str:
    name, section = page.rstrip(")").split("(")
    return rf"\fB{_plain(name)}\fR({section})"


def _marked(text: str) -> str:
    """Markdown's code in bold."""
    pieces = re.split("`([^`]*)`", text)
    marked = [
        rf"\fB{_escaped(each)}\fR" if odd % 2 else _escaped(each) for odd, each in enumerate(pieces)
    ]
    return "".join(marked)


def _plain(text: str) -> str:
    """Text that roff takes as it stands. A full stop that begins a line would make it a request."""
    escaped = _escaped(text)
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq")
    return text.replace("…", "...").replace("`", r"\(ga")

"""``hostler agent``: the agent itself, until SIGTERM, or until SIGHUP and then its successor.

Logs go to standard error, or to the journal where that is the journal's. What keeps the agent from
starting is one line there and exit code 1, or 78 where it is the configuration.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from agent.cli.errors import CommandError
from agent.service import journal

if TYPE_CHECKING:
    from agent.config import Loaded
    from agent.service.handover import Named

log = logging.getLogger(__name__)

CANT_START = 1
WRONG_CONFIG = 78
"""EX_CONFIG of sysexits.h: no other agent could start with it, so systemd does not try again."""

LEVELS = {
    "crit": logging.CRITICAL,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "none": logging.CRITICAL + 1,
}
"""ECS_LOGLEVEL's words."""


def agent(
    state_dir: Annotated[
        str, typer.Option(metavar="DIR", help="What must survive a reboot. HOSTLER_STATE_DIR.")
    ] = "",
    run_dir: Annotated[
        str, typer.Option(metavar="DIR", help="Sockets and namespaces. HOSTLER_RUN_DIR.")
    ] = "",
    containerd: Annotated[
        str, typer.Option(metavar="auto|embedded|SOCKET", help="HOSTLER_CONTAINERD.")
    ] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any setting by its name, for instance ECS_LOGLEVEL=debug; may be repeated.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Look whether the settings can be used, and end.")
    ] = False,
) -> None:
    """Run the agent.

    A flag beats the environment, which beats the configuration files.

    Ends with SIGTERM; tasks run on. With SIGHUP it starts anew as the same process, with what is
    installed and configured by then, and meanwhile refuses no request for metadata; if that
    configuration can't be used, it says so and goes on as it is.
    """
    named = {
        "HOSTLER_STATE_DIR": state_dir,
        "HOSTLER_RUN_DIR": run_dir,
        "HOSTLER_CONTAINERD": containerd,
    }
    flags = dict(map(setting, settings or [])) | {key: text for key, text in named.items() if text}
    if check:
        _check(flags)
        return
    if os.geteuid() != 0:
        _refuse("the agent makes namespaces and mounts: it must run as root")
    _serve(flags)


def _check(flags: dict[str, str]) -> None:
    """Says what is wrong with the settings and the files that they name, or that nothing is."""
    loaded = _judged(flags)
    for each in loaded.warnings:
        print(f"hostler: warning: {each}", file=sys.stderr)
    print("the settings can be used")


def _judged(flags: dict[str, str]) -> Loaded:
    """As before a reload. What fails later on may pass, such as an address not there yet."""
    from agent.checking import checked
    from agent.config import ConfigError

    try:
        return checked(flags, os.environ)
    except ConfigError as error:
        _refuse(str(error), WRONG_CONFIG)


def _serve(flags: dict[str, str]) -> None:
    import asyncio
    import gc

    from agent.service.ending import Ending, hold_reloads

    hold_reloads()  # what comes now takes a while
    gc.disable()  # modules stay for good: going through them time and again is a tenth of a start
    from agent import app, config
    from agent.checking import checked
    from agent.containerd.embedded import EmbeddedError
    from agent.containerd.errors import ContainerdError
    from agent.doors.keys import KeysError
    from agent.engine.store import StoreError
    from agent.host.cgroups.kernel import CgroupError
    from agent.host.interfaces.provider import InterfacesExhausted
    from agent.host.logrouter import LogRouterError
    from agent.host.network.securitygroups import SecurityGroupError
    from agent.host.network.socketstore import SocketStore
    from agent.service import handover
    from cni.errors import CNIError

    gc.freeze()
    gc.enable()
    expected = (
        *(config.ConfigError, StoreError, EmbeddedError, ContainerdError),
        *(KeysError, LogRouterError, CNIError, OSError),
        *(InterfacesExhausted, SecurityGroupError, CgroupError),
    )
    try:
        kept = SocketStore(handover.inherited(os.environ))
        loaded = _judged(flags)
        _set_up_logging(loaded.settings.log_level)
        _tell(loaded)
        before = dict(os.environ)  # a successor reads the files anew
        os.environ.update(loaded.environment)
        ending = asyncio.run(app.run(loaded.settings, kept, partial(checked, flags, before)))
        hold_reloads()
        if ending is Ending.SUCCESSOR:
            _become_another(kept.held, before)
    except* expected as group:
        _refuse("; ".join(map(str, _leaves(group))))


def _tell(loaded: Loaded) -> None:
    for each in loaded.warnings:
        log.warning("%s", each)
    for name, (given, why) in loaded.ignored.items():
        log.info("%s (%s) has no effect here: %s", name, given.where, why)


def _become_another(kept: Sequence[Named], environ: Mapping[str, str]) -> None:
    from agent.service import handover

    command = handover.own_command()
    try:
        handover.become(command, kept, environ)
    except OSError as error:
        _refuse(f"the agent has ended, and can't start anew as {command[0]}: {error.strerror}")


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _refuse(why: str, code: int = CANT_START) -> NoReturn:
    print(f"hostler: {why}", file=sys.stderr)
    raise typer.Exit(code)


def setting(text: str) -> tuple[str, str]:
    """Name and value of ``--set``. Raises CommandError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--set {text}: give NAME=VALUE")
    return name, value


def _set_up_logging(level: str) -> None:
    handler: logging.Handler
    if journal.is_stderr(os.environ):
        handler = journal.JournalHandler()
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=LEVELS[level], handlers=[handler])

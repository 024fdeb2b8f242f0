"""What is wrong with this host, by whoever can tell: the agent, or this process where none answers.

The agent looks with its own settings, limits and programs, so it is asked first. What an agent that
starts now would run into is looked at here in any case.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent import VERSION, config
from agent.checking import checked
from agent.cli.client import Client
from agent.cli.errors import NoAgent
from agent.containerd.client import Containerd
from agent.host.cgroups import slices
from agent.host.checkup import host
from agent.host.checkup.outcomes import Fact, Finding, Outcome, Unseen, warning
from agent.host.checkup.subject import Subject
from agent.host.containerds import HOST_CONTAINERD, own_socket, shared_containerd
from agent.settings import Settings

DIAGNOSE_S = 60.0

CONFIGURATION, AGENT = "configuration", "agent"

Report = dict[str, Any]
"""``findings``, ``facts``, ``unseen`` and ``fixed``, each a list."""


def diagnose(socket: Path | None, *, fix: bool) -> Report:
    """What is found on this host; with ``fix`` what an agent can mend is. Raises CommandError."""
    given = usable()
    settings = given if isinstance(given, Settings) else Settings()
    here = [given] if isinstance(given, Finding) else list(_told(os.environ))
    try:
        answer = Client(socket or settings.api_socket).call(
            "Hostler.Diagnose", {"fix": fix}, wait_s=DIAGNOSE_S
        )
    except NoAgent as error:
        found = asyncio.run(_without_agent(Subject(settings)))
        return _report([_silent(str(error)), *here, *found])
    here += _of_another_version(answer.get("version", VERSION))
    ours = _report(here)
    return {key: [*ours[key], *answer.get(key, [])] for key in ours}


def usable() -> Settings | Finding:
    """The settings that an agent which starts now would have, or why it would not start."""
    try:
        return checked({}, os.environ).settings
    except config.ConfigError as error:
        cure = "correct it, and see what 'hostler agent --check' says"
        return Finding(CONFIGURATION, f"an agent can't start with it: {error}", cure)


def containerd_socket(settings: Settings) -> Path:
    """Where an agent with these settings finds its containerd."""
    try:
        shared = shared_containerd(settings)
    except PermissionError:  # hidden from us, so there is one
        shared = HOST_CONTAINERD
    return shared or own_socket(settings)


def _told(environ: Mapping[str, str]) -> Iterator[Outcome]:
    for each in config.read({}, environ).warnings:
        yield warning(CONFIGURATION, each, "correct or remove it; 'hostler config' shows all")
    yield Fact(CONFIGURATION, "an agent can start with it")


def _of_another_version(version: str) -> list[Outcome]:
    if version == VERSION:
        return [Fact(AGENT, f"it answers, and is {version} as is installed")]
    what = f"the agent that runs is {version}, but {VERSION} is installed"
    return [warning(AGENT, what, "run 'systemctl reload hostler': tasks run on")]


def _silent(why: str) -> Finding:
    what = why.partition(": start it with")[0]
    if slices.BOOTED.is_dir():
        cure = (
            "'journalctl -u hostler -n 50 --no-pager' says why it ended or waits; "
            "then 'systemctl restart hostler'"
        )
    else:
        cure = "start it with 'hostler agent'; what keeps it from starting is its last line"
    return Finding(AGENT, f"{what}: tasks run on, but nobody looks after them", cure)


async def _without_agent(subject: Subject) -> list[Outcome]:
    socket, settings = containerd_socket(subject.settings), subject.settings
    unknown = Unseen("orphans", "only a running agent knows what belongs to a task")
    if socket.is_relative_to(settings.run_dir) and not subject.exists(socket):
        return [*await host.examine(subject, None), unknown]
    namespace, snapshotter = settings.containerd_namespace, settings.snapshotter
    async with Containerd(socket, namespace, snapshotter=snapshotter) as client:
        return [*await host.examine(subject, client), unknown]


def _report(outcomes: list[Outcome]) -> Report:
    return {
        "findings": [asdict(each) for each in outcomes if isinstance(each, Finding)],
        "facts": [asdict(each) for each in outcomes if isinstance(each, Fact)],
        "unseen": [asdict(each) for each in outcomes if isinstance(each, Unseen)],
        "fixed": [],
    }

"""``hostler run``: runs a task definition and stays with it.

Exit codes in the foreground: that of the essential container which ended first; 1 if that one never
ran (the reason is shown); 130 if left with a third Ctrl-C; 125 and 2 as for every verb.
"""

from __future__ import annotations

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli.client import Answer, Client
from agent.cli.errors import CommandError
from agent.cli.follow import Followed, follow
from agent.cli.interrupts import Interrupts
from agent.cli.options import AsJson, Socket, connect
from agent.cli.screen import JsonLines, Screen, Text
from agent.cli.tasks import task_id

NO_HOST = "No Container Instances were found in your cluster."
"""What ECS says where no host takes new tasks."""

WHAT_LACKS = {
    "RESOURCE:MEMORY": "the task asks for more memory than this host has",
    "RESOURCE:CPU": "the task asks for more CPU than this host has",
    "RESOURCE:PORTS": "a host port that the task asks for is taken by another task, or reserved:"
    " ECS_RESERVED_PORTS",
    "RESOURCE:ENI": "no network interface is left for another task in awsvpc mode: 'hostler network"
    " ls' shows who has them, HOSTLER_ENIS and HOSTLER_ENI_PARENT say where they come from, and"
    " ECS_ENABLE_TASK_ENI=false that there are none",
}


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FAMILY[:REVISION]|-",
            help="A task definition: a JSON file, - for standard input, or a registered one.",
        ),
    ],
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Print the task's id and return.")
    ] = False,
    overrides: Annotated[
        str,
        typer.Option(metavar="JSON", help="The overrides of RunTask."),
    ] = "{}",
    subnet: Annotated[
        list[str] | None,
        typer.Option(help="awsvpc: of which the interface is to be. May be repeated."),
    ] = None,
    security_group: Annotated[
        list[str] | None,
        typer.Option(help="awsvpc: what may reach the task, and be reached. May be repeated."),
    ] = None,
    no_logs: Annotated[
        bool, typer.Option("--no-logs", help="Show the steps only, not what the containers write.")
    ] = False,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Run a task and stay with it to its end.

    Each step is shown as it happens, and what the containers write. Ctrl-C stops the task
    gracefully, a second one kills it, a third one leaves it alone. The exit code is that of the
    essential container that ended first, or 1 if that one never ran.
    """
    client = connect(socket)
    definition = find_definition(client, what)
    asked = {
        "overrides": parse_json(overrides, "--overrides"),
        **network_configuration(subnet or [], security_group or []),
    }
    if detach:
        task = start(client, definition, asked)
        print(jsonlib.dumps({"task": task}) if json else task_id(task["taskArn"]))
        return
    with Interrupts() as interrupts:  # first, so that a Ctrl-C never leaves a task behind
        task = start(client, definition, asked)
        screen = JsonLines() if json else Text(_containers(definition))
        code = stay(client, definition, task, screen, interrupts, logs=not no_logs)
    raise typer.Exit(code)


def find_definition(client: Client, what: str) -> Answer:
    """The task definition ``what`` names; registered now if it is a file. Raises CommandError.

    What is no file of that name, and does not look like one, is a family.
    """
    if what != "-" and not (Path(what).is_file() or "/" in what or what.endswith(".json")):
        asked = {"taskDefinition": what}
        found: Answer = client.call("DescribeTaskDefinition", asked)["taskDefinition"]
        return found
    registered = client.call("RegisterTaskDefinition", _read(what))
    for each in registered.get("warnings", []):
        print(f"warning: {each}", file=sys.stderr)
    made: Answer = registered["taskDefinition"]
    return made


def network_configuration(subnets: list[str], security_groups: list[str]) -> Answer:
    """RunTask's field of that name; nothing where nothing is asked for."""
    if not subnets and not security_groups:
        return {}
    wanted = {"subnets": subnets, "securityGroups": security_groups}
    return {"networkConfiguration": {"awsvpcConfiguration": wanted}}


def start(client: Client, definition: Answer, asked: Answer) -> Answer:
    """A task of that definition, accepted; ``asked`` is what else to say. Raises CommandError."""
    try:
        answer = client.call(
            "RunTask", {"taskDefinition": definition["taskDefinitionArn"], **asked}
        )
    except CommandError as error:
        if NO_HOST in str(error):
            raise CommandError(
                "this host is draining and takes no new tasks; 'hostler undrain' ends that"
            ) from error
        raise
    if answer["failures"]:
        failure = answer["failures"][0]
        reason = failure["reason"]
        why = failure.get("detail") or WHAT_LACKS.get(reason, "it can not run here")
        raise CommandError(f"{reason}: {why}")
    task: Answer = answer["tasks"][0]
    return task


def stay(
    client: Client,
    definition: Answer,
    task: Answer,
    screen: Screen,
    interrupts: Interrupts,
    *,
    logs: bool,
) -> int:
    """Follows the task to its end; gives the command's exit code."""
    screen.begin(task)
    containers = definition["containerDefinitions"]
    followed = Followed(
        arn=task["taskArn"],
        essential=frozenset(each["name"] for each in containers if each.get("essential", True)),
        logs=tuple(_containers(definition)) if logs else (),
    )
    try:
        return follow(client, followed, screen, interrupts)
    finally:
        screen.close()


def parse_json(text: str, where: str) -> Answer:
    """The JSON object in ``text``. Raises CommandError."""
    try:
        read = jsonlib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{where} is not JSON: {error}") from error
    if not isinstance(read, dict):
        raise CommandError(f"{where} is not a JSON object")
    return read


def _read(what: str) -> dict[str, Any]:
    name = "standard input" if what == "-" else what
    try:
        data = sys.stdin.buffer.read() if what == "-" else Path(what).read_bytes()
        return parse_json(data.decode(), name)
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise CommandError(f"can't read {name}: {error.strerror}") from error


def _containers(definition: Answer) -> list[str]:
    return [each["name"] for each in definition["containerDefinitions"]]

"""``hostler network``: who has which addresses, interfaces and ports, and how packets get there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from agent.cli import packetpath, tasks
from agent.cli.errors import CommandError
from agent.cli.options import AsJson, Socket, TaskName, connect
from agent.cli.output import print_columns, print_json

HEADINGS = ("TASK", "CONTAINERS", "MODE", "INTERFACE", "ADDRESS", "HOST SIDE", "PORTS", "GROUPS")
SHOWN_ID = 12

app = typer.Typer(help="Show the networks of tasks.", no_args_is_help=True)

Json = dict[str, Any]


@app.command("ls")
def list_attachments(json: AsJson = False, socket: Socket = None) -> None:
    """List every network attachment, a line for each sandbox."""
    described = connect(socket).call("Hostler.DescribeNetworks", {})
    if json:
        print_json(described)
        return
    print_columns([HEADINGS, *map(_row, described["attachments"])])


@app.command()
def inspect(task: TaskName, json: AsJson = False, socket: Socket = None) -> None:
    """Draw the way of packets to a task and from it."""
    client = connect(socket)
    arn = tasks.find(client, task)["taskArn"]
    described = client.call("Hostler.DescribeNetworks", {})
    mine = [each for each in described["attachments"] if each["taskArn"] == arn]
    if json:
        print_json({**described, "attachments": mine})
        return
    if not mine:
        raise CommandError(f"task {tasks.task_id(arn)} is attached to no network now")
    networks = {each["mode"]: each for each in described["networks"]}
    drawings = (packetpath.drawing(each, networks.get(each["mode"], {})) for each in mine)
    print("\n\n".join("\n".join(lines) for lines in drawings))


@app.command("install-plugins")
def install_plugins(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Such as /opt/cni/bin.")],
    reference_names: Annotated[
        bool,
        typer.Option(
            "--reference-names", help="Also as bridge, host-local and portmap, in their place."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are not Hostler's.")
    ] = False,
) -> None:
    """Write Hostler's CNI plugins as executables for podman, containerd's CRI and others."""
    from cni.program import install

    try:
        paths = install.install(directory, reference_names=reference_names, overwrite=overwrite)
    except (OSError, ValueError) as error:
        raise CommandError(str(error)) from error
    print("\n".join(map(str, paths)))


def _row(attachment: Json) -> tuple[str, ...]:
    facts = attachment["attachment"]
    return (
        tasks.task_id(attachment["taskArn"])[:SHOWN_ID],
        ",".join(attachment["containers"]),
        attachment["mode"],
        attachment["ifname"] or "-",
        " ".join(packetpath.addresses(facts)) or "-",
        packetpath.host_side(attachment) or "-",
        packetpath.published(facts) or "-",
        ",".join(attachment["securityGroups"]) or "-",
    )

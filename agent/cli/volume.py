"""``hostler volume``: the shared volumes of this host."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from agent.cli.errors import FAILED, CommandError
from agent.cli.options import AsJson, Socket, connect
from agent.cli.output import print_columns, print_json

HEADINGS = ("NAME", "TYPE", "DEVICE", "CREATED", "TASKS")
SHOWN_ID = 12

app = typer.Typer(help="Make, list and remove shared volumes.", no_args_is_help=True)

Json = dict[str, Any]


def _names(incomplete: str) -> list[str]:
    """For the shell's completion, which has no use for an error."""
    try:
        volumes = connect(None).call("Hostler.ListVolumes", {})["volumes"]
    except CommandError:
        return []
    return [each["name"] for each in volumes if each["name"].startswith(incomplete)]


Name = Annotated[str, typer.Argument(metavar="VOLUME", autocompletion=_names)]
Names = Annotated[list[str], typer.Argument(metavar="VOLUME...", autocompletion=_names)]


@app.command("ls")
def list_volumes(json: AsJson = False, socket: Socket = None) -> None:
    """List the shared volumes and the tasks that use them."""
    answer = connect(socket).call("Hostler.ListVolumes", {})
    if json:
        print_json(answer)
        return
    print_columns([HEADINGS, *map(_row, answer["volumes"])])


@app.command()
def inspect(
    volume: Name,
    json: Annotated[
        bool, typer.Option("--json", help="JSON is what this verb prints in any case.")
    ] = True,
    socket: Socket = None,
) -> None:
    """Show all about a shared volume, as JSON."""
    print_json(connect(socket).call("Hostler.InspectVolume", {"name": volume})["volume"])


@app.command()
def create(
    volume: Name,
    opt: Annotated[
        list[str] | None,
        typer.Option(
            "--opt", "-o", metavar="KEY=VALUE", help="Of driver local: type=, device= and o=."
        ),
    ] = None,
    label: Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE")] = None,
    json: AsJson = False,
    socket: Socket = None,
) -> None:
    """Make a shared volume, for task definitions that don't let it be made (autoprovision)."""
    asked = {
        "name": volume,
        "driverOpts": dict(_pair("--opt", each) for each in opt or ()),
        "labels": dict(_pair("--label", each) for each in label or ()),
    }
    made = connect(socket).call("Hostler.CreateVolume", asked)["volume"]
    if json:
        print_json(made)
    else:
        print(made["name"])


@app.command("rm")
def remove(volumes: Names, json: AsJson = False, socket: Socket = None) -> None:
    """Remove shared volumes with all their data.

    What is mounted there keeps its own.
    """
    client = connect(socket)
    removed: list[str] = []
    for each in volumes:
        try:
            removed.append(client.call("Hostler.RemoveVolume", {"name": each})["removed"])
        except CommandError as error:
            print(f"hostler: {error}", file=sys.stderr)
    if json:
        print_json({"removed": removed})
    else:
        print("".join(f"{each}\n" for each in removed), end="")
    if len(removed) < len(volumes):
        raise typer.Exit(FAILED)


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise CommandError(f"{option} {text}: give KEY=VALUE")
    return name, value


def _row(volume: Json) -> tuple[str, ...]:
    options = volume.get("driverOpts", {})
    return (
        volume["name"],
        "?" if "problem" in volume else options.get("type", "directory"),
        options.get("device", "-"),
        volume.get("createdAt", "-"),
        ",".join(each[:SHOWN_ID] for each in volume["tasks"]) or "-",
    )

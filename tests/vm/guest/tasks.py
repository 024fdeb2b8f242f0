"""Tasks of this machine's agent, by its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from agent.cli.client import Client
from agent.cli.entries import LogReader
from agent.cli.errors import CommandError
from tests.vm.guest.telling import until

Json = dict[str, Any]

AGENT: Final = Client(Path("/run/hostler/api.sock"))

STAYS: Final = "trap 'exit 0' TERM; echo up; sleep 3600 & wait"
"""End of a script that runs until SIGTERM."""


class Task:
    """A task that was accepted."""

    def __init__(self, arn: str) -> None:
        self.arn = arn
        self.id = arn.rpartition("/")[2]

    def shown(self) -> Json:
        """As DescribeTasks has it."""
        (task,) = AGENT.call("DescribeTasks", {"tasks": [self.arn]})["tasks"]
        return dict(task)

    def until_status(self, *wanted: str) -> Json:
        """It has one of these statuses."""

        def has() -> Json | None:
            shown = self.shown()
            return shown if shown["lastStatus"] in (*wanted, "STOPPED") else None

        shown: Json = until(has, f"{self.id} is {wanted}")
        if shown["lastStatus"] not in wanted:
            raise RuntimeError(f"{shown['stoppedReason']}: {shown['containers']}")
        return shown

    def until_running(self) -> Json:
        """All its containers run."""
        return self.until_status("RUNNING")

    def until_stopped(self) -> Json:
        """All its containers have ended."""
        return self.until_status("STOPPED")

    def log(self, container: str = "app") -> str:
        """All that it has written so far."""
        return "".join(str(each["text"]) for each in LogReader(AGENT, self.arn, container).read())

    def until_log(self, text: str, container: str = "app") -> str:
        """It has written this."""

        def wrote() -> str:
            log = self.log(container)
            return log if text in log else ""

        return str(until(wrote, f"{self.id} has written {text}"))

    def namespace(self) -> Path:
        """The network namespace of an awsvpc task."""
        known = AGENT.call("Hostler.DescribeNetworks", {})["attachments"]
        return Path(next(each["netns"] for each in known if each["taskArn"] == self.arn))

    def is_closed(self) -> bool:
        """Whether nothing of it is left."""
        return bool(AGENT.call("Hostler.WatchTask", {"task": self.arn})["closed"])


def definition(family: str, script: str, *, memory: int = 32, **fields: Any) -> Json:
    """A task definition with a container ``app`` that runs ``script``.

    ``fields`` are the task's, but those in ``container`` which are the container's.
    """
    own = fields.pop("container", {})
    container = {"name": "app", "image": "hostler/hello", "memory": memory}
    command = ["sh", "-c", script]
    return {
        "family": family,
        "containerDefinitions": [{**container, "command": command, **own}],
        **fields,
    }


def start(of: Json, subnet: str = "", count: int = 1) -> list[Task]:
    """Tasks of this definition, accepted; in mode awsvpc with an interface of this subnet."""
    registered = AGENT.call("RegisterTaskDefinition", of)["taskDefinition"]
    asked: Json = {"taskDefinition": registered["taskDefinitionArn"], "count": count}
    if subnet:
        asked["networkConfiguration"] = {"awsvpcConfiguration": {"subnets": [subnet]}}
    answer = AGENT.call("RunTask", asked)
    if answer["failures"]:
        raise RuntimeError(str(answer["failures"]))
    return [Task(each["taskArn"]) for each in answer["tasks"]]


def run(of: Json, subnet: str = "") -> Task:
    """One such task."""
    return start(of, subnet)[0]


def end(*those: Task) -> None:
    """They are asked to stop, and nothing of them is left."""
    for each in those:
        AGENT.call("StopTask", {"task": each.arn})
    until_closed(*those)


def until_closed(*those: Task) -> None:
    """Nothing of them is left."""
    until(lambda: all(each.is_closed() for each in those), "nothing is left of any task")


def until_served() -> None:
    """The agent answers."""

    def answers() -> bool:
        try:
            AGENT.call("DescribeClusters", {})
        except CommandError:
            return False
        return True

    until(answers, "the agent answers")

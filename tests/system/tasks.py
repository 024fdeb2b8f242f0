"""Tasks of a real agent, seen as any client of its API sees them, and what they leave on the host.

What is left is asked of the kernel, nft and containerd's own client, by the names that follow from
the task's id, not of the agent.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from agent import config
from agent.host.cgroups.kernel import Cgroups
from agent.task import names
from agent.task.model import TASK_SANDBOX, TaskId
from agent.task.names import Names
from cni.spec import Attachment, host_ifname
from tests.system.agent import Agent

Json = dict[str, Any]

DEADLINE_S = 30.0
"""For what takes a second at most when the machine has nothing else to do."""

LINKS_GONE_S = 20.0

WAIT_S = 60.0
"""As long as one WatchTask may take."""

WAITS = "sleep 3600 & wait"
"""End of a script that runs until a signal comes; ``trap`` says what it does then."""

SERVES = f"trap 'exit 0' TERM; echo up; {WAITS}"
"""A script that runs until SIGTERM and then ends well.

The first process of a pid namespace gets no signal that it has no handler for, so whoever asks it
to stop waits for its word first (``until_log``).
"""


def shell(name: str, script: str, **fields: object) -> Json:
    """A container definition that runs ``script``; ``fields`` under their ECS names."""
    command = ["sh", "-c", script]
    return {"name": name, "image": "hostler/hello", "memory": 64, "command": command, **fields}


def needs(container: str, condition: str) -> list[Json]:
    """``dependsOn`` with one dependency."""
    return [{"containerName": container, "condition": condition}]


def run(agent: Agent, *containers: Json, **fields: object) -> Task:
    """A task that was just accepted; ``fields`` of its definition under their ECS names."""
    definition = {"family": "test", "containerDefinitions": containers, **fields}
    return Task(agent, agent.run(definition))


def eventually(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Returns once it holds; for things of the host that tell nobody when they change."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"not within {deadline_s:.0f} s: {what}"
        time.sleep(0.02)  # noqa: TID251


class Task:
    """A task by its ARN."""

    def __init__(self, agent: Agent, arn: str) -> None:
        self.agent = agent
        self.arn = arn
        self.id = TaskId(arn.rpartition("/")[2])

    def __repr__(self) -> str:
        answer = self.agent.call("Hostler.WatchTask", task=self.arn)
        steps = [
            f"{each['at'] - answer['task']['createdAt']:7.3f} {each['container']:8} "
            f"{each['what']} {each['detail']}"
            for each in answer["steps"]
        ]
        return "\n".join([f"task {self.id}: {answer['task']['lastStatus']}", *steps])

    def shown(self) -> Json:
        """The task as DescribeTasks shows it."""
        task: Json = self.agent.call("DescribeTasks", tasks=[self.arn])["tasks"][0]
        return task

    def container(self, name: str) -> Json:
        """One of its containers, as DescribeTasks shows it."""
        found: Json = next(each for each in self.shown()["containers"] if each["name"] == name)
        return found

    def exit_codes(self) -> dict[str, int | None]:
        """By container; None where there is none."""
        return {each["name"]: each.get("exitCode") for each in self.shown()["containers"]}

    def timeline(self) -> list[Json]:
        """Every step so far."""
        steps: list[Json] = self.agent.call("Hostler.WatchTask", task=self.arn)["steps"]
        return steps

    def story(self) -> list[tuple[str, str]]:
        """Every step so far as (container, what)."""
        return [(each["container"], each["what"]) for each in self.timeline()]

    def at(self, container: str, what: str, detail: str = "") -> float:
        """When the first such step was, in epoch seconds; waits for it."""
        return float(self.until_step(what, container, detail)["at"])

    def until(
        self, holds: Callable[[Json], bool], what: str, deadline_s: float = DEADLINE_S
    ) -> Json:
        """What WatchTask answers (with all steps) once ``holds`` is true of that."""
        end = time.monotonic() + deadline_s
        answer = self.agent.call("Hostler.WatchTask", task=self.arn)
        while not holds(answer):
            left = min(end - time.monotonic(), WAIT_S)
            assert left > 0, f"no {what} within {deadline_s:.0f} s of {self}"
            assert not answer["closed"], f"closed without {what}: {self}"
            since = len(answer["steps"])
            self.agent.call("Hostler.WatchTask", task=self.arn, since=since, waitSeconds=left)
            answer = self.agent.call("Hostler.WatchTask", task=self.arn)
        return answer

    def until_step(self, what: str, container: str = "", detail: str = "") -> Json:
        """The first such step of the timeline."""

        def matches(step: Json) -> bool:
            mine = container in ("", step["container"])
            return bool(step["what"] == what and mine and detail in step["detail"])

        answer = self.until(lambda answer: any(map(matches, answer["steps"])), f"step {what}")
        return next(filter(matches, answer["steps"]))

    def until_running(self) -> Json:
        """The task once it is RUNNING."""
        return self._until_status("RUNNING")

    def until_stopped(self) -> Json:
        """The task once it is STOPPED."""
        return self._until_status("STOPPED")

    def until_closed(self, deadline_s: float = DEADLINE_S) -> Json:
        """The task once nothing of it is left on the host, by its own word."""
        task: Json = self.until(lambda answer: bool(answer["closed"]), "end", deadline_s)["task"]
        return task

    def stop(self, **fields: object) -> None:
        """Asks for it to stop."""
        self.agent.call("StopTask", task=self.arn, **fields)

    def end(self) -> Json:
        """The task after a forced stop, closed."""
        self.stop(force=True)
        return self.until_closed()

    def log(self, container: str) -> list[str]:
        """All lines of a container's log."""
        return [text for entries in self.log_parts(container) for text in entries]

    def until_log(self, container: str, lines: int = 1) -> list[str]:
        """The container's log once there are so many lines in it."""
        eventually(lambda: len(self.log(container)) >= lines, f"output of {container}")
        return self.log(container)

    def log_parts(self, container: str, **asked: object) -> Iterator[list[str]]:
        """The log as one answer after the other shows it."""
        cursor = None
        while True:
            answer = self.agent.call(
                "Hostler.GetLogs", task=self.arn, container=container, cursor=cursor, **asked
            )
            yield [each["text"] for each in answer["entries"]]
            if answer["cursor"] in ("", cursor):
                return
            cursor = answer["cursor"]

    def pid(self, container: str) -> int:
        """Process id of the container's first process, from the runtime."""
        key = names.container_id(self.id, container)
        rows = [line.split() for line in ctr(self.agent, "tasks", "list")]
        return next(int(row[1]) for row in rows if row[0] == key)

    def leftovers(self) -> list[str]:
        """All that is on the host under this task's names."""
        of = names_of(self.agent)
        mine = [*(each["name"] for each in self.shown()["containers"]), TASK_SANDBOX]
        keys = [names.container_id(self.id, each) for each in mine]
        veths = [host_ifname(of.veth_prefix, Attachment(key, "eth0")) for key in keys]
        files = [of.task_dir(self.id), *(of.netns(self.id, each) for each in mine)]
        listings = {
            "record": ctr(self.agent, "containers", "list", "--quiet"),
            "process": ctr(self.agent, "tasks", "list"),
            "snapshot": ctr(self.agent, "snapshots", "list"),
            "nft": output("nft", "list", "table", "inet", self.agent.settings["HOSTLER_NFT_TABLE"]),
            "mount": Path("/proc/self/mountinfo").read_text().splitlines(),
        }
        listed = [
            f"{kind} {line}"
            for kind, lines in listings.items()
            for line in lines
            if any(each in line for each in (*keys, self.id))
        ]
        cgroups = [tree / of.cgroup_parent[1:] / self.id for tree in Cgroups().trees()]
        links = [f"link {name}" for name in lasting_links(*veths)]
        return [*listed, *links, *(str(each) for each in (*cgroups, *files) if each.exists())]

    def _until_status(self, status: str) -> Json:
        answer = self.until(lambda answer: bool(answer["task"]["lastStatus"] == status), status)
        task: Json = answer["task"]
        return task


def lasting_links(*prefixes: str) -> list[str]:
    """The interfaces whose names begin so, and go on to exist.

    The kernel takes those of a namespace down a moment after the namespace itself.
    """
    end = time.monotonic() + LINKS_GONE_S
    while True:
        links = [name for _, name in socket.if_nameindex() if name.startswith(prefixes)]
        if not links or time.monotonic() > end:
            return links
        time.sleep(0.01)  # noqa: TID251


def names_of(agent: Agent) -> Names:
    """The names that the agent gives to things."""
    return config.load(agent.settings, {}, ()).names


def containerd_socket(agent: Agent) -> Path:
    """Where the agent's own containerd listens."""
    return names_of(agent).run_dir / "containerd" / "containerd.sock"


def shims(agent: Agent) -> list[int]:
    """Process ids of the shims of the agent's containers."""
    address = str(containerd_socket(agent))
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if address in (process.info["cmdline"] or ())
        and "containerd-shim" in process.info["cmdline"][0]
    ]


def ctr(agent: Agent, *arguments: str) -> list[str]:
    """What containerd's own client says, by lines."""
    return output("ctr", "-a", str(containerd_socket(agent)), "-n", "hostler", *arguments)


def output(*command: str) -> list[str]:
    """Lines that a program prints, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    return done.stdout.splitlines()

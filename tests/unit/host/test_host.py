"""What a failure becomes: another try, or an end under the name that ECS gives it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

import pytest

from agent.containerd.errors import ContainerdError, DeadlineExceeded, NotFound, Unavailable
from agent.host.cgroups.kernel import CgroupError
from agent.host.host import RealHost
from agent.host.images.fetching import PullFailed
from agent.host.images.local import ImageMissing
from agent.host.interfaces.provider import InterfaceError, InterfacesExhausted
from agent.host.logrouter import LogRouterError, LogRouterTimeout
from agent.host.provisions import ProvisionError, ProvisionUnavailable
from agent.host.volumes.errors import VolumeError
from agent.oci.errors import SpecError
from agent.task.actions import (
    AcquireInterface,
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Never,
    ObtainCredentials,
    ObtainImage,
    Provide,
    ReleaseTask,
    RestartContainer,
    Signal,
    StartContainer,
    TakeBack,
)
from agent.task.model import Task, first_progress
from agent.task.records import Provision
from agent.task.view import Absent, ContainerSeen, Look, Running, Seen, Unknown
from cni.errors import CNIError, Code, PortTaken
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable
from tests.unit.host import worlds
from tests.worlds import ATTACHED, IMAGE, container

TASK = worlds.task(container("web"))
PROGRESS = (
    first_progress(TASK).having("web", image=IMAGE).having_network("web", attachment=ATTACHED)
)
FIND, ATTACH, DETACH = ObtainImage("web"), AttachNetwork("web"), DetachNetwork("web")
CREATE, START, DELETE = CreateContainer("web"), StartContainer("web"), DeleteContainer("web")


@dataclass(frozen=True, slots=True)
class Refusing:
    """A part of the host that fails at whatever it is asked."""

    error: Exception

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        def refuse(*args: object, **options: object) -> NoReturn:
            raise self.error

        return refuse


def host(error: Exception, folder: Path) -> RealHost:
    part: Any = Refusing(error)
    return RealHost(part, part, part, part, part, part, worlds.names_below(folder), part)


@pytest.mark.parametrize(
    "action", [FIND, ATTACH, DETACH, CREATE, START, Signal("web", 15), DELETE, ReleaseTask()]
)
@pytest.mark.parametrize(
    "error",
    [
        Unavailable("text", "it is away"),
        LogRouterError("it is away"),
        LogRouterTimeout("it is away"),
    ],
)
async def test_a_helper_process_that_is_away_is_asked_again(
    tmp_path: Path, action: Action, error: Exception
) -> None:
    assert await host(error, tmp_path).act(TASK, PROGRESS, action) == Again("it is away")


async def test_a_profile_that_can_not_be_applied_is_named(tmp_path: Path) -> None:
    guarded = worlds.task(container("web", dockerSecurityOptions=["apparmor:shop"]))
    refused = host(ContainerdError("text", "unable to apply apparmor profile"), tmp_path)
    for action in (CREATE, START, RestartContainer("web")):
        result = await refused.act(guarded, PROGRESS, action)
        assert isinstance(result, Never)
        assert result.error == "CannotStartContainerError"
        assert "apparmor:shop can't be applied" in result.why


@pytest.mark.parametrize("action", [DETACH, Signal("web", 15), DELETE, ReleaseTask()])
@pytest.mark.parametrize(
    "error",
    [
        ContainerdError("text", "no"),
        DeadlineExceeded("text", "no"),
        CNIError(Code.IO_FAILURE, "no"),
        OSError("no"),
    ],
)
async def test_what_brings_a_task_down_is_tried_for_ever(
    tmp_path: Path, action: Action, error: Exception
) -> None:
    assert await host(error, tmp_path).act(TASK, PROGRESS, action) == Again("no")


@pytest.mark.parametrize(
    ("action", "error", "result"),
    [
        (FIND, ImageMissing("no x"), Never("CannotPullContainerError", "no x")),
        (
            FIND,
            PullFailed("CannotPullECRContainerError", "no"),
            Never("CannotPullECRContainerError", "no"),
        ),
        (FIND, NotFound("text", "gone"), Never("CannotPullContainerError", "gone")),
        (FIND, DeadlineExceeded("text", "hangs"), Again("hangs")),
        (CREATE, SpecError("odd"), Never("CannotCreateContainerError", "odd")),
        (CREATE, VolumeError("odd"), Never("VolumeError", "odd")),
        (CREATE, OSError("full"), Never("CannotCreateContainerError", "full")),
        (CREATE, ContainerdError("t", "runc: no"), Never("CannotStartContainerError", "runc: no")),
        (START, ContainerdError("t", "runc: no"), Never("CannotStartContainerError", "runc: no")),
        (CREATE, DeadlineExceeded("t", "slow"), Never("DockerTimeoutError", "slow")),
        (START, DeadlineExceeded("t", "slow"), Never("DockerTimeoutError", "slow")),
        (
            ATTACH,
            PortTaken("tcp", 80, "c2"),
            Never("CannotStartContainerError", "host port 80/tcp is already in use: held by c2"),
        ),
        (
            ATTACH,
            CNIError(Code.TRY_AGAIN_LATER, "no address is left"),
            Never("ResourceInitializationError", "no address is left"),
        ),
        (
            ATTACH,
            CNIError(Code.IO_FAILURE, "veth: no"),
            Never("ResourceInitializationError", "veth: no"),
        ),
        (ATTACH, OSError("address in use"), Never("ResourceInitializationError", "address in use")),
        (CREATE, CgroupError("no memory"), Never("CgroupError", "no memory")),
    ],
)
async def test_what_cant_be_started_ends_under_ecs_name_for_it(
    tmp_path: Path, action: Action, error: Exception, result: Never
) -> None:
    assert await host(error, tmp_path).act(TASK, PROGRESS, action) == result


OBTAIN = ObtainCredentials()


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (CredentialsError("no section"), Never("ResourceInitializationError", "no section")),
        (CredentialsUnavailable("too slow"), Again("too slow")),
    ],
)
async def test_why_there_are_no_credentials_is_told(
    tmp_path: Path, error: Exception, result: Again | Never
) -> None:
    assert await host(error, tmp_path).act(TASK, PROGRESS, OBTAIN) == result


async def test_a_bug_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        await host(KeyError("bug"), tmp_path).act(TASK, PROGRESS, START)


async def test_a_container_is_not_created_before_its_image_is_known(tmp_path: Path) -> None:
    early = first_progress(TASK)
    result = await host(OSError("unused"), tmp_path).act(TASK, early, CREATE)
    assert isinstance(result, Never)
    assert result.error == "CannotCreateContainerError"


class Looking(Refusing):
    """As Refusing, but it can be seen that networks are gone."""

    def look(self, *args: object) -> Absent:
        return Absent()


async def test_a_container_that_cant_be_looked_at_is_unknown(tmp_path: Path) -> None:
    away: Any = Refusing(Unavailable("containerd is away"))
    network: Any = Looking(away.error)
    names = worlds.names_below(tmp_path)
    names.task_dir(TASK.id).mkdir(parents=True)
    host = RealHost(away, away, away, network, network, away, names, network)
    view = await host.look(TASK, PROGRESS)
    assert view.containers == {"web": Unknown("containerd is away")}
    assert view.networks == {"web": Absent()}
    assert view.task == Seen(None)
    assert view.credentials == Absent()


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (InterfaceError("there are none"), Never("ResourceInitializationError", "there are none")),
        (InterfacesExhausted("all are held"), Again("all are held")),
    ],
)
async def test_why_there_is_no_interface_is_told(
    tmp_path: Path, error: Exception, result: Again | Never
) -> None:
    made = worlds.task(container("web"), networkMode="awsvpc")
    got = await host(error, tmp_path).act(made, first_progress(made), AcquireInterface())
    assert got == result


class Shared:
    """Namespaces that were lost, if not ``there``; ``done`` is what was asked of it."""

    def __init__(self, *, there: bool) -> None:
        self.there = there
        self.done: list[str] = []

    async def look(self, task: Task) -> Look[None]:
        return Seen(None) if self.there else Absent()

    async def provide(self, task: Task) -> None:
        self.done.append("provide")

    async def take_back(self, task: Task) -> None:
        self.done.append("take back")


class Ended:
    """Containers that have ended, and can be released."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code

    async def look(self, *args: object) -> Look[ContainerSeen]:
        return Seen(ContainerSeen(Running.STOPPED, exit_code=self.exit_code, exited_at=1.0))

    async def release(self, task: Task) -> None:
        """Nothing to do."""


def sharing(
    folder: Path, shared: Shared, task_fields: dict[str, str], exit_code: int = 137
) -> tuple[RealHost, Task]:
    network: Any = Looking(OSError("unused"))
    names, containers = worlds.names_below(folder), cast(Any, Ended(exit_code))
    cgroups: Any = SimpleNamespace(remove=lambda task: None)
    client: Any = SimpleNamespace(namespace="hostler", socket=folder / "containerd.sock")
    host = RealHost(client, containers, network, network, network, cgroups, names, network)
    providers = {Provision.NAMESPACES: shared}
    return replace(host, providers=providers), worlds.task(container("web"), **task_fields)


@pytest.mark.parametrize(
    ("there", "exit_code", "fields", "lost"),
    [
        (False, 137, {"pidMode": "task"}, True),
        (True, 137, {"pidMode": "task"}, False),
        (False, 0, {"pidMode": "task"}, False),
        (False, 137, {"ipcMode": "task"}, False),
    ],
)
async def test_who_was_killed_with_the_pid_namespace_is_known(
    tmp_path: Path, fields: dict[str, str], exit_code: int, *, there: bool, lost: bool
) -> None:
    host, made = sharing(tmp_path, Shared(there=there), fields, exit_code)
    view = await host.look(made, PROGRESS)
    web = view.containers["web"]
    assert isinstance(web, Seen)
    assert web.state.namespace_lost is lost
    assert view.provisions == {Provision.NAMESPACES: Seen(None) if there else Absent()}


async def test_what_was_never_there_whole_is_taken_back_with_the_task(tmp_path: Path) -> None:
    shared = Shared(there=False)
    host, made = sharing(tmp_path, shared, {"ipcMode": "task"})
    await host.act(made, PROGRESS, Provide(Provision.NAMESPACES))
    await host.act(made, PROGRESS, TakeBack(Provision.NAMESPACES))
    await host.act(made, PROGRESS, ReleaseTask())
    assert shared.done == ["provide", "take back", "take back"]


async def test_a_provision_that_can_not_be_had_is_told(tmp_path: Path) -> None:
    action = Provide(Provision.NAMESPACES)
    for error, result in (
        (ProvisionError("no init"), Never("ResourceInitializationError", "no init")),
        (ProvisionUnavailable("too early"), Again("too early")),
    ):
        part: Any = Refusing(error)
        failing = replace(host(error, tmp_path), providers={action.kind: part})
        assert await failing.act(TASK, PROGRESS, action) == result

"""Private variables from where they are kept to the runtime: the parts together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from agent.host.containers.runtimes import Runtime
from agent.host.private.envfiles import EnvFiles
from agent.host.private.handover import Handover
from agent.host.private.keeper import Keeper
from agent.host.private.obtaining import Obtainer
from agent.host.secrets import Secrets
from agent.host.standins import Folder
from agent.oci.errors import SpecError
from agent.oci.inputs import Private
from agent.oci.private import whole_spec
from agent.settings import Settings
from agent.task.model import Task
from metadata.credentials.keys import Keys


@dataclass(frozen=True, slots=True)
class Privacy:
    """Who holds them, and who hands them over."""

    keeper: Keeper
    handover: Handover

    def of(self, task: Task, name: str) -> Private:
        """Those of a container. Raises ProvisionUnavailable while they are not held."""
        return self.keeper.of(task, name)

    def whole(self, task: Task, name: str, public: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The container's spec with them in it; None: it has none.

        ``public`` is what its record has. Raises ProvisionUnavailable.
        """
        return whole_spec(public, self.of(task, name))

    def offering(self, key: str, content: Mapping[str, Any] | None) -> AbstractContextManager[None]:
        """Meanwhile ``content``, if there is some, is there for the runtime. Raises OSError."""
        return nullcontext() if content is None else self.handover.offering(key, content)

    def runtime(self, runtime: Runtime) -> Runtime:
        """The runtime for a container that has some. Blocking. Raises OSError, SpecError."""
        if runtime.isolated:
            raise SpecError(
                f"runtime {runtime.name} can't give it secrets or environmentFiles past the disk: "
                f"that needs runc's shim, and this one has {runtime.shim}"
            )
        return replace(runtime, binary=str(self.handover.binary(runtime.binary or "runc")))


def open_privacy(
    settings: Settings, secrets: Secrets, execution_keys: Callable[[Task], Awaitable[Keys | None]]
) -> Privacy:
    """All parts, with nothing held yet. Blocking. Raises OSError."""
    env_files = EnvFiles(Folder(settings.env_files_dir), secrets.aws, secrets.region)
    handover = Handover(settings.run_dir / "private", settings.state_dir / "bin")
    handover.open()
    return Privacy(Keeper(Obtainer(secrets, env_files, execution_keys)), handover)

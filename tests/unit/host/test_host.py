"""What a failure becomes: another try, or an end under the name that ECS gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Never as NoReturn

import pytest

from agent.config import Settings
from agent.containerd.client import Containerd
from agent.containerd.errors import ContainerdError, DeadlineExceeded, Unavailable
from agent.host.cgroups import CgroupError, Cgroups
from agent.host.containers import Containers, RuntimeSettings
from agent.host.host import RealHost
from agent.host.images import ImageMissing, Images
from agent.host.logrouter import LogRouter, LogRouterError
from agent.host.sandbox import NetworkSettings, Sandboxes
from agent.host.volumes import VolumeError
from agent.oci.errors import SpecError
from agent.oci.inputs import HostFacts
from agent.task.actions import (
    Action,
    Again,
    AttachNetwork,
    CreateContainer,
    DeleteContainer,
    DetachNetwork,
    Done,
    FindImage,
    ForgetTask,
    Never,
    PrepareTask,
    ReleaseTask,
    Result,
    Signal,
    StartContainer,
)
from agent.task.definition import TaskDefinition
from agent.task.model import Absent, Progress, Seen, Unknown, first_progress
from cni.errors import CNIError, Code, PortTaken
from metadata.listener import Listeners
from metadata.source import Owner
from tests.unit.host import worlds
from tests.worlds import ATTACHED, IMAGE, container

TASK = worlds.task(container("web"))
READY = first_progress(TASK).having("web", image=IMAGE, network=ATTACHED)

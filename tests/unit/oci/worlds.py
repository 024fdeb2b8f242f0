"""Inputs for specs: a plain container, and how to vary it."""

from dataclasses import replace
from typing import Any

from agent.oci.image import ImageConfig
from agent.oci.inputs import HostFacts, SpecInputs
from agent.oci.user import User
from agent.task.definition import ContainerDefinition
from agent.task.definition.linux_rules import CAPABILITIES


def container(**fields: Any) -> ContainerDefinition:
    """A container definition from fields in the API's spelling."""
    data = {"name": "web", "image": "shop/web:1", **fields}
    return ContainerDefinition.model_validate(data, by_alias=True, by_name=False)


def inputs(fields: dict[str, Any] | None = None, **changes: Any) -> SpecInputs:
    """Inputs for a container with these fields on a host of cgroup v1; ``changes`` replace."""
    plain = SpecInputs(
        container=container(**(fields or {})),
        image=ImageConfig(
            entrypoint=("/entry",), cmd=("serve",), env=("PATH=/app:/bin", "A=image")
        ),
        user=User(),
        host=HostFacts(cgroup_version=1, machine="x86_64", capabilities=CAPABILITIES),
        rootfs="rootfs",
        hostname="web-1",
        netns="/run/hostler/netns/web",
        cgroup_path="/hostler/task/web",
    )
    return replace(plain, **changes)

"""The OCI runtime spec for the peers that need one: what Hostler writes for the same container.

Without its seccomp filter unless asked for, as neither ``ctr run`` nor ``runc spec`` has one, and
with a new network namespace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.host.cgroups.kernel import Cgroups
from agent.host.containers import facts
from agent.oci.image import ImageConfig
from agent.oci.inputs import HostFacts, SpecInputs
from agent.oci.spec import build_spec
from agent.oci.user import User
from agent.registry import hello
from agent.task.definition import ContainerDefinition

MEMORY_MIB = 64


@dataclass(frozen=True, slots=True)
class Specs:
    """Makes specs for this host."""

    host: HostFacts
    seccomp: bool = False

    def spec(self, command: Sequence[str], cgroup: str) -> dict[str, Any]:
        """A container of the hello image that runs ``command`` in the cgroup."""
        fields = {"name": "c", "image": "hello", "memory": MEMORY_MIB, "command": list(command)}
        inputs = SpecInputs(
            container=ContainerDefinition.model_validate(fields, by_alias=True, by_name=False),
            image=ImageConfig(env=(f"PATH={hello.PATH}",)),
            user=User(),
            host=self.host,
            rootfs="rootfs",
            hostname="bench",
            netns=None,
            cgroup_path=cgroup,
        )
        made = build_spec(inputs)
        made["linux"]["namespaces"].append({"type": "network"})
        if not self.seccomp:
            del made["linux"]["seccomp"]
        return made


def plain() -> Specs:
    """Specs without a seccomp filter."""
    return Specs(facts.gather(Cgroups()))


def filtered() -> Specs:
    """Specs with Hostler's seccomp filter."""
    return Specs(facts.gather(Cgroups()), seccomp=True)

"""The answers of the stats routes: encoded once per sample, and joined for a task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from metadata.encoding import Json, encoded
from metadata.source import ContainerFacts, TaskFacts
from metadata.stats.render import Samples, stats_v3, stats_v4
from metadata.stats.sampler import Sampler
from metadata.stats.sweep import Kept
from metadata.task.render import NotYetKnown


@dataclass(frozen=True, slots=True)
class Form:
    """How a version shows a container's statistics, and in a task's that there are none."""

    name: str
    show: Callable[[ContainerFacts, Samples], Mapping[str, Json]]
    absent: bytes


V3: Final = Form("v3", stats_v3, b"null")
"""Version 2 has the same."""

V4: Final = Form("v4", stats_v4, b"{}")


async def of_container(
    sampler: Sampler, task: TaskFacts, container: ContainerFacts, form: Form
) -> bytes:
    """One container's statistics. Raises NotYetKnown without any: it has not begun, or stopped."""
    if container.cgroup is not None:
        kept = sampler.fresh(container.docker_id)
        if kept is None:
            kept = (await sampler.refreshed(task)).get(container.docker_id)
        if kept is not None:
            return _encoded(kept, container, form)
    raise NotYetKnown(f"there are no statistics of container {container.name}")


async def of_task(sampler: Sampler, task: TaskFacts, form: Form) -> bytes:
    """The statistics of a task's containers that exist, by runtime id."""
    existing = [each for each in task.containers if each.docker_id]
    found = {each.docker_id: sampler.fresh(each.docker_id) for each in existing if each.cgroup}
    if None in found.values():
        found |= await sampler.refreshed(task)
    parts = []
    for each in existing:
        kept = found.get(each.docker_id)
        shown = form.absent if kept is None else _encoded(kept, each, form)
        parts.append(b'"%s":%s' % (each.docker_id.encode(), shown))
    return b"{%s}" % b",".join(parts)


def _encoded(kept: Kept, container: ContainerFacts, form: Form) -> bytes:
    shown = kept.encoded.get(form.name)
    if shown is None:
        shown = kept.encoded[form.name] = encoded(form.show(container, kept.samples))
    return shown

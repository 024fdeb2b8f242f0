"""All that the answer to one scrape is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from metadata.introspection.health import Check
from metadata.source import InstanceFacts, TaskFacts
from metadata.stats.render import Sample


def _nothing(_: str) -> Sample | None:
    return None


@dataclass(frozen=True, slots=True)
class Scrape:
    """Facts of one moment. `latest` gives the last sample by runtime id, from any thread.

    `requests` are by route and status code; `failures` counts unexpected ones in the work on tasks.
    """

    instance: InstanceFacts
    tasks: tuple[TaskFacts, ...] = ()
    latest: Callable[[str], Sample | None] = _nothing
    checks: Sequence[Check] = ()
    failures: int = 0
    requests: Mapping[tuple[str, int], int] = field(default_factory=dict)

"""The answer to a scrape: text for Prometheus, in the format that it asks for."""

from collections.abc import Iterator

from prometheus_client import ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from metadata.front.asking import Answer
from metadata.introspection.metrics import agent, containers, tasks
from metadata.introspection.metrics.scrape import Scrape

_PROCESS = ProcessCollector(registry=None)


class _Everything(Collector):
    """What the library encodes: no registry, since all is collected anew each time."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        yield from _PROCESS.collect()
        for each in (agent, tasks, containers):
            yield from each.families(self._scrape)


def exposed(scrape: Scrape, accept: str) -> Answer:
    """OpenMetrics where the Accept header asks for it, else Prometheus's text. Reads /proc/self."""
    try:
        encode, content_type = choose_encoder(accept)
        content_type.encode("ascii")  # the version comes from the scraper
    except (TypeError, ValueError):  # and it may be none
        encode, content_type = choose_encoder("")
    return Answer(encode(_Everything(scrape)), content_type=content_type)

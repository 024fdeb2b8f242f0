"""The dashboard in docs asks only for metrics and labels that there are."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metadata.introspection.health import Check
from tests.unit.metadata.facts import FULL
from tests.unit.metadata.introspection.metrics.test_exposition import TASK, families, scrape

DASHBOARD = Path(__file__).parents[5] / "docs" / "grafana-dashboard.json"
FROM_SCRAPING = frozenset({"instance", "job"})
"""Labels that Prometheus itself adds."""

WORDS = frozenset(
    ("by", "on", "group_left", "sum", "count", "min", "rate", "increase", "vector", "label_values")
)
"""What stands in expressions beside metrics."""


def exposed() -> Mapping[str, frozenset[str]]:
    """The labels of every metric that the agent can expose, by its name."""
    whole = replace(TASK, containers=(*TASK.containers, replace(FULL, name="over", exit_code=1)))
    shown = scrape(whole, checks=(Check("store"),), requests={("/v4", 404): 1})
    found = families(shown)
    assert all(each.samples for each in found.values())
    return {
        sample.name: frozenset(sample.labels)
        for family in found.values()
        for sample in family.samples
    }


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())


def expressions() -> list[str]:
    shown = dashboard()
    asked = [target["expr"] for panel in shown["panels"] for target in panel.get("targets", ())]
    queries = [each["query"]["query"] for each in variables() if each["type"] == "query"]
    return asked + queries


def variables() -> list[Any]:
    listed: list[Any] = dashboard()["templating"]["list"]
    return listed


def labels_in(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric with each label that is asked of it; without a metric where they are joined."""
    for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", expression):
        yield from ((name, label) for label in re.findall(r"([a-z_]+)(?:=~|!~|!=|=)", matchers))
    for listed in re.findall(r"(?:by|on|group_left) \(([^)]*)\)", expression):
        yield from (("", label) for label in re.findall(r"[a-z_]+", listed))
    for name, label in re.findall(
        r"label_values\(([a-z_]+)[^,]*?(?:\{.*\})?, ([a-z_]+)\)", expression
    ):
        yield name, label


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_and_label_is_exposed(expression: str) -> None:
    every = exposed()
    bare = re.sub(
        r"\{[^}]*\}|\[[^\]]*\]|(?:by|on|group_left) \([^)]*\)|, [a-z_]+\)$", "", expression
    )
    names = set(re.findall(r"[a-z_]{3,}", bare)) - WORDS
    assert names, expression
    assert names <= every.keys(), expression
    all_labels = frozenset().union(*(every[each] for each in names)) | FROM_SCRAPING
    for name, label in labels_in(expression):
        known = every[name] | FROM_SCRAPING if name else all_labels
        assert label in known, f"{name} has no {label}: {expression}"


def test_legends_name_labels_that_the_series_have() -> None:
    every = exposed()
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            joined = re.findall(r"by \(([^)]*)\)", target["expr"])
            names = set(re.findall(r"[a-z_]{3,}", target["expr"])) & every.keys()
            left = frozenset().union(*(every[each] for each in names)) | FROM_SCRAPING
            if joined:
                left = frozenset(re.findall(r"[a-z_]+", joined[0]))
            for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
                assert label in left, f"{panel['title']}: {label}"


def test_every_query_goes_to_the_chosen_data_source_and_uses_known_variables() -> None:
    names = {each["name"] for each in variables()}
    assert variables()[0]["type"] == "datasource"
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
            used = set(re.findall(r"\$([a-z]\w*)", target["expr"]))
            assert used <= names, panel["title"]


def test_panels_have_ids_of_their_own_and_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({each["id"] for each in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_what_operators_look_for_is_shown() -> None:
    asked = " ".join(expressions())
    for metric in (
        "hostler_check_success",
        "hostler_task_state",
        "hostler_container_cpu_usage_seconds_total",
        "hostler_container_memory_limit_bytes",
        "hostler_container_network_receive_bytes_total",
        "hostler_container_blkio_read_bytes_total",
        "hostler_container_restarts_total",
        "hostler_container_health",
    ):
        assert metric in asked

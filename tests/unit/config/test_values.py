"""What the text of a setting may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.values import (
    Adjusted,
    at_least,
    between,
    boolean,
    cluster,
    count_or,
    duration,
    nfs_servers,
    nft_table,
    own_folder,
    pull_behavior,
    rate,
    tags,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("1500ms", 1.5),
        ("1s500ms", 1.5),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("10ns", 1e-8),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "1d", "-5s", "1h 30m", "1h30", "1..5s", ".s", "٣s", "1e3s", "9" * 400 + "h"],
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a duration|longer than 292 years"):
        duration(text)


@given(text=st.text("0123456789.hmsuµn-+ e", max_size=12))
def test_a_duration_is_a_time_or_an_error(text: str) -> None:
    try:
        assert 0 <= duration(text) < 2**63
    except ValueError:
        assert text != "0"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("10,20", (10.0, 20)),
        (" 10 , 20 ", (10.0, 20)),
        ("0,20", Adjusted((40.0, 60), "is not positive: it is 40,60")),
        ("10,-1", Adjusted((40.0, 60), "is not positive: it is 40,60")),
    ],
)
def test_a_rate_that_is_not_positive_is_the_usual_one(text: str, parsed: object) -> None:
    assert rate(40.0, 60)(text) == parsed


@pytest.mark.parametrize("text", ["", "10", "10,20,30", "a,b", "1.5,2", "10;20"])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="must be requests per second and a burst"):
        rate(40.0, 60)(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1s", Adjusted(5.0, "is not between 5s and 20s: it is 5s")),
        ("7s", 7.0),
        ("1h", Adjusted(20.0, "is not between 5s and 20s: it is 20s")),
        ("0", 10.0),
    ],
)
def test_a_bounded_duration_becomes_its_bound(text: str, value: object) -> None:
    assert between(5.0, 20.0, unset=10.0)(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("59s", Adjusted(1800.0, "is below 1m: it is 30m")),
        ("1m", 60.0),
        ("0", 7.0),
        ("0s", 7.0),
    ],
)
def test_a_duration_below_its_bound_is_another(text: str, value: object) -> None:
    assert at_least(60.0, 1800.0, unset=7.0)(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", Adjusted(5, "is less than 1: it is 5")), ("-3", Adjusted(5, "is less than 1: it is 5"))],
)
def test_a_count_below_one_is_another(text: str, value: object) -> None:
    assert count_or(5)(text) == value
    assert count_or(5)(" 7 ") == 7
    with pytest.raises(ValueError, match="must be a whole number"):
        count_or(5)("many")


def test_an_unknown_pull_behaviour_is_the_default_and_told() -> None:
    for each in ("default", "always", "once", "prefer-cached"):
        assert pull_behavior(each) == each
    told = pull_behavior("Always")
    assert isinstance(told, Adjusted)
    assert told.value == "default"
    assert told.why.startswith("is none of default, always")


@pytest.mark.parametrize("text", ["lab", " lab ", "arn:aws:ecs:eu-west-1:111122223333:cluster/lab"])
def test_a_cluster_is_a_name_or_an_arn(text: str) -> None:
    assert cluster(text) == "lab"


@pytest.mark.parametrize("text", ["a b", "arn:aws:ecs:x:1:cluster/lab", "a/b", "x" * 256])
def test_anything_else_is_no_cluster(text: str) -> None:
    with pytest.raises(ValueError, match="or a cluster's ARN"):
        cluster(text)


@pytest.mark.parametrize("text", ["meta", "table", "ip6", "gc-interval"])
def test_words_of_nfts_language_are_no_tables(text: str) -> None:
    with pytest.raises(ValueError, match="is a word of nft's own language"):
        nft_table(text)
    assert nft_table(f"my-{text}") == f"my-{text}"


@pytest.mark.parametrize(("text", "value"), [(" true ", True), ("F", False), ("1\t", True)])
def test_space_around_a_boolean_is_nothing(text: str, value: bool) -> None:
    assert boolean(text) is value


def test_tags_are_a_json_object_of_texts() -> None:
    assert tags('{"rack": "7", "": ""}') == {"rack": "7", "": ""}
    longest = {"k" * 128: "v" * 256}
    assert tags(json.dumps(longest)) == longest


@pytest.mark.parametrize("given", [{"k" * 129: ""}, {"k": "v" * 257}])
def test_a_tag_has_bounds(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a key of more than 128 characters or a value of more"):
        tags(json.dumps(given))


@pytest.mark.parametrize("text", ["", "rack=7", "[]", '{"rack": 7}', '{"rack": null}', "{"])
def test_anything_else_is_no_tags(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON object"):
        tags(text)


def test_file_servers_are_named_by_the_ids_of_file_systems() -> None:
    given = {"fs-1": "nas", "fs-2": "10.0.0.5:/export", "fs-3": "[fd00::5]:/"}
    assert nfs_servers(json.dumps(given)) == given


@pytest.mark.parametrize(
    "text", ["", "[]", '"nas"', '{"fs-1": 1}', '{"fs-1": ""}', '{"fs-1": "nas:x"}', '{"a": "/x"}']
)
def test_anything_else_names_no_file_servers(text: str) -> None:
    with pytest.raises(ValueError, match="must be a JSON object such as"):
        nfs_servers(text)


@pytest.mark.parametrize(
    "text",
    ["/", "/run", "/run/", "/run/hostler/..", "/var/lib", "/run/netns", "//var/run/", "/srv"],
)
def test_a_folder_that_others_use_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a folder of its own"):
        own_folder(text)


def test_a_folder_of_its_own() -> None:
    assert own_folder("//srv//hostler/") == Path("/srv/hostler")
    assert own_folder("/hostler") == Path("/hostler")
    with pytest.raises(ValueError, match="absolute"):
        own_folder("hostler")

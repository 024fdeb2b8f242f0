"""What the text of a setting may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.values import boolean, cluster, duration, own_folder, tags


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


@pytest.mark.parametrize("text", ["lab", " lab ", "arn:aws:ecs:eu-west-1:111122223333:cluster/lab"])
def test_a_cluster_is_a_name_or_an_arn(text: str) -> None:
    assert cluster(text) == "lab"


@pytest.mark.parametrize("text", ["a b", "arn:aws:ecs:x:1:cluster/lab", "a/b", "x" * 256])
def test_anything_else_is_no_cluster(text: str) -> None:
    with pytest.raises(ValueError, match="or a cluster's ARN"):
        cluster(text)


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

"""The spec that everybody may see, and the whole one that is made of it."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.oci.inputs import Private
from agent.oci.private import NAMES_ANNOTATION, build_public_spec, whole_spec
from agent.oci.process import environment
from agent.oci.spec import build_spec
from tests.unit.oci.worlds import inputs

PRIVATE = Private({"A": "hush 1", "B": "hush 1", "C": "hush 1"}, {"C": "hush 2", "E": "hush 2"})
GIVEN = inputs(
    {"environment": [{"name": "B", "value": "given"}, {"name": "D", "value": "given"}]},
    injected={"D": "agent", "E": "agent"},
    private=PRIVATE,
)


def stored(spec: Any) -> Any:
    """As it is read back from where it was written to."""
    return json.loads(json.dumps(spec))


def env(spec: Any) -> dict[str, str]:
    return dict(each.split("=", 1) for each in spec["process"]["env"])


def test_without_private_variables_all_is_public() -> None:
    public = build_public_spec(inputs())
    assert public == build_spec(inputs())
    assert whole_spec(stored(public), Private()) is None


def test_secrets_win_over_all_and_files_over_the_image_alone() -> None:
    whole = env(whole_spec(build_public_spec(GIVEN), PRIVATE))
    assert {name: whole[name] for name in "ABCDE"} == {
        "A": "hush 1",
        "B": "given",
        "C": "hush 2",
        "D": "agent",
        "E": "hush 2",
    }


def test_the_public_spec_has_names_and_no_values() -> None:
    public = build_public_spec(GIVEN)
    assert env(public)["A"] == "image"
    assert "hush" not in json.dumps(public)
    assert "hush" not in repr(GIVEN)
    assert json.loads(public["annotations"][NAMES_ANNOTATION]) == ["A", "C", "E"]


def test_they_differ_in_nothing_else() -> None:
    public = stored(build_public_spec(GIVEN))
    whole = stored(whole_spec(public, PRIVATE))
    assert whole["root"].pop("path") == "../" + public["root"].pop("path")
    assert whole["process"].pop("env") != public["process"].pop("env")
    assert whole == public


def test_a_variable_that_is_gone_from_its_file_is_left_out() -> None:
    whole = whole_spec(stored(build_public_spec(GIVEN)), Private({}, {"C": "hush 2"}))
    assert env(whole).items() >= {"A": "image", "C": "hush 2"}.items()


names = st.sampled_from(["A", "B", "C", "PATH", "HOME", " X"])
variables = st.dictionaries(names, st.text(st.characters(exclude_characters="\0", codec="utf-8")))


@given(files=variables, given_=variables, injected=variables, secrets=variables)
def test_whatever_is_given_where_the_whole_has_all_that_it_should(
    files: dict[str, str],
    given_: dict[str, str],
    injected: dict[str, str],
    secrets: dict[str, str],
) -> None:
    private = Private(files, secrets)
    fields = {"environment": [{"name": name, "value": value} for name, value in given_.items()]}
    asked = inputs(fields, injected=injected, private=private)
    public = build_public_spec(asked)
    assert env(whole_spec(stored(public), private) or public) == environment(asked)
    assert environment(asked).items() >= {**files, **given_, **injected, **secrets}.items()

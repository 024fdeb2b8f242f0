import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry.remote.challenge import Challenge, parse

TOKEN = st.text("abcXYZ019-_.~!#$%&'*+^`|", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))


@pytest.mark.parametrize(
    ("headers", "challenges"),
    [
        ([], []),
        (["Basic"], [("basic", {})]),
        (['Basic realm="a, b"'], [("basic", {"realm": "a, b"})]),
        (["BASIC Realm=plain"], [("basic", {"realm": "plain"})]),
        (
            [
                'Bearer realm="https://auth.example/token",service="r.example",scope="repository:a:pull"'
            ],
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.example/token",
                        "service": "r.example",
                        "scope": "repository:a:pull",
                    },
                )
            ],
        ),
        (['Bearer realm = "a" , scope="b"'], [("bearer", {"realm": "a", "scope": "b"})]),
        ([r'Basic realm="say \"hi\" \\"'], [("basic", {"realm": r'say "hi" \ '.strip()})]),
        (
            ['Basic realm="x", Bearer realm="y",error="invalid_token"'],
            [("basic", {"realm": "x"}), ("bearer", {"realm": "y", "error": "invalid_token"})],
        ),
        (["Negotiate", 'Bearer realm="y"'], [("negotiate", {}), ("bearer", {"realm": "y"})]),
        (["Negotiate, Basic realm=z"], [("negotiate", {}), ("basic", {"realm": "z"})]),
        (["Negotiate YWJj==, Basic realm=z"], [("negotiate", {}), ("basic", {"realm": "z"})]),
        ([", ,Basic realm=z, ,"], [("basic", {"realm": "z"})]),
        (["Basic realm=one, realm=two"], [("basic", {"realm": "one"})]),
        (['Bearer realm=""'], [("bearer", {"realm": ""})]),
        (["="], []),
        (["@@@ Basic realm=z"], []),
        (['Basic realm="z" @@@, Bearer realm=y'], [("basic", {"realm": "z"})]),
    ],
)
def test_challenges(headers: list[str], challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse(headers) == tuple(Challenge(scheme, params) for scheme, params in challenges)


@given(
    st.lists(
        st.tuples(TOKEN, st.dictionaries(TOKEN.map(str.lower), VALUE, min_size=1, max_size=4)),
        max_size=4,
    )
)
def test_what_is_written_by_the_rules_is_read(written: list[tuple[str, dict[str, str]]]) -> None:
    header = ", ".join(
        f"{scheme} " + ", ".join(f"{name}={_quoted(value)}" for name, value in params.items())
        for scheme, params in written
    )
    assert parse([header]) == tuple(Challenge(scheme.lower(), params) for scheme, params in written)


@given(st.lists(st.text()))
def test_nothing_breaks_it(headers: list[str]) -> None:
    for each in parse(headers):
        assert each.scheme == each.scheme.lower()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("part", ['a="', "a=\\", "a ", ",", 'a="\\', "=", "a,", 'a="b",'])
def test_long_headers_cost_little(part: str) -> None:
    assert len(parse(["Bearer " + part * 16_000])) <= 16_001


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry.reference import InvalidReference, Reference, parse

SHA = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("amazon/amazon-ecs-sample", "docker.io/amazon/amazon-ecs-sample:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/a/b", "docker.io/a/b:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("[::1]:5000/app:v1", "[::1]:5000/app:v1"),
        ("Registry/app", "Registry/app:latest"),
        (
            "123456789012.dkr.ecr.eu-west-1.example.com/team/app:v1",
            "123456789012.dkr.ecr.eu-west-1.example.com/team/app:v1",
        ),
        (f"busybox@{SHA}", f"docker.io/library/busybox@{SHA}"),
        (f"host:1/a/b__c.d-e:T_1@{SHA}", f"host:1/a/b__c.d-e:T_1@{SHA}"),
    ],
)
def test_a_reference_means_what_it_means_to_docker(text: str, name: str) -> None:
    assert str(parse(text)) == name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("Busybox", "'Busybox' must be in lower case"),
        ("a/Busybox", "lower case"),
        ("a//b", "'' is not part of a name"),
        ("/a", "'' is not part of a name"),
        ("a..b", "'a..b' is not part of a name"),
        ("a b", "not part of a name"),
        ("a:", "'' is not a tag"),
        ("a:-x", "'-x' is not a tag"),
        ("a:" + "x" * 129, "is not a tag"),
        ("a@sha256:12", "'sha256:12' is not a digest"),
        ("a@", "'' is not a digest"),
        ("-a.example/b", "'-a.example' is not a registry"),
        ("ab" * 32, "image's id"),
        ("a/" * 127 + "bcd", "longer than 255"),
        ("busybox\n", "not part of a name"),
        ("https://example.com/a", "'https:' is not a registry"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse(text)
    assert says in str(caught.value)


PART = st.from_regex(r"[a-z0-9]{1,8}([._-][a-z0-9]{1,8})?", fullmatch=True)
TAG = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
REGISTRY = st.sampled_from(["docker.io", "localhost", "h:5000", "a.example", "[::1]:1"])


@given(REGISTRY, st.lists(PART, min_size=2, max_size=4), st.none() | TAG, st.none() | st.just(SHA))
def test_a_canonical_name_means_itself(
    registry: str, parts: list[str], tag: str | None, digest: str | None
) -> None:
    if tag is None and digest is None:
        tag = "latest"
    reference = Reference(registry, "/".join(parts), tag, digest)
    assert parse(str(reference)) == reference


@given(st.text(alphabet="aB0.:/@_-[] sha256é", max_size=40))
def test_any_text_is_refused_or_has_a_stable_name(text: str) -> None:
    try:
        name = str(parse(text))
    except InvalidReference:
        return
    assert str(parse(name)) == name

"""Names of registries as people write them, and which of several is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.registry.logins.scopes import best, scope

HUB = "docker.io"


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("docker.io", HUB),
        ("https://index.docker.io/v1/", HUB),
        ("http://index.docker.io/v1", HUB),
        ("index.docker.io/v1/", HUB),
        ("registry-1.docker.io", HUB),
        ("https://registry-1.docker.io/v2/", HUB),
        ("https://docker.io/", HUB),
        ("docker.io/team", f"{HUB}/team"),
        ("lab.example:5000", "lab.example:5000"),
        (" HTTPS://Lab.Example:5000/v2/ ", "lab.example:5000"),
        ("http://lab.example", "lab.example"),
        ("lab.example/v2/", "lab.example"),
        ("lab.example/v2", "lab.example/v2"),
        ("https://lab.example/v3/", "lab.example/v3"),
        ("lab.example/team/app/", "lab.example/team/app"),
        ("https://lab.example/team", "lab.example/team"),
        ("[fd00::1]:5000", "[fd00::1]:5000"),
        ("", ""),
    ],
)
def test_what_a_written_registry_means(written: str, means: str) -> None:
    assert scope(written) == means
    assert best([(scope(written), "it")], "other.example", "app") is None


SCOPED = [
    ("lab.example", "host"),
    ("lab.example/team", "team"),
    ("lab.example/team/app", "app"),
    ("lab.example/team", "second"),
    ("lab.example:5000", "port"),
    ("docker.io", "hub"),
    ("", "empty"),
]


@pytest.mark.parametrize(
    ("host", "repository", "found"),
    [
        ("lab.example", "other", "host"),
        ("lab.example", "team", "team"),
        ("lab.example", "team/x", "team"),
        ("lab.example", "teams/x", "host"),
        ("lab.example", "team/app", "app"),
        ("lab.example", "team/app/x", "app"),
        ("lab.example", "team/apps", "team"),
        ("LAB.example", "x", "host"),
        ("lab.example:5000", "team/app", "port"),
        ("lab.example:5001", "team/app", None),
        ("lab.example.org", "team/app", None),
        ("b.example", "lab.example", None),
        ("docker.io", "library/hello", "hub"),
        ("registry-1.docker.io", "library/hello", "hub"),
    ],
)
def test_the_longest_scope_wins_in_whole_parts(
    host: str, repository: str, found: str | None
) -> None:
    assert best(SCOPED, host, repository) == found


HOSTS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}(:[0-9]{1,4})?", fullmatch=True)
PATHS = st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,3}", fullmatch=True)


@given(
    HOSTS, PATHS, st.sampled_from(["{}", "https://{}", "http://{}/", "https://{}/v2/", "{}/v1/"])
)
def test_any_form_of_a_host_is_the_host(host: str, repository: str, form: str) -> None:
    assert best([(scope(form.format(host)), "it")], host, repository) == "it"


@given(HOSTS, PATHS, HOSTS, PATHS)
def test_no_scope_is_good_for_another_host_or_beside_its_path(
    host: str, repository: str, other: str, path: str
) -> None:
    found = best([(scope(f"{other}/{path}"), "it")], host, repository)
    below = repository == path or repository.startswith(f"{path}/")
    assert (found == "it") is (host == other and below)

"""What runs in a container, with which environment and limits."""

from typing import Any

import pytest

from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig
from agent.oci.process import DEFAULT_PATH, arguments, environment, process
from agent.oci.user import User
from tests.unit.oci.worlds import inputs


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("/entry", "serve")),
        ({"command": ["other"]}, ("/entry", "other")),
        ({"entryPoint": ["/mine"]}, ("/mine",)),
        ({"entryPoint": ["/mine"], "command": ["x"]}, ("/mine", "x")),
        ({"entryPoint": [""], "command": ["x"]}, ("x",)),
        ({"entryPoint": [], "command": []}, ("/entry", "serve")),
    ],
)
def test_arguments_follow_the_rules_of_entry_points(
    fields: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert arguments(inputs(fields)) == expected


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(SpecError, match="no command specified"):
        process(inputs(image=ImageConfig()))
    with pytest.raises(SpecError, match="no command specified"):
        process(inputs({"entryPoint": [""]}))


def test_the_agent_wins_over_the_definition_and_that_over_the_image() -> None:
    given = inputs(
        {"environment": [{"name": "A", "value": "user"}, {"name": "B", "value": "user"}]},
        injected={"B": "agent"},
    )
    assert environment(given) == {
        "PATH": "/app:/bin",
        "HOSTNAME": "web-1",
        "HOME": "/root",
        "A": "user",
        "B": "agent",
    }


def test_an_image_without_path_gets_the_usual_one() -> None:
    assert environment(inputs(image=ImageConfig()))["PATH"] == DEFAULT_PATH


def test_a_terminal_has_a_type() -> None:
    assert environment(inputs({"pseudoTerminal": True}))["TERM"] == "xterm"


def test_home_is_the_users_unless_the_image_sets_it() -> None:
    user = User(1, 1, (1,), "/home/one")
    assert environment(inputs(user=user))["HOME"] == "/home/one"
    own = ImageConfig(env=("HOME=/app", "EMPTY"))
    assert environment(inputs(user=user, image=own))["HOME"] == "/app"


def test_the_working_directory_falls_back_to_the_image_and_the_root() -> None:
    image = ImageConfig(cmd=("x",), working_dir="/app")
    assert process(inputs({"workingDirectory": "/srv"}, image=image))["cwd"] == "/srv"
    assert process(inputs(image=image))["cwd"] == "/app"
    assert process(inputs())["cwd"] == "/"


def test_an_init_comes_first_except_among_the_processes_of_the_host() -> None:
    fields = {"linuxParameters": {"initProcessEnabled": True}}
    with_init = inputs(fields, init_path="/usr/bin/catatonit")
    assert process(with_init)["args"][:2] == ["/sbin/docker-init", "--"]
    shared = inputs(fields, init_path="/usr/bin/catatonit", pid_mode="host")
    assert process(shared)["args"] == ["/entry", "serve"]


def test_an_init_that_the_host_lacks_is_an_error() -> None:
    with pytest.raises(SpecError, match="catatonit"):
        process(inputs({"linuxParameters": {"initProcessEnabled": True}}))


def test_ulimits_replace_the_default_and_minus_one_is_no_limit() -> None:
    limits = [{"name": "nofile", "softLimit": 5, "hardLimit": -1}]
    assert process(inputs({"ulimits": limits}))["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 5, "hard": 2**64 - 1}
    ]
    assert process(inputs())["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288}]

"""Settings: which source wins, what values mean, and how a bad one is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import ConfigError, Settings, duration, load


def written(folder: Path, text: str, name: str = "hostler.config") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def set_to(**values: str) -> Settings:
    return load(values, {}, ())


def test_without_any_source_there_are_defaults() -> None:
    assert load({}, {}, ()) == Settings()


def test_a_flag_beats_the_environment_beats_the_files(tmp_path: Path) -> None:
    ecs = written(tmp_path, "ECS_CLUSTER=ecs\nAWS_DEFAULT_REGION=ecs\n", "ecs.config")
    ours = written(tmp_path, "ECS_CLUSTER=ours\n")
    files = (ecs, ours)
    assert load({}, {}, files).region == "ecs"
    assert load({}, {}, files).cluster == "ours"
    assert load({}, {"ECS_CLUSTER": "env"}, files).cluster == "env"
    assert load({"ECS_CLUSTER": "flag"}, {"ECS_CLUSTER": "env"}, files).cluster == "flag"


def test_an_empty_value_hides_nothing(tmp_path: Path) -> None:
    files = (written(tmp_path, "ECS_CLUSTER=lab\n"), written(tmp_path, "ECS_CLUSTER=\n", "b"))
    assert load({"ECS_CLUSTER": ""}, {"ECS_CLUSTER": ""}, files).cluster == "lab"


def test_a_file_may_have_comments_blank_lines_and_spaces(tmp_path: Path) -> None:
    path = written(tmp_path, "# hello\n\n   # there\n  ECS_CLUSTER = lab  \nECS_SOMETHING=a=b\n")
    assert load({}, {}, (path,)).cluster == "lab"


def test_a_missing_file_is_an_empty_one(tmp_path: Path) -> None:
    assert load({}, {}, (tmp_path / "none",)) == Settings()


@pytest.mark.parametrize("line", ["ECS_CLUSTER", "=lab", "export"])
def test_a_line_that_is_no_setting_is_named(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"# one\n{line}\n")
    with pytest.raises(ConfigError, match=rf"hostler\.config line 2: '{line}' is not KEY=VALUE"):
        load({}, {}, (path,))


def test_a_bad_value_is_named_with_its_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "\n\nHOSTLER_BRIDGE_SUBNET=10.0.0.0/33\n")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, (path,))
    assert str(caught.value).startswith(f"HOSTLER_BRIDGE_SUBNET=10.0.0.0/33 ({path} line 3): ")


def test_a_bad_value_is_named_with_where_else_it_was_set() -> None:
    with pytest.raises(ConfigError, match=r"^ECS_LOGLEVEL=loud \(the command line\): must be crit"):
        load({"ECS_LOGLEVEL": "loud"}, {}, ())
    with pytest.raises(ConfigError, match=r"^ECS_LOGLEVEL=loud \(the environment\): must be crit"):
        load({}, {"ECS_LOGLEVEL": "loud"}, ())


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(b"ECS_CLUSTER=\xff\n")
    with pytest.raises(ConfigError, match=f"can't read {path}"):
        load({}, {}, (path,))
    with pytest.raises(ConfigError, match=f"can't read {tmp_path}"):
        load({}, {}, (tmp_path,))


def test_a_misspelt_name_of_ours_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, "HOSTLER_BRIGDE=\n")
    for flags, environ, files in (
        ({"HOSTLER_BRIGDE": "x"}, {}, ()),
        ({}, {"HOSTLER_BRIGDE": "x"}, ()),
        ({}, {}, (path,)),
    ):
        with pytest.raises(ConfigError, match=r"HOSTLER_BRIGDE .* is no setting of Hostler") as it:
            load(flags, environ, files)
        assert "HOSTLER_BRIDGE," in str(it.value)


def test_what_is_not_ours_is_left_alone() -> None:
    assert load({}, {"ECS_UPDATES_ENABLED": "perhaps", "PATH": "/bin"}, ()) == Settings()


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
    ("text", "stop", "create", "start", "keep"),
    [
        ("0s", 30, 240, 180, 10800),
        ("10ms", 1, 60, 45, 10800),
        ("50s", 50, 60, 50, 50),
        ("10m", 600, 600, 600, 600),
    ],
)
def test_times_have_the_bounds_of_the_ecs_agent(
    text: str, stop: float, create: float, start: float, keep: float
) -> None:
    settings = set_to(
        ECS_CONTAINER_STOP_TIMEOUT=text,
        ECS_CONTAINER_CREATE_TIMEOUT=text,
        ECS_CONTAINER_START_TIMEOUT=text,
        ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION=text,
    )
    assert settings.stop_timeout_s == stop
    assert settings.create_timeout_s == create
    assert settings.start_timeout_s == start
    assert settings.keep_stopped_s == keep


def test_a_range_of_ports_has_two_ends() -> None:
    assert set_to(ECS_DYNAMIC_HOST_PORT_RANGE="49153-65535").port_range == (49153, 65535)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("off", None),
        ("127.0.0.1:51680", ("127.0.0.1", 51680)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_the_api_listens_where_it_is_told(text: str, address: tuple[str, int] | None) -> None:
    assert set_to(HOSTLER_API_LISTEN=text).api_listen == address


def test_without_being_told_the_api_listens_on_loopback() -> None:
    assert Settings().api_listen == ("127.0.0.1", 51680)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HOSTLER_API_LISTEN", "on"),
        ("HOSTLER_API_LISTEN", "51680"),
        ("HOSTLER_API_LISTEN", ":51680"),
        ("HOSTLER_API_LISTEN", "localhost:51680"),
        ("HOSTLER_API_LISTEN", "127.0.0.1:0"),
        ("HOSTLER_API_LISTEN", "127.0.0.1:65536"),
        ("HOSTLER_API_LISTEN", "127.0.0.256:1"),
        ("HOSTLER_API_LISTEN", "::1:51680"),
        ("HOSTLER_API_LISTEN", "[127.0.0.1:1"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "5-4"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "0-4"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "1-65536"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "80"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "²-9"),
        ("HOSTLER_STATE_DIR", "relative"),
        ("HOSTLER_ACCOUNT", "123"),
        ("HOSTLER_ACCOUNT", "\u0661" * 12),
        ("HOSTLER_CONTAINERD", "sometimes"),
        ("HOSTLER_BRIDGE", "a-name-that-is-too-long"),
        ("HOSTLER_BRIDGE_SUBNET", "10.0.0.0/30"),
        ("HOSTLER_BRIDGE_SUBNET", "10.0.0.1/24"),
        ("HOSTLER_CGROUP_PARENT", "relative"),
        ("HOSTLER_CGROUP_PARENT", "/"),
        ("HOSTLER_VETH_PREFIX", "toolong"),
        ("HOSTLER_NFT_TABLE", "1st"),
        ("ECS_CLUSTER", "a b"),
        ("ECS_CONTAINER_STOP_TIMEOUT", "30"),
    ],
)
def test_a_value_that_can_not_be_meant_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}="):
        set_to(**{name: text})


def test_paths_follow_from_the_settings() -> None:
    settings = set_to(HOSTLER_RUN_DIR="/run/x", HOSTLER_STATE_DIR="/var/x")
    assert settings.api_socket == Path("/run/x/api.sock")
    assert settings.credentials == Path("/var/x/credentials")
    assert settings.names.run_dir == Path("/run/x")
    assert settings.names.state_dir == Path("/var/x")

"""Settings: which source wins, what values mean, and how a bad one is named."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import pytest

from agent.config import ConfigError, load, salvaged
from agent.settings import Settings


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


@pytest.mark.parametrize("line", ["ECS_CLUSTER", "=lab", "export", '{"password": "lab"}'])
def test_a_line_that_is_no_setting_is_named_and_not_quoted(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"# one\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load({}, {}, (path,))
    assert str(caught.value) == f"{path} line 2 is not KEY=VALUE"


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
        assert str(it.value).endswith("; did you mean HOSTLER_BRIDGE?")


def test_a_name_like_none_of_ours_is_told_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"HOSTLER_QQ .*; there are HOSTLER_STATE_DIR, HOSTLER_R"):
        load({"HOSTLER_QQ": "x"}, {}, ())


def test_what_is_not_ours_is_left_alone() -> None:
    assert load({}, {"ECS_UPDATES_ENABLED": "perhaps", "PATH": "/bin"}, ()) == Settings()


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
        ("HOSTLER_BRIDGE_SUBNET6", "fd00::/125"),
        ("HOSTLER_BRIDGE_SUBNET6", "10.0.0.0/16"),
        ("HOSTLER_BRIDGE_BLOCK_IMDS", "yes"),
        ("ECS_CNI_PLUGINS_PATH", "/a:b"),
        ("HOSTLER_ENI_PROVIDER", "dhcp"),
        ("HOSTLER_ENI_LIMIT", "0"),
        ("HOSTLER_ENI_LIMIT", "-1"),
        ("HOSTLER_ENI_SUBNET", "10.0.0.0/24,10.0.1.0/24"),
        ("HOSTLER_ENI_SUBNET", "10.0.0.1/24"),
        ("HOSTLER_ENI_GATEWAY", "10.0.0.0/24"),
        ("HOSTLER_ENI_RANGE", "10.0.0.1"),
        ("HOSTLER_ENI_RANGE", "10.0.0.9-10.0.0.1"),
        ("HOSTLER_ENI_RANGE", "10.0.0.9-fd00::1"),
        ("HOSTLER_ENI_RANGE", "10.0.0.1-10.0.0.2,10.0.0.5-10.0.0.6"),
        ("HOSTLER_EC2_SUBNETS", "subnet-1"),
        ("HOSTLER_EC2_INSTANCE_ID", "sg-0123abcd"),
        ("ECS_ENABLE_GPU_SUPPORT", "yes"),
        ("HOSTLER_GPU_KIND", "nvidia"),
        ("HOSTLER_CDI_DIRS", "cdi"),
        ("HOSTLER_CPU", "0"),
        ("HOSTLER_CPU", "two"),
        ("HOSTLER_MEMORY", "0"),
        ("HOSTLER_MEMORY", "4g"),
        ("ECS_RESERVED_MEMORY", "-1"),
        ("ECS_RESERVED_MEMORY", "65536"),
        ("ECS_RESERVED_PORTS", "22"),
        ("ECS_RESERVED_PORTS", "[22, 0]"),
        ("ECS_RESERVED_PORTS", "[true]"),
        ("ECS_RESERVED_PORTS", '["22"]'),
        ("ECS_RESERVED_PORTS_UDP", "[65536]"),
        ("ECS_RESERVED_PORTS_UDP", "53,54"),
        ("ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION_JITTER", "5"),
        ("ECS_INSTANCE_ATTRIBUTES", "[]"),
        ("ECS_ENABLE_SPOT_INSTANCE_DRAINING", "on"),
        ("HOSTLER_SPOT_NOTICE", "notice"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://host/latest"),
    ],
)
def test_a_value_that_can_not_be_meant_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}="):
        set_to(**{name: text})


def test_gpus_are_looked_for_where_it_is_usual_or_said() -> None:
    assert set_to().cdi_dirs == (Path("/etc/cdi"), Path("/var/run/cdi"))
    given = set_to(
        ECS_ENABLE_GPU_SUPPORT="true", HOSTLER_CDI_DIRS="/a:/b", HOSTLER_GPU_KIND="amd.com/gpu"
    )
    assert (given.gpus, given.cdi_dirs) == (True, (Path("/a"), Path("/b")))
    assert given.gpu_kind == "amd.com/gpu"


def test_paths_follow_from_the_settings() -> None:
    settings = set_to(HOSTLER_RUN_DIR="/run/x", HOSTLER_STATE_DIR="/var/x")
    assert settings.api_socket == Path("/run/x/api.sock")
    assert settings.credentials == Path("/var/x/credentials")
    assert settings.names.run_dir == Path("/run/x")
    assert settings.names.state_dir == Path("/var/x")


def test_tasks_get_no_interfaces_unless_some_are_set() -> None:
    assert set_to().eni_provider == "none"
    assert set_to(HOSTLER_ENIS="/etc/hostler/enis.json").eni_provider == "pool"
    macvlan = set_to(HOSTLER_ENI_PARENT="eth1", HOSTLER_ENI_SUBNET="10.0.5.0/24")
    assert macvlan.eni_provider == "macvlan"
    assert set_to(HOSTLER_ENIS="/f", HOSTLER_ENI_PROVIDER="none").eni_provider == "none"


def test_two_sources_of_interfaces_need_a_choice() -> None:
    both = {"HOSTLER_ENIS": "/f", "HOSTLER_ENI_PARENT": "eth1", "HOSTLER_ENI_SUBNET": "10.0.5.0/24"}
    with pytest.raises(ConfigError, match=r"HOSTLER_ENIS and HOSTLER_ENI_PARENT are both set"):
        set_to(**both)
    assert set_to(**both, HOSTLER_ENI_PROVIDER="pool").eni_provider == "pool"


ON_ETH1 = {"HOSTLER_ENI_PARENT": "eth1", "HOSTLER_ENI_SUBNET": "10.0.5.0/24,fd00:5::/64"}


def test_a_parent_has_networks_gateways_and_ranges_of_both_families() -> None:
    settings = set_to(
        **ON_ETH1,
        HOSTLER_ENI_GATEWAY="fd00:5::1, 10.0.5.254",
        HOSTLER_ENI_RANGE="10.0.5.64-10.0.5.127",
    )
    assert settings.eni_subnets == (IPv4Network("10.0.5.0/24"), IPv6Network("fd00:5::/64"))
    assert settings.eni_gateways == (IPv6Address("fd00:5::1"), IPv4Address("10.0.5.254"))
    assert settings.eni_ranges == ((IPv4Address("10.0.5.64"), IPv4Address("10.0.5.127")),)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"HOSTLER_ENI_PROVIDER": "pool"}, "HOSTLER_ENI_PROVIDER=pool needs HOSTLER_ENIS"),
        ({"HOSTLER_ENI_PARENT": "eth1"}, "need both HOSTLER_ENI_PARENT.* and HOSTLER_ENI_SUBNET"),
        ({"HOSTLER_ENI_PROVIDER": "macvlan"}, "need both HOSTLER_ENI_PARENT"),
        ({"HOSTLER_ENI_SUBNET": "10.0.5.0/24"}, "HOSTLER_ENI_SUBNET is of no use without"),
        ({"HOSTLER_ENI_GATEWAY": "10.0.5.1"}, r"GATEWAY: 10\.0\.5\.1 is not in .*, which is unset"),
        (
            {**ON_ETH1, "HOSTLER_ENI_GATEWAY": "10.0.6.1"},
            r"HOSTLER_ENI_GATEWAY: 10\.0\.6\.1 is not in HOSTLER_ENI_SUBNET, which is 10\.0\.5\.0",
        ),
        (
            {**ON_ETH1, "HOSTLER_ENI_RANGE": "10.0.5.200-10.0.6.10"},
            r"HOSTLER_ENI_RANGE: 10\.0\.6\.10 is not in HOSTLER_ENI_SUBNET",
        ),
        (
            {"HOSTLER_API_LISTEN": "127.0.0.1:51678"},
            "HOSTLER_API_LISTEN and HOSTLER_INTROSPECTION_LISTEN are the same address",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_named(given: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        set_to(**given)


def test_routes_past_the_interface_of_a_task_are_refused() -> None:
    assert set_to(ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES="[]") == Settings()
    with pytest.raises(ConfigError, match=r"^ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES=\[\"10\.0\.0\.0"):
        set_to(ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES='["10.0.0.0/8"]')


def test_plugins_are_looked_for_where_the_ecs_agent_or_a_search_path_says() -> None:
    assert set_to(ECS_CNI_PLUGINS_PATH="/a").cni_plugin_path == (Path("/a"),)
    assert set_to(ECS_CNI_PLUGINS_PATH="/a:/b/c").cni_plugin_path == (Path("/a"), Path("/b/c"))


def test_instance_metadata_is_hidden_unless_asked_for() -> None:
    assert Settings().bridge_block_imds
    assert Settings().awsvpc_block_imds
    shown = set_to(HOSTLER_BRIDGE_BLOCK_IMDS="false", ECS_AWSVPC_BLOCK_IMDS="0")
    assert not shown.bridge_block_imds
    assert not shown.awsvpc_block_imds


def test_awsvpc_can_be_switched_off() -> None:
    assert not set_to(ECS_ENABLE_TASK_ENI="False").awsvpc


def test_aws_ids_are_lists_with_commas() -> None:
    settings = set_to(HOSTLER_EC2_SUBNETS="subnet-0123abcd, subnet-4567cdef")
    assert settings.ec2_subnets == ("subnet-0123abcd", "subnet-4567cdef")


def test_what_a_host_has_for_tasks_can_be_set() -> None:
    shown = set_to(HOSTLER_CPU="512", HOSTLER_MEMORY="1", ECS_RESERVED_MEMORY="65535")
    assert (shown.cpu_units, shown.memory_mib, shown.reserved_memory_mib) == (512, 1, 65535)


def test_an_empty_list_of_reserved_ports_is_none_as_with_the_ecs_agent() -> None:
    shown = set_to(ECS_RESERVED_PORTS="[]", ECS_RESERVED_PORTS_UDP="[]")
    assert shown == Settings()
    assert shown.reserved_ports is None
    shown = set_to(ECS_RESERVED_PORTS="[22, 22, 80]", ECS_RESERVED_PORTS_UDP="[53]")
    assert shown.reserved_ports == frozenset({22, 80})
    assert shown.reserved_ports_udp == frozenset({53})


@pytest.mark.parametrize("text", ["http://127.0.0.1:1338", "http://127.0.0.1:1338/"])
def test_the_instance_metadata_service_may_be_elsewhere(text: str) -> None:
    shown = set_to(AWS_EC2_METADATA_SERVICE_ENDPOINT=text)
    assert shown.metadata_service == "http://127.0.0.1:1338"
    assert set_to(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://[fd00:ec2::254]").metadata_service


def test_a_host_may_be_given_notice() -> None:
    shown = set_to(ECS_ENABLE_SPOT_INSTANCE_DRAINING="true", HOSTLER_SPOT_NOTICE="/run/notice")
    assert (shown.spot_draining, shown.spot_notice) == (True, Path("/run/notice"))


def test_what_can_be_used_of_wrong_settings_is_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "hostler.config"
    path.write_text(
        "HOSTLER_BRIGDE=lab1\nHOSTLER_NFT_TABLE=lab\nnonsense\nECS_LOGLEVEL=loud\n"
        "HOSTLER_ENIS=/enis\nHOSTLER_ENI_PARENT=eth1\nECS_CLUSTER=lab\n"
    )
    json = tmp_path / "ecs.config.json"
    json.write_text("{")
    found, problems = salvaged({"HOSTLER_RUN_DIR": "/run/lab"}, {}, (json, path, tmp_path))
    assert found == replace(
        Settings(),
        nft_table="lab",
        enis=Path("/enis"),
        eni_parent="eth1",
        cluster="lab",
        run_dir=Path("/run/lab"),
    )
    for said, problem in zip(
        (
            f"{path} line 3 is not KEY=VALUE",
            f"can't read {tmp_path}: ",
            f"{json} is not JSON: ",
            f"HOSTLER_BRIGDE ({path} line 1) is no setting of Hostler; did you mean",
            f"ECS_LOGLEVEL=loud ({path} line 4): must be",
            "HOSTLER_ENIS and HOSTLER_ENI_PARENT are both set",
        ),
        problems,
        strict=True,
    ):
        assert problem.startswith(said), problem


def test_settings_that_contradict_each_other_are_salvaged_all_the_same() -> None:
    found, problems = salvaged({"HOSTLER_ENI_PROVIDER": "pool", "ECS_CLUSTER": "lab"}, {}, ())
    assert (found.eni_provider, found.cluster) == ("pool", "lab")
    assert problems == ["HOSTLER_ENI_PROVIDER=pool needs HOSTLER_ENIS, the file of interfaces"]


def test_of_good_settings_nothing_is_told() -> None:
    assert salvaged({"ECS_CLUSTER": "lab"}, {}, ()) == (replace(Settings(), cluster="lab"), [])

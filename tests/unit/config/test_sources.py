"""What is said about settings: where each is from, what was adjusted, what has no effect."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import config, nftwords
from agent.config import ConfigError, Given, read
from agent.config.ecsnames import IN_CONTAINERS, REFUSED, WITHOUT_EFFECT
from agent.config.shown import lasting, shown
from agent.config.values import duration
from agent.settings import Settings


def written(folder: Path, text: str, name: str = "ecs.config") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_where_each_setting_comes_from_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, "\nECS_CLUSTER=file\nHOSTLER_BRIDGE=\nECS_LOGLEVEL=warn\n")
    loaded = read({"HOSTLER_BRIDGE": "lab0"}, {"ECS_LOGLEVEL": "debug"}, (path,))
    assert loaded.given == {
        "HOSTLER_BRIDGE": Given("lab0", "the command line"),
        "ECS_CLUSTER": Given("file", f"{path} line 2"),
        "ECS_LOGLEVEL": Given("debug", "the environment"),
    }
    assert loaded.warnings == ()


def test_what_ecs_would_adjust_is_adjusted_and_told(tmp_path: Path) -> None:
    path = written(tmp_path, "ECS_CONTAINER_STOP_TIMEOUT=500ms\nECS_IMAGE_PULL_BEHAVIOR=Once\n")
    loaded = read({}, {}, (path,))
    assert loaded.settings.stop_timeout_s == 1.0
    assert loaded.settings.pull_behavior == "default"
    assert loaded.warnings == (
        f"ECS_CONTAINER_STOP_TIMEOUT=500ms ({path} line 1) is below 1s: it is 1s",
        f"ECS_IMAGE_PULL_BEHAVIOR=Once ({path} line 2) is none of default, always, once, "
        "prefer-cached: it is default",
    )


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read({"ECS_CLUSTER": "a b", "HOSTLER_BRIDGE": "too long a name for it"}, {}, ())
    first, second = str(caught.value).split("; ")
    assert first.startswith("HOSTLER_BRIDGE=too long a name for it (the command line): must be")
    assert second.startswith("ECS_CLUSTER=a b (the command line): must be")


def test_a_misspelt_name_of_ecs_is_told_with_the_nearest(tmp_path: Path) -> None:
    path = written(tmp_path, "ECS_CONTANER_STOP_TIMEOUT=50s\nECS_ZZZZ=1\n")
    assert read({}, {}, (path,)).warnings == (
        f"ECS_CONTANER_STOP_TIMEOUT ({path} line 1) is not known, so it has no effect; "
        "did you mean ECS_CONTAINER_STOP_TIMEOUT?",
        f"ECS_ZZZZ ({path} line 2) is not known, so it has no effect",
    )


def test_what_an_agent_tells_its_containers_is_no_setting() -> None:
    environ = dict.fromkeys(IN_CONTAINERS, "x")
    assert read({}, environ, ()).warnings == ()


@pytest.mark.parametrize("name", sorted(set(WITHOUT_EFFECT) - set(config.names())))
def test_what_has_no_effect_is_accepted_and_told_with_the_reason(name: str) -> None:
    loaded = read({}, {name: "whatever"}, ())
    assert loaded.settings == Settings()
    assert loaded.warnings == ()
    assert loaded.ignored == {
        name: (Given("whatever", "the environment"), WITHOUT_EFFECT[name]),
    }


def test_no_setting_stands_in_two_tables() -> None:
    tables: list[set[str]] = [set(config.names()), set(WITHOUT_EFFECT), set(REFUSED)]
    assert sum(map(len, tables)) == len(set.union(*tables))


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_missed_is_refused(name: str) -> None:
    harmless, why = REFUSED[name]
    for text in ("", *harmless):
        assert read({}, {name: text}, ()).settings == Settings()
    with pytest.raises(ConfigError) as caught:
        read({}, {name: "true"}, ())
    assert str(caught.value) == f"{name}=true (the environment): {why}"


def test_a_secret_is_in_no_error() -> None:
    secret = {"ECS_ENGINE_AUTH_TYPE": "docker", "ECS_ENGINE_AUTH_DATA": '{"x": "hunter2"'}
    with pytest.raises(ConfigError) as caught:
        read(secret, {}, ())
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(read({"ECS_ENGINE_AUTH_DATA": ""}, {}, ()).settings)


def test_variables_for_the_agents_own_environment_may_stand_in_files(tmp_path: Path) -> None:
    text = "HTTPS_PROXY=http://file:1\nNO_PROXY=lab\nAWS_PROFILE=lab\nPATH=/evil\nhttp_proxy=x\n"
    path = written(tmp_path, text)
    loaded = read({}, {"NO_PROXY": "given"}, (path,))
    assert loaded.environment == {
        "HTTPS_PROXY": "http://file:1",
        "AWS_PROFILE": "lab",
        "http_proxy": "x",
    }


JSON: dict[str, Any] = {
    "Cluster": "lab",
    "awsregion": "eu-west-1",
    "DockerStopTimeout": 90 * 10**9,
    "ImagePullBehavior": 3,
    "DisableMetrics": True,
    "TaskENIEnabled": False,
    "AWSVPCBlockInstanceMetdata": None,
    "NumImagesToDeletePerCycle": 7,
    "ContainerInstanceTags": {"rack": "7"},
    "ImageCleanupExclusionList": ["a", "b"],
    "TaskMetadataSteadyStateRate": 10,
    "TaskMetadataBurstRate": 20,
    "EngineAuthType": "docker",
    "EngineAuthData": {"lab.example": {"username": "u", "password": "p"}},
    "DataDir": "/data",
    "CredentialsAuditLogFile": "",
}


def test_the_json_file_of_the_ecs_agent_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(JSON), "agent.json")
    loaded = read({}, {"ECS_AGENT_CONFIG_FILE_PATH": str(path)}, ())
    found = loaded.settings
    assert (found.cluster, found.region, found.stop_timeout_s) == ("lab", "eu-west-1", 90.0)
    assert (found.pull_behavior, found.metrics_disabled, found.awsvpc) == (
        "prefer-cached",
        True,
        False,
    )
    assert found.awsvpc_block_imds
    assert (found.images_per_cycle, found.instance_tags) == (7, {"rack": "7"})
    assert found.kept_images == {"a", "b"}
    assert found.metadata_rate == (10.0, 20)
    assert json.loads(found.engine_auth_data) == JSON["EngineAuthData"]
    assert found.audit_log == Settings().audit_log
    assert loaded.given["ECS_CLUSTER"].where == f"Cluster of {path}"
    assert set(loaded.ignored) == {"ECS_DATADIR"}


def test_the_json_file_is_the_weakest_source(tmp_path: Path) -> None:
    usual = written(tmp_path, '{"Cluster": "usual"}', "ecs.config.json")
    named = written(tmp_path, '{"Cluster": "named"}', "other")
    plain = written(tmp_path, f"ECS_AGENT_CONFIG_FILE_PATH={named}\n")
    assert read({}, {}, (usual,)).settings.cluster == "usual"
    assert read({}, {}, (usual, plain)).settings.cluster == "named"
    assert read({}, {"ECS_CLUSTER": "env"}, (usual, plain)).settings.cluster == "env"
    assert read({}, {}, (usual, written(tmp_path, "ECS_CLUSTER=file\n"))).settings.cluster == "file"


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_a_json_file_without_settings_is_fine(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text, "x.json")
    assert read({}, {}, (path, tmp_path / "none.json")).settings == Settings()


def test_a_key_that_is_not_known_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, '{"Custer": "lab"}', "x.json")
    assert read({}, {}, (path,)).warnings == (
        f"Custer of {path} is not known, so it has no effect",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ("[" * 100_000, "is not JSON"),
        ('{"Cluster": 7}', "Cluster of .* can't be a number like this"),
        ('{"DisableMetrics": "yes"}', "DisableMetrics of .* can't be a text like this"),
        ('{"DockerStopTimeout": "30s"}', "DockerStopTimeout of .* can't be a text like this"),
        ('{"DockerStopTimeout": true}', "DockerStopTimeout of .* can't be true or false"),
        ('{"ImagePullBehavior": 9}', "ImagePullBehavior of .* can't be a number"),
        ('{"ImageCleanupExclusionList": {"a": 1}}', "can't be an object like this"),
        ('{"ImageCleanupExclusionList": [1]}', "can't be a list like this"),
        ('{"AWSRegion": "A B"}', r"AWS_DEFAULT_REGION=A B \(AWSRegion of .*\): must be a region"),
        ('{"AWSVPCAdditionalLocalRoutes": ["10.0.0.0/8"]}', "ECS_AWSVPC_ADDITIONAL_LOCAL_ROUTES="),
    ],
)
def test_a_json_file_that_can_not_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text, "x.json")
    with pytest.raises(ConfigError, match=said):
        read({}, {}, (path,))


def test_the_json_file_is_named_by_its_whole_path() -> None:
    with pytest.raises(ConfigError, match=r"^ECS_AGENT_CONFIG_FILE_PATH=x \(the environment\): "):
        read({}, {"ECS_AGENT_CONFIG_FILE_PATH": "x"}, ())


SAMPLES = {
    "HOSTLER_API_LISTEN": "[::1]:51680",
    "ECS_CONTAINER_STOP_TIMEOUT": "1m30s",
    "ECS_DYNAMIC_HOST_PORT_RANGE": "100-200",
    "HOSTLER_BRIDGE_SUBNET6": "fd00:213::/64",
    "ECS_CNI_PLUGINS_PATH": "/a:/b",
    "HOSTLER_ENI_SUBNET": "10.0.5.0/24,fd00:5::/64",
    "HOSTLER_ENI_GATEWAY": "10.0.5.1,fd00:5::1",
    "HOSTLER_ENI_RANGE": "10.0.5.64-10.0.5.127",
    "HOSTLER_EC2_SUBNETS": "subnet-0123abcd,subnet-4567cdef",
    "ECS_TASK_METADATA_RPS_LIMIT": "7,9",
    "ECS_CONTAINER_INSTANCE_TAGS": '{"rack": "7"}',
    "HOSTLER_LAYER_LIMIT": "33g",
    "ECS_EXCLUDE_UNTRACKED_IMAGE": "a,b",
    "HOSTLER_ENI_LIMIT": "3",
    "ECS_DISABLE_METRICS": "true",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_shown_of_a_value_is_read_as_the_same(name: str) -> None:
    value = config.parsed(name, SAMPLES[name])
    assert shown(value) == SAMPLES[name]


@given(st.floats(0, 1e6).map(lambda it: round(it, 3)))
def test_a_duration_that_is_shown_is_read_as_the_same(seconds: float) -> None:
    assert duration(lasting(seconds)) == pytest.approx(seconds, abs=1e-6)


def test_reserved_words_are_what_nft_does_not_take(tmp_path: Path) -> None:
    """Asked of this host's nft, which must not know words that are missing here."""
    tried = sorted({*nftwords.RESERVED, "hostler", "accounting", "web", "lab", "docker"})
    refused = set()
    for each in tried:
        command = ["nft", "--check", "add", "table", "inet", each]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            refused.add(each)
    later = {"destroy", "geneve", "gre", "gretap", "last", "string", "vxlan"}
    assert nftwords.RESERVED - later <= refused <= nftwords.RESERVED

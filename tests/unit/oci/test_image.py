"""Image configs as registries serve them."""

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.oci.errors import SpecError
from agent.oci.image import ImageConfig, parse_image_config


def test_a_config_is_read() -> None:
    blob = {
        "architecture": "arm",
        "variant": "v7",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {
            "User": "web",
            "ExposedPorts": {"80/tcp": {}},
            "Env": ["PATH=/bin"],
            "Entrypoint": ["/run"],
            "Cmd": None,
            "Volumes": {"/data": {}},
            "WorkingDir": "/app",
            "Labels": {"a": "b"},
            "StopSignal": "SIGQUIT",
            "Healthcheck": {"Test": ["CMD", "/check"]},
            "ArgsEscaped": True,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:1", "sha256:2"]},
        "history": [],
    }
    assert parse_image_config(json.dumps(blob)) == ImageConfig(
        entrypoint=("/run",),
        env=("PATH=/bin",),
        user="web",
        working_dir="/app",
        stop_signal="SIGQUIT",
        labels={"a": "b"},
        exposed_ports=("80/tcp",),
        volumes=("/data",),
        architecture="arm",
        variant="v7",
        os="linux",
        diff_ids=("sha256:1", "sha256:2"),
        created="2024-01-01T00:00:00Z",
        health_check={"Test": ["CMD", "/check"]},
    )


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"config": null}',
        '{"config": {"Cmd": null}}',
        '{"created": 1, "variant": [], "config": {"Healthcheck": "none"}}',
    ],
)
def test_an_empty_config_means_the_defaults(text: bytes | str) -> None:
    assert parse_image_config(text) == ImageConfig()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"config": {"Env": [%s1]}}' % ("1," * 1_000_000), r"Env: .*0 is no text"),
        ('{"rootfs": {"diff_ids": [%s1]}}' % ("1," * 1_000_000), r"diff_ids: .*0 is no text"),
        ('{"config": {"Healthcheck": [%s[]]}}' % ("[]," * 1_000_000), "objects and lists"),
        ('{"config": {"Labels": {%s"": 1}}}' % ('"a": 1, "b": 1, ' * 100_000), "a is no text"),
    ],
)
def test_a_config_that_is_wrong_all_over_takes_little_memory(text: str, says: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(SpecError, match=says):
            parse_image_config(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * len(text)


@given(st.binary() | st.text())
def test_what_is_no_config_is_a_spec_error(text: bytes | str) -> None:
    try:
        parse_image_config(text)
    except SpecError as error:
        assert "image config" in str(error)  # noqa: PT017

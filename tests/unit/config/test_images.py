"""Settings about images: ECS's own names with its agent's bounds, and ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import ConfigError, load
from agent.settings import Settings


def set_to(**values: str) -> Settings:
    return load(values, {}, ())


@pytest.mark.parametrize(
    ("text", "behavior"),
    [
        ("always", "always"),
        ("once", "once"),
        ("prefer-cached", "prefer-cached"),
        ("default", "default"),
        ("sometimes", "default"),
    ],
)
def test_an_unknown_pull_behaviour_is_the_default(text: str, behavior: str) -> None:
    assert set_to(ECS_IMAGE_PULL_BEHAVIOR=text).pull_behavior == behavior


@pytest.mark.parametrize(
    ("name", "field", "text", "seconds"),
    [
        ("ECS_IMAGE_PULL_TIMEOUT", "pull_timeout_s", "5s", 5),
        ("ECS_IMAGE_PULL_TIMEOUT", "pull_timeout_s", "0", 7200),
        ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", "pull_inactivity_s", "59s", 60),
        ("ECS_IMAGE_PULL_INACTIVITY_TIMEOUT", "pull_inactivity_s", "61s", 61),
        ("ECS_MANIFEST_PULL_TIMEOUT", "manifest_timeout_s", "29s", 30),
        ("ECS_MANIFEST_PULL_TIMEOUT", "manifest_timeout_s", "0", 60),
        ("ECS_IMAGE_CLEANUP_INTERVAL", "image_cleanup_interval_s", "9m", 1800),
        ("ECS_IMAGE_CLEANUP_INTERVAL", "image_cleanup_interval_s", "10m", 600),
        ("ECS_IMAGE_MINIMUM_CLEANUP_AGE", "image_min_age_s", "1s", 1),
        ("NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE", "untracked_image_min_age_s", "2h", 7200),
    ],
)
def test_times_have_the_bounds_of_the_ecs_agent(
    name: str, field: str, text: str, seconds: float
) -> None:
    assert getattr(set_to(**{name: text}), field) == seconds


@pytest.mark.parametrize(("text", "count"), [("1", 1), ("0", 5), ("-3", 5), ("12", 12)])
def test_a_cycle_removes_at_least_one_image(text: str, count: int) -> None:
    assert set_to(ECS_NUM_IMAGES_DELETE_PER_CYCLE=text).images_per_cycle == count


def test_excluded_images_are_exact_texts() -> None:
    kept = set_to(ECS_EXCLUDE_UNTRACKED_IMAGE="one:1, two,,").kept_images
    assert kept == {"one:1", " two"}


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("512k", 512 * 2**10), ("20M", 20 * 2**20), ("3gb", 3 * 2**30), ("1T", 2**40)],
)
def test_sizes_have_units_of_powers_of_1024(text: str, size: int) -> None:
    assert set_to(HOSTLER_LAYER_LIMIT=text).layer_limit == size


@pytest.mark.parametrize(("text", "share"), [("1", 1), ("85%", 85), ("100", 100)])
def test_how_full_a_disk_may_be_is_a_percentage(text: str, share: int) -> None:
    assert set_to(HOSTLER_IMAGE_DISK_HIGH=text, HOSTLER_IMAGE_DISK_LOW="1").image_disk_high == share


def test_hosts_of_registries_are_looked_for_along_a_path() -> None:
    found = set_to(HOSTLER_REGISTRY_HOSTS="/a:/b/c").registry_hosts
    assert found == (Path("/a"), Path("/b/c"))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("ECS_NUM_IMAGES_DELETE_PER_CYCLE", "many", "must be a whole number"),
        ("HOSTLER_LAYER_LIMIT", "0", "must be a size"),
        ("HOSTLER_LAYER_LIMIT", "1.5g", "must be a size"),
        ("HOSTLER_LAYER_LIMIT", "-1", "must be a size"),
        ("HOSTLER_IMAGE_DISK_HIGH", "0", "must be a percentage"),
        ("HOSTLER_IMAGE_DISK_HIGH", "101%", "must be a percentage"),
        ("HOSTLER_PULL_PARALLEL", "0", "must be a whole number"),
        ("ECS_ENGINE_AUTH_TYPE", "podman", "must be docker or dockercfg"),
        ("HOSTLER_DOCKER_CONFIG", "config.json", "must be an absolute path"),
    ],
)
def test_what_can_not_be_meant_is_refused(name: str, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}={text} .*{why}"):
        set_to(**{name: text})


def test_pressure_ends_below_where_it_begins() -> None:
    with pytest.raises(ConfigError, match="HOSTLER_IMAGE_DISK_LOW is more than"):
        set_to(HOSTLER_IMAGE_DISK_HIGH="70", HOSTLER_IMAGE_DISK_LOW="71")


def test_logins_are_not_shown_with_the_settings() -> None:
    data = '{"host": {"username": "me", "password": "s3cret"}}'
    settings = set_to(ECS_ENGINE_AUTH_TYPE="docker", ECS_ENGINE_AUTH_DATA=data)
    assert settings.engine_auth_data == data
    assert "s3cret" not in repr(settings)

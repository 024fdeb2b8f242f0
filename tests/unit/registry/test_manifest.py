import json
from typing import Any

import pytest

from agent.registry import manifest as module
from agent.registry.descriptor import (
    CONFIG,
    DOCKER_CONFIG,
    DOCKER_INDEX,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    DOCKER_MANIFEST,
    INDEX,
    LAYER,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
)
from agent.registry.errors import RegistryError
from agent.registry.manifest import Entry, Index, Manifest, Platform, choose, parse


def blob(number: int, media_type: str = LAYER_GZIP, size: int = 7) -> Descriptor:
    return Descriptor(media_type, f"sha256:{number:064x}", size)


CONFIG_1 = blob(1, CONFIG)
LAYERS = [blob(2, LAYER), blob(3, LAYER_GZIP), blob(4, LAYER_ZSTD), blob(2, LAYER)]


def read(document: Any, media_type: str = MANIFEST) -> Manifest | Index:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse(data, blob(9, media_type, len(data)))


def written(**change: Any) -> dict[str, Any]:
    """A manifest; fields that are None are left out."""
    whole = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": CONFIG_1.document,
        "layers": [layer.document for layer in LAYERS],
        **change,
    }
    return {key: value for key, value in whole.items() if value is not None}


def entry(number: int, platform: str | None = None, media_type: str = MANIFEST) -> Entry:
    parts = platform.split("/") if platform else []
    return Entry(blob(number, media_type), Platform(*parts) if parts else None)


def test_a_manifest_names_its_configuration_and_its_layers() -> None:
    assert read(written()) == Manifest(CONFIG_1, tuple(LAYERS))
    assert read(written(mediaType=None, schemaVersion=None)) == Manifest(CONFIG_1, tuple(LAYERS))


@pytest.mark.parametrize(
    "config",
    [DOCKER_CONFIG, CONFIG, "application/octet-stream", "application/json", "text/html"],
)
def test_what_docker_pushes_is_read(config: str) -> None:
    document = written(
        mediaType=DOCKER_MANIFEST,
        config=blob(1, config).document,
        layers=[blob(2, DOCKER_LAYER_GZIP).document],
    )
    found = read(document, DOCKER_MANIFEST)
    assert found == Manifest(blob(1, config), (blob(2, DOCKER_LAYER_GZIP),))


def test_a_zstd_layer_has_the_name_that_every_containerd_knows() -> None:
    found = read(written(layers=[blob(2, DOCKER_LAYER_ZSTD).document]))
    assert found == Manifest(CONFIG_1, (blob(2, LAYER_ZSTD),))


def test_an_index_says_what_each_entry_is_for() -> None:
    entries = [
        {**blob(1, MANIFEST).document, "platform": {"os": "linux", "architecture": "arm64"}},
        {**blob(2, INDEX).document, "annotations": {"a": "b"}, "platform": None},
    ]
    for media_type in (INDEX, DOCKER_INDEX):
        found = read({"schemaVersion": 2, "manifests": entries}, media_type)
        arm = Platform("linux", "arm64")
        expected = (Entry(blob(1, MANIFEST), arm), Entry(blob(2, INDEX), None, {"a": "b"}))
        assert found == Index(expected)


SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
HELM = "application/vnd.cncf.helm.config.v1+json"
COSIGN = "application/vnd.dev.cosign.simplesigning.v1+json"
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
ELSEWHERE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


@pytest.mark.parametrize(
    ("document", "media_type", "says"),
    [
        ({}, SCHEMA_1, "schema 1"),
        ({}, "text/plain", "'text/plain' is neither"),
        ({}, "x" * 200, "xxx... is neither"),
        (written(schemaVersion=1), MANIFEST, "schema 1 instead of 2"),
        (written(mediaType=INDEX), MANIFEST, "it says that it is"),
        (written(mediaType=7), MANIFEST, "it says that it is 7"),
        (written(), DOCKER_MANIFEST, "it says that it is"),
        (written(manifests=[{}]), MANIFEST, "two meanings"),
        (written(fsLayers=[{}]), MANIFEST, "two meanings"),
        ({"manifests": [], "layers": [{}]}, INDEX, "two meanings"),
        ({"manifests": [], "config": {"a": 1}}, INDEX, "two meanings"),
        (b"{", MANIFEST, "not JSON"),
        (b"\xff", MANIFEST, "not JSON"),
        (b"[" * 40_000, MANIFEST, "not JSON"),
        (b"9" * 10_000, MANIFEST, "not JSON"),
        (b"[]", MANIFEST, "not a JSON object"),
        (b"{" * 50_001, MANIFEST, "more than 50000 objects"),
        (b" " * (4 * 1024 * 1024 + 1), MANIFEST, "more than 4194304 bytes"),
        (written(config=None), MANIFEST, "a descriptor has"),
        (written(config=blob(1, HELM).document), MANIFEST, "not a container image, but '.*helm"),
        (
            written(config=blob(1, "application/octet-stream").document),
            MANIFEST,
            "not a container image",
        ),
        (written(config=blob(1, CONFIG, 2**23).document), MANIFEST, "configuration of 8388608"),
        (written(layers=None), MANIFEST, "no list 'layers'"),
        (written(layers=[]), MANIFEST, "without layers"),
        (written(layers=[7]), MANIFEST, "a descriptor has"),
        (written(layers=[blob(2).document] * 128), MANIFEST, "128 layers; 127 .* Docker"),
        (written(layers=[blob(2, size=2**42).document] * 2), MANIFEST, "in all"),
        (written(layers=[blob(2, size=2**63 - 1).document] * 2), MANIFEST, "in all"),
        (written(layers=[blob(2, COSIGN).document]), MANIFEST, "not a container image: layer"),
        (written(layers=[blob(2, FOREIGN).document]), MANIFEST, "urls"),
        (written(layers=[blob(2, ELSEWHERE).document]), MANIFEST, "urls"),
        ({}, INDEX, "no list 'manifests'"),
        ({"manifests": [blob(1).document] * 1001}, INDEX, "1001 manifests; 1000"),
        ({"manifests": ["x"]}, INDEX, "a descriptor has"),
        ({"manifests": [{**blob(1).document, "annotations": []}]}, INDEX, "not text"),
        ({"manifests": [{**blob(1).document, "annotations": [1]}]}, INDEX, "not text"),
        ({"manifests": [{**blob(1).document, "annotations": {"a": 1}}]}, INDEX, "not text"),
        ({"manifests": [{**blob(1).document, "platform": {}}]}, INDEX, "a platform has"),
    ],
)
def test_what_is_no_image_is_refused(document: Any, media_type: str, says: str) -> None:
    with pytest.raises(RegistryError, match=says):
        read(document, media_type)


@pytest.mark.parametrize(
    ("platform", "chosen"),
    [
        ("linux/amd64", 1),
        ("linux/amd64/v2", 1),
        ("linux/amd64/v3", 2),
        ("linux/amd64/v4", 2),
        ("linux/arm64", 3),
        ("linux/arm/v7", 4),
        ("linux/arm/v6", 5),
        ("linux/arm/v5", 6),
        ("linux/s390x", 7),
    ],
)
def test_the_best_that_a_machine_runs_is_chosen(platform: str, chosen: int) -> None:
    index = Index(
        (
            entry(7),
            entry(8),
            entry(1, "linux/amd64"),
            entry(2, "linux/amd64/v3"),
            entry(9, "windows/amd64"),
            entry(6, "linux/arm/v5"),
            entry(5, "linux/arm/v6"),
            entry(4, "linux/arm/v7"),
            entry(3, "linux/arm64/v8"),
        )
    )
    assert choose(index, Platform(*platform.split("/"))) == blob(chosen, MANIFEST)


def test_an_index_within_an_index_can_be_chosen() -> None:
    index = Index((entry(1, media_type=INDEX),))
    assert choose(index, Platform("linux", "amd64")) == blob(1, INDEX)


def test_what_is_no_image_is_never_chosen() -> None:
    attested = Entry(blob(2, MANIFEST), None, {"vnd.docker.reference.type": "attestation-manifest"})
    index = Index((entry(1, "unknown/unknown"), attested, entry(3, media_type=SCHEMA_1)))
    with pytest.raises(RegistryError, match=r"no image for linux/amd64 .* there are: none"):
        choose(index, Platform("linux", "amd64"))


def test_the_platforms_that_there_are_are_told() -> None:
    index = Index((entry(1, "linux/arm/v6"), entry(2, "windows/amd64"), entry(3, "linux/arm/v6")))
    with pytest.raises(RegistryError) as caught:
        choose(index, Platform("linux", "amd64"))
    assert str(caught.value).endswith("there are: linux/arm/v6, windows/amd64")


def test_of_many_platforms_some_are_told() -> None:
    index = Index(tuple(entry(n, f"linux/m{n:02}") for n in range(25)))
    with pytest.raises(RegistryError, match=r"linux/m19 and 5 more$"):
        choose(index, Platform("linux", "amd64"))


def test_the_document_bound_holds_before_anything_is_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_DOCUMENT", 10)
    with pytest.raises(RegistryError, match="more than 10 bytes"):
        read(b"[" * 11)

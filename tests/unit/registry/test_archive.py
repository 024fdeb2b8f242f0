import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from agent.registry.archives import archive as module
from agent.registry.archives.archive import Archive, ArchiveError
from agent.registry.descriptor import INDEX, LAYER_GZIP, LAYER_ZSTD, MANIFEST, Descriptor
from tests.unit.registry.tars import (
    CONFIG_1,
    CONFIGURATION,
    CONTENT,
    LAYER_1,
    Entry,
    described,
    docker_save,
    document,
    layout,
    link,
    nested,
    path,
    tar,
)


def opened(entries: dict[str, Entry], architecture: str = "amd64") -> Archive:
    return Archive(tar(entries), architecture)


def blob(archive: Archive, descriptor: Descriptor) -> bytes:
    return b"".join(archive.blob(descriptor))


def annotated(key: str, name: str) -> dict[str, Any]:
    return {"annotations": {key: name}}


def test_a_layout_gives_its_image() -> None:
    archive = opened(layout())
    (image,) = archive.images
    assert (image.config, image.layers, image.names) == (CONFIG_1, (LAYER_1,), ())
    assert blob(archive, LAYER_1) == CONTENT
    assert blob(archive, CONFIG_1) == CONFIGURATION
    assert json.loads(blob(archive, image.manifest))["config"] == CONFIG_1.document


@pytest.mark.parametrize(
    ("annotation", "name", "canonical"),
    [
        ("io.containerd.image.name", "docker.io/library/app:1", ("docker.io/library/app:1",)),
        ("org.opencontainers.image.ref.name", "a/app:1", ("docker.io/a/app:1",)),
        ("org.opencontainers.image.ref.name", "latest", ()),
    ],
)
def test_an_image_is_named_by_its_annotations(
    annotation: str, name: str, canonical: tuple[str, ...]
) -> None:
    assert opened(layout(**annotated(annotation, name))).images[0].names == canonical


def test_an_index_within_the_index_is_followed() -> None:
    (image,) = opened(nested(layout(platform={"os": "linux", "architecture": "amd64"}))).images
    assert image.names == ("docker.io/a/b:1",)
    assert image.manifest.media_type == MANIFEST


def test_images_for_other_machines_are_left_out() -> None:
    entries = nested(layout(platform={"os": "linux", "architecture": "arm64"}))
    with pytest.raises(ArchiveError, match="no image for linux/amd64"):
        opened(dict(entries))
    assert len(opened(entries, "arm64").images) == 1


def test_indexes_within_indexes_end_somewhere() -> None:
    entries = layout()
    for _ in range(6):
        entries = nested(entries)
    with pytest.raises(ArchiveError, match="indexes within each other"):
        opened(entries)


def test_changed_content_is_noticed_when_it_is_read() -> None:
    archive = opened({**layout(), path(LAYER_1): b"L" + CONTENT[1:]})
    with pytest.raises(ArchiveError, match=rf"instead of {LAYER_1.digest}"):
        blob(archive, LAYER_1)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({path(LAYER_1): CONTENT + b"x"}, "500001 bytes instead of 500000"),
        ({path(LAYER_1): link(path(LAYER_1), "/etc/shadow")}, "not a file in the archive"),
        ({"index.json": b"{"}, "index.json: not JSON"),
        ({"index.json": b"[" * 40_000}, "index.json: not JSON"),
        ({"index.json": b"[" * 100_000}, "index.json: more than 50000 objects"),
        ({"index.json": b"[]"}, "index.json: not a JSON object"),
        ({"index.json": b"{}"}, "index.json: no list 'manifests'"),
        ({"index.json": b'{"manifests":[{}]}'}, "index.json: a descriptor has"),
        ({"index.json": b'{"manifests":[]}'}, "no image"),
        ({"index.json": b'{"manifests":[],"layers":[1]}'}, "index.json: an index with 'layers'"),
    ],
)
def test_a_damaged_layout_is_refused(change: dict[str, Entry], says: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        opened({**layout(), **change})
    assert says in str(caught.value)


def test_a_missing_blob_is_named() -> None:
    entries = layout()
    del entries[path(LAYER_1)]
    with pytest.raises(ArchiveError, match=path(LAYER_1)):
        opened(entries)


def test_a_huge_index_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DOCUMENT", 10)
    with pytest.raises(ArchiveError, match=r"index.json: more than 10 bytes"):
        opened(layout())


def test_a_huge_manifest_is_not_read() -> None:
    entry = {"mediaType": MANIFEST, "digest": "sha256:" + "a" * 64, "size": 10**12}
    with pytest.raises(ArchiveError, match="too many for a manifest"):
        opened({"index.json": document({"manifests": [entry]})})


def test_of_one_name_the_best_platform_is_taken() -> None:
    entries = layout()
    index = json.loads(entries["index.json"])  # type: ignore[arg-type]
    (entry,) = index["manifests"]
    absent = {**entry, "digest": "sha256:" + "a" * 64}
    named = annotated("io.containerd.image.name", "docker.io/a/b:1")
    entries["index.json"] = document(
        {
            "manifests": [
                {**absent, **named, "platform": {"os": "linux", "architecture": "386"}},
                {**entry, **named, "platform": {"os": "linux", "architecture": "amd64"}},
            ]
        }
    )
    (image,) = opened(entries).images
    assert image.manifest.digest == entry["digest"]


def test_what_is_no_container_image_is_refused() -> None:
    chart = document({"config": {**CONFIG_1.document, "mediaType": "text/plain"}, "layers": []})
    described_chart = described(chart, MANIFEST)
    entries: dict[str, Entry] = {
        "index.json": document({"manifests": [described_chart.document]}),
        path(described_chart): chart,
    }
    with pytest.raises(ArchiveError, match=f"{path(described_chart)}: not a container image"):
        opened(entries)


def test_docker_save_gives_an_oci_image() -> None:
    archive = opened(docker_save())
    (image,) = archive.images
    assert image.names == ("docker.io/library/app:1",)
    assert (image.config, image.layers) == (CONFIG_1, (LAYER_1,))
    assert blob(archive, LAYER_1) == CONTENT
    manifest = blob(archive, image.manifest)
    assert image.manifest == described(manifest, MANIFEST)
    assert json.loads(manifest)["layers"] == [LAYER_1.document]


def test_docker_save_without_a_tag_has_no_name() -> None:
    assert opened(docker_save(RepoTags=None)).images[0].names == ()


@pytest.mark.parametrize(
    ("pack", "media_type"),
    [(gzip.compress, LAYER_GZIP), (zstandard.ZstdCompressor().compress, LAYER_ZSTD)],
)
def test_a_compressed_layer_of_docker_save_keeps_its_bytes(
    pack: Callable[[bytes], bytes], media_type: str
) -> None:
    packed = pack(CONTENT)
    archive = opened({**docker_save(), "1/layer.tar": packed})
    assert archive.images[0].layers == (described(packed, media_type),)
    assert blob(archive, archive.images[0].layers[0]) == packed


def test_a_layer_that_is_a_link_to_another_is_followed() -> None:
    entries = docker_save(Layers=["2/layer.tar"])
    entries["2/layer.tar"] = link("2/layer.tar", "../1/layer.tar")
    archive = opened(entries)
    assert blob(archive, archive.images[0].layers[0]) == CONTENT


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"manifest.json": b"{}"}, "manifest.json: not a list"),
        ({"manifest.json": b"[{}]"}, "no Config or no Layers"),
        ({"c.json": b"[]"}, "c.json: not a JSON object"),
        ({"c.json": b'{"architecture":"amd64"}'}, "c.json: not a JSON object"),
        ({"c.json": b"{}"}, "c.json: a platform has an os"),
        ({"1/layer.tar": link("1/layer.tar", "/etc/shadow")}, "1/layer.tar: not a file"),
    ],
)
def test_a_damaged_docker_archive_is_refused(change: dict[str, Entry], says: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        opened({**docker_save(), **change})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"Layers": []}, "1 diff_ids for 0 layers"),
        ({"Layers": [1]}, "name is not a string"),
        ({"Layers": ["../x"]}, "../x: not a file in the archive"),
        ({"RepoTags": ["A:1"]}, "lower case"),
    ],
)
def test_a_docker_archive_that_makes_no_sense_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        opened(docker_save(**change))
    assert says in str(caught.value)


def test_a_layer_of_docker_save_that_is_not_what_the_configuration_says_is_noticed() -> None:
    archive = opened({**docker_save(), "1/layer.tar": b"L" + CONTENT[1:]})
    with pytest.raises(ArchiveError, match="the content is"):
        blob(archive, archive.images[0].layers[0])


def test_a_gzipped_layout_is_read_and_leaves_nothing_open() -> None:
    with Archive(io.BytesIO(gzip.compress(tar(layout()).read())), "amd64") as archive:
        assert blob(archive, LAYER_1) == CONTENT
    with pytest.raises(ValueError, match="closed file"):
        blob(archive, LAYER_1)


def test_a_gzipped_archive_of_something_else_leaves_nothing_open() -> None:
    with pytest.raises(ArchiveError, match=r"neither index\.json"):
        Archive(io.BytesIO(gzip.compress(tar({"README": b""}).read())), "amd64")


def test_an_archive_of_something_else_is_refused() -> None:
    with pytest.raises(ArchiveError, match=r"neither index\.json"):
        opened({"README": b""})


def test_two_names_of_one_image_are_one_image() -> None:
    entries = layout()
    index = json.loads(entries["index.json"])  # type: ignore[arg-type]
    (entry,) = index["manifests"]
    both = [
        {**entry, **annotated("io.containerd.image.name", name)}
        for name in ("docker.io/a/b:1", "docker.io/a/b:2")
    ]
    entries["index.json"] = document({"mediaType": INDEX, "manifests": both})
    (image,) = opened(entries).images
    assert image.names == ("docker.io/a/b:1", "docker.io/a/b:2")

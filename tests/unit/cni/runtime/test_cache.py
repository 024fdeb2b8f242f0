"""Results that are kept, in libcni's files."""

import json
from base64 import b64decode
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from cni.errors import CNIError, Code
from cni.runtime import cache
from cni.runtime.cache import Cached
from cni.spec import IP, Attachment, Result

RESULT = Result(ips=(IP(IPv4Interface("10.0.0.2/8")),))
ONE = Attachment("c1", "eth0")
FULL = Cached(
    ONE, RESULT, "net", Path("/netns/c1"), {"K": "V"}, {"portMappings": [{"hostPort": 1}]}
)


def test_an_attachment_is_kept_in_the_form_of_libcni(tmp_path: Path) -> None:
    root = tmp_path / "cni"
    root.mkdir()
    cache.write(root, FULL, b'{"name":"net"}', "0.4.0")

    path = root / "results" / "net-c1-eth0"
    written = json.loads(path.read_text())
    assert b64decode(written.pop("config")) == b'{"name":"net"}'
    assert written == {
        "kind": "cniCacheV1",
        "containerId": "c1",
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/netns/c1",
        "cniArgs": [["K", "V"]],
        "capabilityArgs": {"portMappings": [{"hostPort": 1}]},
        "result": {
            "cniVersion": "0.4.0",
            "ips": [{"version": "4", "address": "10.0.0.2/8"}],
            "dns": {},
        },
    }
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [each.name for each in root.iterdir()] == ["results"]


def test_it_is_read_as_it_was_written_until_it_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "not" / "yet"
    assert cache.read(root, "net", ONE, "1.1.0") is None

    cache.write(root, Cached(ONE, Result(), "net"), b"{}", "1.1.0")
    cache.write(root, FULL, b"{}", "1.1.0")
    assert cache.read(root, "net", ONE, "1.1.0") == FULL

    cache.remove(root, "net", ONE)
    cache.remove(root, "net", ONE)
    assert cache.read(root, "net", ONE, "1.1.0") is None


def test_an_older_file_is_the_bare_result_in_the_version_of_the_network(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "net-c1-eth0").write_text('{"ips": [{"address": "10.0.0.2/8"}]}')

    assert cache.read(tmp_path, "net", ONE, "0.4.0") == Cached(ONE, RESULT)
    assert list(cache.of_network(tmp_path, "net", "0.4.0")) == []


def test_the_attachments_of_a_network_are_told_by_what_files_say(tmp_path: Path) -> None:
    hyphen = Cached(Attachment("b-c1", "eth0"), RESULT, "a")
    other = Cached(Attachment("c1", "eth1"), RESULT, "a-b")
    for each in (hyphen, other):
        cache.write(tmp_path, each, b"{}", "1.1.0")
    (tmp_path / "results" / "a-damaged-eth0").write_text("{")
    (tmp_path / "results" / "a-wrong-eth0").write_text('{"kind": "cniCacheV1", "ifName": 5}')

    assert list(cache.of_network(tmp_path, "a", "1.1.0")) == [hyphen]
    assert list(cache.of_network(tmp_path, "a-b", "1.1.0")) == [other]
    assert list(cache.of_network(tmp_path / "none", "a", "1.1.0")) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"kind": "cniCacheV1", "cniArgs": [["K"]]}',
        '{"kind": "cniCacheV1", "cniArgs": [["K", 1]]}',
        '{"kind": "cniCacheV1", "result": 5}',
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "net-c1-eth0").write_text(text)

    with pytest.raises(CNIError) as failed:
        cache.read(tmp_path, "net", ONE, "1.1.0")
    assert failed.value.code in (Code.UNDECODABLE, Code.INVALID_CONFIG)


def test_what_cannot_be_kept_is_number_5(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CNIError, match="cannot keep the result") as failed:
        cache.write(tmp_path / "file", FULL, b"{}", "1.1.0")
    assert failed.value.code == Code.IO_FAILURE

    (tmp_path / "results" / "net-c1-eth0").mkdir(parents=True)
    with pytest.raises(CNIError) as failed:
        cache.read(tmp_path, "net", ONE, "1.1.0")
    assert failed.value.code == Code.IO_FAILURE

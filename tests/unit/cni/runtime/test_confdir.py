"""Networks found in a directory, and what a network's list may say."""

import json
from pathlib import Path
from typing import Any

import pytest

from cni.errors import CNIError, Code
from cni.runtime import confdir
from cni.runtime.conflist import Network, network_from

ONE = {"type": "one"}


def write(directory: Path, files: dict[str, Any]) -> Path:
    for name, value in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))
    return directory


def conflist(*plugins: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"name": "net", "cniVersion": "1.0.0", "plugins": list(plugins), **keys}


def types(network: Network) -> list[str]:
    return [step.type for step in network.steps]


def refused(directory: Path, name: str = "net") -> CNIError:
    with pytest.raises(CNIError) as failed:
        confdir.load(directory, name)
    return failed.value


def test_the_first_list_with_the_name_wins_in_the_order_of_bytes(tmp_path: Path) -> None:
    files = {
        "10-b.conflist": conflist({"type": "second"}),
        "10-B.conflist": conflist({"type": "first"}),
        "00-other.conflist": {**conflist(ONE), "name": "other"},
        "00.conf": {"name": "net", "cniVersion": "1.0.0", "type": "single"},
        "00-directory.conflist/x.txt": "",
    }

    assert types(confdir.load(write(tmp_path, files), "net")) == ["first"]


def test_a_single_plugin_is_taken_when_no_list_has_the_name(tmp_path: Path) -> None:
    single = {"name": "net", "cniVersion": "0.4.0", "type": "single", "x": 1}
    files = {"b.json": {**single, "type": "later"}, "a.conf": single, "a.txt": "{"}
    network = confdir.load(write(tmp_path, files), "net")

    assert (network.name, network.version, types(network)) == ("net", "0.4.0", ["single"])
    assert network.steps[0].conf == single
    assert json.loads(network.raw)["plugins"] == [single]


def test_a_broken_file_before_the_one_looked_for_is_an_error_and_after_it_is_not(
    tmp_path: Path,
) -> None:
    write(tmp_path, {"b.conflist": conflist(ONE), "c.conflist": "{", "a.conf": "{"})
    assert types(confdir.load(tmp_path, "net")) == ["one"]

    error = refused(tmp_path, "other")
    assert (error.code, str(tmp_path / "c.conflist") in error.msg) == (Code.UNDECODABLE, True)
    write(tmp_path, {"a.conflist": "[]"})
    assert refused(tmp_path).code == Code.UNDECODABLE


def test_the_raw_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    text = json.dumps(conflist(ONE), indent=3)
    write(tmp_path, {"a.conflist": text})

    assert confdir.load(tmp_path, "net").raw == text.encode()


def test_plugins_in_the_networks_own_directory_come_after_those_of_the_list(
    tmp_path: Path,
) -> None:
    files = {
        "a.conflist": conflist(ONE),
        "net/20.conf": {"type": "three"},
        "net/10.conf": {"type": "two", "name": "whatever"},
        "net/30.json": {"type": "ignored"},
    }
    write(tmp_path, files)
    network = confdir.load(tmp_path, "net")
    assert types(network) == ["one", "two", "three"]
    assert network.steps[1].conf == {"type": "two", "name": "net", "cniVersion": "1.0.0"}

    write(tmp_path, {"a.conflist": {"name": "net", "cniVersion": "1.0.0"}})
    assert types(confdir.load(tmp_path, "net")) == ["two", "three"]
    write(tmp_path, {"a.conflist": conflist(ONE, loadOnlyInlinedPlugins="True")})
    assert types(confdir.load(tmp_path, "net")) == ["one"]


@pytest.mark.parametrize("directory", [".", "absent"])
def test_a_network_that_is_nowhere_is_number_7(tmp_path: Path, directory: str) -> None:
    error = refused(tmp_path / directory)

    assert error.code == Code.INVALID_CONFIG
    assert "there is no network net in" in error.msg


def test_an_error_in_a_list_names_the_file(tmp_path: Path) -> None:
    error = refused(write(tmp_path, {"a.conflist": conflist({"type": ""})}))

    assert error.code == Code.INVALID_CONFIG
    assert error.msg == f"{tmp_path / 'a.conflist'}: plugins[0].type must name a plugin"


@pytest.mark.parametrize("said", [True, "true", "TRUE"])
def test_flags_may_be_strings(said: Any) -> None:
    network = network_from(conflist(ONE, disableCheck=said, disableGC=said))

    assert (network.disable_check, network.disable_gc) == (True, True)
    assert not network_from(conflist(ONE, disableCheck="False")).disable_check


def test_the_highest_version_we_speak_counts_for_every_plugin() -> None:
    said = conflist({**ONE, "cniVersion": "0.2.0"}, cniVersions=["0.4.0", "1.1.0", "1.2.0"])
    network = network_from(said)

    assert (network.version, network.steps[0].conf["cniVersion"]) == ("1.1.0", "1.1.0")
    assert network_from(conflist(ONE, cniVersions=["0.3.1"])).version == "1.0.0"


def test_capabilities_are_those_that_are_true() -> None:
    network = network_from(conflist({**ONE, "capabilities": {"mac": True, "ips": False}}))

    assert network.steps[0].capabilities == {"mac"}


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ({"name": None}, 7, "network name"),
        ({"name": "a/b"}, 7, "network name"),
        ({"cniVersion": None}, 1, "CNI version 0.1.0"),
        ({"cniVersion": "0.2.0"}, 1, "CNI version 0.2.0"),
        ({"cniVersion": "1.2.0", "cniVersions": ["1.1.0"]}, 1, "CNI version 1.2.0"),
        ({"cniVersion": "one"}, 7, "a CNI version is like 1.1.0"),
        ({"plugins": []}, 7, "plugins must not be empty"),
        ({"plugins": None}, 7, "plugins must not be empty"),
        ({"plugins": None, "loadOnlyInlinedPlugins": True}, 7, "loadOnlyInlinedPlugins"),
        ({"plugins": {}}, 7, "plugins must be a list"),
        ({"plugins": ["one"]}, 7, "plugins must be a list of objects"),
        ({"plugins": [{}]}, 7, "plugins[0].type must name a plugin"),
        ({"plugins": [ONE, {"type": 3}]}, 7, "plugins[1].type must be a string"),
        ({"plugins": [{**ONE, "capabilities": {"x": 1}}]}, 7, "plugins[0].capabilities.x"),
        ({"disableCheck": "maybe"}, 7, "disableCheck must be true or false"),
        ({"disableGC": 1}, 7, "disableGC must be true or false"),
    ],
)
def test_a_list_that_cannot_be_is_refused(keys: dict[str, Any], code: int, said: str) -> None:
    with pytest.raises(CNIError) as failed:
        network_from(conflist(ONE, **keys))
    assert failed.value.code == code
    assert said in failed.value.msg

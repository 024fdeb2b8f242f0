from collections.abc import Collection
from pathlib import Path

import pytest

from agent.registry.errors import RegistryError
from agent.registry.remote.hosts import hosts_for


def shown(
    registry: str, folders: Collection[Path] = (), insecure: Collection[str] = ()
) -> list[str]:
    return [
        f"{host.name} {host.url}"
        + (" unverified" if not host.terms.trust.verify else "")
        + (" plan b" if host.plan_b else "")
        + (f" for {host.mirror_of}" if host.mirror_of else "")
        for host in hosts_for(registry, folders, insecure)
    ]


@pytest.mark.parametrize(
    ("registry", "host"),
    [
        ("docker.io", "docker.io https://registry-1.docker.io/v2"),
        ("registry.example", "registry.example https://registry.example/v2"),
        ("registry.example:5000", "registry.example:5000 https://registry.example:5000/v2"),
        ("10.0.0.1:5000", "10.0.0.1:5000 https://10.0.0.1:5000/v2"),
        ("localhost:5000", "localhost:5000 http://localhost:5000/v2"),
        ("LOCALHOST:5000", "LOCALHOST:5000 http://localhost:5000/v2"),
        ("localhost", "localhost http://localhost/v2"),
        ("127.1.2.3:5000", "127.1.2.3:5000 http://127.1.2.3:5000/v2"),
        ("[::1]:5000", "[::1]:5000 http://[::1]:5000/v2"),
        ("localhost.example", "localhost.example https://localhost.example/v2"),
    ],
)
def test_without_any_file(registry: str, host: str) -> None:
    assert shown(registry) == [host]


@pytest.mark.parametrize("registry", ["registry.example:5000", "127.0.0.1:5000"])
def test_an_insecure_registry_is_tried_with_tls_first(registry: str) -> None:
    assert shown(registry, insecure={registry}) == [
        f"{registry} https://{registry}/v2 unverified",
        f"{registry} http://{registry}/v2 plan b",
    ]


def test_another_registry_is_not_insecure() -> None:
    assert shown("registry.example", insecure={"registry.example:5000"}) == [
        "registry.example https://registry.example/v2"
    ]


@pytest.mark.parametrize("name", ["registry.example_5000_", "registry.example:5000"])
def test_the_folder_of_a_registry_with_a_port(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, '[host."https://mirror.example"]')
    assert shown("registry.example:5000", [tmp_path]) == [
        "mirror.example https://mirror.example/v2 for registry.example:5000",
        "registry.example:5000 https://registry.example:5000/v2",
    ]


def test_the_default_is_for_registries_without_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "one" / "_default", '[host."https://mirror.example"]')
    write(tmp_path / "two" / "own.example", "")
    folders = [tmp_path / "missing", tmp_path / "one", tmp_path / "two"]
    assert shown("other.example", folders) == [
        "mirror.example https://mirror.example/v2 for other.example",
        "other.example https://other.example/v2",
    ]
    assert shown("own.example", folders) == ["own.example https://own.example/v2"]


def test_the_first_folder_counts(tmp_path: Path) -> None:
    write(tmp_path / "one" / "r.example", 'server = "https://one.example"')
    write(tmp_path / "two" / "r.example", 'server = "https://two.example"')
    (host,) = shown("r.example", [tmp_path / "one", tmp_path / "two"])
    assert host == "one.example https://one.example/v2 for r.example"


def test_docker_hub_has_a_host_of_its_own_behind_its_mirrors(tmp_path: Path) -> None:
    write(tmp_path / "docker.io", '[host."https://mirror.example"]')
    assert shown("docker.io", [tmp_path]) == [
        "mirror.example https://mirror.example/v2 for docker.io",
        "docker.io https://registry-1.docker.io/v2",
    ]


def test_what_a_file_says_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "localhost:5000"
    folder.mkdir()
    (folder / "ca.crt").touch()
    assert shown("localhost:5000", [tmp_path]) == ["localhost:5000 https://localhost:5000/v2"]
    write(folder, 'server = "http://localhost:5000"')
    assert shown("localhost:5000", [tmp_path]) == ["localhost:5000 http://localhost:5000/v2"]
    write(folder, "skip_verify = true")
    assert shown("localhost:5000", [tmp_path]) == [
        "localhost:5000 https://localhost:5000/v2 unverified",
        "localhost:5000 http://localhost:5000/v2 unverified plan b",
    ]


def test_terms_without_a_server_are_the_registry_s_own(tmp_path: Path) -> None:
    write(tmp_path / "r.example", 'capabilities = ["pull"]\ndial_timeout = "1s"')
    (host,) = hosts_for("r.example", [tmp_path], ())
    assert (host.terms.capabilities, host.terms.dial_timeout_s) == (frozenset({"pull"}), 1.0)


def test_a_change_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "r.example", 'server = "https://one.example"')
    assert shown("r.example", [tmp_path]) == ["one.example https://one.example/v2 for r.example"]
    write(tmp_path / "r.example", 'server = "https://two.example"')
    assert shown("r.example", [tmp_path]) == ["two.example https://two.example/v2 for r.example"]


def test_what_can_t_be_read_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    with pytest.raises(RegistryError, match=r"r\.example: can.t be read: File name too long"):
        hosts_for("r.example", [folder], ())


def test_logins_are_not_shown(tmp_path: Path) -> None:
    write(tmp_path / "r.example", 'header = {Authorization = "Basic hidden"}')
    (host,) = hosts_for("r.example", [tmp_path], ())
    assert "hidden" not in repr(host)


def write(folder: Path, hosts_toml: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.toml").write_text(hosts_toml)

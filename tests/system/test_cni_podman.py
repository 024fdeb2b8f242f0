"""podman with our executables in place of the reference plugins, on a host of its own."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from agent.registry import hello
from cni.program import install
from tests.system.cnihost import DEBIAN, CniHost, cni_host, own_mounts, remove_cgroup

CONFIG = """
[network]
network_backend = "cni"
cni_plugin_dirs = ["{root}/plugins"]
network_config_dir = "{root}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"""

# Where podman keeps things: its own mounts show a place of the test's there.
PRIVATE = (
    "/var/lib/cni",
    "/var/lib/containers",
    "/run/containers",
    "/run/libpod",
    "/run/netns",
)

CGROUP = "hostler-test-podman"
# Goes into the background when it listens.
SERVE = ("httpd", "-p", "80", "-h", "/var/www")
# Without these podman asks for more than root of a container may give.
LIMITS = ("--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024")
RUN = ("run", *LIMITS, f"--cgroup-parent=/{CGROUP}")


@dataclass
class Podman:
    """podman in the network and mounts of a process that waits for its end."""

    host: CniHost
    holder: "subprocess.Popen[str]"

    def __call__(self, *arguments: str) -> str:
        """What it prints."""
        root = self.host.root
        entered = ("nsenter", f"--target={self.holder.pid}", "--net", "--mount", "podman")
        ran = subprocess.run(
            [*entered, "--storage-driver", "vfs", *arguments],
            env={**self.host.environ, "CONTAINERS_CONF": f"{root}/containers.conf"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def stored(self) -> list[str]:
        """The leases, as files in a place that only podman's mounts show."""
        shown = f"/proc/{self.holder.pid}/root/var/lib/cni"
        found = (path.name for path in Path(shown).rglob("10.*"))
        return sorted(found)


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    with ExitStack() as stack:
        host = stack.enter_context(cni_host(tmp_path))
        plugins = tmp_path / "plugins"
        install.install(plugins, reference_names=True)
        for path in DEBIAN.iterdir():
            if not (plugins / path.name).exists():
                (plugins / path.name).symlink_to(path)
        (tmp_path / "networks").mkdir()
        (tmp_path / "containers.conf").write_text(CONFIG.format(root=tmp_path))
        image = tmp_path / "hello.tar"
        image.write_bytes(hello.build(hello.find_busybox()))
        built = Podman(host, stack.enter_context(own_mounts(host, *PRIVATE)))
        stack.callback(_end, built)
        built("load", "--input", str(image))
        yield built


def _end(podman: Podman) -> None:
    podman("rm", "--all", "--force", "--time", "0")
    podman("rmi", "--all", "--force")
    remove_cgroup(CGROUP)


def page(address: str, port: int) -> str:
    connection = HTTPConnection(address, port, timeout=20)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_container_has_an_address_and_a_published_port(podman: Podman) -> None:
    host = podman.host
    podman("network", "create", "lab")
    options = (*RUN, "--detach", "--name", "one", "--network", "lab", "--publish", "8080:80")
    podman(*options, hello.NAME, "sleep", "1000")
    podman("exec", "one", *SERVE)

    (told,) = json.loads(podman("inspect", "one"))
    address = told["NetworkSettings"]["Networks"]["lab"]["IPAddress"]
    assert podman.stored() == [address]
    tables = host.run("nft", "list", "tables")
    assert "hostler-cni" in tables
    assert "ip nat" not in tables  # what the reference portmap would have made
    for at in (("127.0.0.1", 8080), (address, 80)):
        assert host.threads.call(host.host, partial(page, *at)) == "Hello from Hostler\n"

    podman("rm", "--force", "--time", "0", "one")
    assert podman.stored() == []
    assert [name for name in host.links() if name.startswith("veth")] == []
    assert "dport 8080" not in host.run("nft", "list", "ruleset")
    assert ". 8080" not in host.run("nft", "list", "ruleset")


def test_containers_find_each_other_and_get_the_address_and_mac_they_ask_for(
    podman: Podman,
) -> None:
    podman("network", "create", "--subnet", "10.77.0.0/24", "--ipv6", "lab")
    asked = ("--ip", "10.77.0.40", "--mac-address", "02:00:00:00:00:40")
    options = (*RUN, "--detach", "--name", "one", "--network", "lab", *asked)
    podman(*options, hello.NAME, "sleep", "1000")
    podman("exec", "one", *SERVE)

    (told,) = json.loads(podman("inspect", "one"))
    seen = told["NetworkSettings"]["Networks"]["lab"]
    assert (seen["IPAddress"], seen["MacAddress"]) == ("10.77.0.40", "02:00:00:00:00:40")
    assert seen["GlobalIPv6Address"]
    fetched = podman(
        *RUN, "--rm", "--network", "lab", hello.NAME, "wget", "-q", "-O", "-", "http://10.77.0.40/"
    )
    assert fetched == "Hello from Hostler\n"


def test_two_containers_cannot_have_one_port(podman: Podman) -> None:
    podman("network", "create", "lab")
    options = (*RUN, "--detach", "--network", "lab", "--publish", "8080:80")
    podman(*options, hello.NAME, "sleep", "1000")

    with pytest.raises(AssertionError, match="8080"):
        podman(*options, hello.NAME, "sleep", "1000")
    assert len(podman.stored()) == 1

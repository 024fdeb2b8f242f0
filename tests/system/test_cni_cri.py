"""containerd's CRI plugin, as Kubernetes uses it, with our executables."""

import asyncio
import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from agent.containerd.client import Containerd
from tests.system.cnihost import DEBIAN, CniHost, cni_host, own_mounts, remove_cgroup
from tests.system.containerd_daemon import IMAGE, busybox_image

CGROUP: Final = "hostler-test-cri"
PRIVATE: Final = ("/var/lib/cni", "/run/netns", "/run/containerd")
START_S: Final = 60.0

CONFIG: Final = """
version = 2
root = "{root}/root"
state = "{root}/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{root}/c.sock"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{image}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{bin}"
    conf_dir = "{root}/networks"
"""

NETWORK: Final = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "plugins": [
        {
            "type": "hostler-bridge",
            "bridge": "br0",
            "isGateway": True,
            "isDefaultGateway": True,
            "ipMasq": True,
            "ipam": {"type": "hostler-ipam", "ranges": [[{"subnet": "10.66.0.0/24"}]]},
        },
        {"type": "hostler-portmap", "capabilities": {"portMappings": True}},
    ],
}


class Cri:
    """The plugin behind a socket, in its own messages."""

    def __init__(self, socket: Path, descriptors: Path) -> None:
        self._channel = grpc.insecure_channel(f"unix:{socket}")
        files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
        self._pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            self._pool.Add(file)

    def message(self, name: str) -> Any:
        """The class of a message."""
        found = self._pool.FindMessageTypeByName(f"runtime.v1.{name}")
        return message_factory.GetMessageClass(found)

    def call(self, method: str, request: Any, answer: str = "Empty") -> Any:
        """One call. Raises grpc.RpcError."""
        ask = self._channel.unary_unary(
            f"/runtime.v1.RuntimeService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.message(answer).FromString,
        )
        return ask(request, timeout=START_S, wait_for_ready=True)

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()


@dataclass
class Pods:
    """Pods of a containerd on the scratch host."""

    host: CniHost
    cri: Cri
    leases: Path

    def run(self, name: str, **ports: int) -> str:
        """Start a pod; its id."""
        message = self.cri.message
        config = message("PodSandboxConfig")(
            metadata=message("PodSandboxMetadata")(name=name, uid=name, namespace="default"),
            hostname=name,
            port_mappings=[message("PortMapping")(**ports)] if ports else [],
            linux=message("LinuxPodSandboxConfig")(cgroup_parent=f"/{CGROUP}"),
        )
        request = message("RunPodSandboxRequest")(config=config)
        answer = self.cri.call("RunPodSandbox", request, "RunPodSandboxResponse")
        return str(answer.pod_sandbox_id)

    def ask(self, method: str, pod: str, answer: str = "Empty") -> Any:
        """A call about one pod."""
        return self.cri.call(
            method, self.cri.message("PodSandboxRequest")(pod_sandbox_id=pod), answer
        )

    def address(self, pod: str) -> str:
        """What its status says."""
        said = self.ask("PodSandboxStatus", pod, "PodSandboxStatusResponse")
        return str(said.status.network.ip)

    def remove_all(self) -> None:
        """None is left, also of those that did not start."""
        listed = self.cri.call(
            "ListPodSandbox", self.cri.message("Empty")(), "ListPodSandboxResponse"
        )
        for each in listed.items:
            self.ask("StopPodSandbox", each.id)
            self.ask("RemovePodSandbox", each.id)

    def leased(self) -> list[str]:
        """The addresses that are given out."""
        return sorted(path.name for path in self.leases.rglob("10.66.*"))


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[Pods]:
    with ExitStack() as stack:
        host = stack.enter_context(cni_host(tmp_path))
        # A short path: a unix socket's has at most 107 bytes.
        root = Path(tempfile.mkdtemp(prefix="hostler-cri-"))
        stack.callback(shutil.rmtree, root)
        stack.callback(remove_cgroup, CGROUP)
        (root / "networks").mkdir()
        (root / "networks" / "pods.conflist").write_text(json.dumps(NETWORK))
        (root / "config.toml").write_text(CONFIG.format(root=root, image=IMAGE, bin=host.bin))
        (host.bin / "loopback").symlink_to(DEBIAN / "loopback")  # the plugin always asks for it
        here = Path(__file__).parent
        made = protoc.main(
            ["protoc", f"-I{here}", f"--descriptor_set_out={root}/cri.pb", "cri.proto"]
        )
        assert made == 0
        holder = stack.enter_context(own_mounts(host, *PRIVATE))
        leases = Path(f"/proc/{holder.pid}/root/var/lib/cni/networks")
        # The plugin learns of images when it starts.
        with containerd(host, holder.pid, root):
            asyncio.run(_import(root / "c.sock"))
        with containerd(host, holder.pid, root) as cri:
            built = Pods(host, cri, leases)
            yield built
            built.remove_all()


@contextmanager
def containerd(host: CniHost, holder: int, root: Path) -> Iterator[Cri]:
    """A containerd that serves, with its CRI plugin ready."""
    command = ["nsenter", f"--target={holder}", "--net", "--mount", "containerd"]
    with (root / "log").open("a") as log:
        daemon = subprocess.Popen(
            [*command, "--config", f"{root}/config.toml"],
            env=host.environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    cri = Cri(root / "c.sock", root / "cri.pb")
    try:
        _wait_ready(cri)
        yield cri
    finally:
        cri.close()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(START_S)


def _wait_ready(cri: Cri) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            said = cri.call("Status", cri.message("Empty")(), "StatusResponse")
            if all(each.status for each in said.status.conditions):
                return
        except grpc.RpcError:  # it serves before its plugins are ready
            said = None
        assert time.monotonic() < deadline, said
        time.sleep(0.05)  # noqa: TID251 - there is no event for it


async def _import(socket: Path) -> None:
    client = Containerd(socket, "k8s.io")
    await busybox_image(client, ("/bin/sleep", "100000"))
    await client.close()


def test_a_pod_gets_an_address_and_a_port_and_gives_them_back(pods: Pods) -> None:
    host = pods.host
    pod = pods.run("one", container_port=80, host_port=8080)
    address = pods.address(pod)

    assert pods.leased() == [address]
    assert address.startswith("10.66.0.")
    assert f"{address} . 80" in host.run("nft", "list", "ruleset")
    host.run("busybox", "ping", "-c", "1", "-W", "5", address)

    pods.ask("StopPodSandbox", pod)
    pods.ask("StopPodSandbox", pod)
    pods.ask("RemovePodSandbox", pod)
    assert pods.leased() == []
    assert host.links() == ["lo", "br0"]
    assert ". 8080" not in host.run("nft", "list", "ruleset")


def test_a_pod_whose_port_is_taken_does_not_start_and_leaves_nothing(pods: Pods) -> None:
    pod = pods.run("one", container_port=80, host_port=8080)
    with pytest.raises(grpc.RpcError, match="host port 8080/tcp is already in use"):
        pods.run("two", container_port=80, host_port=8080)

    assert pods.leased() == [pods.address(pod)]
    assert len(pods.host.links()) == 3
    pods.remove_all()
    assert pods.leased() == []

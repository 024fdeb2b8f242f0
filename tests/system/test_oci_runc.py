"""Specs from ``agent.oci`` run by the real runc, seen from inside the container.

Each test has a busybox root file system, a network namespace and a cgroup of its own. The file is
long because every promise of a spec has its small test here, over one fixture.
"""

import json
import os
import platform
import re
import resource
import shutil
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent.oci.edits import DeviceNode
from agent.oci.files import hosts_file
from agent.oci.image import ImageConfig
from agent.oci.inputs import BindMount, HostFacts, SpecInputs
from agent.oci.spec import build_spec
from agent.oci.user import User, resolve_user
from agent.task.definition import ContainerDefinition
from agent.task.definition.linux_rules import CAPABILITIES
from cni.kernel import netns
from cni.kernel.netns import NamespaceThread

BUSYBOX, INIT = Path("/usr/bin/busybox"), Path("/usr/bin/catatonit")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n"
GROUP = "root:x:0:\nweb:x:1001:\nlogs:x:2000:web\n"
CGROUPS = Path("/sys/fs/cgroup")

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("runc") or not BUSYBOX.exists(),
    reason="needs root, runc and a static busybox",
)

# capabilities(7), by number.
CAPABILITY_NUMBERS = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO "
    "SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME "
    "SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG "
    "WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
NUMBERS = CAPABILITY_NUMBERS.split()


def status(text: str) -> dict[str, str]:
    """``/proc/PID/status`` as a mapping."""
    return {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in text.splitlines())
    }


def names_of(mask: str) -> set[str]:
    return {name for number, name in enumerate(NUMBERS) if int(mask, 16) >> number & 1}


def host_facts() -> HostFacts:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    own = names_of(status(Path("/proc/self/status").read_text())["CapBnd"])
    version = 2 if (CGROUPS / "cgroup.controllers").exists() else 1
    assert set(NUMBERS) == CAPABILITIES
    return HostFacts(
        cgroup_version=2 if version == 2 else 1,
        machine=platform.machine(),
        capabilities=frozenset(own),
        nofile=(1024, hard if 0 < hard < 524288 else 524288),
    )


@dataclass
class Bundle:
    """A container to be: change ``inputs``, then ``run`` a shell command as its entry point."""

    path: Path
    inputs: SpecInputs

    @property
    def root(self) -> Path:
        return self.path / "rootfs"

    def define(self, **fields: Any) -> None:
        """Give the container definition fields in the API's spelling."""
        data = {"name": "c", "image": "busybox", **fields}
        container = ContainerDefinition.model_validate(data, by_alias=True, by_name=False)
        self.inputs = replace(self.inputs, container=container)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        container = self.inputs.container.model_copy(update={"command": command})
        spec = build_spec(replace(self.inputs, container=container))
        (self.path / "config.json").write_text(json.dumps(spec))
        return self.runc("run", "--bundle", str(self.path), self.path.name)

    def sh(self, script: str) -> str:
        """What a shell script prints inside; it must succeed."""
        done = self.run("/bin/sh", "-ec", script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def runc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["runc", "--root", str(self.path / "state"), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


def install_busybox(root: Path) -> None:
    for folder in ("bin", "etc", "home/web", "proc", "root", "sbin", "sys", "tmp", "dev"):
        (root / folder).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for applet in set(applets.stdout.split()) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Bundle]:
    name = f"hostler-oci-{uuid.uuid4().hex[:12]}"
    path = tmp_path / name
    install_busybox(path / "rootfs")
    # Not by ip(8), which leaves a mount at its directory for good.
    netns_path, threads = tmp_path / "netns", NamespaceThread()
    threads.create(netns_path)
    made = Bundle(
        path,
        SpecInputs(
            container=ContainerDefinition(name="c", image="busybox"),
            image=ImageConfig(env=("PATH=/bin", "FROM_IMAGE=1")),
            user=User(),
            host=host_facts(),
            rootfs=str(path / "rootfs"),
            hostname="box",
            netns=str(netns_path),
            cgroup_path=f"/{name}/c",
        ),
    )
    try:
        yield made
    finally:
        made.runc("delete", "--force", name)
        netns.remove(netns_path)
        threads.stop()
        for left in (*CGROUPS.glob(f"*/{name}"), *CGROUPS.glob(name)):
            left.rmdir()


def test_the_user_has_the_ids_groups_and_home_of_the_image(bundle: Bundle) -> None:
    bundle.inputs = replace(bundle.inputs, user=resolve_user("web", PASSWD, GROUP))
    assert bundle.sh("id -u; id -g; id -G; echo $HOME").split("\n") == [
        "1000",
        "1001",
        "1001 2000",
        "/home/web",
    ]


def test_the_environment_and_working_directory_reach_the_process(bundle: Bundle) -> None:
    bundle.define(
        environment=[{"name": "A", "value": "user"}, {"name": "B", "value": "user"}],
        workingDirectory="/tmp",
    )
    bundle.inputs = replace(bundle.inputs, injected={"B": "agent"})
    told = bundle.sh("echo $PATH $FROM_IMAGE $A $B $HOSTNAME; pwd; hostname")
    assert told.split("\n") == ["/bin 1 user agent box", "/tmp", "box"]


def capabilities_inside(bundle: Bundle) -> Mapping[str, str]:
    return status(bundle.sh("cat /proc/self/status"))


def test_root_has_the_default_capabilities_and_a_filter(bundle: Bundle) -> None:
    seen = capabilities_inside(bundle)
    assert names_of(seen["CapEff"]) == names_of(seen["CapBnd"])
    assert len(names_of(seen["CapEff"])) == 14
    assert seen["Seccomp"] == "2"
    assert seen["NoNewPrivs"] == "0"


def test_another_user_has_no_capability_in_effect(bundle: Bundle) -> None:
    bundle.inputs = replace(bundle.inputs, user=User(1000, 1001, (1001,), "/"))
    seen = capabilities_inside(bundle)
    assert names_of(seen["CapEff"]) == names_of(seen["CapPrm"]) == set()
    assert len(names_of(seen["CapBnd"])) == 14


def test_capabilities_are_added_and_dropped(bundle: Bundle) -> None:
    bundle.define(linuxParameters={"capabilities": {"add": ["SYS_PTRACE"], "drop": ["ALL"]}})
    assert names_of(capabilities_inside(bundle)["CapEff"]) == {"SYS_PTRACE"}


def test_no_new_privileges_is_set_when_asked_for(bundle: Bundle) -> None:
    bundle.define(dockerSecurityOptions=["no-new-privileges"])
    assert capabilities_inside(bundle)["NoNewPrivs"] == "1"


@pytest.mark.parametrize(
    "command",
    [
        "mount -t tmpfs none /tmp",
        "unshare -m true",
        "unshare -U true",
        "hostname other",
        "date -s 2020-01-01",
        "dmesg",
    ],
)
def test_the_filter_refuses_what_changes_the_host(bundle: Bundle, command: str) -> None:
    done = bundle.run("/bin/sh", "-c", command)
    assert re.search("not permitted|permission denied", done.stderr), done


def test_only_the_filter_is_between_a_container_and_a_user_namespace(bundle: Bundle) -> None:
    command = ("unshare", "-U", "true")
    assert bundle.run(*command).returncode != 0
    spec = json.loads((bundle.path / "config.json").read_text())
    del spec["linux"]["seccomp"]
    (bundle.path / "config.json").write_text(json.dumps(spec))
    assert bundle.runc("run", "--bundle", str(bundle.path), bundle.path.name).returncode == 0


def test_a_capability_opens_its_calls_in_the_filter(bundle: Bundle) -> None:
    bundle.define(linuxParameters={"capabilities": {"add": ["SYS_ADMIN"]}})
    assert bundle.sh("mount -t tmpfs none /tmp && unshare -m true && echo done") == "done"


# System calls without a program of their own, by number on x86_64 and arm64, and their answer.
CALLS = {
    "keyctl": (250, 219, "EPERM"),
    "bpf": (321, 280, "EPERM"),
    "perf_event_open": (298, 241, "EPERM"),
    "io_uring_setup": (425, 425, "EPERM"),
    "userfaultfd": (323, 282, "EPERM"),
    "clone3": (435, 435, "ENOSYS"),
}

CALL_SCRIPT = """
import ctypes, errno, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
for number in map(int, sys.argv[1:]):
    libc.syscall(number, 0, 0, 0, 0, 0)
    print(errno.errorcode[ctypes.get_errno()])
for family in (socket.AF_ALG, socket.AF_VSOCK, socket.AF_UNIX, socket.AF_INET):
    try:
        socket.socket(family, socket.SOCK_STREAM).close()
        print("open")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="borrows the host's python")
def test_the_filter_answers_single_calls_and_sockets_as_meant(bundle: Bundle) -> None:
    folders = [folder for folder in ("/usr", "/lib", "/lib64") if Path(folder).exists()]
    mounts = tuple(BindMount(folder, folder, read_only=True) for folder in folders)
    bundle.inputs = replace(bundle.inputs, mounts=mounts)
    column = 1 if platform.machine() == "aarch64" else 0
    numbers = [str(call[column]) for call in CALLS.values()]
    done = bundle.run("/usr/bin/python3", "-c", CALL_SCRIPT, *numbers)
    expected = [call[2] for call in CALLS.values()] + ["EPERM", "EPERM", "open", "open"]
    assert done.stdout.split() == expected, done.stderr


def test_ulimits_hold(bundle: Bundle) -> None:
    bundle.define(ulimits=[{"name": "nofile", "softLimit": 99, "hardLimit": 111}])
    assert bundle.sh("ulimit -n; ulimit -Hn").split() == ["99", "111"]


def test_secret_paths_are_masked_and_settings_read_only(bundle: Bundle) -> None:
    assert bundle.sh("cat /proc/keys /proc/timer_list; ls /sys/firmware") == ""
    done = bundle.run("/bin/sh", "-c", "echo 1 > /proc/sys/vm/swappiness")
    assert "Read-only file system" in done.stderr


def test_a_tmpfs_has_its_size_and_options(bundle: Bundle) -> None:
    tmpfs = {"containerPath": "/scratch", "size": 8, "mountOptions": ["mode=0750", "exec"]}
    bundle.define(linuxParameters={"tmpfs": [tmpfs], "sharedMemorySize": 3})
    lines = bundle.sh("grep -E ' (/scratch|/dev/shm) ' /proc/mounts").split("\n")
    found = {line.split()[1]: line.split()[3].split(",") for line in lines}
    assert {"size=8192k", "mode=750", "nosuid", "nodev"} <= set(found["/scratch"])
    assert "noexec" not in found["/scratch"]
    assert {"size=3072k", "noexec"} <= set(found["/dev/shm"])


def test_a_read_only_root_leaves_volumes_writable(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    bundle.define(readonlyRootFilesystem=True)
    bundle.inputs = replace(
        bundle.inputs,
        mounts=(
            BindMount(str(tmp_path / "volume"), "/data"),
            BindMount(str(tmp_path / "volume"), "/frozen", read_only=True),
        ),
    )
    (bundle.root / "data").mkdir()
    (bundle.root / "frozen").mkdir()
    done = bundle.run("/bin/sh", "-c", "touch /data/yes; touch /frozen/no; touch /no")
    assert done.stderr.count("Read-only file system") == 2
    assert [each.name for each in (tmp_path / "volume").iterdir()] == ["yes"]


@pytest.mark.skipif(not INIT.exists(), reason="needs catatonit")
def test_an_init_is_the_first_process_and_passes_the_exit_code(bundle: Bundle) -> None:
    bundle.define(linuxParameters={"initProcessEnabled": True})
    bundle.inputs = replace(bundle.inputs, init_path=str(INIT))
    done = bundle.run("/bin/sh", "-c", "cat /proc/1/comm; exit 7")
    assert (done.returncode, done.stdout.strip()) == (7, "docker-init")


@pytest.mark.skipif(
    (CGROUPS / "cgroup.controllers").exists(), reason="reads the files of cgroup v1"
)
def test_the_cgroup_has_the_limits_of_version_1(bundle: Bundle) -> None:
    swap = {"maxSwap": 16, "swappiness": 10}
    bundle.define(cpu=512, memory=64, memoryReservation=32, linuxParameters=swap)
    memory = "/sys/fs/cgroup/memory/memory"
    told = bundle.sh(
        f"cat /sys/fs/cgroup/cpu/cpu.shares {memory}.limit_in_bytes {memory}.soft_limit_in_bytes "
        f"{memory}.memsw.limit_in_bytes {memory}.swappiness"
    )
    mib = 1024 * 1024
    assert [int(each) for each in told.split()] == [512, 64 * mib, 32 * mib, 80 * mib, 10]


@pytest.mark.skipif(
    not (CGROUPS / "cgroup.controllers").exists(), reason="reads the files of cgroup v2"
)
def test_the_cgroup_has_the_limits_of_version_2(bundle: Bundle) -> None:
    bundle.define(cpu=512, memory=64, memoryReservation=32, linuxParameters={"maxSwap": 16})
    told = bundle.sh("cd /sys/fs/cgroup; cat memory.max memory.low memory.swap.max")
    mib = 1024 * 1024
    assert [int(each) for each in told.split()] == [64 * mib, 32 * mib, 16 * mib]


def test_only_the_devices_asked_for_can_be_opened(bundle: Bundle) -> None:
    loop = DeviceNode("/dev/kmsg", "c", 1, 11)
    bundle.define(
        linuxParameters={
            "devices": [
                {"hostPath": "/dev/kmsg", "containerPath": "/dev/log0", "permissions": ["write"]}
            ]
        }
    )
    bundle.inputs = replace(bundle.inputs, devices=(loop,))
    done = bundle.run(
        "/bin/sh",
        "-c",
        "ls /dev/log0; echo x > /dev/null; mknod /tmp/kvm c 10 232; cat /tmp/kvm; cat /dev/log0",
    )
    assert done.stdout.strip() == "/dev/log0"
    assert done.stderr.count("Operation not permitted") == 2


def test_files_from_the_host_are_seen(bundle: Bundle, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text(hosts_file("box", ["10.1.2.3"], ()))
    bundle.inputs = replace(bundle.inputs, mounts=(BindMount(str(hosts), "/etc/hosts"),))
    assert bundle.sh("grep box /etc/hosts") == "10.1.2.3\tbox"


def test_sysctls_are_set_in_the_container_only(bundle: Bundle) -> None:
    own = {"namespace": "net.core.somaxconn", "value": "77"}
    queues = {"namespace": "fs.mqueue.msg_max", "value": "33"}
    bundle.define(systemControls=[own, queues])
    before = Path("/proc/sys/fs/mqueue/msg_max").read_text()
    told = bundle.sh(
        "cd /proc/sys; cat net/core/somaxconn fs/mqueue/msg_max net/ipv4/ip_unprivileged_port_start"
    )
    assert told.split() == ["77", "33", "0"]
    assert Path("/proc/sys/fs/mqueue/msg_max").read_text() == before


def test_a_privileged_container_has_everything(bundle: Bundle) -> None:
    bundle.define(privileged=True)
    node = DeviceNode("/dev/kmsg", "c", 1, 11)
    bundle.inputs = replace(bundle.inputs, host=replace(bundle.inputs.host, devices=(node,)))
    told = status(bundle.sh("mount -t tmpfs none /tmp; : < /dev/kmsg; cat /proc/self/status"))
    assert names_of(told["CapEff"]) == bundle.inputs.host.capabilities
    assert told["Seccomp"] == "0"


def test_the_namespaces_of_the_host_are_shared_when_asked_for(bundle: Bundle) -> None:
    bundle.inputs = replace(bundle.inputs, pid_mode="host", ipc_mode="host", netns=None)
    told = bundle.sh("for n in pid ipc net uts; do readlink /proc/self/ns/$n; done").split()
    host = [str(Path(f"/proc/self/ns/{name}").readlink()) for name in ("pid", "ipc", "net", "uts")]
    assert told[:3] == host[:3]
    assert told[3] != host[3]

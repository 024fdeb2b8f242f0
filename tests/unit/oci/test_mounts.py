"""What is mounted, in which order."""

from dataclasses import replace
from typing import Any

import pytest

from agent.oci.inputs import BindMount
from agent.oci.mounts import mounts
from tests.unit.oci.worlds import inputs


def by_place(*args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
    return {mount["destination"]: mount for mount in mounts(inputs(*args, **kwargs))}


def test_a_volume_is_bound_with_its_access() -> None:
    found = by_place(mounts=(BindMount("/a", "/data"), BindMount("/b", "/frozen", read_only=True)))
    assert found["/data"]["options"] == ["rbind", "rprivate", "rw"]
    assert found["/frozen"]["options"] == ["rbind", "rprivate", "ro"]


def test_parents_are_mounted_before_their_children() -> None:
    asked = (
        BindMount("/a", "/data/in/side"),
        BindMount("/b", "/data"),
        BindMount("/c", "/data/in/"),
    )
    places = [mount["destination"] for mount in mounts(inputs(mounts=asked))]
    assert places[-3:] == ["/data", "/data/in/", "/data/in/side"]


def test_options_of_a_tmpfs_come_after_the_safe_ones_and_its_size() -> None:
    asked = ["defaults", "exec", "nr_blocks=9"]
    tmpfs = [{"containerPath": "/t", "size": 7, "mountOptions": asked}]
    found = by_place({"linuxParameters": {"tmpfs": tmpfs}})
    options = ["nosuid", "nodev", "noexec", "size=7m", "exec", "nr_blocks=9"]
    assert found["/t"]["options"] == options


def test_shared_memory_is_64_mib_unless_told() -> None:
    assert "size=64m" in by_place()["/dev/shm"]["options"]
    small = by_place({"linuxParameters": {"sharedMemorySize": 1}})
    assert "size=1m" in small["/dev/shm"]["options"]


def test_shared_memory_follows_the_ipc_mode() -> None:
    assert by_place(ipc_mode="host")["/dev/shm"]["type"] == "bind"
    assert "/dev/shm" not in by_place(ipc_mode="none")


def test_the_kernels_file_systems_are_writable_for_privileged_only() -> None:
    for place in ("/sys", "/sys/fs/cgroup"):
        assert "ro" in by_place()[place]["options"]
        assert "rw" in by_place({"privileged": True})[place]["options"]


def test_an_init_is_bound_read_only() -> None:
    found = by_place({"linuxParameters": {"initProcessEnabled": True}}, init_path="/bin/catatonit")
    assert found["/sbin/docker-init"]["source"] == "/bin/catatonit"
    assert "ro" in found["/sbin/docker-init"]["options"]


@pytest.mark.parametrize(
    ("read_only", "options"),
    [(True, ["rbind", "rprivate", "ro", "rro"]), (False, ["rbind", "rprivate", "rw"])],
)
def test_where_the_kernel_can_read_only_is_for_all_below(
    read_only: bool, options: list[str]
) -> None:
    host = replace(inputs().host, recursive_read_only=True)
    made = mounts(inputs(host=host, mounts=(BindMount("/srv", "/data", read_only=read_only),)))
    assert made[-1]["options"] == options

"""Namespaces that containers share, what links tell, SELinux labels, and what GPUs change."""

from dataclasses import replace
from typing import Any

import pytest

from agent.oci.edits import DeviceNode, EditedMount, EditedNode, Edits, Hook, merged
from agent.oci.errors import SpecError
from agent.oci.inputs import SelinuxLabels, SharedNamespaces
from agent.oci.security import apparmor_profile, selinux_labels
from agent.oci.spec import build_spec
from tests.unit.oci.worlds import inputs

SHARED = SharedNamespaces(pid="/run/pid", ipc="/run/ipc", memory="/run/shm")
GPU0 = DeviceNode("/dev/gpu0", "c", 195, 0, 0o660, 0, 44)
EDITS = Edits(
    env={"A": "gpu", "GPU": "yes"},
    nodes=(EditedNode(GPU0, "rw"),),
    mounts=(EditedMount("/usr/lib/gpu.so", "/usr/lib/gpu.so", ("ro", "nosuid")),),
    hooks=(Hook("createContainer", "/bin/hook", ("hook", "--now"), ("B=1",), 5),),
    additional_gids=(44, 0),
)


def namespaces(spec: dict[str, Any]) -> dict[str, str | None]:
    return {each["type"]: each.get("path") for each in spec["linux"]["namespaces"]}


def test_shared_namespaces_are_joined_by_their_paths() -> None:
    spec = build_spec(inputs(shared=SHARED))
    found = namespaces(spec)
    assert (found["pid"], found["ipc"], found["mount"]) == ("/run/pid", "/run/ipc", None)
    (memory,) = (each for each in spec["mounts"] if each["destination"] == "/dev/shm")
    assert (memory["type"], memory["source"]) == ("bind", "/run/shm")
    assert any(each["destination"] == "/dev/mqueue" for each in spec["mounts"])


def test_without_any_each_is_its_own() -> None:
    found = namespaces(build_spec(inputs()))
    assert (found["pid"], found["ipc"]) == (None, None)
    assert {"pid", "ipc"} <= found.keys()


def test_an_init_has_no_place_in_a_shared_pid_namespace() -> None:
    wanted = {"linuxParameters": {"initProcessEnabled": True}}
    own = build_spec(inputs(wanted, init_path="/bin/init"))
    assert own["process"]["args"][0] == "/sbin/docker-init"
    joined = build_spec(inputs(wanted, shared=SHARED))
    assert joined["process"]["args"] == ["/entry", "serve"]


def test_what_links_tell_loses_against_the_image_and_the_definition() -> None:
    linked = {"A": "link", "DB_NAME": "/web/db", "MINE": "link"}
    given = {"environment": [{"name": "MINE", "value": "own"}]}
    env = build_spec(inputs(given, linked=linked))["process"]["env"]
    assert {"A=image", "DB_NAME=/web/db", "MINE=own"} <= set(env)


def test_a_gpu_brings_nodes_mounts_hooks_groups_and_variables() -> None:
    spec = build_spec(inputs(edits=EDITS, injected={"GPU": "agents"}))
    assert {"A=gpu", "GPU=agents"} <= set(spec["process"]["env"])
    assert spec["process"]["user"]["additionalGids"] == [0, 44]
    assert [each["path"] for each in spec["linux"]["devices"]] == ["/dev/gpu0"]
    rules = spec["linux"]["resources"]["devices"]
    assert rules[-1] == {"allow": True, "type": "c", "access": "rw", "major": 195, "minor": 0}
    assert spec["mounts"][-1] == {
        "destination": "/usr/lib/gpu.so",
        "type": "bind",
        "source": "/usr/lib/gpu.so",
        "options": ["ro", "nosuid", "rbind"],
    }
    assert spec["hooks"] == {
        "createContainer": [
            {"path": "/bin/hook", "args": ["hook", "--now"], "env": ["B=1"], "timeout": 5}
        ]
    }


def test_a_file_system_is_not_bound() -> None:
    edits = Edits(mounts=(EditedMount("tmpfs", "/gpu", ("size=1m",), "tmpfs"),))
    assert build_spec(inputs(edits=edits))["mounts"][-1]["options"] == ["size=1m"]


def test_a_hook_may_have_nothing_but_a_path() -> None:
    edits = Edits(hooks=(Hook("poststop", "/bin/hook"),))
    assert build_spec(inputs(edits=edits))["hooks"] == {"poststop": [{"path": "/bin/hook"}]}


def test_without_devices_there_are_no_hooks() -> None:
    assert "hooks" not in build_spec(inputs())


def test_a_node_is_made_once() -> None:
    asked = {"linuxParameters": {"devices": [{"hostPath": "/dev/gpu0"}]}}
    spec = build_spec(inputs(asked, devices=(GPU0,), edits=EDITS))
    assert [each["path"] for each in spec["linux"]["devices"]] == ["/dev/gpu0"]
    host = replace(inputs().host, devices=(GPU0,))
    spec = build_spec(inputs({"privileged": True}, host=host, edits=EDITS))
    assert [each["path"] for each in spec["linux"]["devices"]] == ["/dev/gpu0"]


def test_what_two_devices_have_in_common_is_there_once() -> None:
    assert merged([EDITS, EDITS]) == replace(EDITS)
    assert merged([]) == Edits()


def labelled(*options: str, **changes: Any) -> SelinuxLabels | None:
    host = replace(inputs().host, selinux=SelinuxLabels())
    return selinux_labels(inputs({"dockerSecurityOptions": list(options)}, host=host, **changes))


def test_selinux_labels_change_those_of_the_policy() -> None:
    assert labelled("label:type:web_t", "label:level:s0:c1,c2") == SelinuxLabels(
        "system_u:system_r:web_t:s0:c1,c2", "system_u:object_r:container_file_t:s0:c1,c2"
    )
    assert labelled("label:user:web_u", "label:role:web_r") == SelinuxLabels(
        "web_u:web_r:container_t:s0", SelinuxLabels().file
    )


def test_without_label_options_the_policy_decides() -> None:
    assert labelled() is None
    assert labelled("label:type:web_t", "label:disable") is None


def test_labels_are_those_of_processes_and_files() -> None:
    host = replace(inputs().host, selinux=SelinuxLabels())
    spec = build_spec(inputs({"dockerSecurityOptions": ["label:type:web_t"]}, host=host))
    assert spec["process"]["selinuxLabel"] == "system_u:system_r:web_t:s0"
    assert spec["linux"]["mountLabel"] == SelinuxLabels().file
    assert "selinuxLabel" not in build_spec(inputs())["process"]


@pytest.mark.parametrize("option", ["label:type:web_t", "apparmor:web"])
def test_protection_that_the_host_can_not_give_is_refused(option: str) -> None:
    asked = inputs({"dockerSecurityOptions": [option]})
    with pytest.raises(SpecError, match=f"{option} needs .* not in force"):
        build_spec(asked)


def test_no_protection_can_be_had_everywhere() -> None:
    asked = {"dockerSecurityOptions": ["label:disable", "apparmor:unconfined"]}
    assert apparmor_profile(inputs(asked)) is None
    assert "apparmorProfile" not in build_spec(inputs(asked))["process"]

"""The filter as data. What the kernel makes of it is in the system tests."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.oci.seccomp import seccomp
from agent.oci.security import DEFAULT_CAPABILITIES
from agent.oci.syscalls import ALWAYS, WITH_CAPABILITY
from agent.task.definition.linux_rules import CAPABILITIES


def allowed(profile: dict[str, Any]) -> set[str]:
    """Calls allowed whatever their arguments."""
    return {
        name
        for rule in profile["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and "args" not in rule
        for name in rule["names"]
    }


def test_what_changes_the_host_is_not_in_the_list() -> None:
    forbidden = """
    add_key keyctl request_key bpf perf_event_open mount umount2 pivot_root setns unshare clone
    clone3 init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff
    settimeofday clock_settime iopl ioperm open_by_handle_at userfaultfd io_uring_setup syslog
    sethostname quotactl acct personality socket move_mount fsopen
    """.split()  # noqa: SIM905
    assert not set(forbidden) & allowed(seccomp("x86_64", DEFAULT_CAPABILITIES))


def test_no_call_is_listed_twice() -> None:
    assert len(set(ALWAYS)) == len(ALWAYS)
    (first, *_) = seccomp("x86_64", CAPABILITIES)["syscalls"]
    assert len(set(first["names"])) == len(first["names"])


@given(st.sets(st.sampled_from(sorted(CAPABILITIES))))
def test_a_capability_only_adds_its_own_calls(names: set[str]) -> None:
    expected = set(ALWAYS).union(*(WITH_CAPABILITY.get(name, ()) for name in names))
    assert allowed(seccomp("x86_64", names)) == expected


def test_clone3_is_missing_rather_than_forbidden() -> None:
    rules = seccomp("x86_64", DEFAULT_CAPABILITIES)["syscalls"]
    assert {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38} in rules


def test_an_administrator_may_make_namespaces() -> None:
    profile = seccomp("x86_64", {"SYS_ADMIN"})
    assert {"clone", "clone3", "unshare", "mount"} <= allowed(profile)
    assert all(rule["names"] != ["clone3"] for rule in profile["syscalls"])


def test_only_the_native_architecture_is_in_the_filter() -> None:
    assert seccomp("aarch64", ())["architectures"] == ["SCMP_ARCH_AARCH64"]
    assert "architectures" not in seccomp("riscv64", ())

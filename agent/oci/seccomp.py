"""The system call filter of a container: ``syscalls`` allowed, everything else EPERM.

Two kinds are ENOSYS instead: clone3, whose flags a filter can't read, so that the C library falls
back to clone; and, by the runtime's own addition, what is newer than the list. The filter has the
native architecture only: libseccomp builds each one anew, and x86 and x32 beside x86_64 were
measured to cost each container 10 ms of CPU instead of 2. A call of another architecture (a 32-bit
program) ends the thread with SIGSYS.
"""

from collections.abc import Collection
from typing import Any

from agent.oci.syscalls import ALWAYS, WITH_CAPABILITY

_ALLOW, _DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
_EPERM, _ENOSYS = 1, 38

_ARCHITECTURES = {
    "x86_64": "SCMP_ARCH_X86_64",
    "aarch64": "SCMP_ARCH_AARCH64",
}

# personality(2) for Linux and Linux 32, each also with UNAME26, and the question (0xffffffff).
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

# All CLONE_NEW* of namespaces(7) but the time namespace, which clone(2) can't make.
_NEW_NAMESPACES = 0x7E020000

# socket(2): the kernel's cryptography has a long list of holes, a vsock leads past all networks.
_AF_ALG, _AF_VSOCK = 38, 40


def seccomp(machine: str, capabilities: Collection[str]) -> dict[str, Any]:
    """The ``linux.seccomp`` section for a container with these capabilities (without ``CAP_``)."""
    granted = {
        call
        for name in capabilities
        for call in WITH_CAPABILITY.get(name, ())
        if call not in ALWAYS
    }
    rules: list[dict[str, Any]] = [{"names": [*ALWAYS, *sorted(granted)], "action": _ALLOW}]
    rules += [_argument("personality", "SCMP_CMP_EQ", value) for value in _PERSONALITIES]
    rules += [
        _argument("socket", "SCMP_CMP_LT", _AF_ALG),
        _argument("socket", "SCMP_CMP_EQ", _AF_ALG + 1),
        _argument("socket", "SCMP_CMP_GT", _AF_VSOCK),
    ]
    if "clone" not in granted:
        rules.append(_argument("clone", "SCMP_CMP_MASKED_EQ", _NEW_NAMESPACES))
        rules.append({"names": ["clone3"], "action": _DENY, "errnoRet": _ENOSYS})
    section = {"defaultAction": _DENY, "defaultErrnoRet": _EPERM, "syscalls": rules}
    if machine in _ARCHITECTURES:
        section["architectures"] = [_ARCHITECTURES[machine]]
    return section


def _argument(call: str, operation: str, value: int) -> dict[str, Any]:
    """Allow a call whose first argument compares; for MASKED_EQ, one with none of these bits."""
    condition = {"index": 0, "value": value, "op": operation}
    return {"names": [call], "action": _ALLOW, "args": [condition]}

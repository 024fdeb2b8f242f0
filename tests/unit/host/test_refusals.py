"""Whether a task's reason names what a runtime's words leave out. They are those of real ones."""

from __future__ import annotations

import pytest

from agent.host.containers.refusals import explained
from tests.worlds import container

RUNC = (
    "error during container init: unable to apply apparmor profile: apparmor failed to apply"
    " profile: write /proc/self/attr/exec: invalid argument"
)
CRUN_APPARMOR = "write to `/proc/self/attr/apparmor/exec`: No such file or directory"
CRUN_SELINUX = "write to `/proc/self/attr/keycreate`: Invalid argument"
RUNC_SELINUX = "selinux label is specified in config, but selinux is disabled or not supported"
ROOT = 'mount tmpfs:/dev, data: mode=755,context="u:object_r:shop_t:s0": invalid argument'
PROFILE = (
    "dockerSecurityOptions: apparmor:shop can't be applied; if the profile is not loaded on this"
    " host, load it with apparmor_parser: "
)
LABEL = (
    "dockerSecurityOptions: label:type:shop_t can't be applied; SELinux's policy on this host must"
    " know the label and allow it to containers: "
)


@pytest.mark.parametrize(
    ("options", "said", "head"),
    [
        (["apparmor:shop"], RUNC, PROFILE),
        (["no-new-privileges", "apparmor:other", "apparmor:shop"], RUNC, PROFILE),
        (["apparmor:shop"], CRUN_APPARMOR, PROFILE),
        (["label:type:shop_t"], CRUN_SELINUX, LABEL),
        (["label:type:shop_t"], RUNC_SELINUX, LABEL),
        (["label:type:shop_t"], ROOT, LABEL),
        (["label:type:shop_t", "apparmor:shop"], RUNC, PROFILE),
        (["label:type:shop_t", "apparmor:shop"], CRUN_SELINUX, LABEL),
        ([], RUNC, ""),
        (["no-new-privileges"], CRUN_SELINUX, ""),
        (["apparmor:shop", "label:type:shop_t"], "exec: apparmor_status: not found", ""),
    ],
)
def test_the_option_is_named_that_a_refusal_is_about(
    options: list[str], said: str, head: str
) -> None:
    assert explained(container("web", dockerSecurityOptions=options), said) == head + said

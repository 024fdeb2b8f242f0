"""What a runtime's refusal is about, where its own words don't say so.

A runtime writes names of AppArmor profiles and SELinux labels to the kernel and passes on what that
answers: "invalid argument". Which profile or label it was, and what can be done, is said here.
"""

from __future__ import annotations

from agent.task.definition import ContainerDefinition

_BY_APPARMOR = ("apparmor profile", "apparmor not supported", "/attr/apparmor/")
_BY_SELINUX = ("selinux label", "/attr/keycreate", "/attr/exec", 'context="')
"""What is in runtimes' and containerd's words about either, in lower case."""


def explained(container: ContainerDefinition, said: str) -> str:
    """What was ``said``, after the security option of ``container`` that it is about, if any."""
    options, words = container.docker_security_options, said.lower()
    profiles = [each for each in options if each.startswith("apparmor:")]
    labels = [each for each in options if each.startswith("label:")]
    if profiles and any(each in words for each in _BY_APPARMOR):
        return (
            f"dockerSecurityOptions: {profiles[-1]} can't be applied; if the profile is not"
            f" loaded on this host, load it with apparmor_parser: {said}"
        )
    if labels and any(each in words for each in _BY_SELINUX):
        return (
            f"dockerSecurityOptions: {', '.join(labels)} can't be applied; SELinux's policy on"
            f" this host must know the label and allow it to containers: {said}"
        )
    return said

"""The ``process`` section of the runtime spec: what runs, as whom, with which environment."""

from typing import Any

from agent.oci.errors import SpecError
from agent.oci.inputs import SpecInputs
from agent.oci.security import (
    apparmor_profile,
    capabilities,
    has_no_new_privileges,
    selinux_labels,
)

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = "/sbin/docker-init"
_UNLIMITED = 2**64 - 1


def process(inputs: SpecInputs) -> dict[str, Any]:
    """Arguments, environment, working directory, user, capabilities, limits."""
    container, user = inputs.container, inputs.user
    names = [f"CAP_{name}" for name in capabilities(inputs)]
    section: dict[str, Any] = {
        "terminal": container.pseudo_terminal,
        "user": {
            "uid": user.uid,
            "gid": user.gid,
            "umask": 0o022,
            "additionalGids": _additional_gids(inputs),
        },
        "args": [*_init(inputs), *arguments(inputs)],
        "env": [f"{name}={value}" for name, value in environment(inputs).items()],
        "cwd": container.working_directory or inputs.image.working_dir or "/",
        # Also right for a user other than root: execve(2) then clears all but the bounding set.
        "capabilities": {"bounding": names, "effective": names, "permitted": names},
        "rlimits": _rlimits(inputs),
        "noNewPrivileges": has_no_new_privileges(container),
    }
    profile = apparmor_profile(inputs)
    if profile:
        section["apparmorProfile"] = profile
    labels = selinux_labels(inputs)
    if labels is not None:
        section["selinuxLabel"] = labels.process
    return section


def arguments(inputs: SpecInputs) -> tuple[str, ...]:
    """``entryPoint`` and ``command`` over the image's ENTRYPOINT and CMD.

    An entryPoint of the definition also drops the image's CMD; one empty text is none at all, as
    Docker has it. Raises ``SpecError`` if nothing is left to run.
    """
    container, image = inputs.container, inputs.image
    if container.entry_point == ("",):
        args = container.command
    elif container.entry_point:
        args = container.entry_point + container.command
    else:
        args = image.entrypoint + (container.command or image.cmd)
    if not args:
        raise SpecError("no command specified")
    return args


def environment(inputs: SpecInputs) -> dict[str, str]:
    """All variables by name; the last one wins.

    Defaults, what links tell, the image's ENV, environmentFiles, ``environment``, what GPUs need,
    the agent's own, secrets.
    """
    variables = {"PATH": DEFAULT_PATH, "HOSTNAME": inputs.hostname}
    if inputs.container.pseudo_terminal:
        variables["TERM"] = "xterm"
    variables["HOME"] = inputs.user.home
    variables.update(inputs.linked)
    for entry in inputs.image.env:
        name, _, value = entry.partition("=")
        variables[name] = value
    variables.update(inputs.private.from_files)
    variables.update((each.name, each.value) for each in inputs.container.environment)
    variables.update(inputs.edits.env)
    variables.update(inputs.injected)
    variables.update(inputs.private.secrets)
    return variables


def wants_init(inputs: SpecInputs) -> bool:
    """Whether an init comes first. In a PID namespace that is not its own there is one already.

    So has it Docker, which adds its init in private namespaces only.
    """
    private = inputs.pid_mode != "host" and inputs.shared.pid is None
    return inputs.container.linux_parameters.init_process_enabled and private


def _additional_gids(inputs: SpecInputs) -> list[int]:
    return list(dict.fromkeys((*inputs.user.additional_gids, *inputs.edits.additional_gids)))


def _init(inputs: SpecInputs) -> tuple[str, ...]:
    if not wants_init(inputs):
        return ()
    if inputs.init_path is None:
        raise SpecError("initProcessEnabled needs an init program on the host: install catatonit")
    return (INIT, "--")


def _rlimits(inputs: SpecInputs) -> list[dict[str, Any]]:
    limits = {"nofile": inputs.host.nofile}
    limits.update(
        (each.name, (each.soft_limit, each.hard_limit)) for each in inputs.container.ulimits
    )
    return [
        {"type": f"RLIMIT_{name.upper()}", "soft": _rlimit(soft), "hard": _rlimit(hard)}
        for name, (soft, hard) in limits.items()
    ]


def _rlimit(limit: int) -> int:
    return _UNLIMITED if limit == -1 else limit

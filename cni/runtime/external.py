"""Runs a plugin that is a program, as the specification says (section "CNI Plugin Protocol").

Used for delegates of our plugins and for other vendors' plugins in a network.
"""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from cni import execute, formats
from cni.context import Context
from cni.errors import CNIError, Code
from cni.spec import Args, Attachment, Result, search_path

DEADLINE_S: Final = 60.0
"""How long a plugin may take: as long as container runtimes commonly wait for all of a network."""


def delegate(
    verb: str,
    plugin_type: str,
    conf: Mapping[str, Any],
    args: Args,
    context: Context,
    deadline_s: float = DEADLINE_S,
) -> Result:
    """Run ADD, CHECK or DEL of another plugin with this plugin's own configuration `conf`.

    `conf` is the whole JSON object that `parse` was given (`Fields.values`), with `name` and
    `cniVersion`; `args.runtime` and `args.prev` are put into it. The plugin is looked for in
    `args.path`. CHECK and DEL give an empty result. Raises CNIError.
    """
    request = dict(conf)
    for key, value in (
        ("runtimeConfig", dict(args.runtime)),
        ("prevResult", args.prev and formats.write_result(args.prev, conf["cniVersion"])),
    ):
        request.pop(key, None)
        if value:
            request[key] = value
    environ = {
        **_without_ours(context.environ),
        "CNI_CONTAINERID": args.container_id,
        "CNI_NETNS": str(args.netns) if args.netns else "",
        "CNI_IFNAME": args.ifname,
        "CNI_ARGS": ";".join(f"{key}={value}" for key, value in args.cni_args.items()),
    }
    output = _call(verb, plugin_type, request, environ, args.path, deadline_s)
    if verb != "ADD":
        return Result()
    answer = formats.decode(output, f"what {plugin_type} printed")
    return formats.read_result(answer, conf["cniVersion"])


def delegate_network(
    verb: str,
    plugin_type: str,
    conf: Mapping[str, Any],
    context: Context,
    valid: Collection[Attachment] = (),
    deadline_s: float = DEADLINE_S,
) -> None:
    """Run GC or STATUS of another plugin; one too old to know them is fine. Raises CNIError.

    The plugin is looked for in the `CNI_PATH` of `context.environ`.
    """
    request = dict(conf)
    if verb == "GC":
        listed = [{"containerID": each.container_id, "ifname": each.ifname} for each in valid]
        # The second is how libcni itself once misspelt it.
        request |= {"cni.dev/valid-attachments": listed, "cni.dev/attachments": listed}
    path = search_path(context.environ)
    try:
        _call(verb, plugin_type, request, _without_ours(context.environ), path, deadline_s)
    except CNIError as error:
        if error.code != Code.INVALID_ENVIRONMENT:
            raise


def _call(
    verb: str,
    plugin_type: str,
    request: Mapping[str, Any],
    environ: Mapping[str, str],
    path: tuple[Path, ...],
    deadline_s: float,
) -> bytes:
    """Run the plugin; what it printed. Raises its own error, or one that says how it failed."""
    program = _find(plugin_type, path)
    search = ":".join(str(each) for each in path)
    environ = {**environ, "CNI_COMMAND": verb, "CNI_PATH": search}
    finished = execute.run(program, environ, formats.encode(request), deadline_s)
    if finished.status != 0:
        raise _failure(plugin_type, finished)
    return finished.stdout


def _find(plugin_type: str, path: tuple[Path, ...]) -> Path:
    if not plugin_type or "/" in plugin_type or plugin_type in (".", ".."):
        raise CNIError(Code.INVALID_CONFIG, "a plugin's type must be a file name", plugin_type)
    for directory in path:
        program = directory / plugin_type
        if program.is_file():
            return program
    searched = ":".join(str(each) for each in path)
    raise CNIError(Code.INVALID_CONFIG, f"plugin {plugin_type} is not in {searched!r}")


def _failure(plugin_type: str, finished: execute.Finished) -> CNIError:
    """What libcni makes of a plugin that failed."""
    stdout = finished.stdout.decode(errors="replace").strip()
    stderr = finished.stderr.decode(errors="replace").strip()
    if not stdout:
        details = stderr or f"no error message (exit status {finished.status})"
        return CNIError(Code.INTERNAL, f"plugin {plugin_type} failed", details)
    try:
        error = formats.read_error(formats.decode(finished.stdout, f"what {plugin_type} printed"))
    except CNIError:
        return CNIError(Code.INTERNAL, f"plugin {plugin_type} failed, its error is no JSON", stdout)
    return CNIError(error.code, f"{plugin_type}: {error.msg}", error.details)


def _without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what belongs to the call at hand."""
    return {
        key: value
        for key, value in (environ or os.environ).items()
        if not key.startswith("CNI_") or key == "CNI_NETNS_OVERRIDE"
    }

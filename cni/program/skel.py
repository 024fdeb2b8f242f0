"""One call of a plugin: environment and standard input in, exit status and output out.

Nothing here is global, so a call runs alike in a process of its own (`launch`) and inside the
agent (`serve`). What is checked, in which order, with which messages and numbers follows the
specification's Go skeleton, except that a namespace which is the plugin's own is refused before
anything is done, not after.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from cni import formats, plugin
from cni.conf import Fields
from cni.context import Context
from cni.errors import CNIError, Code
from cni.plugin import Plugin
from cni.spec import Args, Attachment, require_identifier, require_interface, search_path

_PER_CONTAINER: Final = ("ADD", "CHECK", "DEL")
_SINCE: Final = {"CHECK": "0.4.0", "GC": "1.1.0", "STATUS": "1.1.0"}
_ARGS: Final = frozenset(("IgnoreUnknown", "MAC", "IP", "GATEWAY"))
_VALID: Final = ("cni.dev/valid-attachments", "cni.dev/attachments")
_NEWEST: Final = formats.VERSIONS[-1]

OpenContext = Callable[[], AbstractContextManager[Context]]
"""Gives the context for one call; leaving it closes what was opened for it."""


class Outcome(NamedTuple):
    """What the process of a plugin leaves: its exit status and what it printed."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""


def run(
    environ: Mapping[str, str], stdin: bytes, plugin_name: str, open_context: OpenContext
) -> Outcome:
    """Do what `CNI_COMMAND` says. Raises nothing: what goes wrong is an error object on stdout."""
    if not environ.get("CNI_COMMAND"):
        versions = ", ".join(formats.VERSIONS)
        about = f"CNI plugin {plugin_name}\nCNI protocol versions supported: {versions}\n"
        return Outcome(0, stderr=about.encode())
    try:
        return Outcome(0, _answer(environ, stdin, plugin_name, open_context))
    except CNIError as error:
        return Outcome(1, _failure(error, stdin))
    except Exception as error:  # noqa: BLE001 - whatever happens, the caller gets an error object
        from traceback import format_exc

        wrapped = CNIError(Code.INTERNAL, f"{type(error).__name__}: {error}")
        return Outcome(1, _failure(wrapped, stdin), format_exc().encode(errors="backslashreplace"))


def _answer(
    environ: Mapping[str, str], stdin: bytes, plugin_name: str, open_context: OpenContext
) -> bytes:
    """What is printed on success."""
    verb = environ["CNI_COMMAND"]
    _require_variables(verb, environ)
    if verb == "VERSION":
        return _line({"cniVersion": _NEWEST, "supportedVersions": list(formats.VERSIONS)})
    conf = _configuration(stdin)
    if verb not in (*_PER_CONTAINER, "GC", "STATUS"):
        raise CNIError(Code.INVALID_ENVIRONMENT, f"unknown CNI_COMMAND: {verb}")
    _require_version(verb, conf)
    found = plugin.find(plugin_name)
    parsed = found.parse(Fields(conf))
    if verb in _PER_CONTAINER:
        args = _args(environ, Fields(conf))
        _require_possible(verb, environ, args)
        with open_context() as context:
            return _attachment(verb, found, parsed, args, _with(context, environ), conf)
    valid = _valid(Fields(conf)) if verb == "GC" else ()
    with open_context() as context:
        if verb == "GC":
            found.gc(parsed, valid, _with(context, environ))
        else:
            found.status(parsed, _with(context, environ))
    return b""


def _attachment(
    verb: str, found: Plugin, parsed: Any, args: Args, context: Context, conf: Mapping[str, Any]
) -> bytes:
    match verb:
        case "ADD":
            result = found.add(parsed, args, context)
            return _line(formats.write_result(result, conf["cniVersion"]))
        case "CHECK":
            found.check(parsed, args, context)
        case _:
            found.delete(parsed, args, context)
    return b""


def _require_variables(verb: str, environ: Mapping[str, str]) -> None:
    """The variables that `verb` needs are there, and those of a container are well-formed."""
    needed: dict[str, tuple[str, ...]] = {
        "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
        "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"),
        "DEL": ("CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"),
        "GC": ("CNI_PATH",),
        "STATUS": ("CNI_PATH",),
    }
    missing = [name for name in needed.get(verb, ()) if not environ.get(name)]
    if missing:
        msg = f"required env variables [{','.join(missing)}] missing"
        raise CNIError(Code.INVALID_ENVIRONMENT, msg)
    if verb in _PER_CONTAINER:
        require_identifier(environ["CNI_CONTAINERID"], "containerID")
        require_interface(environ["CNI_IFNAME"])


def _configuration(stdin: bytes) -> dict[str, Any]:
    """The object on standard input, with a name and its `cniVersion`."""
    conf = formats.decode(stdin, "the network configuration")
    if not isinstance(conf, dict):
        raise CNIError(Code.UNDECODABLE, "the network configuration must be an object")
    name, version = conf.get("name"), conf.get("cniVersion")
    for key, value in (("name", name), ("cniVersion", version)):
        if not isinstance(value, str | None):
            raise CNIError(Code.UNDECODABLE, f"{key} must be a string", f"it is {value!r}")
    if not name:
        raise CNIError(Code.INVALID_CONFIG, "missing network name")
    require_identifier(name, "network name", Code.INVALID_CONFIG)
    return {**conf, "cniVersion": version or "0.1.0"}


def _require_version(verb: str, conf: Mapping[str, Any]) -> None:
    version = conf["cniVersion"]
    if version not in formats.VERSIONS:
        supported = " ".join(f'"{each}"' for each in formats.VERSIONS)
        details = f'config is "{version}", plugin supports [{supported}]'
        raise CNIError(Code.INCOMPATIBLE_VERSION, "incompatible CNI versions", details)
    if verb in _SINCE and not formats.speaks(version, _SINCE[verb]):
        raise CNIError(Code.INCOMPATIBLE_VERSION, f"config version does not allow {verb}")


def _args(environ: Mapping[str, str], fields: Fields) -> Args:
    """What the plugin is told of the attachment."""
    fields.object("args").object("cni")
    prev = fields.value("prevResult")
    version = fields.values["cniVersion"]
    netns = environ.get("CNI_NETNS")
    return Args(
        container_id=environ["CNI_CONTAINERID"],
        netns=Path(netns) if netns else None,
        ifname=environ["CNI_IFNAME"],
        cni_args=_cni_args(environ.get("CNI_ARGS", "")),
        path=search_path(environ),
        runtime=fields.object("runtimeConfig").values,
        prev=None if prev is None else formats.read_result(prev, version),
    )


def _cni_args(text: str) -> dict[str, str]:
    """The pairs of `CNI_ARGS`; one that is none of ours needs `IgnoreUnknown`."""
    pairs: dict[str, str] = {}
    for pair in text.split(";") if text else ():
        key, sign, value = pair.partition("=")
        if not sign:
            raise CNIError(Code.INVALID_ENVIRONMENT, f"CNI_ARGS: invalid pair {pair!r}")
        pairs[key] = value
    ignore = pairs.get("IgnoreUnknown", "0").lower()
    if ignore not in ("0", "1", "false", "true"):
        msg = "CNI_ARGS: IgnoreUnknown must be true or false"
        raise CNIError(Code.INVALID_ENVIRONMENT, msg, ignore)
    unknown = sorted(pairs.keys() - _ARGS)
    if unknown and ignore in ("0", "false"):
        raise CNIError(Code.INVALID_ENVIRONMENT, f"CNI_ARGS: unknown args {unknown}")
    return pairs


def _require_possible(verb: str, environ: Mapping[str, str], args: Args) -> None:
    if verb == "CHECK":
        if args.prev is None:
            raise CNIError(Code.INVALID_CONFIG, "prevResult is missing: CHECK needs ADD's result")
        return
    if environ.get("CNI_NETNS_OVERRIDE", "").upper() in ("1", "TRUE") or args.netns is None:
        return
    from cni.kernel import netns

    try:
        own = netns.is_own(args.netns)
    except OSError:  # not there: the plugin says what that means for it
        return
    if own:
        msg = "plugin's netns and netns from CNI_NETNS should not be the same"
        raise CNIError(Code.INVALID_NAMESPACE, msg, str(args.netns))


def _valid(fields: Fields) -> Collection[Attachment]:
    """The attachments that GC must leave; the second key is an older misspelling."""
    for key in _VALID:
        if fields.value(key) is not None:
            return {
                Attachment(each.text("containerID"), each.text("ifname"))
                for each in fields.objects(key)
            }
    # Not taken for an empty list: that would remove every attachment of the network.
    raise CNIError(Code.INVALID_CONFIG, f"{_VALID[0]} is missing")


def _with(context: Context, environ: Mapping[str, str]) -> Context:
    return replace(context, environ=environ)


def _failure(error: CNIError, stdin: bytes) -> bytes:
    """The error object, in the version of the configuration where that is known."""
    try:
        version = _configuration(stdin)["cniVersion"]
    except CNIError:
        version = _NEWEST
    return _line(formats.write_error(error, version if version in formats.VERSIONS else _NEWEST))


def _line(value: Mapping[str, Any]) -> bytes:
    return formats.encode(value) + b"\n"

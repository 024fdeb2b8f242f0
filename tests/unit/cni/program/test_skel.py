"""One call of a plugin: what is checked in which order, and what is answered."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from cni import formats
from cni import plugin as plugins
from cni.context import Context
from cni.errors import CNIError, Code
from cni.program import skel
from cni.spec import IP, Attachment, Interface, Result
from tests.fakes.cni_plugin import Recorder

ENVIRON = {
    "CNI_COMMAND": "ADD",
    "CNI_CONTAINERID": "c1",
    "CNI_NETNS": "/no/such/namespace",
    "CNI_IFNAME": "eth0",
    "CNI_PATH": "/opt/a:/opt/b",
}
CONF = {"name": "net", "cniVersion": "1.1.0", "type": "recorder"}
RESULT = Result((Interface("eth0", mtu=1400),), (IP(IPv4Interface("10.0.0.2/8"), interface=0),))


@contextmanager
def context() -> Iterator[Context]:
    unused: Any = None
    yield Context(unused, unused, unused, Path("/nowhere"))


class Caller:
    """Calls a recorder as a runtime calls a program."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def run(
        self, environ: Mapping[str, str | None], conf: Any = CONF
    ) -> tuple[int, dict[str, Any] | None]:
        """The exit status, and the object that was printed, if any."""
        given = {key: value for key, value in {**ENVIRON, **environ}.items() if value is not None}
        stdin = conf if isinstance(conf, bytes) else json.dumps(conf).encode()
        outcome = skel.run(given, stdin, "hostler-bridge", context)
        printed: dict[str, Any] | None = json.loads(outcome.stdout) if outcome.stdout else None
        return outcome.status, printed

    def refused(self, environ: Mapping[str, str | None], conf: Any = CONF) -> dict[str, Any]:
        """The error object, of a call that never reached the plugin."""
        status, printed = self.run(environ, conf)
        assert (status, self.recorder.calls) == (1, [])
        assert printed is not None
        return printed


@pytest.fixture
def caller(monkeypatch: pytest.MonkeyPatch) -> Caller:
    recorder = Recorder(RESULT)
    monkeypatch.setattr(plugins, "find", lambda name: recorder)
    return Caller(recorder)


def test_without_a_command_it_says_what_it_is_and_succeeds() -> None:
    outcome = skel.run({}, b"garbage", "hostler-bridge", context)

    assert (outcome.status, outcome.stdout) == (0, b"")
    assert outcome.stderr.decode().splitlines() == [
        "CNI plugin hostler-bridge",
        "CNI protocol versions supported: 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0",
    ]


def test_version_looks_at_nothing_else(caller: Caller) -> None:
    nothing = dict.fromkeys(ENVIRON)

    assert caller.run({**nothing, "CNI_COMMAND": "VERSION"}, b"garbage") == (
        0,
        {"cniVersion": "1.1.0", "supportedVersions": list(formats.VERSIONS)},
    )


@pytest.mark.parametrize("version", formats.VERSIONS)
def test_the_result_is_in_the_version_of_the_configuration(caller: Caller, version: str) -> None:
    assert caller.run({}, {**CONF, "cniVersion": version}) == (
        0,
        formats.write_result(RESULT, version),
    )


def test_the_plugin_is_told_everything(caller: Caller) -> None:
    conf = {**CONF, "runtimeConfig": {"mac": "02::"}, "prevResult": {"ips": []}}
    caller.run({"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=p;MAC=02:00:00:00:00:01"}, conf)

    ((verb, args),) = caller.recorder.calls
    assert verb == "ADD"
    assert args.attachment == Attachment("c1", "eth0")
    assert args.netns == Path("/no/such/namespace")
    assert args.path == (Path("/opt/a"), Path("/opt/b"))
    assert args.runtime == {"mac": "02::"}
    assert args.prev == Result()
    assert args.cni_args["K8S_POD_NAME"] == "p"


@pytest.mark.parametrize("netns", [None, "", "/gone"])
def test_del_needs_no_namespace_nor_result_and_prints_nothing(
    caller: Caller, netns: str | None
) -> None:
    assert caller.run({"CNI_COMMAND": "DEL", "CNI_NETNS": netns}) == (0, None)

    ((verb, args),) = caller.recorder.calls
    assert (verb, args.netns, args.prev) == ("DEL", Path(netns) if netns else None, None)


def test_check_needs_the_result_and_prints_nothing(caller: Caller) -> None:
    error = caller.refused({"CNI_COMMAND": "CHECK"})
    assert error["code"] == Code.INVALID_CONFIG

    given = {**CONF, "prevResult": formats.write_result(RESULT, "1.1.0")}
    assert caller.run({"CNI_COMMAND": "CHECK"}, given) == (0, None)
    assert [(verb, args.prev) for verb, args in caller.recorder.calls] == [("CHECK", RESULT)]


@pytest.mark.parametrize("key", ["cni.dev/valid-attachments", "cni.dev/attachments"])
def test_gc_is_told_what_must_stay(caller: Caller, key: str) -> None:
    conf = {**CONF, key: [{"containerID": "a", "ifname": "eth0"}]}
    only = {"CNI_COMMAND": "GC", "CNI_CONTAINERID": None, "CNI_IFNAME": None, "CNI_NETNS": None}

    assert caller.run(only, conf) == (0, None)
    assert caller.recorder.calls == [("GC", {Attachment("a", "eth0")})]


def test_gc_without_a_list_removes_nothing(caller: Caller) -> None:
    error = caller.refused({"CNI_COMMAND": "GC"})

    assert error["code"] == Code.INVALID_CONFIG
    assert caller.run({"CNI_COMMAND": "GC"}, {**CONF, "cni.dev/valid-attachments": []})[0] == 0


def test_status_and_delegates_see_the_callers_environment(caller: Caller) -> None:
    assert caller.run({"CNI_COMMAND": "STATUS", "PATH": "/bin"}) == (0, None)

    ((_, seen),) = caller.recorder.calls
    assert seen.environ["PATH"] == "/bin"
    assert seen.environ["CNI_PATH"] == ENVIRON["CNI_PATH"]


@pytest.mark.parametrize(
    ("environ", "code", "said"),
    [
        (
            dict.fromkeys(("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH")),
            4,
            "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing",
        ),
        (
            {"CNI_NETNS": "", "CNI_IFNAME": ""},
            4,
            "required env variables [CNI_NETNS,CNI_IFNAME] missing",
        ),
        (
            {"CNI_COMMAND": "DEL", "CNI_IFNAME": None, "CNI_NETNS": None},
            4,
            "required env variables [CNI_IFNAME] missing",
        ),
        ({"CNI_COMMAND": "GC", "CNI_PATH": None}, 4, "required env variables [CNI_PATH] missing"),
        ({"CNI_CONTAINERID": "-a"}, 4, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "a/b"}, 4, "invalid characters in containerID"),
        ({"CNI_CONTAINERID": "a\n"}, 4, "invalid characters in containerID"),
        ({"CNI_IFNAME": "sixteen-bytes-16"}, 4, "interface name is too long"),
        ({"CNI_IFNAME": "éééééééé"}, 4, "interface name is too long"),
        ({"CNI_IFNAME": ".."}, 4, "invalid interface name"),
        ({"CNI_IFNAME": "a b"}, 4, "invalid interface name"),
        ({"CNI_IFNAME": "a:b"}, 4, "invalid interface name"),
        ({"CNI_IFNAME": "\udcff"}, None, ""),
        ({"CNI_COMMAND": "add"}, 4, "unknown CNI_COMMAND: add"),
        ({"CNI_ARGS": "IP"}, 4, "CNI_ARGS: invalid pair 'IP'"),
        ({"CNI_ARGS": "IP=10.0.0.1;"}, 4, "CNI_ARGS: invalid pair ''"),
        ({"CNI_ARGS": "FOO=1;BAR=2"}, 4, "CNI_ARGS: unknown args ['BAR', 'FOO']"),
        ({"CNI_ARGS": "IgnoreUnknown=maybe"}, 4, "IgnoreUnknown must be true or false"),
    ],
)
def test_a_wrong_environment_is_number_4(
    caller: Caller, environ: dict[str, str | None], code: int | None, said: str
) -> None:
    if code is None:  # any other byte is fine: the kernel takes it too
        assert caller.run(environ)[0] == 0
        return
    error = caller.refused(environ)

    assert (error["code"], error["cniVersion"]) == (code, "1.1.0")
    assert said in error["msg"]


@pytest.mark.parametrize(
    ("conf", "code", "said"),
    [
        (b"", 6, "the network configuration is not JSON"),
        (b"{", 6, "the network configuration is not JSON"),
        (b"\xff\xfe", 6, "the network configuration is not JSON"),
        (b"null", 6, "the network configuration must be an object"),
        (b"[1]", 6, "the network configuration must be an object"),
        ({**CONF, "name": 5}, 6, "name must be a string"),
        ({**CONF, "cniVersion": 1.0}, 6, "cniVersion must be a string"),
        ({"cniVersion": "1.0.0"}, 7, "missing network name"),
        ({**CONF, "name": "a/b"}, 7, "invalid characters in network name"),
        ({"name": "net"}, 1, "incompatible CNI versions"),
        ({**CONF, "cniVersion": "1.0"}, 1, "incompatible CNI versions"),
        ({**CONF, "cniVersion": "2.0.0"}, 1, "incompatible CNI versions"),
        ({**CONF, "broken": True}, 7, "broken must not be true"),
        ({**CONF, "args": []}, 7, "args must be an object"),
        ({**CONF, "args": {"cni": 1}}, 7, "args.cni must be an object"),
        ({**CONF, "runtimeConfig": "x"}, 7, "runtimeConfig must be an object"),
        ({**CONF, "prevResult": 7}, 6, "a result must be an object"),
        ({**CONF, "prevResult": {"ips": [{}]}}, 6, "result.ips[0].address"),
    ],
)
def test_a_wrong_configuration_is_refused(caller: Caller, conf: Any, code: int, said: str) -> None:
    error = caller.refused({}, conf)

    assert error["code"] == code
    assert said in error["msg"]


def test_what_a_plugin_speaks_is_in_the_details(caller: Caller) -> None:
    assert caller.refused({}, {"name": "net"})["details"] == (
        'config is "0.1.0", plugin supports ["0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]'
    )


@pytest.mark.parametrize(
    ("verb", "version"),
    [("CHECK", "0.3.1"), ("GC", "1.0.0"), ("STATUS", "1.0.0"), ("STATUS", "0.4.0")],
)
def test_a_verb_newer_than_the_configuration_is_number_1(
    caller: Caller, verb: str, version: str
) -> None:
    error = caller.refused({"CNI_COMMAND": verb}, {**CONF, "cniVersion": version})

    assert (error["code"], error["cniVersion"]) == (1, version)
    assert error["msg"] == f"config version does not allow {verb}"


@pytest.mark.parametrize("verb", ["ADD", "DEL"])
def test_the_namespace_of_the_plugin_itself_is_refused_before_anything_is_done(
    caller: Caller, verb: str
) -> None:
    environ = {"CNI_COMMAND": verb, "CNI_NETNS": "/proc/self/ns/net"}

    assert caller.refused(environ)["code"] == Code.INVALID_NAMESPACE
    assert caller.run({**environ, "CNI_NETNS_OVERRIDE": "true"})[0] == 0


def test_the_plugins_own_error_is_printed_in_the_configurations_version(caller: Caller) -> None:
    caller.recorder.fails = {"ADD": CNIError(Code.TRY_AGAIN_LATER, "full", "10 of 10")}

    assert caller.run({}, {**CONF, "cniVersion": "0.4.0"}) == (
        1,
        {"cniVersion": "0.4.0", "code": 11, "msg": "full", "details": "10 of 10"},
    )


def test_a_bug_is_number_999_with_its_traceback_on_stderr_only(caller: Caller) -> None:
    caller.recorder.fails = {"ADD": ZeroDivisionError("oh")}
    outcome = skel.run(ENVIRON, json.dumps(CONF).encode(), "hostler-bridge", context)

    error = json.loads(outcome.stdout)
    assert (outcome.status, error["code"], error["msg"]) == (1, 999, "ZeroDivisionError: oh")
    assert b"Traceback" in outcome.stderr


def test_a_plugin_that_is_none_of_ours_is_number_7() -> None:
    outcome = skel.run(ENVIRON, json.dumps(CONF).encode(), "dhcp", context)

    assert json.loads(outcome.stdout)["code"] == Code.INVALID_CONFIG

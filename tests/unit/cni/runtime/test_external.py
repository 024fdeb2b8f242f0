"""Other vendors' plugins: how they are called, and what is made of their answers."""

import json
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from cni.context import Context
from cni.errors import CNIError, Code
from cni.runtime import external
from cni.spec import IP, Args, Attachment, Result
from tests.fakes.cni_plugin import calls, program

RESULT = Result(ips=(IP(IPv4Interface("10.0.0.2/8")),))
WRITTEN = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/8"}]}


@pytest.fixture
def args(tmp_path: Path) -> Args:
    program(tmp_path / "bin" / "other")
    path = (tmp_path / "nowhere", tmp_path / "bin")
    return Args("c1", Path("/netns/c1"), "eth0", {"K": "V", "L": "W"}, path)


def context(**environ: str) -> Context:
    unused: Any = None
    return Context(unused, unused, unused, Path("/nowhere"), environ)


def conf(args: Args, **answer: Any) -> dict[str, Any]:
    record = str(args.path[1] / "calls")
    answers = dict.fromkeys(("ADD", "DEL", "CHECK", "GC", "STATUS"), answer)
    return {"name": "net", "cniVersion": "1.0.0", "record": record, "answers": answers}


def failure(args: Args, **answer: Any) -> CNIError:
    with pytest.raises(CNIError) as failed:
        external.delegate("ADD", "other", conf(args, status=1, **answer), args, context())
    return failed.value


def test_it_gets_the_environment_of_the_specification(args: Args) -> None:
    seen = context(PATH="/bin", CNI_COMMAND="DEL", CNI_IFNAME="x", TRACEPARENT="t")
    external.delegate("ADD", "other", conf(args), args, seen)

    (call,) = calls(args.path[1] / "calls")
    environ = {key: value for key, value in call["environ"].items() if key != "LC_CTYPE"}
    assert environ == {
        "PATH": "/bin",
        "TRACEPARENT": "t",
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/netns/c1",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "K=V;L=W",
        "CNI_PATH": f"{args.path[0]}:{args.path[1]}",
    }


def test_it_gets_the_configuration_with_what_belongs_to_the_call(args: Args) -> None:
    given = conf(args, stdout=json.dumps(WRITTEN))
    stale = {**given, "prevResult": {}, "runtimeConfig": {"old": 1}}
    args = Args("c1", None, "eth0", path=args.path, runtime={"mac": "02::"}, prev=RESULT)

    assert external.delegate("ADD", "other", stale, args, context()) == RESULT
    assert external.delegate("DEL", "other", given, args, context()) == Result()
    bare = Args("c1", None, "eth0", path=args.path)
    external.delegate("CHECK", "other", stale, bare, context())

    told = [call["conf"] for call in calls(args.path[1] / "calls")]
    full = {**given, "runtimeConfig": {"mac": "02::"}, "prevResult": WRITTEN}
    assert told == [full, full, given]


def test_its_own_error_keeps_its_number(args: Args) -> None:
    error = failure(args, stdout=json.dumps({"code": 123, "msg": "no", "details": "why"}))

    assert (error.code, error.msg, error.details) == (123, "other: no", "why")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"stdout": "", "stderr": ""}, "no error message (exit status 1)"),
        ({"stdout": "", "stderr": "oh dear\n"}, "oh dear"),
        ({"stdout": "panic: x", "stderr": "ignored"}, "its error is no JSON: panic: x"),
        ({"stdout": "[]"}, "the error is no object"),
    ],
)
def test_a_failure_without_an_error_object_is_told_as_well_as_possible(
    args: Args, answer: dict[str, str], said: str
) -> None:
    error = failure(args, **answer)

    assert error.code == Code.INTERNAL
    assert said in str(error)
    assert "other" in error.msg


@pytest.mark.parametrize("stdout", ["", "{", json.dumps(WRITTEN) * 2, "[]"])
def test_a_success_that_is_no_result_is_number_6(args: Args, stdout: str) -> None:
    with pytest.raises(CNIError) as failed:
        external.delegate("ADD", "other", conf(args, stdout=stdout), args, context())
    assert failed.value.code == Code.UNDECODABLE


def test_a_result_without_version_has_that_of_the_request(args: Args) -> None:
    answer = conf(args, stdout=json.dumps({"ips": WRITTEN["ips"]}))

    assert external.delegate("ADD", "other", answer, args, context()) == RESULT


@pytest.mark.parametrize("kind", ["absent", "", "..", "../bin/other", "bin"])
def test_one_that_is_not_there_is_number_7(args: Args, kind: str) -> None:
    with pytest.raises(CNIError) as failed:
        external.delegate("ADD", kind, conf(args), args, context())
    assert failed.value.code == Code.INVALID_CONFIG


def test_gc_tells_the_valid_attachments_in_both_spellings(args: Args) -> None:
    seen = context(CNI_PATH=str(args.path[1]), CNI_IFNAME="x")
    external.delegate_network("GC", "other", conf(args), seen, [Attachment("a", "eth0")])

    (call,) = calls(args.path[1] / "calls")
    listed = [{"containerID": "a", "ifname": "eth0"}]
    assert call["conf"]["cni.dev/valid-attachments"] == listed
    assert call["conf"]["cni.dev/attachments"] == listed
    assert call["environ"]["CNI_COMMAND"] == "GC"
    assert "CNI_IFNAME" not in call["environ"]


@pytest.mark.parametrize("verb", ["GC", "STATUS"])
def test_one_too_old_for_gc_and_status_is_fine_but_no_other_failure(args: Args, verb: str) -> None:
    seen = context(CNI_PATH=str(args.path[1]))
    old = conf(args, status=1, stdout=json.dumps({"code": 4, "msg": "unknown CNI_COMMAND"}))
    external.delegate_network(verb, "other", old, seen)

    bad = conf(args, status=1, stdout=json.dumps({"code": 50, "msg": "no"}))
    with pytest.raises(CNIError) as failed:
        external.delegate_network(verb, "other", bad, seen)
    assert failed.value.code == Code.PLUGIN_NOT_AVAILABLE

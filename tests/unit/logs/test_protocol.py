import pytest

from agent.logs.protocol import ProtocolError, Stream, decode, encode, stream_from


def test_a_stream_survives_the_way_over_the_wire() -> None:
    stream = Stream("c1", "/log/c1", "/run/out", None, options={"max-size": "1m"})
    assert stream_from(decode(encode(stream._asdict()))) == stream


def test_only_the_fifos_that_there_are_are_named() -> None:
    assert Stream("c1", "/log", "/out", None).fifos() == {"stdout": "/out"}


def test_the_driver_none_needs_no_log() -> None:
    assert stream_from({"id": "c1", "driver": "none"}).log_path == ""


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (None, "must be an object"),
        ({"id": "../x", "log_path": "/l"}, "not a container id"),
        ({"id": "x" * 129, "log_path": "/l"}, "not a container id"),
        ({"id": "c1"}, "log_path: the driver json-file needs one"),
        ({"id": "c1", "log_path": "l"}, "log_path: must be an absolute path"),
        ({"id": "c1", "log_path": "/l", "stdout": "x\0"}, "stdout: must be an absolute path"),
        ({"id": "c1", "log_path": "/l", "driver": "gelf"}, "not one of json-file, none"),
        ({"id": "c1", "log_path": "/l", "options": []}, "options: must be an object"),
        ({"id": "c1", "log_path": "/l", "stdin": "/x"}, "unknown field 'stdin'"),
    ],
)
def test_a_stream_that_makes_no_sense_is_refused(fields: object, says: str) -> None:
    with pytest.raises(ProtocolError, match=says):
        stream_from(fields)


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff"])
def test_a_line_that_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(line)

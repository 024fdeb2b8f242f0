from pathlib import Path

from agent.logs.protocol import ProtocolError, Stream
from agent.logs.records import Records

STREAM = Stream("c1", "/log/c1", "/run/out", "/run/err", options={"max-file": "2"})


def test_a_stream_is_remembered_until_it_is_removed(tmp_path: Path) -> None:
    Records(tmp_path).save(STREAM)
    assert (tmp_path / "streams" / "c1.json").is_file()
    assert list(Records(tmp_path).load()) == [STREAM]
    Records(tmp_path).remove("c1")
    Records(tmp_path).remove("c1")
    assert list(Records(tmp_path).load()) == []


def test_a_record_that_makes_no_sense_hides_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.save(STREAM)
    (tmp_path / "streams" / "a.json").write_text("{")
    (tmp_path / "streams" / "z.json.new").write_text("{")
    broken, good = records.load()
    assert isinstance(broken, ProtocolError)
    assert "a.json" in str(broken)
    assert good == STREAM

import gzip
import hashlib
import tarfile
from pathlib import Path

from bench.pull.layers import Shape, make
from bench.pull.registry import Registry, Transfer

LINE = '127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "{}" {} {} "" "client"\n'


def test_a_layer_has_as_much_as_was_asked_and_is_the_same_each_time(tmp_path: Path) -> None:
    shape = Shape(files=90, size=900_000, seed=7)
    made = make(shape, tmp_path / "one")
    again = make(shape, tmp_path / "two")

    assert (made.digest, made.size, made.diff_id) == (again.digest, again.size, again.diff_id)
    data = made.path.read_bytes()
    assert made.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert made.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"
    with tarfile.open(made.path) as tar:
        files = [each for each in tar if each.isreg()]
        assert len(files) == shape.files
        assert 0 <= shape.size - sum(each.size for each in files) < shape.files


def test_another_seed_gives_another_layer(tmp_path: Path) -> None:
    one, other = (make(Shape(5, 5000, seed), tmp_path / f"{seed}") for seed in (1, 2))
    assert one.digest != other.digest


def test_each_transfer_is_told_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("starting\n" + LINE.format("GET /v2/bench/app/blobs/sha256:ab HTTP/1.1", 200, 7))
    registry = Registry(log)
    assert registry.transfers() == [Transfer("sha256:ab", 7)]
    with log.open("a") as file:
        file.write(LINE.format("GET /v2/bench/app/blobs/sha256:ab HTTP/1.1", 206, 3))
        file.write(LINE.format("GET /v2/bench/app/manifests/1 HTTP/1.1", 200, 2))
        file.write(LINE.format("HEAD /v2/bench/app/manifests/1 HTTP/1.1", 200, 2))
        file.write(LINE.format("GET /v2/bench/app/blobs/sha256:cd HTTP/1.1", 404, 9))
    assert registry.transfers() == [Transfer("sha256:ab", 3), Transfer("1", 2)]
    assert registry.transfers() == []

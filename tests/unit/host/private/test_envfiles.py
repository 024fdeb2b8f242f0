"""Environment files from this host and from S3 (moto's server)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.aws import Aws, AwsError, AwsUnavailable, Question
from agent.host.private.envfile import EnvFileError
from agent.host.private.envfiles import SIZE_LIMIT, EnvFiles, EnvFileUnavailable
from agent.host.standins import Folder
from metadata.credentials.keys import CredentialsError, CredentialsUnavailable, Keys
from tests import cloud

OBJECT = "arn:aws:s3:::bucket/web/a.env"


class S3(Aws):
    """S3, with one object for all who ask, or none."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Question] = []
        self.error: AwsError | None = None

    async def content(self, question: Question, most: int) -> bytes:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return b"A=from afar\n"


@pytest.fixture
def s3() -> S3:
    return S3()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "env-files"


@pytest.fixture
def env_files(folder: Path, s3: S3) -> EnvFiles:
    return EnvFiles(Folder(folder), s3, "eu-west-1")


async def none() -> None:
    """The host's own keys."""


async def unneeded() -> Keys:
    raise AssertionError("keys are not needed for what is in a file")


def put(path: Path, content: bytes = b"A=here\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def test_a_file_stands_in_for_an_object(env_files: EnvFiles, folder: Path) -> None:
    put(folder / "bucket" / "web" / "a.env")
    assert await env_files.variables(OBJECT, unneeded) == {"A": "here"}


async def test_a_file_of_the_host_is_read_where_it_is(env_files: EnvFiles, tmp_path: Path) -> None:
    put(tmp_path / "any.env")
    assert await env_files.variables(f"{tmp_path}/any.env", unneeded) == {"A": "here"}


async def test_without_a_file_s3_is_asked(env_files: EnvFiles, folder: Path, s3: S3) -> None:
    async def keys() -> Keys:
        return Keys("AKIDROLE", "hush")

    (folder / "bucket" / "web" / "a.env").mkdir(parents=True)
    assert await env_files.variables(OBJECT, keys) == {"A": "from afar"}
    asked = {"Bucket": "bucket", "Key": "web/a.env"}
    assert s3.asked == [Question("s3", "get_object", asked, "eu-west-1", await keys())]


async def failing(env_files: EnvFiles, value: str, kind: type[EnvFileError] = EnvFileError) -> str:
    with pytest.raises(EnvFileError) as failed:
        await env_files.variables(value, none)
    assert type(failed.value) is kind
    before = f"unable to read environment file {value}: "
    assert str(failed.value).startswith(before)
    return str(failed.value).removeprefix(before)


async def test_what_cant_be_used_is_told(env_files: EnvFiles, folder: Path, tmp_path: Path) -> None:
    path = folder / "bucket" / "web" / "a.env"
    put(path, b"A=1\nB=\xff")
    assert await failing(env_files, OBJECT) == "line 2 is not UTF-8 text"
    put(path, b"A=" + b"x" * SIZE_LIMIT)
    assert await failing(env_files, OBJECT) == f"{path} has more than {SIZE_LIMIT} bytes"
    path.unlink()
    os.mkfifo(path)
    assert await failing(env_files, OBJECT) == f"{path} is not a regular file"
    path.unlink()
    put(tmp_path / "outside.env")
    path.symlink_to(tmp_path / "outside.env")
    told = f"{path} leads out of {folder}: put the file itself there"
    assert await failing(env_files, OBJECT) == told
    path.unlink()
    path.symlink_to("a.env")
    told = f"{path} can't be read: Too many levels of symbolic links"
    assert await failing(env_files, OBJECT, EnvFileUnavailable) == told


async def test_a_path_must_lead_to_a_file(env_files: EnvFiles, tmp_path: Path) -> None:
    path = f"{tmp_path}/x.env"
    assert await failing(env_files, path) == f"{path}: No such file or directory"
    Path(path).mkdir()
    assert await failing(env_files, path) == f"{path} is not a regular file"
    assert await failing(env_files, f"{path}/y.env") == f"{path}/y.env: No such file or directory"
    put(tmp_path / "z.env")
    told = f"{tmp_path}/z.env/y.env: Not a directory"
    assert await failing(env_files, f"{tmp_path}/z.env/y.env") == told
    Path(f"{path}/l.env").symlink_to("l.env")
    told = f"{path}/l.env can't be read: Too many levels of symbolic links"
    assert await failing(env_files, f"{path}/l.env", EnvFileUnavailable) == told


@pytest.mark.parametrize(
    ("error", "kind"), [(AwsError("no"), EnvFileError), (AwsUnavailable("no"), EnvFileUnavailable)]
)
async def test_a_refusal_is_told_with_where_a_file_would_be(
    env_files: EnvFiles, folder: Path, s3: S3, error: AwsError, kind: type[EnvFileError]
) -> None:
    s3.error = error
    assert (
        await failing(env_files, OBJECT, kind) == f"no; there is no file {folder}/bucket/web/a.env"
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [(CredentialsError("x"), EnvFileError), (CredentialsUnavailable("x"), EnvFileUnavailable)],
)
async def test_keys_that_cant_be_had_are_told(
    env_files: EnvFiles, error: CredentialsError, kind: type[EnvFileError]
) -> None:
    async def keys() -> Keys:
        raise error

    with pytest.raises(EnvFileError, match=r"a\.env: x$") as failed:
        await env_files.variables(OBJECT, keys)
    assert type(failed.value) is kind


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with cloud.served() as url:
        yield url


async def test_s3_gives_what_it_has(
    monkeypatch: pytest.MonkeyPatch, folder: Path, url: str
) -> None:
    cloud.alone(monkeypatch, folder, url)
    kept = cloud.administrator("s3", url)
    kept.create_bucket(
        Bucket="env-bucket", CreateBucketConfiguration={"LocationConstraint": cloud.REGION}
    )
    kept.put_object(Bucket="env-bucket", Key="web/a.env", Body=b"A=1\r\n#B=2\n")
    kept.put_object(Bucket="env-bucket", Key="big.env", Body=b"A=" + b"x" * SIZE_LIMIT)
    aws = Aws()
    env_files = EnvFiles(Folder(folder), aws, cloud.REGION)
    assert await env_files.variables("arn:aws:s3:::env-bucket/web/a.env", none) == {"A": "1"}
    told = await failing(env_files, "arn:aws:s3:::env-bucket/no.env")
    assert told.startswith("s3 refuses GetObject: The specified key does not exist. (NoSuchKey);")
    told = await failing(env_files, "arn:aws:s3:::env-bucket/big.env")
    assert told.startswith(f"s3 answers get_object with over {SIZE_LIMIT} bytes")
    aws.close()

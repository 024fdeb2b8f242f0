"""The door for plugins' executables."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.doors import cni as door
from agent.doors.cni import PluginServer
from cni import plugin
from cni.context import Context
from cni.program import install
from cni.spec import Result
from tests.fakes.cni_plugin import Recorder

CONF = {"name": "net", "cniVersion": "1.0.0", "type": "recorder"}


@contextmanager
def context() -> Iterator[Context]:
    unused: Any = None
    yield Context(unused, unused, unused, Path("/nowhere"))


async def call(work: Callable[[], bytes]) -> bytes:
    return await asyncio.to_thread(work)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(Result())
    monkeypatch.setattr(plugin, "find", lambda name: recorder)
    return recorder


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Path]:
    path = tmp_path / "run" / "cni.sock"
    async with PluginServer(path, call, context):
        yield path


async def run(
    tmp_path: Path, socket: Path, stdin: bytes = b"", prefix: tuple[str, ...] = (), **environ: str
) -> tuple[int | None, bytes, bytes]:
    (program,) = install.install(tmp_path / "bin", ["hostler-ipam"])
    variables = {
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "c1",
        "CNI_NETNS": "/none",
        "CNI_IFNAME": "eth0",
        "CNI_PATH": "/none",
        "PATH": os.environ["PATH"],
        "HOSTLER_CNI_SOCKET": str(socket),
        "HOSTLER_CNI_STATE": str(tmp_path / "state"),
        "SECRET": "of the caller",
    }
    process = await asyncio.create_subprocess_exec(
        *prefix,
        program,
        env={**variables, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate(stdin)
    return process.returncode, stdout, stderr


async def test_a_call_is_done_in_the_agent(
    tmp_path: Path, server: Path, recorder: Recorder
) -> None:
    status, stdout, stderr = await run(tmp_path, server, json.dumps(CONF).encode())

    assert (status, json.loads(stdout), stderr) == (0, {"cniVersion": "1.0.0"}, b"")
    ((verb, args),) = recorder.calls
    assert (verb, args.container_id, args.path) == ("ADD", "c1", (Path("/none"),))


async def test_errors_and_statuses_come_through(
    tmp_path: Path, server: Path, recorder: Recorder
) -> None:
    recorder.fails = {"ADD": ZeroDivisionError()}
    status, stdout, stderr = await run(tmp_path, server, json.dumps(CONF).encode())

    assert (status, json.loads(stdout)["code"], b"Traceback" in stderr) == (1, 999, True)


async def test_the_agent_is_told_of_the_environment_what_the_plugin_needs(
    tmp_path: Path, server: Path, recorder: Recorder
) -> None:
    conf = json.dumps({**CONF, "cniVersion": "1.1.0"}).encode()
    assert (await run(tmp_path, server, conf, CNI_COMMAND="STATUS"))[0] == 0

    ((_, seen),) = recorder.calls
    assert seen.environ["PATH"] == os.environ["PATH"]
    assert "SECRET" not in seen.environ


@pytest.mark.parametrize("kind", ["--net", "--mount"])
async def test_a_caller_in_another_network_or_with_other_mounts_works_by_itself(
    tmp_path: Path, server: Path, recorder: Recorder, kind: str
) -> None:
    stdin = json.dumps(CONF).encode()
    status, stdout, _ = await run(tmp_path, server, stdin, ("unshare", kind))

    assert recorder.calls == []
    assert (status, json.loads(stdout)["code"]) == (1, 7)  # of the real plugin: there is no ipam


@pytest.mark.parametrize("there", ["", "absent", "stale"])
async def test_without_a_server_it_works_by_itself(tmp_path: Path, there: str) -> None:
    path = tmp_path / "cni.sock"
    if there == "stale":
        async with PluginServer(path, call, context):
            os.link(path, tmp_path / "kept")
        os.link(tmp_path / "kept", path)
    status, stdout, _ = await run(
        tmp_path, path, HOSTLER_CNI_SOCKET=str(path) if there else "", CNI_COMMAND="VERSION"
    )

    assert (status, json.loads(stdout)["cniVersion"]) == (0, "1.1.0")


async def test_a_stale_socket_is_replaced_and_none_is_left(tmp_path: Path) -> None:
    path = tmp_path / "cni.sock"
    path.write_text("left by a crash")
    async with PluginServer(path, call, context):
        assert path.is_socket()
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


async def test_an_agent_that_ends_before_it_answers_is_as_none(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.close()

    path = tmp_path / "cni.sock"
    async with await asyncio.start_unix_server(hang_up, path):
        status, stdout, _ = await run(tmp_path, path, CNI_COMMAND="VERSION")

    assert (status, json.loads(stdout)["cniVersion"]) == (0, "1.1.0")


async def test_a_call_that_takes_too_long_is_to_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forever(work: Callable[[], bytes]) -> bytes:
        await asyncio.Event().wait()
        return work()

    monkeypatch.setattr(door, "_DEADLINE_S", 0.1)
    path = tmp_path / "cni.sock"
    async with PluginServer(path, forever, context):
        status, stdout, _ = await run(tmp_path, path, b"{}")

    assert (status, json.loads(stdout)["code"]) == (1, 11)


@pytest.mark.parametrize(
    "sent", [b"", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x05abc", b"\0\0\0\x02ab"]
)
async def test_nonsense_gets_no_result(server: Path, recorder: Recorder, sent: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(server)
    writer.write(sent)
    writer.write_eof()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()

    assert answer in (b"", b"\0\0\0\x01\xff")
    assert recorder.calls == []


async def test_only_root_is_let_in(server: Path, recorder: Recorder) -> None:
    server.chmod(0o666)
    server.parent.chmod(0o755)
    script = (
        "import os, socket, sys; os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        r"s.sendall(b'\0\0\0\x24hostler-ipam\0CNI_COMMAND=VERSION\0\0xx')"
        "\nprint(s.recv(100))"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, server.name),
        cwd=server.parent,  # entered as root: the folders above are for nobody else
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()

    assert (process.returncode, stdout) == (0, b"b''\n")

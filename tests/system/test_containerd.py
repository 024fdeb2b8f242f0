"""The client against a real containerd, each test in a containerd namespace of its own."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import pytest

from agent.containerd.client import Containerd
from agent.containerd.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    NotFound,
    OutOfRange,
    Unavailable,
)
from agent.containerd.events import Event, Gap
from agent.containerd.payloads import TaskExecStarted, TaskExit, TaskOOM
from agent.containerd.types import (
    RUNC_SHIM,
    ConfigOptions,
    ContainerRecord,
    Descriptor,
    Image,
    RuncOptions,
    SnapshotKind,
    Status,
)
from tests.system.containerd_daemon import (
    IMAGE,
    DaemonPaths,
    busybox_image,
    digest_of,
    make_container,
    one_chunk,
    process_spec,
    run_container,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="containerd needs root")

END_S = 60.0


@pytest.fixture
async def client(containerd: DaemonPaths) -> AsyncIterator[Containerd]:
    namespace = f"t{secrets.token_hex(4)}"
    async with Containerd(containerd.socket, namespace) as client:
        await client.namespaces.ensure(namespace)
        yield client
        await empty(client)
        await client.namespaces.delete(namespace)


async def empty(client: Containerd) -> None:
    """Delete all that a test may have left in its namespace, and its cgroups."""
    for process in await client.tasks.list():
        if process.status is not Status.STOPPED:
            await client.tasks.kill(process.container_id, signal.SIGKILL, everyone=True)
            await client.tasks.wait(process.container_id, timeout=END_S)
        await client.tasks.delete(process.container_id)
    for record in await client.containers.list():
        await client.containers.delete(record.id)
    for image in await client.images.list():
        await client.images.delete(image.name)
    for lease in await client.leases.list():
        await client.leases.delete(lease.id)
    snapshots = await client.snapshots.list()
    for snapshot in sorted(snapshots, key=lambda each: each.parent == ""):
        with suppress(NotFound):  # the collector may have been first, here and below
            await client.snapshots.remove(snapshot.name)
    for blob in await client.content.list():
        with suppress(NotFound):
            await client.content.delete(blob.digest)
    for parent in Path("/sys/fs/cgroup").glob(f"*/{client.namespace}"):
        parent.rmdir()


async def test_version_names_the_daemon(client: Containerd) -> None:
    assert (await client.version()).version[:2] in {"1.", "2."}


async def test_a_blob_written_is_read_back_with_its_labels(client: Containerd) -> None:
    data = os.urandom(3_000_000)
    digest = digest_of(data)
    labels = {"containerd.io/gc.root": "x", "containerd.io/gc.ref.content.0": digest}
    await client.content.write("a", one_chunk(data), size=len(data), digest=digest, labels=labels)
    assert await client.content.read(digest) == data
    info = await client.content.info(digest)
    assert (info.size, info.labels) == (len(data), labels)
    assert [each.digest for each in await client.content.list()] == [digest]


async def test_writing_again_adds_the_labels(client: Containerd) -> None:
    data = b"twice"
    digest = digest_of(data)
    for key in ("containerd.io/gc.root", "second"):
        await client.content.write(
            "a", one_chunk(data), size=len(data), digest=digest, labels={key: "x"}
        )
    assert (await client.content.info(digest)).labels.keys() == {"containerd.io/gc.root", "second"}


async def test_an_interrupted_write_goes_on_where_it_stopped(client: Containerd) -> None:
    data = os.urandom(2_500_000)
    digest = digest_of(data)

    async def broken() -> AsyncIterator[bytes]:
        yield data[:1_500_000]
        raise ConnectionResetError("the registry went away")

    async def write(chunks: AsyncIterator[bytes], offset: int) -> None:
        await client.content.write(
            "a", chunks, size=len(data), digest=digest, offset=offset, labels={"k": "v"}
        )

    await client.leases.create("l", expires_at=time.time() + 600)
    client = client.with_lease("l")
    with pytest.raises(ConnectionResetError):
        await write(broken(), 0)
    status = await client.content.status("a")
    assert (status.offset, status.total) == (1_500_000, len(data))
    async with asyncio.timeout(END_S):
        while True:
            try:
                await write(one_chunk(data[status.offset :]), status.offset)
            except Unavailable:  # containerd has not yet closed the first write
                await asyncio.sleep(0.01)
            else:
                break
    assert await client.content.read(digest) == data
    with pytest.raises(NotFound):
        await client.content.status("a")


async def test_a_write_that_is_resumed_is_told_where_to_go_on(client: Containerd) -> None:
    data = os.urandom(2_500_000)
    digest = digest_of(data)
    asked: list[int] = []

    def until(end: int) -> Callable[[int], AsyncIterator[bytes]]:
        async def source(offset: int) -> AsyncIterator[bytes]:
            asked.append(offset)
            yield data[offset:end]
            if end < len(data):
                raise ConnectionResetError("the registry went away")

        return source

    await client.leases.create("l", expires_at=time.time() + 600)
    client = client.with_lease("l")
    assert client.lease == "l"
    with pytest.raises(ConnectionResetError):
        await client.content.resume("a", until(1_500_000), size=len(data), digest=digest)
    (status,) = await client.content.statuses()
    assert (status.ref, status.offset, status.total) == ("a", 1_500_000, len(data))
    async with asyncio.timeout(END_S):
        while True:
            try:
                await client.content.resume("a", until(len(data)), size=len(data), digest=digest)
            except Unavailable:  # containerd has not yet closed the first write
                await asyncio.sleep(0.01)
            else:
                break
    assert asked == [0, 1_500_000]
    assert await client.content.read(digest) == data
    await client.content.resume("b", until(len(data)), size=len(data), digest=digest)
    assert asked == [0, 1_500_000]
    assert await client.content.statuses() == ()


async def test_whoever_would_write_what_is_there_holds_it(client: Containerd) -> None:
    digest = digest_of(b"x")

    def source(_: int) -> AsyncIterator[bytes]:
        return one_chunk(b"x")

    for lease in ("first", "second"):
        await client.leases.create(lease, expires_at=time.time() + 600)
        content = client.with_lease(lease).content
        await content.resume(lease, source, size=1, digest=digest)
    await client.leases.delete("first", sync=True)
    assert await client.content.read(digest) == b"x"
    await client.leases.delete("second", sync=True)
    with pytest.raises(NotFound):
        await client.content.info(digest)


async def test_a_lease_may_hold_what_another_made(client: Containerd) -> None:
    for lease in ("first", "second"):
        await client.leases.create(lease, expires_at=time.time() + 600)
    first = client.with_lease("first")
    await first.snapshots.prepare("below")
    await first.snapshots.commit("made", "below")
    await client.leases.hold_snapshot("second", client.snapshotter, "made")
    await client.leases.hold_snapshot("second", client.snapshotter, "never made")
    await client.leases.delete("first", sync=True)
    assert (await client.snapshots.stat("made")).kind is SnapshotKind.COMMITTED
    await client.leases.delete("second", sync=True)
    with pytest.raises(NotFound):
        await client.snapshots.stat("made")


async def test_bytes_with_another_digest_are_refused_and_thrown_away(client: Containerd) -> None:
    with pytest.raises(FailedPrecondition, match="digest"):
        await client.content.write("a", one_chunk(b"false"), size=5, digest=digest_of(b"right"))
    with pytest.raises(NotFound):
        await client.content.status("a")


async def test_an_empty_blob_can_be_written(client: Containerd) -> None:
    digest = digest_of(b"")
    labels = {"containerd.io/gc.root": "x"}
    await client.content.write("a", one_chunk(b""), size=0, digest=digest, labels=labels)
    assert await client.content.read(digest) == b""


async def test_reading_more_than_the_limit_is_refused(client: Containerd) -> None:
    data = b"x" * 1000
    labels = {"containerd.io/gc.root": "x"}
    await client.content.write(
        "a", one_chunk(data), size=1000, digest=digest_of(data), labels=labels
    )
    with pytest.raises(OutOfRange, match="more than 999 bytes"):
        await client.content.read(digest_of(data), limit=999)


async def test_a_lease_keeps_content_until_it_goes(client: Containerd) -> None:
    data = os.urandom(100)
    await client.leases.create("l", expires_at=time.time() + 600)
    await client.with_lease("l").content.write(
        "a", one_chunk(data), size=100, digest=digest_of(data)
    )
    await client.leases.create("other", expires_at=time.time() + 600)
    await client.leases.delete("other", sync=True)  # collects
    assert (await client.content.info(digest_of(data))).size == 100
    await client.leases.delete("l", sync=True)
    with pytest.raises(NotFound):
        await client.content.info(digest_of(data))


async def test_an_image_is_made_then_replaced_by_many_at_once(client: Containerd) -> None:
    def image(number: int) -> Image:
        target = Descriptor("application/x", digest_of(str(number).encode()), number)
        return Image("localhost/x:1", target, {"number": str(number)})

    await asyncio.gather(*(client.images.create_or_update(image(number)) for number in range(1, 9)))
    await client.images.create_or_update(image(9))
    assert await client.images.list() == (image(9),)
    assert await client.images.get("localhost/x:1") == image(9)
    await client.images.delete("localhost/x:1", sync=True)
    with pytest.raises(NotFound, match="localhost/x:1"):
        await client.images.get("localhost/x:1")


async def test_one_label_of_an_image_is_set_and_nothing_else(client: Containerd) -> None:
    target = Descriptor("application/x", digest_of(b"1"), 1)
    await client.images.create_or_update(Image("localhost/x:1", target, {"a": "1", "b/c-d": "2"}))
    await client.images.set_labels("localhost/x:1", {"b/c-d": "3"})
    expected = Image("localhost/x:1", target, {"a": "1", "b/c-d": "3"})
    assert await client.images.get("localhost/x:1") == expected
    with pytest.raises(NotFound, match="localhost/y:1"):
        await client.images.set_labels("localhost/y:1", {"a": "2"})
    assert await client.images.list() == (expected,)


async def test_snapshots_stack_and_tell_what_they_are(client: Containerd) -> None:
    chain = await busybox_image(client)
    mounts = await client.snapshots.prepare("rw", chain, labels={"containerd.io/gc.root": "x"})
    assert mounts == await client.snapshots.mounts("rw")
    assert mounts[0].type == "overlay"
    await client.snapshots.view("ro", chain, labels={"containerd.io/gc.root": "x"})
    kinds = {each.name: each.kind for each in await client.snapshots.list()}
    assert kinds == {
        chain: SnapshotKind.COMMITTED,
        "rw": SnapshotKind.ACTIVE,
        "ro": SnapshotKind.VIEW,
    }
    assert (await client.snapshots.stat("rw")).parent == chain
    assert await client.snapshots.usage(chain) > await client.snapshots.usage("rw") >= 0
    assert (
        mounts[-1].options[-1].startswith(f"lowerdir={await client.introspection.snapshots_root()}")
    )
    with pytest.raises(FailedPrecondition):
        await client.snapshots.remove(chain)


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        (RUNC_SHIM, RuncOptions("crun", "/run/x", systemd_cgroup=True, shim_cgroup="/y", io_uid=3)),
        ("io.containerd.runsc.v1", ConfigOptions("/etc/runsc.toml", "runsc.options")),
        ("io.containerd.kata.v2", None),
    ],
)
async def test_a_container_record_comes_back_as_it_was(
    client: Containerd, runtime: str, options: RuncOptions | ConfigOptions | None
) -> None:
    record = ContainerRecord(
        id="c",
        spec=json.dumps({"ociVersion": "1.0.2"}).encode(),
        image=IMAGE,
        runtime=runtime,
        options=options,
        labels={"hostler/task": "t1"},
        extensions={"hostler.more": b'{"a": 1}'},
    )
    await client.containers.create(record)
    got = await client.containers.get("c")
    assert got == record
    assert abs(got.created_at - time.time()) < 60
    assert await client.containers.list(['labels."hostler/task"==t1']) == (record,)
    assert await client.containers.list(['labels."hostler/task"==t2']) == ()
    with pytest.raises(AlreadyExists):
        await client.containers.create(record)
    await client.containers.delete("c")
    with pytest.raises(NotFound):
        await client.containers.delete("c")


async def test_a_container_lives_from_create_to_delete(client: Containerd, tmp_path: Path) -> None:
    chain = await busybox_image(client)
    script = "trap 'exit 7' TERM; echo up; sleep 100 & wait"
    await make_container(client, chain, "c", "sh", "-c", script)
    file, mounts = f"file://{tmp_path}/out", await client.snapshots.mounts("c")
    pid = await client.tasks.create("c", mounts, stdout=file, stderr=file)
    assert (await client.tasks.get("c")).status is Status.CREATED
    assert await client.tasks.start("c") == pid
    running = await client.tasks.get("c")
    assert (running.status, running.pid, running.exit) == (Status.RUNNING, pid, None)
    assert [each.container_id for each in await client.tasks.list()] == ["c"]
    with pytest.raises(FailedPrecondition):
        await client.tasks.delete("c")
    with pytest.raises(DeadlineExceeded):
        await client.tasks.wait("c", timeout=0.1)
    await until_said(tmp_path / "out", "up")  # before that, SIGTERM would be lost on it
    before = time.time()
    await client.tasks.kill("c", signal.SIGTERM)
    ended = await client.tasks.wait("c", timeout=END_S)
    assert ended.status == 7
    assert before - 1 < ended.at < time.time() + 1
    assert (await client.tasks.get("c")).exit == ended
    assert await client.tasks.delete("c") == ended
    with pytest.raises(NotFound):
        await client.tasks.get("c")


async def test_output_goes_where_it_was_asked_to(client: Containerd, tmp_path: Path) -> None:
    chain = await busybox_image(client)
    # It lives on: what is still in the pipes when a program ends, the shim of 1.6 may lose.
    await make_container(client, chain, "c", "sh", "-c", "echo out; echo err >&2; exec sleep 100")
    file = f"file://{tmp_path}/out"
    mounts = await client.snapshots.mounts("c")
    await client.tasks.create("c", mounts, stdout=file, stderr=file)
    await client.tasks.start("c")
    await until_said(tmp_path / "out", "out", "err")


async def until_said(file: Path, *lines: str) -> None:
    """These lines are in the file, in any order, and no others."""
    async with asyncio.timeout(END_S):
        while set(file.read_text().splitlines()) != {*lines}:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_an_exec_runs_beside_the_program(client: Containerd) -> None:
    chain = await busybox_image(client)
    await run_container(client, chain, "c", "sleep", "100")
    process = json.dumps(process_spec("sh", "-c", "exit 5")).encode()
    await client.tasks.exec("c", "e", process)
    with pytest.raises(AlreadyExists):
        await client.tasks.exec("c", "e", process)
    pid = await client.tasks.start("c", "e")
    assert (await client.tasks.wait("c", "e", timeout=END_S)).status == 5
    ended = await client.tasks.get("c", "e")
    assert (ended.exec_id, ended.pid, ended.status) == ("e", pid, Status.STOPPED)
    assert (await client.tasks.delete_process("c", "e")).status == 5
    assert (await client.tasks.get("c")).status is Status.RUNNING


async def test_signalling_what_has_ended_is_not_found(client: Containerd) -> None:
    chain = await busybox_image(client)
    await run_container(client, chain, "c", "true")
    await client.tasks.wait("c", timeout=END_S)
    with pytest.raises(NotFound):
        await client.tasks.kill("c", signal.SIGTERM)


async def test_events_tell_of_a_container_s_life_after_the_first_gap(client: Containerd) -> None:
    chain = await busybox_image(client)
    seen: list[Event] = []
    async with aclosing(client.events.subscribe()) as events, asyncio.timeout(END_S):
        assert isinstance(await anext(events), Gap)
        pid = await run_container(client, chain, "c", "sleep", "100")
        await client.tasks.exec("c", "e", json.dumps(process_spec("true")).encode())
        await client.tasks.start("c", "e")
        await client.tasks.wait("c", "e", timeout=END_S)
        await client.tasks.kill("c", signal.SIGKILL)
        await client.tasks.wait("c", timeout=END_S)
        # A shim of 2.x may end before it has sent /tasks/delete, so nobody may wait for that.
        while sum(each.topic == "/tasks/exit" for each in seen) < 2:
            event = await anext(events)
            assert isinstance(event, Event)
            seen.append(event)
    assert [each.topic for each in seen if "exec" not in each.topic] == [
        "/tasks/create",
        "/tasks/start",
        "/tasks/exit",
        "/tasks/exit",
    ]
    assert any(isinstance(each.payload, TaskExecStarted) for each in seen)
    exits = [each.payload for each in seen if isinstance(each.payload, TaskExit)]
    assert [(each.exec_id, each.exit.status) for each in exits] == [("e", 0), ("", 137)]
    assert exits[1].pid == pid
    assert {each.namespace for each in seen} == {client.namespace}


async def test_running_out_of_memory_is_an_event(client: Containerd) -> None:
    chain = await busybox_image(client)
    async with aclosing(client.events.subscribe(["/tasks/oom"])) as events:
        async with asyncio.timeout(END_S):
            assert isinstance(await anext(events), Gap)
            await make_container(client, chain, "c", "sleep", "100", memory=32 << 20)
            await client.tasks.create("c", await client.snapshots.mounts("c"))
            await client.tasks.start("c")
            # Not at once: the shim only begins to watch when it has started the container.
            script = "x=x; while true; do x=$x$x; done"
            await client.tasks.exec("c", "e", json.dumps(process_spec("sh", "-c", script)).encode())
            await client.tasks.start("c", "e")
            event = await anext(events)
        assert isinstance(event, Event)
        assert event.payload == TaskOOM("c")

"""Images with whatever images may have, for comparing what becomes of them."""

from __future__ import annotations

from tests.system import imagelab, layerlab
from tests.system.imagelab import Built, Described
from tests.system.layerlab import (
    Compression,
    Noise,
    Zeros,
    device,
    directory,
    fifo,
    file,
    hard_link,
    layer,
    opaque,
    sparse,
    symlink,
    whiteout,
)

MIB = 1 << 20
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service=ep, as ``setcap`` writes it (version 2)."""


LONG = "n" * 200
IMPLIED = ("d", "d/deep", "d/deep/with", "d/deep/with/no", LONG)
"""Directories of ``rich`` that some layer has something in and does not name."""


def rich() -> Built:
    """Whatever a layer may have, and what a layer may do to those below."""
    lowest = layer(
        *layerlab.busybox().entries,
        directory("d", 0o1777).owned(5, 6),
        file("d/suid", b"s" * 1000, 0o4755),
        file("d/sgid", b"g", 0o2750).owned(1000, 1000),
        hard_link("d/twin", "d/suid"),
        hard_link("e", "d/suid"),
        file("d/capable", b"c", 0o755).having(security__capability=CAPABILITY),
        file("d/attributes", b"a").having(user__one=b"v\0\xff", user__two=b""),
        directory("d/deep/with/no/parents", 0o700),
        symlink("absolute", "/d/suid"),
        symlink("dangling", "nowhere"),
        symlink("dlink", "d"),
        device("null", 1, 3).owned(0, 6),
        device("loop", 7, 0, layerlab.BLOCK),
        fifo("fifo"),
        file("changes", b"before"),
        file("mode", b"same"),
        file("gone"),
        directory("vanishes"),
        file("vanishes/too"),
        directory("hidden", 0o711),
        file("hidden/file"),
        directory("hidden/folder"),
        directory("becomes-file"),
        file("becomes-file/inside"),
        file("becomes-folder"),
        file("ünï-cöde ☃"),
        file(f"{LONG}/{LONG}", b"long"),
    )
    middle = layer(
        whiteout("gone"),
        whiteout("vanishes"),
        directory("hidden", 0o755),
        opaque("hidden"),
        file("hidden/new"),
        file("changes", b"after!", 0o600),
        file("mode", b"same", 0o400).owned(7, 8),
        whiteout("d/twin"),
        file("becomes-file"),
        directory("becomes-folder"),
        file("becomes-folder/inside"),
        file("d/added-without-its-parent"),
        compression="zstd",
    )
    highest = layer(
        directory("./", 0o751).owned(3, 4),
        file("gone", b"again"),
        file("noise", Noise(3 * MIB)),
        file("zeros", Zeros(20 * MIB)),
        sparse("sparse", 64 * MIB, {MIB: b"data", 64 * MIB - 1: b"x"}),
        compression="",
    )
    return imagelab.image(lowest, middle, highest)


def many() -> Built:
    """Forty layers with Docker's media types, each of which changes what the last one made."""
    layers = []
    for number in range(40):
        compression: Compression = "gzip" if number % 2 else ""
        entries = [
            directory("work", 0o750).owned(number, number),
            file("work/changes", f"{number}".encode() * 1000, 0o600 + number),
            file(f"work/{number}"),
            hard_link("work/twin", f"work/{number}"),
        ]
        if number > 1:
            entries.append(whiteout(f"work/{number - 2}"))
        if number == 20:
            entries[1:1] = [opaque("work")]
        layers.append(layer(*entries, compression=compression, docker=True))
    return imagelab.image(*layers, described=Described(docker=True))


def big() -> Built:
    """Some hundred megabytes, most of which are nothing."""
    return imagelab.image(
        layer(file("noise", Noise(150 * MIB)), compression="zstd"),
        layer(file("zeros", Zeros(256 * MIB))),
        layer(sparse("sparse", 256 * MIB, {0: b"a", 128 * MIB: b"b" * MIB, 256 * MIB - 1: b"c"})),
    )

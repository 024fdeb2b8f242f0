"""The hello image: a small userland for examples and trials, built without a network.

One layer with the host's static busybox, links for its applets, and the few files that a program
expects. The same busybox gives the same bytes, always: times, owners and order are fixed, nothing
is compressed.
"""

import hashlib
import io
import json
import struct
import tarfile
from pathlib import Path

from agent.registry.descriptor import CONFIG, INDEX, LAYER, MANIFEST, Descriptor

NAME = "docker.io/hostler/hello:latest"
PLACES = (Path("/bin/busybox"), Path("/usr/bin/busybox"), Path("/usr/local/bin/busybox"))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# Of ours, and not asked from the busybox: the image must not depend on what that one was built
# with. One that lacks an applet says so when it is called.
APPLETS = (
    "[ ash awk basename cat chgrp chmod chown clear cmp cp cut date dd df diff dirname du echo "
    "egrep env expr false fgrep find free ftpget ftpput getopt grep gunzip gzip head hexdump "
    "hostname httpd id ifconfig ip kill killall less link ln ls md5sum mkdir mkfifo mknod mktemp "
    "more mount mv nc netstat nl nproc nslookup od paste pidof ping ping6 printf ps pwd readlink "
    "realpath renice reset rev rm rmdir route sed seq sh sha1sum sha256sum sha512sum shuf sleep "
    "sort stat strings stty sync tac tail tar tee telnet test time timeout top touch tr "
    "traceroute true tty umount uname uniq unlink unzip uptime usleep vi watch wc wget which "
    "whoami xargs xxd yes zcat"
)

DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "var": 0o755,
    "var/www": 0o755,
}
FILES = {
    "etc/group": "root:x:0:\nwww:x:80:\nnobody:x:65534:\n",
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
    "www:x:80:80:www:/var/www:/bin/false\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "var/www/index.html": "Hello from Hostler\n",
}
LINKS = {
    "sbin": "bin",
    "usr/bin": "../bin",
    "usr/sbin": "../bin",
    **{f"bin/{applet}": "busybox" for applet in APPLETS.split()},
}

PT_INTERP = 3
MACHINES = {0x3E: "amd64", 0xB7: "arm64", 0xF3: "riscv64"}


class HelloError(Exception):
    """The image cannot be built; the text says what to install."""


def find_busybox(places: tuple[Path, ...] = PLACES) -> Path:
    """The host's static busybox. Raises ``HelloError``."""
    for place in places:
        if place.is_file() and _is_static(place.read_bytes()):
            return place
    raise HelloError("no static busybox on this host: install the package busybox-static")


def build(busybox: Path) -> bytes:
    """The image as an OCI image layout in a tar file. Raises ``HelloError``."""
    program = busybox.read_bytes()
    if not _is_static(program):
        raise HelloError(f"{busybox} is not a static program: install the package busybox-static")
    blobs: dict[str, bytes] = {}

    def keep(media_type: str, data: bytes) -> Descriptor:
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return Descriptor(media_type, f"sha256:{digest}", len(data))

    layer = keep(LAYER, _layer(program))
    config = keep(CONFIG, _json(_config(layer.digest, _architecture(program, busybox))))
    manifest = keep(MANIFEST, _json(_manifest(config, layer)))
    files = {
        "index.json": _json(_index(manifest)),
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        **blobs,
    }
    return _tar([_directory("blobs"), _directory("blobs/sha256")], files)


def _layer(program: bytes) -> bytes:
    entries = [_directory(name, mode) for name, mode in DIRECTORIES.items()]
    for name, target in LINKS.items():
        link = tarfile.TarInfo(name)
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, target, 0o777
        entries.append(link)
    files = {name: text.encode() for name, text in FILES.items()}
    return _tar(entries, {"bin/busybox": program, **files}, executable="bin/busybox")


def _tar(entries: list[tarfile.TarInfo], files: dict[str, bytes], executable: str = "") -> bytes:
    """Sorted by name, so that each directory comes before what it holds."""
    for name, data in files.items():
        file = tarfile.TarInfo(name)
        file.size, file.mode = len(data), 0o755 if name == executable else 0o644
        entries.append(file)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry in sorted(entries, key=lambda entry: entry.name):
            tar.addfile(entry, io.BytesIO(files[entry.name]) if entry.isreg() else None)
    return out.getvalue()


def _directory(name: str, mode: int = 0o755) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    return entry


def _config(diff_id: str, architecture: str) -> dict[str, object]:
    return {
        "created": "1970-01-01T00:00:00Z",
        "architecture": architecture,
        "os": "linux",
        "config": {"Env": [f"PATH={PATH}"], "Cmd": ["sh"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "1970-01-01T00:00:00Z", "comment": "busybox of the host"}],
    }


def _manifest(config: Descriptor, layer: Descriptor) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.document,
        "layers": [layer.document],
    }


def _index(manifest: Descriptor) -> dict[str, object]:
    names = {"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": NAME}
    return {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{**manifest.document, "annotations": names}],
    }


def _json(document: dict[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _architecture(program: bytes, path: Path) -> str:
    (machine,) = struct.unpack_from("<H", program, 18)
    if machine not in MACHINES:
        raise HelloError(f"{path} is for a machine that is not known here (ELF {machine})")
    return MACHINES[machine]


def _is_static(program: bytes) -> bool:
    """Whether this is a 64-bit little-endian ELF program that asks for no loader (elf(5))."""
    if program[:6] != b"\x7fELF\x02\x01" or len(program) < 64:
        return False
    (headers,) = struct.unpack_from("<Q", program, 32)
    size, count = struct.unpack_from("<HH", program, 54)
    if headers + size * count > len(program):
        return False
    kinds = (struct.unpack_from("<I", program, headers + size * n)[0] for n in range(count))
    return PT_INTERP not in kinds

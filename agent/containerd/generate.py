"""Generates ``pb/`` from ``proto/``: ``python -m agent.containerd.generate``.

A developer's tool (needs grpcio-tools); the agent never imports it. The trick: protoc's ``-I`` maps
``proto/`` to the virtual folder ``agent/containerd/pb``, so the imports inside the generated code
are those of this package. No gRPC stubs are made: ``rpc.py`` calls by method name, so the generated
code depends on protobuf alone.
"""

from __future__ import annotations

from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).parent
PROTO = HERE / "proto"
ROOT = HERE.parent.parent
PACKAGE = HERE.relative_to(ROOT) / "pb"


def generate(into: Path = ROOT) -> None:
    """Write ``agent/containerd/pb/*_pb2.py`` and their ``.pyi`` below ``into``.

    Raises RuntimeError when protoc refuses; protoc has then said why on standard error.
    """
    sources = [str(PACKAGE / each.name) for each in sorted(PROTO.glob("*.proto"))]
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{PACKAGE}={PROTO}", f"-I{well_known}"]
    outputs = [f"--python_out={into}", f"--pyi_out={into}"]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise RuntimeError(f"protoc refused {PROTO}; see its message above")


if __name__ == "__main__":
    generate()

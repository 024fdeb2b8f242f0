"""A registry that checks nothing: serves what tests built, as it is, under the names they give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

from tests.system.imagelab import Built
from tests.system.serving import served


@contextmanager
def lying_registry(images: Mapping[str, Built]) -> Iterator[str]:
    """Serves images by ``repository:tag`` over plain HTTP; gives address and port."""
    application, handler = web.Application(), _Handler(images)
    application.router.add_get("/v2/", handler.base)
    application.router.add_get("/v2/{repository:.+}/manifests/{reference}", handler.manifest)
    application.router.add_get("/v2/{repository:.+}/blobs/{digest}", handler.blob)
    with served(application) as port:
        yield f"127.0.0.1:{port}"


class _Handler:
    def __init__(self, images: Mapping[str, Built]) -> None:
        self._images = images

    async def base(self, request: web.Request) -> web.Response:
        return web.json_response({})

    async def manifest(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        for name, built in self._images.items():
            repository, _, tag = name.rpartition(":")
            known = {each.digest: each for each in (*built.manifests, built.root)}
            found = built.root if tag == reference else known.get(reference)
            if repository == request.match_info["repository"] and found is not None:
                headers = {"Content-Type": found.media_type, "Docker-Content-Digest": found.digest}
                return web.Response(body=built.blobs[found.digest], headers=headers)
        return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)

    async def blob(self, request: web.Request) -> web.Response:
        repository, digest = request.match_info["repository"], request.match_info["digest"]
        for name, built in self._images.items():
            if name.startswith(f"{repository}:") and digest in built.blobs:
                return _part(request, built.blobs[digest])
        return web.json_response({"errors": [{"code": "BLOB_UNKNOWN"}]}, status=404)


def _part(request: web.Request, data: bytes) -> web.Response:
    begin = request.http_range.start or 0
    headers = {"Content-Type": "application/octet-stream"}
    if begin == 0:
        return web.Response(body=data, headers=headers)
    headers["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
    return web.Response(status=206, body=data[begin:], headers=headers)

"""Image records: a name that points at a manifest or an index in the content store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask

from agent.containerd.convert import descriptor_of, descriptor_to
from agent.containerd.errors import AlreadyExists, NotFound, Unavailable
from agent.containerd.pb import images_pb2 as pb
from agent.containerd.rpc import METADATA_S, Rpc
from agent.containerd.types import Image

_IMAGES = "/containerd.services.images.v1.Images/"
_UPSERT_TRIES = 5


class Images:
    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def get(self, name: str, *, timeout: float = METADATA_S) -> Image:
        """The image of that exact name; NotFound otherwise."""
        request = pb.GetImageRequest(name=name)
        reply = await self._rpc.unary(
            _IMAGES + "Get", request, pb.GetImageResponse, about=name, timeout=timeout
        )
        return _image_of(reply.image)

    async def list(
        self, filters: Iterable[str] = (), *, timeout: float = METADATA_S
    ) -> tuple[Image, ...]:
        """All images that match any of ``filters`` (containerd's filter syntax); no filter: all."""
        request = pb.ListImagesRequest(filters=filters)
        reply = await self._rpc.unary(
            _IMAGES + "List", request, pb.ListImagesResponse, about="", timeout=timeout
        )
        return tuple(_image_of(each) for each in reply.images)

    async def create_or_update(self, image: Image, *, timeout: float = METADATA_S) -> Image:
        """Make the name point at this target with these labels, whatever was there before.

        Others may create or delete the same name meanwhile; Unavailable if they never cease.
        """
        for _ in range(_UPSERT_TRIES):
            try:
                return await self._create(image, timeout)
            except AlreadyExists:
                pass
            try:
                return await self._update(image, timeout)
            except NotFound:
                continue
        raise Unavailable(f"Images.Update({image.name}): it is being deleted again and again")

    async def set_labels(
        self, name: str, labels: Mapping[str, str], *, timeout: float = METADATA_S
    ) -> Image:
        """Set these labels of a record and leave its others and its target; NotFound if none."""
        request = pb.UpdateImageRequest(
            image=pb.Image(name=name, labels=labels),
            update_mask=FieldMask(paths=[f"labels.{key}" for key in labels]),
        )
        return await self._updated(request, timeout)

    async def delete(self, name: str, *, sync: bool = False, timeout: float = METADATA_S) -> None:
        """Delete the name. With ``sync``, return after what it alone held has been collected."""
        request = pb.DeleteImageRequest(name=name, sync=sync)
        await self._rpc.unary(_IMAGES + "Delete", request, Empty, about=name, timeout=timeout)

    async def _create(self, image: Image, timeout: float) -> Image:
        request = pb.CreateImageRequest(image=_image_to(image))
        reply = await self._rpc.unary(
            _IMAGES + "Create", request, pb.CreateImageResponse, about=image.name, timeout=timeout
        )
        return _image_of(reply.image)

    async def _update(self, image: Image, timeout: float) -> Image:
        # No field mask: everything that can be changed is replaced.
        return await self._updated(pb.UpdateImageRequest(image=_image_to(image)), timeout)

    async def _updated(self, request: pb.UpdateImageRequest, timeout: float) -> Image:
        about = request.image.name
        reply = await self._rpc.unary(
            _IMAGES + "Update", request, pb.UpdateImageResponse, about=about, timeout=timeout
        )
        return _image_of(reply.image)


def _image_of(image: pb.Image) -> Image:
    return Image(image.name, descriptor_of(image.target), dict(image.labels))


def _image_to(image: Image) -> pb.Image:
    return pb.Image(name=image.name, target=descriptor_to(image.target), labels=dict(image.labels))

"""Images that people ask for, with the logins of the host."""

from __future__ import annotations

from collections.abc import Callable

from agent.containerd.types import Descriptor as Target
from agent.containerd.types import Image as Record
from agent.host.images.fetching import Fetcher
from agent.host.images.local import ImageMissing
from agent.host.images.obtaining import Images
from agent.registry import hello, reference
from agent.registry.logins.login import Keyring
from agent.task.model import Image


class HandPuller:
    """Pulls images for no task."""

    def __init__(self, here: Images, fetcher: Fetcher, keyring: Callable[[], Keyring]) -> None:
        """``keyring`` makes one for each pull, as each remembers what it has found."""
        self._here = here
        self._fetcher = fetcher
        self._keyring = keyring

    async def pull(self, name: str) -> Image:
        """The image as its registry has it now. Hello is made here, as always.

        Raises ImageMissing for a name that is none, PullFailed, ContainerdError.
        """
        try:
            wanted = reference.parse(name)
        except reference.InvalidReference as error:
            raise ImageMissing(str(error)) from error
        if str(wanted) == hello.NAME:
            return await self._here.find(name)
        keyring = self._keyring()
        target = await self._fetcher.resolve(wanted, keyring, spare=False)
        async with self._here.kept(str(wanted), target.digest):
            await self._fetcher.pull(wanted, target, keyring)
            kept = Record("", Target(target.media_type, target.digest, target.size))
            return await self._here.image(str(wanted), kept)

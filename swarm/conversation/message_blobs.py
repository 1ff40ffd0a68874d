"""Move image data between messages and the blobs of a conversation's session."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from swarmchat.swarm.common.messages import describe_part
from swarmchat.swarm.models.base import ModelRequest
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.journal import Journal
from swarmchat.swarm.persistence.store import ChangeSet


class MessageBlobs:
    """The data of the images that a conversation's messages name. ``report`` gets warnings for the user."""

    def __init__(self, journal: Journal, blobs: Blobs, report: Callable[[str], object]) -> None:
        self._journal = journal
        self._blobs = blobs
        self._report = report
        self._new: dict[str, bytes] = {}
        """What is not stored yet."""
        self._last: dict[str, bytes] = {}
        """What the last request named."""
        self._missing: set[str] = set()

    async def open(self, *, expires: bool) -> None:
        """Have the blobs live as long as the log, if that ``expires``."""
        if expires and not self._journal.is_new:
            self._journal.keys_to_renew += await self._blobs.keys()

    def take(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return ``message`` as it is recorded; the data in it is stored with the next commit."""
        if not isinstance(message.get("content"), list):
            return message
        # Loaded with the first image, as below.
        from swarmchat.swarm.images.parts import to_blobs

        message, blobs = to_blobs(message)
        self._new |= blobs
        return message

    async def staged(self, changes: ChangeSet | None) -> ChangeSet | None:
        """Return ``changes`` with the writes that store what is new; call ``stored`` once they are committed."""
        if not self._new:
            return changes
        staged = ChangeSet()
        staged.extend(changes or staged)
        staged.write(*await self._blobs.put(*self._new.values()))
        return staged

    def stored(self) -> None:
        """Note that what was staged is stored."""
        if self._new:
            keys_to_renew = [*self._journal.keys_to_renew, *self._blobs.keys_of(self._new)]
            self._journal.keys_to_renew = list(dict.fromkeys(keys_to_renew))
            self._last |= self._new
            self._new = {}

    @property
    def in_memory(self) -> Mapping[str, bytes]:
        """The data of images that this process still holds, by digest."""
        return {**self._last, **self._new}

    def lost(self) -> None:
        """Note that the store has lost the session: what is in memory is stored again."""
        self._new = dict(self.in_memory)

    async def filled(self, request: ModelRequest) -> ModelRequest:
        """Return ``request`` with the data of its images. Raises the backend's errors."""
        if not request.images:
            return request
        from swarmchat.swarm.images.parts import digests_in

        named = [(digest, message) for message in request.messages for digest in digests_in(message)]
        if not named:
            return request
        contents: dict[str, bytes] = {}
        for digest, message in named:
            content = self._new.get(digest) or self._last.get(digest) or await self._blobs.get(digest)
            if content is not None:
                contents[digest] = content
            elif digest not in self._missing:
                self._missing.add(digest)
                names = [describe_part(part) for part in json.loads(message)["content"] if digest in str(part)]
                self._report(f"{''.join(names[:1])} is no longer in the store: the model gets a note in its place")
        self._last = contents
        return replace(request, blobs=contents)

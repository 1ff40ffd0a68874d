"""The blobs of a session: contents too large for its log, each stored once under the sha256 of its bytes.

A record names a blob by its digest. The writes that ``put`` returns must be in the same commit as that record, so that
no log names a blob that was never stored. A list holds the digests, so the blobs can be found without reading the log.
"""

import hashlib
from collections.abc import Iterable

from swarmchat.backends import Append, Backend, Put, Write
from swarmchat.swarm.persistence import keys


def digest_of(content: bytes) -> str:
    """Return the name of a blob: its sha256, in hex."""
    return hashlib.sha256(content).hexdigest()


class Blobs:
    """The blobs of the session ``session`` of ``client``, which live for ``ttl`` seconds."""

    def __init__(self, backend: Backend, client: str, session: str, ttl: float | None = None) -> None:
        self._backend = backend
        self._client = client
        self._session = session
        self._ttl = ttl
        self._list = keys.session_blobs(client, session)

    async def put(self, *contents: bytes) -> list[Write]:
        """Return the writes that store ``contents``.

        One that is stored already is written again: it may have been evicted.
        """
        blobs = {digest_of(content): content for content in contents}
        listed = set(await self.digests()) if blobs else set()
        writes: list[Write] = [Put(self._key(digest), content, self._ttl) for digest, content in blobs.items()]
        if new := tuple(digest.encode() for digest in blobs if digest not in listed):
            writes.append(Append(self._list, new, self._ttl))
        return writes

    async def get(self, digest: str) -> bytes | None:
        """Return the blob with this digest; ``None`` if it is missing or damaged."""
        content = await self._backend.get(self._key(digest))
        return content if content is not None and digest_of(content) == digest else None

    async def digests(self) -> list[str]:
        """Return the digests of all blobs, in the order in which they were stored."""
        lines = await self._backend.slice(self._list, 0)
        return list(dict.fromkeys(line.decode("ascii", "replace") for line in lines))

    async def keys(self) -> list[str]:
        """Return all keys of the blobs: to delete them, or to renew their lifetime. Empty if there are none."""
        return self.keys_of(await self.digests())

    def keys_of(self, digests: Iterable[str]) -> list[str]:
        """Return the keys of the blobs with ``digests`` and of the list that names them."""
        keys = [self._key(digest) for digest in digests]
        return [self._list, *keys] if keys else []

    def _key(self, digest: str) -> str:
        return keys.session_blob(self._client, self._session, digest)

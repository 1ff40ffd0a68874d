"""Blobs of a session: once each, with the record that names them, and gone with the session."""

import asyncio

from swarmchat.backends import Put, open_backend
from swarmchat.swarm.archive.sessions import delete_session
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.blobs import Blobs, digest_of
from swarmchat.swarm.persistence.session_index import SessionInfo

DATA = bytes(range(256)) * 400


def test_a_blob_is_stored_once_and_gone_with_its_session(backend_url):
    async def run() -> None:
        backend = open_backend(backend_url)
        info = SessionInfo("tea", "tea", "ann", "2026-05-06T07:08:09.000Z", "2026-05-06T07:08:09.000Z")
        blobs = Blobs(backend, "ann", "tea")
        assert await blobs.keys() == []
        await backend.commit(info.put(None), *await blobs.put(DATA, b"second", DATA))
        await backend.commit(*await blobs.put(b"second"))
        assert await blobs.digests() == [digest_of(DATA), digest_of(b"second")]
        assert await blobs.get(digest_of(DATA)) == DATA
        assert await blobs.get(digest_of(b"third")) is None
        assert await Blobs(backend, "ann", "other").get(digest_of(DATA)) is None
        await backend.commit(Put(keys.session_blob("ann", "tea", digest_of(DATA)), b"damaged"))
        assert await blobs.get(digest_of(DATA)) is None
        every = await blobs.keys()
        assert len(every) == 3
        await delete_session(backend, info)
        assert await blobs.keys() == []
        assert await backend.get_many(every[1:]) == [None, None]
        await backend.close()

    asyncio.run(run())

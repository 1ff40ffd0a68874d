"""The lines of a stored log with image data included, as they are exported, copied and replayed elsewhere."""

from collections.abc import AsyncIterator

from swarmchat.backends import Backend
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo


async def whole_lines(backend: Backend, info: SessionInfo, stop: int | None = None) -> AsyncIterator[bytes]:
    """Yield the stored lines of a session's log, the first ``stop`` of them or all, with the data of images.

    A reference to a blob that is missing stays.
    """
    async for line in read_lines(backend, info, stop):
        yield await _whole(backend, info, line)


async def whole_record(backend: Backend, info: SessionInfo, record: Record) -> Record:
    """Return ``record``, of a session's log, with the data of images."""
    line = await _whole(backend, info, record.line)
    return record if line is record.line else parse_record(line)


async def _whole(backend: Backend, info: SessionInfo, line: bytes) -> bytes:
    if b'"blob:' not in line:
        return line
    # Loaded with the first image.
    from swarmchat.swarm.images.parts import digests_in_line, line_to_data

    blobs = Blobs(backend, info.client, info.id)
    contents = {digest: await blobs.get(digest) for digest in digests_in_line(line)}
    return line_to_data(line, {digest: content for digest, content in contents.items() if content is not None})

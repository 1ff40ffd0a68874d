"""The lines of a stored log with the data of its images in them: what is exported, copied and replayed elsewhere."""

from collections.abc import AsyncIterator, Iterable

from swarmchat.backends import Backend
from swarmchat.swarm.images.parts import digests_in_line, line_to_data
from swarmchat.swarm.persistence.blobs import Blobs
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo


async def whole_lines(backend: Backend, info: SessionInfo, stop: int | None = None) -> AsyncIterator[bytes]:
    """Yield the stored lines of a session's log, the first ``stop`` of them or all, with the data of images.

    A reference to a blob that is missing stays.
    """
    blobs = Blobs(backend, info.client, info.id)
    async for line in read_lines(backend, info, stop):
        if digests := digests_in_line(line):
            line = line_to_data(line, await _contents(blobs, digests))
        yield line


async def whole_record(backend: Backend, info: SessionInfo, record: Record) -> Record:
    """Return ``record``, of a session's log, with the data of images."""
    if not (digests := digests_in_line(record.line)):
        return record
    contents = await _contents(Blobs(backend, info.client, info.id), digests)
    return parse_record(line_to_data(record.line, contents))


async def _contents(blobs: Blobs, digests: Iterable[str]) -> dict[str, bytes]:
    found = {digest: await blobs.get(digest) for digest in digests}
    return {digest: content for digest, content in found.items() if content is not None}

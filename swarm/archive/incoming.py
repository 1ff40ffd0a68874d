"""A session that is to be stored: from a file, or from another store."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from swarmchat.swarm.archive.log_summary import Beside
from swarmchat.swarm.persistence.session_index import SessionInfo


@dataclass(frozen=True)
class Incoming:
    """A whole session. ``read`` yields its lines from the first on, the same ones each time."""

    info: SessionInfo
    """Its entry in the list; where that id or name is taken, it gets another."""
    beside: Beside
    count: int
    """How many lines it has."""
    digest: str
    """The same for the same content, and for no other."""
    read: Callable[[], AsyncIterator[bytes]]
    converted: bool = False
    """Whether the lines were made from another program's file, so that its digest tells whether it is there."""


def reader(lines: Callable[[], Iterable[bytes]]) -> Callable[[], AsyncIterator[bytes]]:
    """Return ``lines`` as what Incoming reads."""

    async def read() -> AsyncIterator[bytes]:
        for line in lines():
            yield line

    return read

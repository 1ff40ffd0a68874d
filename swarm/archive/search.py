"""Find a text in sessions: in questions, answers, and the names, arguments and results of tools."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

from swarmchat.backends import Backend
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.common.patterns import BoundedPattern
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.log import hidden_turns, read_lines, record_at
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record
from swarmchat.swarm.persistence.session_index import SessionInfo

SearchPattern = re.Pattern[str] | BoundedPattern

_AROUND = 40
"""Characters that are shown on either side of a match."""

_SILENT = re.compile(rb'\{"v":1,"type":"(?:request|rotate)",')
"""How lines without text begin: a third of a log, and decoding lines is most of the work."""

_AT_ONCE = 8
"""Sessions that are read together, because reading one is mostly waiting for the store."""


@dataclass(frozen=True)
class SearchHit:
    """The first match in one text of a session."""

    session: str
    turn: int
    role: str
    """``user``, ``assistant``, ``system``, ``tool`` (a result) or ``call``."""
    who: str
    """The agent, or the tool; empty where neither is known."""
    before: str
    match: str
    after: str
    undone: bool = False


async def search_sessions(
    backend: Backend, infos: Sequence[SessionInfo], pattern: SearchPattern
) -> AsyncGenerator[tuple[SessionInfo, list[SearchHit] | BadRecord], None]:
    """Yield the matches of ``pattern`` in each of ``infos``, in their order.

    For a session of a newer version, yields the error instead. Raises the backend's errors.
    """
    for first in range(0, len(infos), _AT_ONCE):
        together = infos[first : first + _AT_ONCE]
        searches = (search_session(backend, info, pattern) for info in together)
        for info, hits in zip(together, await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(hits, BaseException) and not isinstance(hits, BadRecord):
                raise hits
            yield info, hits


async def search_session(backend: Backend, info: SessionInfo, pattern: SearchPattern) -> list[SearchHit]:
    """Return the matches of ``pattern`` in a session, oldest first.

    Raises BadRecord for a session of a newer version, and DefinitionError for a pattern that takes too long.
    """
    hits: list[SearchHit] = []
    changes: list[Record] = []
    position = -1
    async for line in read_lines(backend, info):
        position += 1
        record = None if _SILENT.match(line) else record_at(line, position)
        if record is None:
            continue
        if record.type in ("undo", "redo"):
            changes.append(record)
        for role, who, text in _texts(record):
            if match := pattern.search(text):
                start, end = match.span()
                before, after = text[max(0, start - _AROUND) : start], text[end : end + _AROUND]
                before = "…" * (start > _AROUND) + before
                after += "…" * (len(text) > end + _AROUND)
                hits.append(SearchHit(info.name, record.turn, role, who, before, match[0], after))
    hidden = hidden_turns(changes)
    return [replace(hit, undone=hit.turn in hidden) for hit in hits]


def _texts(record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield the texts of a record that can be searched, each with its role and its agent or tool."""
    record = record.inner_record or record
    if record.type in MESSAGE_TYPES:
        who = str(record.data.get("name") or "") if record.type == "tool" else record.agent or ""
        yield "user" if record.type == "steer" else record.type, who, text_of(record.message)
        for _, name, arguments in calls_of(record.message):
            yield "call", name, f"{name}({arguments})"
    elif record.type in ("unsent", "policy") and record.data.get("direction") != "output":
        yield "user", "", str(record.data.get("text", ""))

"""Find a text in sessions: in questions, answers, and the names, arguments and results of tools."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, replace

from swarmchat.backends import Backend
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.log import hidden_turns, read_lines, record_at
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record
from swarmchat.swarm.persistence.session_index import SessionInfo

_AROUND = 40
"""Characters that are shown on either side of a match."""

_SILENT = re.compile(rb'\{"v":1,"type":"(?:request|rotate)",')
"""How lines begin in which nothing can be found: a third of a log, and decoding a line is most of the work."""

_AT_ONCE = 8
"""Sessions that are read together: most of the time for one is the way to the store and back."""


@dataclass(frozen=True)
class Hit:
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
    backend: Backend, infos: Sequence[SessionInfo], pattern: re.Pattern[str]
) -> AsyncGenerator[tuple[SessionInfo, list[Hit] | BadRecord], None]:
    """Yield where ``pattern`` matches in each of ``infos``, in their order.

    For a session of a newer version it is the error. Raises the backend's errors.
    """
    for first in range(0, len(infos), _AT_ONCE):
        together = infos[first : first + _AT_ONCE]
        searches = (search_session(backend, info, pattern) for info in together)
        for info, found in zip(together, await asyncio.gather(*searches, return_exceptions=True), strict=True):
            if isinstance(found, BaseException) and not isinstance(found, BadRecord):
                raise found
            yield info, found


async def search_session(backend: Backend, info: SessionInfo, pattern: re.Pattern[str]) -> list[Hit]:
    """Return where ``pattern`` matches in a session, the oldest first. Raises BadRecord for one of a newer version."""
    hits: list[Hit] = []
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
                hits.append(Hit(info.name, record.turn, role, who, before, match[0], after))
    hidden = hidden_turns(changes)
    return [replace(hit, undone=hit.turn in hidden) for hit in hits]


def _texts(record: Record) -> Iterator[tuple[str, str, str]]:
    """Yield what can be found in a record: the role, the agent or tool, and the text."""
    if record.type in MESSAGE_TYPES:
        who = str(record.data.get("name") or "") if record.type == "tool" else record.agent or ""
        yield record.type, who, text_of(record.message)
        for _, name, arguments in calls_of(record.message):
            yield "call", name, f"{name}({arguments})"
    elif record.type in ("unsent", "policy") and record.data.get("direction") != "output":
        yield "user", "", str(record.data.get("text", ""))

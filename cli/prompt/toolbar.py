"""The toolbar: a line below the prompt about agent, context window, model, cost, session and store."""

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth
from swarmchat.backends import BackendError
from swarmchat.cli.settings.prices import dollars
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.session.session import Session

_GAP = "   "


def toolbar(session: Session, backend: str, *, queued: int, mode: str, cost: float | None) -> StyleAndTextTuples:
    """Return the parts of the toolbar, from the left as many as fit into one line of the terminal.

    ``queued`` is the number of queued messages, ``mode`` the mode of the vi keys, ``cost`` in dollars.
    """
    used, available = session.fill
    share = used / available
    parts = [
        ("", " ‹ ".join(one_line(name, 30) for name in (session.agent.name, *reversed(session.navigation.stack)))),
        (f"class:fill.{_level(share)}", f"{used:,} / {available:,} tokens {share:.0%}"),
        ("class:queued", f"{queued} queued" if queued else ""),
        ("class:queued", _running(len(session.tasks.running))),
        ("", f"vi: {mode}" if mode else ""),
        ("", one_line(session.model.name, 40)),
        ("", "" if cost is None else f"${cost:.4f}"),
        ("", one_line(session.info.name, 30)),
        ("", backend),
    ]
    return _fitting([part for part in parts if part[1]], shutil.get_terminal_size().columns)


def _running(tasks: int) -> str:
    return "" if not tasks else "1 task" if tasks == 1 else f"{tasks} tasks"


def _level(share: float) -> str:
    return "low" if share < 0.5 else "middle" if share < 0.85 else "high"


def _fitting(parts: list[tuple[str, str]], columns: int) -> StyleAndTextTuples:
    """Return the first ``parts`` that fit; a single one that does not is cut."""
    while len(parts) > 1 and get_cwidth(" " + _GAP.join(text for _, text in parts)) > columns:
        parts.pop()
    style, first = parts[0]
    if get_cwidth(first) + 1 > columns:
        while first and get_cwidth(first) + 2 > columns:
            first = first[:-1]
        parts[0] = (style, first + "…" if columns > 1 else "")
    fragments: StyleAndTextTuples = [("", " "), parts[0]]
    for part in parts[1:]:
        fragments += [("", _GAP), part]
    return fragments


class Cost:
    """Adds up the cost of the open session. ``prices`` are for a million input and output tokens, by model."""

    def __init__(self, prices: Mapping[str, Sequence[float]]) -> None:
        self._prices = prices
        self._session = ""
        self._models: dict[str, str] = {}
        """The model that was asked last, by the task; of the conversation itself, by ""."""
        self._last_seq = -1
        self._amount: float | None = None
        self._reading: asyncio.Future[None] | None = None

    def of(self, session: Session) -> float | None:
        """Return the cost of ``session`` so far; ``None`` if no price applies, or while its log is being read."""
        if not self._prices:
            return None
        if session.info.id != self._session:
            if self._reading is not None:
                self._reading.cancel()
            self._session, self._models, self._last_seq, self._amount = session.info.id, {}, -1, None
            self._reading = asyncio.ensure_future(self._read_log(session)) if not session.is_new else None
        if self._reading is not None and not self._reading.done():
            return None
        self._add(session.records)
        return self._amount

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.seq <= self._last_seq:
                continue
            self._last_seq = record.seq
            if (record.inner_record or record).type == "request":
                self._models[record.task] = str(record.data.get("model"))
            # An answer names its model if it is not the one that was asked.
            prices = self._prices.get(record.data.get("model") or self._models.get(record.task, ""))
            if (cost := dollars(record.data.get("usage"), prices)) is not None:
                self._amount = (self._amount or 0) + cost

    async def _read_log(self, session: Session) -> None:
        """Add up the stored log: the session has only its end in memory."""
        info = session.info
        # Without the store, only new turns count.
        with suppress(BackendError):
            for line in await session.backend.slice(keys.session_log(info.client, info.id), 0):
                with suppress(BadRecord):
                    self._add([parse_record(line)])
                # The log may be long, and the user is typing.
                await asyncio.sleep(0)

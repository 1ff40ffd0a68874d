"""The cost of a session, from the token counts of the servers and the prices in the settings."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from swarmchat.backends import BackendError
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.session.session import Session

_MILLION = 1_000_000


class Cost:
    """Adds up the cost of the open session. ``prices`` are for a million input and output tokens, by model."""

    def __init__(self, prices: Mapping[str, Sequence[float]]) -> None:
        self._prices = prices
        self._session = self._model = ""
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
            self._session, self._model, self._last_seq, self._amount = session.info.id, "", -1, None
            self._reading = asyncio.ensure_future(self._read_log(session)) if session.turns else None
        if self._reading is not None and not self._reading.done():
            return None
        self._add(session.records)
        return self._amount

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.seq <= self._last_seq:
                continue
            self._last_seq = record.seq
            if record.type == "request":
                self._model = str(record.data.get("model"))
            usage, prices = record.data.get("usage"), self._prices.get(self._model)
            if prices and isinstance(usage, Mapping):
                counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
                if isinstance(counts[0], int) and isinstance(counts[1], int):
                    self._amount = (self._amount or 0) + (counts[0] * prices[0] + counts[1] * prices[1]) / _MILLION

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

"""What a session has cost, where prices are set: by the servers' own figures, in the currency of the prices."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from swarmchat.backends import BackendError
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.session.session import Session

_MILLION = 1_000_000


class Cost:
    """Adds up what sessions cost by ``prices``: for a million tokens of input and of output, by model."""

    def __init__(self, prices: Mapping[str, Sequence[float]]) -> None:
        self._prices = prices
        self._session = ""
        self._seen = -1
        self._model = ""
        self._amount = 0.0
        self._priced = False
        self._reading: asyncio.Future[None] | None = None

    def of(self, session: Session) -> float | None:
        """Return what is known of the cost of ``session``; ``None`` while nothing is."""
        if not self._prices:
            return None
        if session.info.id != self._session:
            self._session, self._seen, self._model, self._amount, self._priced = session.info.id, -1, "", 0.0, False
            self._reading = asyncio.ensure_future(self._read(session)) if session.turns else None
        if self._reading is not None:
            return None
        self._add(session.records)
        return self._amount if self._priced else None

    def _add(self, records: Iterable[Record]) -> None:
        for record in records:
            if record.seq <= self._seen:
                continue
            self._seen = record.seq
            if record.type == "request":
                self._model = str(record.data.get("model"))
            usage, prices = record.data.get("usage"), self._prices.get(self._model)
            if prices and isinstance(usage, Mapping):
                asked, answered = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
                if isinstance(asked, int) and isinstance(answered, int):
                    self._amount += (asked * prices[0] + answered * prices[1]) / _MILLION
                    self._priced = True

    async def _read(self, session: Session) -> None:
        """Read the log as it was before: the session has only its end in memory."""
        info = session.info
        try:
            for line in await session.backend.slice(keys.session_log(info.client, info.id), 0):
                try:
                    self._add([parse_record(line)])
                except BadRecord:
                    continue
                # The log may be long, and somebody is typing.
                await asyncio.sleep(0)
        except BackendError:
            # Then it is what was since.
            pass
        finally:
            self._reading = None

"""One conversation of a client: its log, its lease, its entry in the list, and the way from the log to a request."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from swarmchat.backends import Backend, BackendError, Lease, LeaseLost
from swarmchat.swarm import keys
from swarmchat.swarm.agents import DEFAULT_AGENT, Agent
from swarmchat.swarm.context import Budget, Context
from swarmchat.swarm.errors import OverBudget, SessionBusy
from swarmchat.swarm.events import Event
from swarmchat.swarm.index import SessionInfo, find_session, list_sessions
from swarmchat.swarm.lease import SessionLease
from swarmchat.swarm.log import Log
from swarmchat.swarm.model import Model, ModelRequest
from swarmchat.swarm.names import random_name
from swarmchat.swarm.records import Record, clean_text
from swarmchat.swarm.settle import settle
from swarmchat.swarm.tokens import TokenCounter
from swarmchat.swarm.turn import run_turn
from swarmchat.swarm.view import View, reads_less


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What can be set for a session. Lifetimes and times are in seconds, sizes in tokens."""

    context_window: int | None = None
    """Overrides what the model says of itself."""
    reserve: int | None = None
    """Kept free for the answer. ``None``: an eighth of the window, at most 4,096."""
    high: float = 0.9
    low: float = 0.7
    max_requests: int = 20
    """Requests to the model in one turn."""
    lifetime: float | None = None
    """How long the session is kept after its last turn. ``None``: for ever."""
    lease: float = 30
    """How long a session stays closed to others after its process vanished from another machine."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Fields for each request: temperature, max_tokens …"""

    def budget(self, window: int, correction: float = 1.0) -> Budget:
        """Return the budget for a context window of ``window`` tokens."""
        reserve = self.reserve
        if reserve is None:
            reserve = int(self.parameters.get("max_tokens") or min(4096, window // 8))
        return Budget(window, min(reserve, window - 1), self.high, self.low, correction)


class Session:
    """A conversation that survives. Made by ``Session.open``; ``close`` it, or use it with ``async with``."""

    def __init__(
        self,
        backend: Backend,
        model: Model,
        info: SessionInfo,
        *,
        agent: Agent,
        settings: SessionSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self.backend = backend
        self.model = model
        self.agent = agent
        self.settings = settings
        self.info = info
        self._clock = clock
        self._log = Log(backend, keys.session_log(info.client, info.id), ttl=settings.lifetime)
        self._view = View(self._log, agent.name)
        self._lease = SessionLease(backend, keys.session_lease(info.client, info.id), settings.lease)
        self._turn_lock = asyncio.Lock()
        self._unsaved: list[Record] = []
        self._in_doubt = False
        self._cut_warned = False

    @classmethod
    async def open(
        cls,
        backend: Backend,
        model: Model,
        *,
        client: str,
        name: str | None = None,
        agent: Agent = DEFAULT_AGENT,
        settings: SessionSettings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: random.Random | None = None,
    ) -> "Session":
        """Open the session ``name`` of ``client``, or a new one; without a name, a new one with a random name.

        A new session is stored with its first turn. Raises SessionBusy when another process has it open, BadRecord
        when it was written by a newer program, and the backend's errors.
        """
        settings = settings or SessionSettings()
        info = await find_session(backend, client, name) if name is not None else None
        if info is None:
            now = _timestamp(clock())
            chosen = name if name is not None else await _free_name(backend, client, rng or random.SystemRandom())
            info = SessionInfo(chosen, chosen, client, created=now, updated=now)
        session = cls(backend, model, info, agent=agent, settings=settings, clock=clock)
        await session._lease.acquire(info.name)
        try:
            await session._log.open()
            session._view.rebuild()
        except BaseException:
            await settle(session._lease.release())
            raise
        return session

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def turns(self) -> int:
        """How many turns the session has."""
        return max(self.info.turns, self._log.records[-1].turn if self._log.records else 0)

    @property
    def records(self) -> Sequence[Record]:
        """The records in memory: the end of the log, as far back as the next context may need it."""
        return self._log.records

    @property
    def damaged(self) -> Mapping[int, str]:
        """What is wrong with lines of the log that could not be read, by their position."""
        return self._log.damaged

    @property
    def budget(self) -> Budget:
        """What the next context may cost."""
        window = self.settings.context_window or self.model.context_window
        return self.settings.budget(min(window, self._view.window or window), self._view.correction)

    @property
    def counter(self) -> TokenCounter:
        """The counter for the model. Loading it takes some 0.3 s, once."""
        return self._view.counter(self.model.name)

    @property
    def first_kept(self) -> int:
        """From which record on the conversation is sent: 0 if all of it is."""
        return self._view.first_kept(self.budget)

    @property
    def fill(self) -> tuple[int, int]:
        """Return the tokens of the last request as we counted them, and what a request may have."""
        return self._view.last_tokens, self.budget.available

    async def run_turn(self, text: str) -> AsyncGenerator[Event, None]:
        """Send ``text`` and yield what happens until the answer is complete and stored.

        One turn runs at a time, others wait. Cancelling the task, or closing the iterator, stops the model at once;
        what was said until then is stored. Raises OverBudget, LimitReached, the kinds of ModelError, SessionBusy
        when another process took the session over meanwhile, and the backend's errors. The user's message is stored
        whatever comes, unless it is the backend that failed.
        """
        async with self._turn_lock, aclosing(run_turn(self, clean_text(text))) as events:
            async for event in events:
                yield event

    async def context(self) -> Context:
        """Return what would be sent now. Changes nothing."""
        return await self._view.context(self.budget, self.model.name, self.agent)

    async def close(self) -> None:
        """Store what could not be stored before, if it can be now, and let others have the session."""
        try:
            if self._unsaved:
                await self.commit([])
        finally:
            await settle(self._lease.release())

    # What follows is for the turn, which builds records and asks for them to be stored.

    def record(self, kind: str, *, offset: int, turn: int, **data: Any) -> Record:
        """Return a new record, ``offset`` places after the end of the log."""
        seq = self._log.next_seq + len(self._unsaved) + offset
        return Record(kind, seq, turn, _timestamp(self.now()), self.agent.name, data)

    def now(self) -> datetime:
        """Return the time, by the clock that the session was given."""
        return self._clock()

    def session_record(self) -> Record | None:
        """Return the record that a log begins with, if it is still to be written."""
        if self._log.next_seq or self._unsaved:
            return None
        info = self.info
        data = {
            "id": info.id,
            "name": info.name,
            "client": info.client,
            "swarm": info.swarm,
            "model": self.model.name,
            "program": _program_version(),
        }
        return Record("session", 0, 0, _timestamp(self.now()), None, data)

    async def prepare(self, pending: Sequence[Record], *, shrink_to: int | None = None) -> Context:
        """Return the context for the next request, as if ``pending`` were stored.

        ``shrink_to`` lowers the context window for this session from now on. Raises OverBudget, and leaves the window
        as it was, when what must be sent does not fit.
        """
        before = self._view.window
        self._view.window = before if shrink_to is None else shrink_to
        try:
            return await self._view.context(
                self.budget, self.model.name, self.agent, pending=[*self._unsaved, *pending]
            )
        except OverBudget:
            self._view.window = before
            raise

    def forget_before(self, context: Context) -> None:
        """Let go of what ``context``, whose cut is stored, and all later ones leave out."""
        self._view.forget(context)

    def cut_warning(self, usage: Mapping[str, Any] | None, sent: int) -> str | None:
        """Return, once, that the server seems to have read less than the ``sent`` tokens that it was sent."""
        counted = (usage or {}).get("prompt_tokens")
        if self._cut_warned or not reads_less(counted, sent):
            return None
        self._cut_warned = True
        return (
            f"the server counted {counted:,} of some {sent:,} tokens: it may be cutting the context off. Give it a "
            "larger window (Ollama: num_ctx), or set --max-context to what it reads"
        )

    def request(self, context: Context) -> ModelRequest:
        """Return the request that sends ``context``."""
        return ModelRequest(self.model.name, context.messages, parameters=self.settings.parameters)

    def count(self, message: Mapping[str, Any], *, parallel: bool = False) -> dict[str, Any]:
        """Return the ``tokens`` field of the record of ``message``."""
        counter = self.counter
        return {"count": counter.message(message, parallel=parallel), "encoding": counter.encoding}

    async def ready(self) -> None:
        """Load the counter, and find out what became of a commit that failed. Raises the backend's errors."""
        await self._view.load_counter(self.model.name)
        if self._in_doubt:
            landed = await self._log.catch_up()
            self._unsaved = [record for record in self._unsaved if record.seq >= self._log.next_seq]
            self._view.take(landed)
            self._in_doubt = False

    async def commit(self, records: Sequence[Record], *, keep: bool = False) -> None:
        """Append ``records`` to the log, with the session's entry in the list, in one commit.

        With ``keep``, records that could not be stored are held and stored with the next commit. The outcome is
        known before a cancellation is let through.
        """
        await settle(self._commit(list(records), keep))

    async def _commit(self, records: list[Record], keep: bool) -> None:
        await self.ready()
        records = self._unsaved + records
        info = self._updated_info(records)
        writes = (self._log.appending(records), info.put(self.settings.lifetime))
        try:
            try:
                await self.backend.commit(*writes, lease=self._lease.lease)
            except LeaseLost:
                await self.backend.commit(*writes, lease=await self._reacquire())
        except BackendError:
            self._in_doubt = True
            self._unsaved = records if keep else records[: len(self._unsaved)]
            self._view.rebuild()
            raise
        self._unsaved.clear()
        self.info = info
        self._log.appended(records)
        self._view.take(records)

    async def _reacquire(self) -> Lease:
        """Take the lease again after it ran out, as after a suspended laptop, if nobody wrote meanwhile."""
        lease = await self._lease.acquire(self.info.name)
        if await self.backend.length(keys.session_log(self.info.client, self.info.id)) != self._log.next_seq:
            await self._lease.release()
            raise SessionBusy(f"session {self.info.name!r} was continued by another process meanwhile: open it again")
        return lease

    def _updated_info(self, records: Sequence[Record]) -> SessionInfo:
        info = replace(self.info, updated=_timestamp(self.now()), model=self.model.name)
        for record in records:
            if record.type == "user":
                info = replace(info, turns=record.turn).with_title(str(record.message.get("content", "")))
        return info


async def latest_session(backend: Backend, client: str) -> SessionInfo | None:
    """Return the session that ``client`` used last."""
    return next(iter(await list_sessions(backend, client)), None)


async def _free_name(backend: Backend, client: str, rng: random.Random) -> str:
    while True:
        name = random_name(rng)
        for candidate in (name, f"{name}-{rng.randrange(100, 1000)}"):
            if await backend.get(keys.session_index(client, candidate)) is None:
                return candidate


def _timestamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _program_version() -> str:
    try:
        return version("swarmchat")
    except PackageNotFoundError:
        return "unknown"

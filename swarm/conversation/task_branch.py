"""Tasks of agents that are used as tools: each is a branch of the session's log, with its own numbering.

A branch is written inside ``task`` records, which the rest of the program ignores, so no other agent's context can
depend on one. Tasks of one message run in parallel, but only one at a time starts a request or stores records, so the
log shows the order in which they saw each other's changes.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from swarmchat.backends import BackendError
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.errors import TaskLimit
from swarmchat.swarm.persistence.journal import Batch, Journal
from swarmchat.swarm.persistence.log import Log
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet

Store = Callable[[Sequence[Record], ChangeSet | None, bool], Awaitable[None]]
"""Stores records in the log of the session, with changes; ``True``: those that cannot be stored wait."""


class TaskOrder:
    """Lets one at a time take its next step: the conversation or a task. A replay has them take turns as they did.

    In a step, records get their numbers and are stored: nobody else stores any in between.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._given: Counter[str] = Counter()
        self._background = 0

    def new_id(self, giver: str) -> str:
        """Return the id of the next task of ``giver``, a turn or a task."""
        self._given[giver] += 1
        return f"{giver}.{self._given[giver]}"

    def new_background_id(self, used: int) -> str:
        """Return the id of the next task in the background; ``used`` is the highest number in the log."""
        self._background = max(self._background, used) + 1
        return f"b{self._background}"

    def begin(self, task: str) -> None:
        """A task begins."""

    def stored(self, task: str, records: int) -> None:
        """A task has stored so many records."""

    def end(self, task: str) -> None:
        """A task has ended."""

    @asynccontextmanager
    async def step(self, task: str, *, storing: bool) -> AsyncIterator[bool]:
        """Wait until it is the turn of ``task``, or of the conversation if that is empty. Yields whether it is held.

        ``storing`` tells that the step stores.
        """
        async with self._lock:
            yield True


class Steps:
    """The steps of one conversation, or of the task ``task``; a step within another one is the same step."""

    def __init__(self, order: TaskOrder, task: str = "") -> None:
        self._order = order
        self._task = task
        self._held = False

    @asynccontextmanager
    async def step(self, *, storing: bool = False) -> AsyncIterator[None]:
        """Wait until what is stored may be read for a request, or added to; all others wait meanwhile."""
        if self._held:
            yield
            return
        async with self._order.step(self._task, storing=storing) as held:
            self._held = held
            try:
                yield
            finally:
                self._held = False


class _BranchLog(Log):
    """The records of a task, all in memory: a task is short."""

    def forget_before(self, seq: int, apart: Sequence[tuple[int, int]] = ()) -> None:
        """Keep all records: they cannot be read again one by one."""


class Branch(Journal):
    """The records of the task ``id``, which the call ``call`` gave to an agent, and what the task has used up.

    Without a call, it is a task in the background: it belongs to no turn, as those go on beside it. ``session`` is the
    journal of the session, which ``store`` writes to. ``parent`` is the task that gave this one.
    """

    def __init__(
        self, session: Journal, store: Store, order: TaskOrder, parent: "Branch | None", task: str, call: str
    ) -> None:
        self._session: Journal = session if parent is None else parent._session
        super().__init__(*session.origin)
        self.id = task
        self.limit: asyncio.Timeout | None = None
        """The clock of the task."""
        self.max_tokens = 0
        """The most tokens that the task may use."""
        self.requests = 0
        self.tokens = 0
        """The tokens that the task has used, those of the tasks that it gave included."""
        self.store = store
        """Stores records in the log of the session."""
        self._order = order
        self._parent = parent
        self._call = call
        given_in = self._session.highest_turn if parent is None else parent.highest_turn + 1
        self._turn = given_in if call else 0
        self.steps = Steps(order, task)
        self.log = _BranchLog(session.origin[0], self.log.key)

    @property
    def depth(self) -> int:
        """How deep the task is nested, from 1."""
        return 1 if self._parent is None else self._parent.depth + 1

    @property
    def highest_turn(self) -> int:
        """The highest number of a turn before the one that the task belongs to."""
        return self._turn - 1

    @property
    def is_new(self) -> bool:
        """Never: the session record is that of the session."""
        return False

    async def commit(
        self, batch: Batch | None = None, changes: ChangeSet | None = None, *, keep: bool = False, model: str = ""
    ) -> list[Record]:
        """Store the records of ``batch`` as records of the task, with ``changes``; see ``Journal.commit``."""
        async with self.steps.step(storing=True):
            return await run_to_completion(self._commit_to_session(batch, changes, keep))

    async def _commit_to_session(self, batch: Batch | None, changes: ChangeSet | None, keep: bool) -> list[Record]:
        if self._session.in_doubt:
            raise BackendError("a task of the same message could not be stored")
        records = [] if batch is None else batch.records
        await self.store([record.in_task(self.id, self._call) for record in records], changes, keep)
        self.log.appended(records)
        self._order.stored(self.id, len(records))
        return records

    def spend(self, tokens: int) -> None:
        """Count one request that has used ``tokens``."""
        self.requests += 1
        branch: Branch | None = self
        while branch is not None:
            branch.tokens += tokens
            branch = branch._parent

    def check_tokens(self) -> None:
        """Raise TaskLimit if this task, or one that gave it, has used up its tokens."""
        branch: Branch | None = self
        while branch is not None:
            if branch.max_tokens and branch.tokens >= branch.max_tokens:
                raise TaskLimit(
                    f"the task has used {branch.tokens:,} tokens, and may use {branch.max_tokens:,}: "
                    "ask for less, or raise task_tokens"
                )
            branch = branch._parent

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the clock of the task, and of those that gave it, while the user is asked."""
        branch: Branch | None = self
        clocks: list[asyncio.Timeout] = []
        while branch is not None:
            if branch.limit is not None:
                clocks.append(branch.limit)
            branch = branch._parent
        now = asyncio.get_running_loop().time
        left = [(clock, end - now()) for clock in clocks if not clock.expired() and (end := clock.when()) is not None]
        for clock, _ in left:
            clock.reschedule(None)
        try:
            yield
        finally:
            for clock, seconds in left:
                if not clock.expired():
                    clock.reschedule(now() + seconds)

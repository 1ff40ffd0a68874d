"""The recorded order of the steps of parallel tasks, for their replay."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from swarmchat.swarm.conversation.task_branch import TaskOrder
from swarmchat.swarm.persistence.records import Record


class RecordedOrder(TaskOrder):
    """Has tasks take their steps in the recorded order. A task that does more than was recorded waits for nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._positions: dict[str, deque[int]] = {}
        """Where the records of each task that are still to come are in the log."""
        self._running: set[str] = set()
        self._stopped: set[str] = set()
        """The running tasks that have got as far as they were recorded."""
        self._begun: set[str] = set()
        self._waiting: set[str] = set()
        """The tasks that wait for their turn."""
        self._changed = asyncio.Event()

    def expect(self, records: Iterable[Record]) -> None:
        """Follow the ``records`` of a turn."""
        self._positions = {}
        for position, record in enumerate(records):
            if record.type == "task":
                self._positions.setdefault(record.task, deque()).append(position)

    def begin(self, task: str) -> None:
        """A task begins."""
        self._running.add(task)
        self._begun.add(task)

    def stored(self, task: str, records: int) -> None:
        """A task has stored so many records."""
        positions = self._positions.get(task, deque())
        for _ in range(min(records, len(positions))):
            positions.popleft()
        self._wake()

    def stop(self, task: str) -> None:
        """A task waits to be cancelled, as it was then."""
        self._stopped.add(task)
        self._wake()

    def cancel(self, task: str) -> None:
        """The stopped ``task`` and those that it gave are cancelled: they store what they have; "" means all."""
        self._stopped -= {each for each in self._stopped if _is_within(each, task)}
        self._wake()

    def end(self, task: str) -> None:
        """A task has ended."""
        self._running.discard(task)
        self._stopped.discard(task)
        self._wake()

    async def settled(self, giver: str) -> None:
        """Wait until the tasks that ``giver`` gave have ended, or have got as far as they were recorded; "" means all.

        ``giver`` itself does not count.
        """
        while any(_is_within(task, giver) and task != giver for task in self._running - self._stopped):
            await self._changed.wait()

    @asynccontextmanager
    async def step(self, task: str, *, storing: bool) -> AsyncIterator[bool]:
        """Wait until it was the turn of ``task``; see ``TaskOrder.step``."""
        self._waiting.add(task)
        self._wake()
        try:
            while self._positions.get(task) and not self._is_next(task):
                await self._changed.wait()
        finally:
            self._waiting.discard(task)
        if not storing and not self._positions.get(task):
            # It may wait to be stopped, and must not keep the others waiting.
            yield False
            return
        async with super().step(task, storing=storing) as held:
            yield held

    def _is_next(self, task: str) -> bool:
        others = self._running - self._stopped - {task}
        return all(self._positions[task][0] < self._next_of(other) for other in others)

    def _next_of(self, task: str) -> float:
        """Return where the next record is of ``task``, or of those that it is about to give."""
        tasks = [task]
        if task not in self._waiting:
            tasks += [each for each in self._positions if _is_within(each, task) and each not in self._begun]
        return min((self._positions[each][0] for each in tasks if self._positions.get(each)), default=math.inf)

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _is_within(task: str, giver: str) -> bool:
    return not giver or task == giver or task.startswith(f"{giver}.")

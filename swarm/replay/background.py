"""Run recorded background tasks again: each step is stored at its recorded place, so nothing depends on timing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from copy import copy

from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.task_branch import Steps
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.replay.recorded_model import Recording
from swarmchat.swarm.replay.replay_conversation import ReplayConversation
from swarmchat.swarm.replay.script import Action, tasks_in
from swarmchat.swarm.replay.task_order import RecordedOrder
from swarmchat.swarm.session.running_task import RunningTask
from swarmchat.swarm.session.running_tasks import failure, said
from swarmchat.swarm.session.task_work import call_tool, have_agent_work
from swarmchat.swarm.tools.context import assigned


class ReplayedTasks:
    """The tasks in the background of ``conversation``, as ``actions`` hold their records."""

    def __init__(self, conversation: ReplayConversation, actions: Sequence[Action]) -> None:
        self._conversation = conversation
        self._records = [record for action in actions for _, record in action.interleaved]
        self._running: dict[str, _ReplayedTask] = {}
        conversation.journal.on_stored = self._begin

    def _begin(self, start: Record) -> None:
        """Run the task that a stored record starts, if it is a recorded one; a tool runs only where tools do."""
        if start.type != "task_start" or (assigned(start).tool and not self._conversation.runs_tools):
            return
        records = [record for record in self._records if _root(record) == start.task and record is not start]
        # A changed swarm may start more tasks than the recorded one, so that ids are given twice.
        if records and start.task not in self._running:
            self._running[start.task] = _ReplayedTask(self._conversation, start, records)

    async def advance(self, record: Record) -> bool:
        """Have the task of ``record`` store its next one, and return true.

        Returns false for a task that does not run, and for the end of one that was stopped.
        """
        task = self._running.get(_root(record))
        if task is None:
            return False
        if record.type != "task_end":
            await task.advance()
        elif not await task.finish():
            await self._running.pop(_root(record)).close()
            return False
        return True

    async def close(self) -> None:
        """End all tasks, as with the process."""
        for task in self._running.values():
            await task.close()
        self._running.clear()


class _ReplayedTask:
    """A task in the background, which waits before each record until it may store it."""

    def __init__(self, conversation: ReplayConversation, start: Record, records: Sequence[Record]) -> None:
        self._conversation = conversation
        self._start = start
        self._allowed: float = 0
        """How many records it may have stored by now."""
        self._stored = 0
        self._changed = asyncio.Event()
        recording = self._recording = Recording(_Order(self._permit))
        recording.order.expect(records)
        recording.tasks = tasks_in(records)
        recording.action = recording.tasks.get(start.task)
        end = next((record for record in records if record.type == "task_end"), None)
        # Otherwise the user, a crash, a limit of time or the store has ended it, maybe after its last answer.
        ends = recording.action is not None and not recording.action.breaks_off
        succeeded = end is not None and end.data.get("status") == "ok"
        self._ends = succeeded and (ends or bool(assigned(start).tool))
        giver = self._giver = copy(conversation)
        giver.store, giver.drawn_by = self._store, {start.task: None if end is None else end.data.get("drawn")}
        giver.repeat(recording, conversation.rules, real=conversation.runs_tools, live=False)
        self._work = asyncio.ensure_future(self._run())

    async def advance(self) -> None:
        """Let it store one record more. One that was stopped there is stopped, and stores what it has."""
        self._allowed += 1
        await self._until(lambda: self._stored >= self._allowed)
        if self._is_stopped and self._stored < self._allowed:
            self._work.cancel()
            await self._end()

    async def finish(self) -> bool:
        """Let it end; return whether it did so by itself."""
        if self._ends and not self._is_stopped:
            await self._end()
        return self._ends and not self._is_stopped

    async def close(self) -> None:
        """Cancel it: it stores nothing more."""
        self._recording.killed = True
        self._work.cancel()
        self._allow(float("inf"))
        await asyncio.wait({self._work})

    @property
    def _is_stopped(self) -> bool:
        return self._recording.stop.is_set()

    async def _end(self) -> None:
        self._allow(float("inf"))
        await self._until(lambda: False)

    def _allow(self, records: float) -> None:
        self._allowed = records
        self._wake()

    async def _permit(self) -> None:
        while self._stored >= self._allowed:
            await self._changed.wait()

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds, or it has ended, or got as far as it was recorded and waits to be cancelled."""
        self._wake()
        while not (holds() or self._work.done() or (self._is_stopped and not self._work.cancelling())):
            waits = [asyncio.ensure_future(event.wait()) for event in (self._changed, self._recording.stop)]
            await asyncio.wait({self._work, *waits}, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _store(self, batch: Batch | None, changes: ChangeSet | None, keep: bool) -> None:
        """Store what it has to store, in the log of the session."""
        log = self._conversation.journal.log
        before = log.next_seq
        if batch is not None:
            # How far the task had got before it had to wait depends on the machine.
            batch.stamp()
        await Conversation.commit_in_step(self._conversation, batch, changes, keep=keep)
        self._stored += log.next_seq - before
        self._wake()

    async def _run(self) -> None:
        """Do what the task is about, and store its end, as `BackgroundTasks` does."""
        assignment, task = assigned(self._start), self._start.task
        work = call_tool if assignment.tool else have_agent_work
        try:
            result = await work(self._giver, RunningTask(task, assignment))
        except Exception as error:
            result = failure(error)
        async with Steps(self._recording.order, task).step(storing=True):
            batch = self._giver.batch()
            for record in result.records:
                batch.append(record)
            fields = {"status": result.status, "text": said(assignment, result), **result.drawn}
            batch.add("task_end", turn=0, agent=self._start.agent, task=task, **fields)
            await self._giver.commit_in_step(batch, result.changes)


class _Order(RecordedOrder):
    """The order of the steps of a task and of those that it gives: none is taken before ``permit`` returns."""

    def __init__(self, permit: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self._permit = permit

    @asynccontextmanager
    async def step(self, task: str, *, storing: bool) -> AsyncIterator[bool]:
        """Wait until the task may store; see ``TaskOrder.step``."""
        async with super().step(task, storing=storing) as held:
            await self._permit()
            yield held


def _root(record: Record) -> str:
    """Return the id of the task in the background that ``record`` belongs to."""
    return record.task.partition(".")[0]

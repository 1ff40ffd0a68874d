"""Background tasks: they run in the process that has the session open, in parallel with its turns.

The log is authoritative: storing a ``task_start`` record starts a task, and one commit stores its end and puts its
result into the mailbox. If the process dies, a task has no end record; the next process stores one, and does not run
the task again.
"""

import asyncio
from contextlib import suppress

from swarmchat.backends import Append, BackendError
from swarmchat.swarm.agents.agent import Agent
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.names import name_of
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.task_branch import Steps
from swarmchat.swarm.conversation.turn_lock import TurnLock
from swarmchat.swarm.errors import SwarmError, TaskError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.session.changes import begin
from swarmchat.swarm.session.running_task import RunningTask, TaskResult
from swarmchat.swarm.tools.context import Assignment, ToolFailure, assigned

_TITLE = 80
"""Characters of a task that the message with its result repeats."""
_SAID = {"ok": "Done", "error": "Failed", "stopped": "Stopped by the user", "interrupted": "Interrupted"}
_CUT = "\n[cut]"
_MAX_REACTIONS = 10
"""How many tasks may follow from one another without a word of the user: a model may start one for each result."""
_ENOUGH = f"No agent reacts to this: {_MAX_REACTIONS} tasks in a row were reactions to results of others."
_INTERRUPTED = "The program ended before the task did. It does not start again by itself."


class BackgroundTasks:
    """The tasks in the background of ``conversation``; ``lock`` is that of its session."""

    def __init__(self, conversation: Conversation, lock: TurnLock) -> None:
        self.running: dict[str, RunningTask] = {}
        """The tasks that run in this process, by their ids."""
        self.interrupted: list[Record] = []
        """The records of the tasks that were found interrupted when the session was opened."""
        self._conversation = conversation
        self._lock = lock
        self._slots = asyncio.Semaphore(conversation.settings.tasks_at_once)

    async def open(self) -> None:
        """Run tasks that are started from now on; store the end of tasks whose process died."""
        conversation = self._conversation
        conversation.journal.on_stored = self._begin
        left = set(conversation.info.running)
        # What cannot be stored now is said when the session is opened next.
        with suppress(BackendError, SwarmError):
            starts = await self._starts() if left else {}
            self.interrupted = [record for task, record in starts.items() if task in left]
            for record in self.interrupted:
                await self._end(record, TaskResult("interrupted", _INTERRUPTED))

    async def start(self, agent: Agent | str, task: str, *, wake: bool = False) -> str:
        """Have ``agent`` work on ``task`` while the conversation goes on; return the id of the task.

        Its answer arrives as a message; with ``wake``, the active agent reacts to it. Raises TaskError for an empty
        task, DefinitionError for an unknown agent, ClientBanned and the backend's errors.
        """
        name, text = self._conversation.swarm.agent(name_of(agent)).name, clean_text(task).strip()
        if not text:
            raise TaskError("the task is empty: write what the agent is to do")
        return await self._start(Assignment(name, text, wake))

    async def again(self, task: str) -> str:
        """Start an ended ``task`` once more; return the id of the new task. Raises the errors of ``start``."""
        if task in self.running:
            raise TaskError(f"task {task} is still running: stop it first, or wait for its result")
        starts = await self._starts()
        if (start := starts.get(task)) is None:
            raise TaskError(f"no task {task!r} was started in this session; started: {', '.join(starts) or 'none'}")
        return await self._start(assigned(start))

    async def stop(self, task: str) -> None:
        """Stop ``task``; changes by its tools stay. Raises TaskError if it is not running."""
        running = self.running.get(task)
        if running is None or running.work is None:
            raise TaskError(f"task {task!r} is not running; running: {', '.join(self.running) or 'none'}")
        running.stopped = True
        running.work.cancel()
        await asyncio.wait({running.work})

    async def wait(self) -> None:
        """Wait until one of the running tasks has ended; return at once if none runs."""
        works = [each.work for each in self.running.values() if each.work is not None]
        if works:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Stop all tasks, without their end: the next process that opens the session says that it was interrupted."""
        # What is stored only now does not begin any more.
        self._conversation.journal.on_stored = lambda record: None
        works = [each.work for each in self.running.values() if each.work is not None]
        for work in works:
            work.cancel()
        if works:
            await asyncio.wait(works)

    def _reactions(self) -> int:
        """Return how many tasks agents have started in reaction to results since the user last wrote."""
        count, reacts = 0, False
        for record in self._conversation.journal.log.records:
            if record.type == "user":
                count, reacts = 0, False
            elif record.type == "task_start" and reacts:
                count, reacts = count + 1, False
            reacts = reacts or (record.type == "mail" and record.data.get("wake") is True)
        return count

    async def _starts(self) -> dict[str, Record]:
        """Return the records that have started tasks, by the ids of these."""
        records = read_records(self._conversation.backend, self._conversation.info)
        return {record.task: record async for record in records if record.type == "task_start"}

    async def _start(self, assignment: Assignment) -> str:
        conversation = self._conversation
        await conversation.primitives.refuse_banned()
        if conversation.journal.is_new:
            async with self._lock:
                await begin(conversation)
        task = conversation.order.new_background_id(conversation.info.tasks)
        async with Steps(conversation.order, task).step(storing=True):
            batch = conversation.batch()
            batch.add("task_start", turn=0, agent=assignment.agent, task=task, **assignment.fields)
            await conversation.commit_in_step(batch)
        return task

    def _begin(self, record: Record) -> None:
        """Run the task that a stored record starts."""
        if record.type == "task_start":
            running = self.running[record.task] = RunningTask(record.task, assigned(record))
            running.work = asyncio.ensure_future(self._run(running, record))

    async def _run(self, running: RunningTask, start: Record) -> None:
        try:
            result = await self._work(running)
            try:
                # Stored to the end, and only once, if it is stopped now.
                await run_to_completion(self._end(start, result))
            except SwarmError:
                # Another process has taken the session over, and has stored the end.
                return
            except Exception as error:
                # What the tool changed cannot be applied any more.
                await run_to_completion(self._end(start, failure(error)))
        finally:
            self.running.pop(running.id, None)

    async def _work(self, running: RunningTask) -> TaskResult:
        try:
            async with self._slots:
                # A chat without tasks does not load the loop of turns before the first one.
                from swarmchat.swarm.session.task_work import call_tool, have_agent_work

                work = call_tool if running.assignment.tool else have_agent_work
                return await work(self._conversation, running)
        except asyncio.CancelledError:
            if not running.stopped:
                raise
            return TaskResult("stopped", "")
        except Exception as error:
            return failure(error)

    async def _end(self, start: Record, result: TaskResult) -> None:
        """Store the end of the task that ``start`` began, and put its result into the mailbox, in one commit.

        If the store fails, the next commit does it.
        """
        from swarmchat.swarm.persistence.mailbox import MAX_MESSAGE, new_mail

        conversation, assignment = self._conversation, assigned(start)
        info, ttl = conversation.info, conversation.settings.lifetimes.session
        sender, wakes = f"{assignment.tool or assignment.agent}, task {start.task}", result.status in ("ok", "error")
        text, wakes = said(assignment, result), assignment.wake and wakes
        ends_here = wakes and self._reactions() >= _MAX_REACTIONS
        mail = new_mail(
            f"{_ENOUGH}\n{text}"[:MAX_MESSAGE] if ends_here else text, sender=sender, wake=not ends_here and wakes
        )
        changes = ChangeSet()
        changes.extend(result.changes)
        changes.write(Append(keys.session_mailbox(info.client, info.id), (mail.to_bytes(),), ttl))
        async with Steps(conversation.order, start.task).step(storing=True):
            batch = conversation.batch()
            for record in result.records:
                batch.append(record)
            fields = {"status": result.status, "text": text, **result.drawn}
            batch.add("task_end", turn=0, agent=start.agent, task=start.task, **fields)
            try:
                await conversation.commit_in_step(batch, changes, keep=True)
            except BackendError:
                return


def failure(error: Exception) -> TaskResult:
    """Return how a task has ended that ``error`` ended."""
    text = str(error) if isinstance(error, ToolFailure) else f"{type(error).__name__}: {error}"
    return TaskResult("error", text)


def said(assignment: Assignment, result: TaskResult) -> str:
    """Return the text of the message about the end of a task."""
    from swarmchat.swarm.persistence.mailbox import MAX_MESSAGE

    title = " ".join(assignment.text.split())
    title = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
    text = f"{_SAID[result.status]}: {title}\n{clean_text(result.text)}".strip()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - len(_CUT)] + _CUT

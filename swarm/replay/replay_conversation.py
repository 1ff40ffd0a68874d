"""A conversation that follows a recorded one, with its windows, models and bans."""

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from itertools import takewhile
from typing import Any, Protocol

from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.context.builder import Budget
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.hooks import HookChain
from swarmchat.swarm.conversation.models import Models
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import DefinitionError, OverBudget
from swarmchat.swarm.mcp.servers import matches
from swarmchat.swarm.persistence.journal import Batch
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.replay.recorded_model import (
    RecordedHooks,
    Recording,
    ReplayModel,
    ReplayTools,
    apply_recorded_change,
)
from swarmchat.swarm.replay.script import CHANGES, Action
from swarmchat.swarm.tools.context import Context, ToolFailure
from swarmchat.swarm.tools.external_tool import ExternalTool, recorded_tool
from swarmchat.swarm.tools.toolset import Toolset

_FORMER_MARKS = 0.9, 0.7
"""The marks of requests that do not record theirs, unless the session had others."""


class TasksBeside(Protocol):
    """What stores the records of tasks in the background that run again."""

    async def advance(self, record: Record) -> bool:
        """Have the task of ``record`` store its next record; return false if ``record`` is to be repeated."""
        ...

    async def close(self) -> None:
        """End all tasks, as with the process."""
        ...


class ReplayConversation(Conversation):
    """A conversation whose requests follow those of ``recording``."""

    recording: Recording
    rules: ReplayRules
    """What may differ."""
    about: Mapping[str, Any]
    """The fields of the transcript's session record."""
    follows = True
    """Whether to use the recorded windows and models."""
    recorded_tools: Sequence[Record] = ()
    """The records of what MCP servers offered."""
    initial_reserve: int | None = None
    """The setting ``reserve`` at the session's start: tokens kept free for the answer."""
    runs_tools = False
    """Whether tools run, in place of returning their recorded results."""
    _request_seq = 0
    """The number of the recorded request that comes next, or came last."""
    _marks: Sequence[float] | None = None
    """The high and the low mark of that request; ``None``: those of the settings."""
    _drawn: object = None
    """The times and ids that its prompts and conditions drew."""
    _made_ids = 0
    _interleaved: Sequence[tuple[int, Record]] = ()
    """What tasks in the background have still to store beside the action."""
    tasks: TasksBeside
    """The tasks in the background, which run again."""
    store: Callable[[Batch | None, ChangeSet | None, bool], Awaitable[None]] | None = None
    """Stores what one of these tasks has to store, if the conversation is the one that gives it."""
    drawn_by: Mapping[str, object] = {}
    """What tools in the background drew, by the ids of their calls."""
    _own = 0
    """How many records the action has stored itself."""

    def repeat(self, recording: Recording, rules: ReplayRules, *, real: bool, live: bool) -> None:
        """Follow ``recording`` by ``rules``; with ``real``, tools run, and with ``live``, only the user repeats."""
        self.recording, self.rules, self.follows, self.runs_tools = recording, rules, not live, real
        tools = ReplayTools(recording, self, rules, real=real, live=live)
        self.ask_user = tools.ask_user
        self.follow(recording.order)
        if not live:
            self.hooks = HookChain([RecordedHooks(recording)])
            self.ask_model = tools.ask_model
            self.run_tool = tools.run
            self.approver = tools.approve

    def _repeat_task(self, giver: "ReplayConversation") -> None:
        """Repeat the recorded task of this conversation, which ``giver`` gives."""
        assert self.task is not None
        recording = Recording(giver.recording.order, self.task.id)
        recording.tasks = giver.recording.tasks
        self._request_seq, self.recorded_tools = 0, ()
        if (action := recording.tasks.get(self.task.id)) is not None:
            recording.begin(action)
            self.recorded_tools = [record for record in action.records if record.type == "tools"]
        self.repeat(recording, self.rules, real=self.runs_tools, live=False)
        make = None if self.has_one_model else lambda name: ReplayModel(recording, name)
        self._models = Models(ReplayModel(recording, giver.model.name), make)

    async def run_branch(self, child: Conversation, work: Coroutine[Any, Any, str]) -> str:
        """Return the result of ``work`` on a task; stop it where it was stopped."""
        if not self.follows:
            return await super().run_branch(child, work)
        assert isinstance(child, ReplayConversation)
        assert child.task is not None
        child._repeat_task(self)
        recording, task = child.recording, child.task.id
        working, stop = asyncio.ensure_future(work), asyncio.ensure_future(recording.stop.wait())
        try:
            await asyncio.wait({working, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                result = self.recording.task_results.get(task)
                self.recording.order.stop(task)
                if result is None or result.status != "error":
                    action = self.recording.action
                    await self.recording.stopped_here(killed=action is not None and action.killed)
                # Only the task was stopped: it took too long.
                assert result is not None
                self.recording.order.cancel(task)
                working.cancel()
                await asyncio.wait({working})
                raise ToolFailure(result.text.removeprefix("Error: "))
            return working.result()
        finally:
            stop.cancel()
            working.cancel()
            await asyncio.wait({working})

    def task_seconds(self, seconds: float | None) -> float | None:
        """Return how long a task may take: as long as it needs, if it repeats a recorded one."""
        return None if self.follows else super().task_seconds(seconds)

    @asynccontextmanager
    async def step(self, *, storing: bool = False) -> AsyncIterator[None]:
        """Hold the order of tasks, unless the task stops here; before that, store what others had stored by then."""
        action = self.recording.action
        stops = action is not None and action.breaks_off and not action.requests and not action.outputs
        async with nullcontext() if self.follows and stops and not storing else super().step(storing=storing):
            if self.task is None:
                await self.store_interleaved(self._own)
            yield

    async def close(self) -> None:
        """End the tasks in the background, and close the conversation."""
        await self.tasks.close()
        await super().close()

    async def begin_interleaved(self, action: Action) -> None:
        """Have tasks in the background store beside ``action`` what they did then."""
        await self.end_interleaved()
        self._interleaved, self._own = action.interleaved, 0

    async def end_interleaved(self) -> None:
        """Store what tasks in the background had stored before the next action, whatever this one did."""
        await self.store_interleaved(sys.maxsize)

    async def store_interleaved(self, own: int) -> None:
        """Store what tasks in the background had stored when the action had stored ``own`` records itself.

        Those that run again store it themselves. Of the others, what they changed is changed again.
        """
        due = [record for before, record in self._interleaved if before <= own]
        self._interleaved = self._interleaved[len(due) :]
        while due:
            if await self.tasks.advance(due[0]):
                due.pop(0)
                continue
            # The changes behind a record belong to its commit.
            record, batch, changes = due.pop(0), self.batch(), ChangeSet()
            if record.type not in CHANGES:
                batch.append(record)
            else:
                apply_recorded_change(record, self, changes)
            while due and due[0].type in CHANGES:
                apply_recorded_change(due.pop(0), self, changes)
            await super().commit_in_step(batch, changes)

    async def toolset(self) -> Toolset:
        """Return the tools of the next request; stop if the recording has no such request."""
        action = self.recording.action
        if action is not None and action.steering:
            self.steering.waiting.extend(action.steering.popleft())
        if action is not None and self.follows:
            if action.requests:
                self.take_request(action.requests.popleft())
                shorter = [*takewhile(lambda output: output.too_long is not None, action.outputs)]
                if shorter and shorter[-1].too_long is not None:
                    # The prompts are asked again for a shorter request, and draw from the same source.
                    self._drawn = shorter[-1].too_long.data.get("drawn")
            elif (failure := action.failed_before_request) is not None:
                self.take_request(failure)
                if "output" in action.records[0].data and not any(each.type == "request" for each in action.records):
                    # Only a request would hold the schema of the answer, which takes part of the room.
                    raise OverBudget(str(failure.data["error"].get("message")), needed=0, available=0)
            elif action.breaks_off and not action.outputs:
                await self.recording.stopped_here(killed=action.killed)
        return await super().toolset()

    async def external_tools(self) -> Sequence[ExternalTool]:
        """Return the tools that MCP servers offered then, as far as the agent still asks for them; or those of now.

        Where tools run, servers are asked. Raises McpError for one that is not there: its tools would seem to be gone.
        """
        if not self.follows or (self.runs_tools and self.swarm.mcp_servers is not None):
            offered = await super().external_tools()
            if self.follows and self.swarm.mcp_servers is not None:
                self.swarm.mcp_servers.check(self.agent.tool_patterns)
            return offered
        listed: Any = ()
        for record in self.recorded_tools:
            if record.agent == self.agent.name and record.seq < self._request_seq:
                listed = record.data.get("tools")
        patterns = self.agent.tool_patterns
        return [tool for tool in map(recorded_tool, listed or ()) if tool is not None and matches(tool.name, patterns)]

    def take_request(self, request: Record) -> None:
        """Use the window, the marks and the model of ``request``, and its way to correct the count of tokens."""
        data = request.data
        self._request_seq, self._drawn = request.seq, data.get("drawn")
        window, reserve = data.get("window"), data.get("reserve")
        self.measures_overhead = "overhead" in data
        settings = self.settings
        is_same = settings.context_window == window and settings.budget(window or 1).reserve == reserve
        if isinstance(window, int) and not is_same:
            settings = replace(self.settings, context_window=window, reserve=self.initial_reserve)
            # The session may have been opened with another reserve later.
            same_reserve = settings.budget(window).reserve == reserve
            self.settings = settings if same_reserve else replace(settings, reserve=reserve)
        self._marks = _marks_of(data, settings)
        if isinstance(data.get("model"), str) and (self.agent.model is None or self.has_one_model):
            self.model = ReplayModel(self.recording, data["model"])

    @property
    def budget(self) -> Budget:
        """The tokens that the next context may have, cut at the recorded marks."""
        marks, outputs = self._marks, self.recording.outputs
        if self.follows and outputs and outputs[-1].too_long is not None:
            marks = _marks_of(outputs[-1].too_long.data, self.settings)
        high, low = marks or (super().budget.high, super().budget.low)
        return replace(super().budget, high=high, low=low)

    def was_opened_again(self, action: Action) -> bool:
        """Whether the session was opened again before ``action``: a window that a server had reduced is large again."""
        if not (action.requests and self.follows):
            return False
        window = action.requests[0].data.get("window")
        return isinstance(window, int) and self.view.window is not None and window > self.view.window

    async def commit(self, batch: Batch | None = None, changes: ChangeSet | None = None, *, keep: bool = False) -> None:
        """Store ``batch`` and ``changes``, unless the recorded process died before it could."""
        if not self.recording.killed:
            await super().commit(batch, changes, keep=keep)

    async def commit_in_step(
        self, batch: Batch | None = None, changes: ChangeSet | None = None, *, keep: bool = False
    ) -> None:
        """Do as ``commit`` does, for a task too."""
        if self.store is not None and not self.recording.killed:
            await self.store(batch, changes, keep)
        elif not self.recording.killed:
            await self.store_interleaved(self._own)
            end = self.journal.log.next_seq
            await super().commit_in_step(batch, changes, keep=keep)
            self._own += self.journal.log.next_seq - end

    def tool_context(self, call_id: str = "", changes: ChangeSet | None = None) -> Context:
        """Return the context of a prompt or a tool, with the recorded names of client and session."""
        ctx = super().tool_context(call_id, changes)
        # The name in the store is random. A prompt that shows it would never find its answer in a cassette.
        ctx.client = str(self.about.get("client") or "replay")
        ctx.session = str(self.about.get("id") or ctx.session)
        ctx.draws.repeat(self.drawn_by.get(call_id))
        return ctx

    def new_draws(self) -> Draws:
        """Return a source that repeats what the prompts of the recorded request drew, and is the same each time."""
        draws = Draws(self.journal.now, self._make_id)
        draws.repeat(self._drawn)
        self._drawn = None
        return draws

    def _make_id(self) -> str:
        self._made_ids += 1
        return hashlib.sha256(f"{self._made_ids}".encode()).hexdigest()[:16]

    async def set_bans(self, record: Record) -> None:
        """Ban the client if it was banned when it sent the message of ``record``."""
        client = self.info.client
        banning_policy = record.data.get("policy") if record.data.get("before") else None
        for policy in self.swarm.policies:
            if policy.name != banning_policy:
                await self.primitives.policy(policy.name).lift(client)
        if banning_policy is not None:
            with suppress(DefinitionError):
                await self.primitives.policy(str(banning_policy)).ban(client, "", record.ts)

    async def refuse_banned(self) -> None:
        """Allow what was done, whoever was banned then."""

    async def repeat_records(self, action: Action) -> None:
        """Append records that no replayed turn writes: changes by others, and messages that were never sent."""
        if self.recording.killed:
            return
        if action.kind == "change":
            changes = ChangeSet()
            for record in action.records:
                apply_recorded_change(record, self, changes)
            await self.commit(None, changes)
            return
        await self.ready()
        batch = self.batch()
        for record in action.records:
            batch.append(record)
        await self.commit(batch)


def _marks_of(request: Mapping[str, Any], settings: SessionSettings) -> tuple[float, float]:
    """Return the high and the low mark of a recorded request."""
    match request.get("marks"):
        case [int() | float() as high, int() | float() as low] if 0 < low <= high <= 1:
            return high, low
    high, low = _FORMER_MARKS
    return settings.high or high, settings.low or low

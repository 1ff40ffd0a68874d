"""A model that says again what a log holds, and tools that return again what they returned."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from swarmchat.swarm import errors
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.errors import ContextTooLong, ModelError, ScriptError
from swarmchat.swarm.models.base import ModelEvent, ModelRequest, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.replay.script import Action, Output, Result
from swarmchat.swarm.tools.outcome import Outcome, ToolFailure, run_tool

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.conversation import Conversation
    from swarmchat.swarm.tools.context import Context
    from swarmchat.swarm.tools.tool import Tool


_FROM_TEXT = "text_"
"""How the ids of calls begin that were taken out of the text."""


class Recording:
    """What the model and the tools do in the turn that is replayed. ``stop`` is set where the user stopped it."""

    def __init__(self) -> None:
        self.action: Action | None = None
        self.stop = asyncio.Event()
        self.killed = False
        """Whether the process died where it stopped."""
        self.said: list[Output] = []
        """What the model did so far in this turn."""
        self.lacking: str | None = None
        """The first thing that was asked of the transcript and is not in it."""

    def begin(self, action: Action) -> None:
        """Go on with ``action``."""
        self.action = action
        self.stop.clear()
        self.said, self.lacking = [], None

    def next_output(self) -> Output:
        """Return what the model did next. Raises ScriptError when it was not asked again."""
        if self.action is None or not self.action.outputs:
            self.lacking = self.lacking or "a further answer of the model"
            raise ScriptError("the transcript holds no further answer in this turn: the model was not asked again")
        self.said.append(self.action.outputs.popleft())
        return self.said[-1]

    def next_result(self, call: ToolCall, *, needed: bool = True) -> Result | None:
        """Return what the call returned, ``None`` if the transcript does not say; whether that is ``needed``."""
        results = self.said[-1].results if self.said else {}
        if waiting := results.get(call.id):
            return waiting.popleft()
        # What was written by hand may not name its call: then it stands in the order of the calls. The id of a call
        # that stood in the text comes from the request, which may be another now.
        for call_id, waiting in results.items():
            by_hand = not call_id and waiting and waiting[0].name in ("", call.name)
            from_text = call_id.startswith(_FROM_TEXT) and call.id.startswith(_FROM_TEXT)
            if by_hand or (from_text and waiting and waiting[0].name == call.name):
                return waiting.popleft()
        if needed and (self.action is None or not self.action.killed):
            self.lacking = self.lacking or f"a result of {call.name}({call.arguments})"
        return None

    @property
    def left(self) -> str | None:
        """What the turn did not make use of: an answer, or a result that belongs to no call."""
        action = self.action
        if action is None:
            return None
        if action.outputs:
            answer = action.outputs[0].answer
            return "an answer of the model" if answer is None else f"the answer {answer.text[:60]!r}"
        unasked = [result for output in self.said for result in output.results.get("", ())]
        return f"the result {unasked[0].text[:60]!r}" if unasked else None

    async def stopped_here(self, *, killed: bool = False) -> None:
        """Wait to be stopped, as then."""
        self.killed = killed
        self.stop.set()
        await asyncio.Event().wait()


class ReplayModel:
    """Answers each request with what the recording holds, whatever is asked. ``name`` is that of the model then."""

    def __init__(self, recording: Recording, name: str, context_window: int = 128_000) -> None:
        self._recording = recording
        self._name = name
        self._context_window = context_window

    @property
    def name(self) -> str:
        """What the model was called."""
        return self._name

    @property
    def context_window(self) -> int:
        """How many tokens a request and its answer may have together, where the transcript does not say."""
        return self._context_window

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Say again what was said; see ``Model.stream``. Raises what was raised."""
        output = self._recording.next_output()
        if output.too_long is not None:
            raise ContextTooLong("the context was too long", limit=output.too_long)
        answer = output.answer
        if answer is not None:
            if answer.reasoning:
                yield ReasoningChunk(answer.reasoning)
            if answer.text:
                yield TextChunk(answer.text)
        if output.failed is not None:
            raise _error(*output.failed)
        if output.stopped:
            await self._recording.stopped_here()
        if answer is not None:
            yield answer

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


class ReplayTools:
    """Returns what the transcript holds, and changes what was changed then; with ``real``, runs the tools."""

    def __init__(self, recording: Recording, conversation: "Conversation", *, real: bool = False) -> None:
        self._recording = recording
        self._conversation = conversation
        self._real = real
        self._results: dict[str, Result | None] = {}

    async def approve(self, tool: "Tool", call: ToolCall) -> bool:
        """Whether the call was allowed then."""
        result = self._results[call.id] = self._recording.next_result(call, needed=not self._real)
        return result is None or result.status != "denied"

    async def run(self, tool: "Tool", ctx: "Context", arguments: dict[str, object], outcome: Outcome) -> str:
        """Return the result. Raises ToolFailure where the tool failed, or where there is no result."""
        result = self._results.pop(outcome.call.id, None)
        action = self._recording.action
        if result is None and action is not None and action.killed:
            await self._recording.stopped_here(killed=True)
        if result is not None and result.status == "interrupted":
            await self._recording.stopped_here()
        if self._real:
            return await run_tool(tool, ctx, arguments, outcome)
        if result is None:
            raise ToolFailure("the transcript holds no result of this call")
        if result.status == "error":
            raise ToolFailure(result.text.removeprefix("Error: "))
        for record in result.changes:
            apply_recorded_change(record, self._conversation, outcome.changes)
        if result.handoff is not None and result.handoff in self._conversation.swarm.names:
            ctx.handoff_to = result.handoff
        return result.text


def apply_recorded_change(record: Record, conversation: "Conversation", changes: ChangeSet) -> None:
    """Add to ``changes`` the change that a record of a state or of memory tells of."""
    info, lifetimes = conversation.info, conversation.settings.lifetimes
    value = record.data.get("value")
    stored = None if value is None else encode_json(value)
    name = str(record.data.get("name", ""))
    if record.type == "memory":
        changes.update(keys.memory(info.client), lambda before: stored, lifetimes.memory, ("memory", ""))
    else:
        key = keys.session_state(info.client, info.id, name)
        changes.update(key, lambda before: stored, lifetimes.session, ("state", name))


def _error(kind: str, message: str) -> Exception:
    """Return the error that ended the turn then, or one of its name: that is what the log tells of it."""
    if kind == "ContextTooLong":
        # No window that it could be cut to: then as now, that did not help.
        return ContextTooLong(message, limit=1)
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, ModelError):
        return known(message)
    return type(kind, (ModelError,), {})(message) if kind.isidentifier() else ModelError(message)

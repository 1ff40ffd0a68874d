"""A model that repeats the answers of a log, and tools that repeat their results."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from swarmchat.swarm import errors
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.common.encoding import encode_json, short_digest
from swarmchat.swarm.conversation.hooks import Hooks
from swarmchat.swarm.errors import ContextTooLong, HookError, ModelError, RequestDenied, ScriptError
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.replay.script import ASKED, Action, RecordedReply, RecordedResult
from swarmchat.swarm.replay.task_order import RecordedOrder
from swarmchat.swarm.tools.context import ArgumentsError, Denied, Outcome, ToolFailure, assigned
from swarmchat.swarm.tools.external_tool import ExternalTool
from swarmchat.swarm.turn.tool_execution import DENIED_BECAUSE

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.conversation import Conversation
    from swarmchat.swarm.models.base import Model
    from swarmchat.swarm.tools.asking import UserQuestion
    from swarmchat.swarm.tools.context import Context
    from swarmchat.swarm.tools.tool import Tool


_FROM_TEXT = "text_"
"""The prefix of ids of calls that were written as text."""


class Recording:
    """The recorded answers and results of the replayed turn. ``stop`` is set where the user stopped it."""

    def __init__(self, order: RecordedOrder | None = None, task: str = "") -> None:
        self.order = RecordedOrder() if order is None else order
        """The order of the steps of tasks that ran side by side."""
        self.action: Action | None = None
        self.stop = asyncio.Event()
        self.killed = False
        """Whether the recorded process died there."""
        self.outputs: list[RecordedReply] = []
        """The outputs of the model so far in this turn."""
        self.results: list[tuple[str, RecordedResult]] = []
        """The recorded results that calls asked for in this turn, with the ids of these calls."""
        self.missing: str | None = None
        """The first answer or result that the replay needed and the transcript lacks."""
        self.tasks: Mapping[str, Action] = {}
        """The recorded tasks of the turn, by their ids."""
        self.task_results: dict[str, RecordedResult | None] = {}
        """The recorded results of the calls that gave the tasks that were begun."""
        self.task = task

    def begin(self, action: Action) -> None:
        """Continue with ``action``."""
        self.action = action
        if not self.task:
            self.tasks = action.tasks
            self.order.expect(action.records)
        self.stop.clear()
        self.outputs, self.results, self.missing = [], [], None

    def next_output(self) -> RecordedReply:
        """Return the model's next output. Raises ScriptError if the transcript has none."""
        if self.action is None or not self.action.outputs:
            self.missing = self.missing or "a further answer of the model"
            raise ScriptError("the transcript holds no further answer in this turn: the model was not asked again")
        self.outputs.append(self.action.outputs.popleft())
        return self.outputs[-1]

    def next_result(self, call: ToolCall, *, needed: bool = True) -> RecordedResult | None:
        """Return the recorded result of ``call``, or ``None``; with ``needed``, a missing one is noted."""
        results = self.outputs[-1].results if self.outputs else {}
        if (waiting := self._results_for(call, results)) is not None:
            self.results.append((call.id, waiting.popleft()))
            return self.results[-1][1]
        if needed and (self.action is None or not self.action.killed):
            self.missing = self.missing or f"a result of {call.name}({call.arguments})"
        return None

    def _results_for(
        self, call: ToolCall, results: Mapping[str, deque[RecordedResult]]
    ) -> deque[RecordedResult] | None:
        if waiting := results.get(call.id):
            return waiting
        # A hand-written result may not name its call: it belongs to the next one. The id of a call that was written as
        # text depends on the request, which may have changed.
        for call_id, waiting in results.items():
            by_hand = not call_id and waiting and waiting[0].name in ("", call.name)
            from_text = call_id.startswith(_FROM_TEXT) and call.id.startswith(_FROM_TEXT)
            if by_hand or (from_text and waiting and waiting[0].name == call.name):
                return waiting
        return None

    @property
    def unused_answer(self) -> str | None:
        """The first answer of the model that the turn did not ask for."""
        if self.action is None or not self.action.outputs:
            return None
        answer = self.action.outputs[0].answer
        return "an answer of the model" if answer is None else f"the answer {answer.text[:60]!r}"

    @property
    def all_results(self) -> list[tuple[str, RecordedResult]]:
        """The recorded results of the answers so far with the ids of their calls: the used ones, then the others."""
        return self.results + [
            (call_id, result)
            for output in self.outputs
            for call_id, results in output.results.items()
            for result in results
        ]

    async def stopped_here(self, *, killed: bool = False) -> None:
        """Wait until the turn is cancelled, as the recorded one was; before that, its tasks get as far as then."""
        await self.order.settled(self.task)
        self.killed = killed
        if not self.task:
            self.order.cancel("")
        self.stop.set()
        await asyncio.Event().wait()


class ReplayModel:
    """Answers each request with the next recorded answer. ``name`` is that of the recorded model."""

    context_window = 128_000
    """The context window, in tokens, where the transcript does not hold it."""

    def __init__(self, recording: Recording, name: str) -> None:
        self._recording = recording
        self.name = name

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Yield the recorded answer; see ``Model.stream``. Raises the recorded error."""
        output = self._recording.next_output()
        if output.too_long is not None:
            raise ContextTooLong("the context was too long", limit=int(output.too_long.data.get("window", 0)))
        answer = output.answer
        if answer is not None:
            if answer.reasoning:
                yield ReasoningChunk(answer.reasoning)
            if answer.text:
                yield TextChunk(answer.text)
        if output.failed is not None:
            raise recorded_error(*output.failed)
        if output.stopped:
            await self._recording.stopped_here()
        if answer is not None:
            yield answer

    async def close(self) -> None:
        """Do nothing: no connection is open."""


class ReplayTools:
    """Returns recorded results and applies recorded changes; with ``real``, runs the tools.

    With ``live``, only the user's answers to tools are recorded ones.
    """

    def __init__(
        self,
        recording: Recording,
        conversation: "Conversation",
        rules: ReplayRules,
        *,
        real: bool = False,
        live: bool = False,
    ) -> None:
        self._recording = recording
        self._conversation = conversation
        self._rules = rules
        self._real = real
        self._live = live
        self._results: dict[str, RecordedResult | None] = {}
        self._asked: dict[str, deque[Record]] = {}
        """What the tools that run asked when they were recorded, by the ids of their calls; empty: a task itself."""
        for record in () if recording.action is None else recording.action.records:
            if record.type in ASKED:
                self._asked.setdefault(str(record.data.get("call")), deque()).append(record)

    async def approve(self, tool: "Tool", call: ToolCall) -> bool | str | Denied:
        """Whether the call was allowed in the recording; its arguments, if the user edited them."""
        result = self._results[call.id] = self._recording.next_result(call, needed=not self._real)
        if result is not None and result.failed is not None and not (tool.gives_task and self._recording.tasks):
            raise recorded_error(*result.failed)
        if result is not None and result.status == "denied" and result.text.startswith(DENIED_BECAUSE):
            return Denied(result.text.removeprefix(DENIED_BECAUSE))
        if result is None or result.arguments is None:
            return result is None or result.status != "denied"
        try:
            tool.read_arguments(result.arguments)
        except ArgumentsError:
            return True
        return result.arguments

    async def run(self, tool: "Tool", ctx: "Context", arguments: dict[str, object], outcome: Outcome) -> str:
        """Return the result. Raises ToolFailure if the tool failed, or if no result is recorded."""
        result = self._results.pop(outcome.call.id, None)
        action = self._recording.action
        if tool.gives_task and outcome.task in self._recording.tasks:
            return await self._run_task(tool, ctx, arguments, outcome, result)
        if result is None and action is not None and action.killed:
            await self._recording.stopped_here(killed=True)
        if result is not None and result.status == "interrupted":
            await self._recording.stopped_here()
        if result is not None:
            ctx.draws.repeat(result.drawn)
        # The transcript holds no answers of an agent that works on a task, only its result.
        is_repeated = isinstance(tool, ExternalTool) or (tool.gives_task and result is not None)
        if self._real and not is_repeated:
            self._asked[outcome.call.id] = deque() if result is None else result.asked
            text = await tool.run(ctx, arguments)
            # What may differ must not change the requests after it.
            return result.text if result is not None and self._rules.same(result.text, text) else text
        if result is None:
            raise ToolFailure("the transcript holds no result of this call")
        if isinstance(result.drawn, dict):
            ctx.draws.values = result.drawn
        if result.status == "error":
            outcome.asked += [(record.type, _asked(record)) for record in result.asked]
            raise ToolFailure(result.text.removeprefix("Error: "))
        outcome.asked += [(record.type, _asked(record)) for record in result.asked]
        outcome.started += [(record.task, assigned(record)) for record in result.started]
        ctx.shown += result.shown
        for record in result.changes:
            apply_recorded_change(record, self._conversation, outcome.changes)
        if result.handoff is not None and result.handoff in self._conversation.swarm.names:
            ctx.handoff_to = result.handoff
        return result.text

    async def _run_task(
        self,
        tool: "Tool",
        ctx: "Context",
        arguments: dict[str, object],
        outcome: Outcome,
        result: RecordedResult | None,
    ) -> str:
        """Let the agent work on its task again; return its answer, or the recorded version changed by hooks."""
        self._recording.task_results[outcome.task] = result
        failure: ToolFailure | None = None
        text = ""
        try:
            text = await tool.run(ctx, arguments)
        except ToolFailure as error:
            failure = error
        # It may have been stopped when it had just ended, before its result was there.
        action = self._recording.action
        killed = result is None and action is not None and action.killed
        if killed or (result is not None and result.status == "interrupted"):
            await self._recording.stopped_here(killed=killed)
        if failure is not None:
            raise failure
        if result is None:
            return text
        for record in result.changes:
            apply_recorded_change(record, self._conversation, outcome.changes)
        if result.status != "ok":
            # Its time was over when it had just finished, or a hook refused the result.
            raise ToolFailure(result.text.removeprefix("Error: "))
        return result.text

    async def ask_model(self, model: "Model", request: ModelRequest, outcome: Outcome) -> Answer:
        """Return the recorded answer to a tool that runs. Raises ToolFailure if none is recorded."""
        data = self._next_asked("ask_model", outcome)
        usage = data["usage"] if isinstance(data.get("usage"), dict) else None
        fallback = "" if data.get("model") == model.name else str(data.get("model"))
        return Answer(str(data.get("answer")), finish=str(data.get("finish")), usage=usage, fallback=fallback)

    async def ask_user(self, question: "UserQuestion", outcome: Outcome) -> Any:
        """Return what the user answered to a tool that runs. Raises ToolFailure if nothing is recorded."""
        return self._next_asked("ask_user", outcome).get("answer")

    def _next_asked(self, kind: str, outcome: Outcome) -> Mapping[str, Any]:
        """Take the next recorded question of the call; in a live replay, of the turn, as its calls are others."""
        waiting = self._asked.setdefault(outcome.call.id, deque())
        if self._live and self._recording.action is not None:
            waiting = self._recording.action.asked
        for record in waiting:
            if record.type == kind:
                waiting.remove(record)
                return record.data
        self._recording.missing = self._recording.missing or f"an answer to what {outcome.call.name} asked ({kind})"
        raise ToolFailure(f"the transcript holds no answer to what the tool asked ({kind})")


class RecordedHooks(Hooks):
    """Does with handoffs and results what the hooks of the recorded session did."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    async def before_turn(self, ctx: "Context", text: str) -> str | Denied | None:
        """Raise the recorded error of a hook, after which the message was not sent."""
        self._raise_last("before_turn")
        return None

    async def after_handoff(self, ctx: "Context", source: str) -> None:
        """Raise the recorded error of a hook, after which no request followed."""
        self._raise_last("after_handoff")

    def _raise_last(self, point: str) -> None:
        """Raise the recorded error of a hook at ``point``, if nothing follows but that."""
        action = self._recording.action
        if action is not None and not (action.requests or action.outputs) and (failure := action.error_of_hook(point)):
            raise recorded_error(*failure)

    async def before_handoff(self, ctx: "Context", target: str) -> str | Denied | None:
        """Return the recorded target, or the recorded refusal."""
        self._raise_last("before_handoff")
        results = self._recording.outputs[-1].results.get(ctx.call_id) if self._recording.outputs else None
        if not results:
            if self._recording.action is not None and self._recording.action.killed:
                await self._recording.stopped_here(killed=True)
            return None
        if results[0].status == "denied":
            return Denied(results[0].text.removeprefix(DENIED_BECAUSE))
        return results[0].handoff

    async def after_tool(self, ctx: "Context", call: ToolCall, result: str) -> str | Denied | None:
        """Return what was made of the same result of a tool that runs; a recorded result is the changed one."""
        recorded = dict(self._recording.results).get(call.id)
        if recorded is not None and recorded.failed_after is not None:
            await self._recording.order.settled(self._recording.task)
            raise recorded_error(*recorded.failed_after)
        if recorded is None or recorded.replaced_digest != short_digest(result):
            return None
        reason = recorded.text.removeprefix("Error: ")
        return recorded.text if recorded.status == "ok" or reason == recorded.text else Denied(reason)


def _asked(record: Record) -> dict[str, Any]:
    """Return the fields of the record of a question, without the call that it belongs to."""
    return {name: value for name, value in record.data.items() if name != "call"}


def apply_recorded_change(record: Record, conversation: "Conversation", changes: ChangeSet) -> None:
    """Add the change in a ``state`` or ``memory`` record to ``changes``."""
    info, lifetimes = conversation.info, conversation.settings.lifetimes
    value = record.data.get("value")
    stored = None if value is None else encode_json(value)
    name = str(record.data.get("name", ""))
    if record.type == "memory":
        key = keys.memory(info.client, conversation.swarm.scope)
        changes.update(key, lambda before: stored, lifetimes.memory, ("memory", name))
    else:
        key = keys.session_state(info.client, info.id, name)
        changes.update(key, lambda before: stored, lifetimes.session, ("state", name))


def recorded_error(kind: str, message: str) -> Exception:
    """Return an error with the recorded name and message, which is all that a log holds of it."""
    if kind == "ContextTooLong":
        # No window to cut to: that did not help in the recording either.
        return ContextTooLong(message, limit=1)
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, ModelError | HookError | RequestDenied):
        return known(message)
    return type(kind, (ModelError,), {})(message) if kind.isidentifier() else ModelError(message)

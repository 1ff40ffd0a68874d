"""The loop of a turn: send a request, read the answer, run its tool calls; repeat until an answer has no calls.

The user's message is stored before the request is sent; the answer when it ends or is interrupted, before its calls
are run; their results, with the changes of the tools, before the next request. If the process dies in between, the
session can still be continued.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import (
    Event,
    Refused,
    Rotated,
    TextDelta,
    Warned,
)
from swarmchat.swarm.conversation.requests import make_request, prepare
from swarmchat.swarm.errors import ContextTooLong, HookError, OutputError, OverBudget, RequestDenied
from swarmchat.swarm.models.base import (
    Answer,
    ModelRequest,
)
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.tools.context import ArgumentsError, Denied
from swarmchat.swarm.turn.exchange import Exchange
from swarmchat.swarm.turn.external_tools import unrecorded_tools
from swarmchat.swarm.turn.faults import TurnLimits
from swarmchat.swarm.turn.guardrails import refuse_by_hook, refuse_input, refuse_output
from swarmchat.swarm.turn.question import Question
from swarmchat.swarm.turn.recorder import TurnRecorder
from swarmchat.swarm.turn.rescue import Rescue, RescueDecision
from swarmchat.swarm.turn.run_hooks import run_hooks
from swarmchat.swarm.turn.steering import add_steering
from swarmchat.swarm.turn.tool_execution import ToolCalls

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType

_COUNTS = ("prompt_tokens", "completion_tokens")
"""The fields of a server's usage that count all tokens of a request and its answer."""
_NOTHING_TO_LEAVE_OUT = (
    "Nothing more can be dropped: start the server with a larger window, or use an agent with a shorter prompt and "
    "fewer tools"
)


async def run_turn(
    conversation: Conversation, question: Question | Record, output: "OutputType | None" = None
) -> AsyncGenerator[Event, None]:
    """Run one turn; see ``Session.run_turn``. In place of a question, a record is a message from outside."""
    await conversation.ready()
    turn = _Turn(conversation, output)
    try:
        refused = await turn.admit(question)
        if refused is not None:
            yield refused
        # A person answers later, as a message from outside.
        answered, failed = refused is not None or conversation.agent.is_person, None
        while not answered:
            async with conversation.step():
                exchange = await turn.request(failed)
            for event in exchange.notices:
                yield event
            try:
                sent, model, answers = await turn.sent(exchange.request), conversation.model, list[Answer]()
                with conversation.trace.request(model, sent, answers, of_tool=False):
                    async with aclosing(model.stream(sent)) as chunks:
                        async for chunk in chunks:
                            for event in exchange.add(chunk):
                                yield event
                            if exchange.reader.stuck:
                                break
                    for event in exchange.finish():
                        yield event
                    answers.append(exchange.answer)
            except ContextTooLong as error:
                if failed or turn.recorder.partial_text:
                    raise
                exchange.refusal, failed = error, exchange
                continue
            turn.count_tokens(exchange)
            failed, decision = None, await turn.judge(exchange)
            # Before the answer is recorded: if the caller stops here, only the text shown so far is stored.
            for event in decision.events:
                yield event
            if not decision.again:
                for event in await turn.accept(exchange, decision):
                    yield event
            images = conversation.last_request is not None and bool(conversation.last_request.images)
            size = turn.recorder.context_tokens
            if warning := conversation.cut_warning.after(exchange.answer.usage, size, images=images):
                yield Warned(warning)
            if turn.recorder.answer.tool_calls and not decision.again:
                async with aclosing(turn.call_tools(exchange, decision)) as events:
                    async for event in events:
                        yield event
                answered = conversation.agent.is_person
            else:
                answered = not decision.again
        if refused is None:
            turn.check_output()
        await turn.recorder.store()
        for notice in conversation.take_notices():
            yield Warned(notice)
    except BaseException as error:
        await turn.recorder.abandon(error)
        if isinstance(error, Exception):
            await turn.run_after_hooks(error)
        raise
    if problem := await turn.run_after_hooks(None):
        yield Warned(problem)
    if conversation.agent.is_person:
        from swarmchat.swarm.turn.people import person_awaited

        yield await person_awaited(conversation)
    yield turn.recorder.ended()


class _Turn:
    """The steps of one turn."""

    def __init__(self, conversation: Conversation, output: "OutputType | None") -> None:
        self._conversation = conversation
        self._output = output
        self._limits = TurnLimits(conversation)
        self.recorder = TurnRecorder(conversation)
        self._rescue = Rescue(conversation, self.recorder, self._limits, output)

    async def admit(self, question: Question | Record) -> Refused | None:
        """Record the user's message, unless a hook or a policy refuses it; return how."""
        if isinstance(question, Record):
            self.recorder.kept_by_flush.append(question.seq)
            return None
        conversation, entered = self._conversation, question.checked_text
        try:
            text = await run_hooks(conversation, "before_turn", value=entered)
            if isinstance(text, Denied):
                return refuse_by_hook(self.recorder, entered, text)
            if text != entered:
                self.recorder.entered = entered
                question = question.with_text(text)
            refused = await refuse_input(conversation, self.recorder, question.checked_text)
        except BaseException:
            # Not as the user's message: a text that no policy has accepted is never sent.
            self.recorder.add("unsent", text=question.checked_text)
            raise
        if refused is None:
            self.recorder.add_question(question, None if self._output is None else self._output.name)
        return refused

    def check_output(self) -> None:
        """Raise OutputError if an answer of a given type was asked for, and the last one is not."""
        kind = self._output or self._conversation.agent.output_type
        finish = self.recorder.answer.finish
        if kind is None or finish == "refused" or not (self._rescue.problem or finish == "content_filter"):
            return
        self.recorder.output = None
        raise OutputError(
            f"the model gave no answer that fits {kind.name} ({self._rescue.problem or 'content filter'}): "
            "ask again, or try another model"
        )

    async def request(self, failed: Exchange | None) -> Exchange:
        """Make and store the next request. After ``failed``, which was too long for the server, make a shorter one.

        Raises OverBudget, or the server's error if nothing can be dropped.
        """
        conversation, recorder = self._conversation, self.recorder
        refusal = None if failed is None else failed.refusal
        window = None if refusal is None else _smaller_window(conversation, refusal, recorder.context_tokens)
        self._limits.requests += failed is None
        recorder.renumber()
        if conversation.task is not None:
            conversation.task.check_tokens()
        toolset = await conversation.toolset() if failed is None else failed.toolset
        notices: list[Event] = [*await add_steering(conversation, recorder)] if failed is None else []
        try:
            context = await prepare(
                conversation, recorder.pending, toolset, tail=self._rescue.tail, shrink_to=window, output=self._output
            )
        except OverBudget as error:
            if refusal is None:
                raise
            # A replay raises the recorded message, which has the advice.
            text = str(refusal) if _NOTHING_TO_LEAVE_OUT in str(refusal) else f"{refusal}. {_NOTHING_TO_LEAVE_OUT}"
            raise ContextTooLong(text, limit=refusal.limit) from error
        if window is not None:
            notices.append(
                Warned(f"the server says that the context is too long; sending {window:,} tokens at most from now on")
            )
        if rotation := context.rotation:
            recorder.add_rotation(rotation)
            groups, before = (len(rotation.dropped), rotation.tokens_before) if rotation.is_counted else (None, None)
            notices.append(Rotated(groups, before, rotation.tokens_after))
        request = make_request(conversation, context, self._rescue.parameters, self._output)
        if (tools := unrecorded_tools(conversation, toolset, recorder.pending)) is not None:
            recorder.add("tools", tools=tools)
        recorder.add_request(request, context.tokens)
        await recorder.store()
        if rotation:
            conversation.view.forget(context)
        notices += map(Warned, conversation.take_notices())
        question, repair = recorder.question, self._rescue.repairs
        typed = (self._output or conversation.agent.output_type) is not None
        exchange = Exchange(conversation, toolset, request, notices, question=question, repair=repair, typed=typed)
        recorder.reader = None if exchange.held_back else exchange.reader
        return exchange

    async def sent(self, request: ModelRequest) -> ModelRequest:
        """Return ``request`` as hooks change it. Raises RequestDenied if a hook rejects it."""
        conversation = self._conversation
        request = await conversation.blobs.filled(request)
        sent = await run_hooks(conversation, "before_request", value=request)
        if isinstance(sent, Denied):
            raise RequestDenied(f"a hook refused the request: {sent.reason or 'without a reason'}")
        # A hook may have changed the messages.
        conversation.last_request = sent if sent is request else await conversation.blobs.filled(sent)
        return conversation.last_request

    async def run_after_hooks(self, error: Exception | None) -> str:
        """Call the hooks at the end of a stored turn; return their errors."""
        conversation = self._conversation
        try:
            await run_hooks(conversation, "after_turn", self.recorder.answer, value=error)
        except HookError as problem:
            return str(problem)
        return ""

    def count_tokens(self, exchange: Exchange) -> None:
        """Count the tokens of the request and its answer, if they belong to a task."""
        if self._conversation.task is not None:
            usage = exchange.answer.usage or {}
            counted = [figure for name in _COUNTS if isinstance(figure := usage.get(name), int)]
            answer = self._conversation.counter.message(exchange.answer.to_message())
            own_count = self.recorder.context_tokens + answer
            self._conversation.task.spend(sum(counted) if counted else own_count)

    async def judge(self, exchange: Exchange) -> RescueDecision:
        """Decide whether the answer is accepted or needs a rescue step. Raises HookError."""
        # The ids of calls that the model wrote as text begin with this.
        prefix, request = f"text_{exchange.request.key[:8]}", exchange.request
        decision = await self._rescue.judge(exchange.reader, request, exchange.answer, prefix, exchange.milliseconds)
        if decision.again:
            self.recorder.reader = None
        return decision

    async def accept(self, exchange: Exchange, decision: RescueDecision) -> list[Event]:
        """Record the answer, or the message of a policy that refuses it; return the events to show."""
        recorder, events = self.recorder, list[Event]()
        if refusal := await self._run_answer_hooks(exchange):
            events.append(refusal)
        elif exchange.held_back and recorder.answer.text:
            refused = await refuse_output(self._conversation, recorder)
            events += [] if refused is None else [refused]
        recorder.reader = None
        recorder.add_answer(exchange.milliseconds)
        if (exchange.held_back or decision.replaced) and recorder.answer.text:
            events.append(TextDelta(recorder.answer.text, exchange.agent))
        return events

    async def _run_answer_hooks(self, exchange: Exchange) -> Refused | None:
        """Let hooks change the answer; return a rejection, whose reason then is the answer."""
        conversation, recorder = self._conversation, self.recorder
        sent, answer = conversation.last_request, recorder.answer
        changed = await run_hooks(conversation, "after_request", sent, value=answer)
        if changed == answer:
            return None
        recorder.replaced = answer.text
        if isinstance(changed, Denied):
            recorder.answer = replace(answer, text=changed.reason, reasoning="", tool_calls=(), finish="refused")
            return Refused("hook", "output", False, changed.reason)
        recorder.answer = changed
        kind = self._output or conversation.agent.output_type
        if kind is not None and not changed.tool_calls:
            try:
                recorder.output = kind.parse(changed.text)
            except ArgumentsError as error:
                raise HookError(f"a hook changed the answer to one that does not fit {kind.name}: {error}") from error
        return None

    async def call_tools(self, exchange: Exchange, decision: RescueDecision) -> AsyncGenerator[Event, None]:
        """Store the answer, carry out its calls, and record their results and a handoff."""
        await self.recorder.store()
        visited = self._limits.visited
        calls = ToolCalls(
            self._conversation,
            self.recorder.answer.tool_calls,
            exchange.toolset,
            decision.refusals,
            exchange.reader.calls_from_text,
            visited,
            run_turn=run_turn,
        )
        try:
            if decision.error is not None:
                calls.refuse_all(str(decision.error))
                raise decision.error
            async with aclosing(calls.run()) as events:
                async for event in events:
                    yield event
        finally:
            # Also when interrupted: each call gets a result, which says whether it was carried out.
            await run_to_completion(self._record_results(calls))
        if handed_over := await self.recorder.add_handoff(calls.outcomes):
            visited.add(handed_over.target)
            self._conversation.trace.handoff(handed_over.source, handed_over.target)
            yield handed_over
            await run_hooks(self._conversation, "after_handoff", value=handed_over.source)

    async def _record_results(self, calls: ToolCalls) -> None:
        self.recorder.add_results(calls.outcomes, await calls.combined_changes())


def _smaller_window(conversation: Conversation, refusal: ContextTooLong, sent: int) -> int:
    """Return the window to use after the server refused ``sent`` tokens: its own, if that leaves less than those."""
    now = conversation.budget
    if refusal.limit and conversation.settings.budget(refusal.limit, now.correction, now.overhead).available < sent:
        return refusal.limit
    return max(1, sent * 2 // 3)

"""One turn: from the user's message to the end of the answer. The only loop of requests that there is.

Stored are the user's message before the request goes out; the answer when it ends or is interrupted, before its calls
are carried out; their results, with all that the tools changed, before the next request. If the process dies anywhere
in between, the log can still be continued.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.conversation.events import Event, Refused, Rotated, TextDelta, Warned
from swarmchat.swarm.errors import ContextTooLong, OverBudget
from swarmchat.swarm.turn.exchange import Exchange
from swarmchat.swarm.turn.faults import Guards
from swarmchat.swarm.turn.guardrails import refuse_input, refuse_output
from swarmchat.swarm.turn.recorder import TurnRecorder
from swarmchat.swarm.turn.rescue import Rescue, RescueDecision
from swarmchat.swarm.turn.tool_execution import ToolCalls


async def run_turn(conversation: Conversation, text: str) -> AsyncGenerator[Event, None]:
    """Run one turn of ``conversation``; see ``Session.run_turn``."""
    await conversation.ready()
    turn = _Turn(conversation)
    try:
        refused = await turn.admit(text)
        if refused is not None:
            yield refused
        answered, failed = refused is not None, None
        while not answered:
            exchange = await turn.request(failed)
            for event in exchange.notices:
                yield event
            try:
                async with aclosing(conversation.model.stream(exchange.request)) as chunks:
                    async for chunk in chunks:
                        for event in exchange.add(chunk):
                            yield event
                        if exchange.reader.stuck:
                            break
            except ContextTooLong as error:
                if failed or turn.recorder.partial_text:
                    raise
                exchange.refusal, failed = error, exchange
                continue
            for event in exchange.finish():
                yield event
            failed, decision = None, await turn.judge(exchange)
            # Before the answer is on record: if the caller leaves here, only what was shown is kept.
            for event in decision.events:
                yield event
            if not decision.again:
                for event in await turn.accept(exchange, decision):
                    yield event
            if warning := exchange.cut_warning():
                yield warning
            if turn.recorder.answer.tool_calls and not decision.again:
                async with aclosing(turn.call_tools(exchange, decision)) as events:
                    async for event in events:
                        yield event
            else:
                answered = not decision.again
        await turn.recorder.store()
        for notice in conversation.take_notices():
            yield Warned(notice)
    except BaseException as error:
        await turn.recorder.abandon(error)
        raise
    yield turn.recorder.ended()


class _Turn:
    """The steps of one turn."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._guards = Guards(conversation)
        self.recorder = TurnRecorder(conversation)
        self._rescue = Rescue(conversation, self.recorder, self._guards)

    async def admit(self, text: str) -> Refused | None:
        """Record the user's message, unless a policy refuses it; return how."""
        try:
            refused = await refuse_input(self._conversation, self.recorder, text)
        except BaseException:
            # Not as the user's message: what no policy has accepted is never sent.
            self.recorder.add("unsent", text=text)
            raise
        if refused is None:
            self.recorder.add_user(text)
        return refused

    async def request(self, failed: Exchange | None) -> Exchange:
        """Make and store the next request; after one that the server found too long, the same one with less in it.

        Raises OverBudget, or the server's refusal if nothing can be left out.
        """
        conversation, recorder = self._conversation, self.recorder
        refusal = None if failed is None else failed.refusal
        window = None if refusal is None else _smaller_window(refusal, recorder.context_tokens)
        self._guards.requests += failed is None
        toolset = await conversation.toolset() if failed is None else failed.toolset
        try:
            context = await conversation.prepare(recorder.pending, toolset, tail=self._rescue.tail, shrink_to=window)
        except OverBudget:
            # Nothing is left to leave out: what the server said is the better message.
            if refusal is not None:
                raise refusal from None
            raise
        notices: list[Event] = []
        if window is not None:
            notices.append(
                Warned(f"the server says that the context is too long; sending {window:,} tokens at most from now on")
            )
        if rotation := context.rotation:
            recorder.add_rotation(rotation)
            notices.append(Rotated(len(rotation.dropped), rotation.tokens_before, rotation.tokens_after))
        request = conversation.request(context, self._rescue.parameters)
        recorder.add_request(request, context.tokens)
        await recorder.store()
        if rotation:
            conversation.view.forget(context)
        notices += map(Warned, conversation.take_notices())
        question, repair = recorder.question, self._rescue.repairs
        exchange = Exchange(conversation, toolset, context, request, question=question, repair=repair, notices=notices)
        recorder.reader = None if exchange.held_back else exchange.reader
        return exchange

    async def judge(self, exchange: Exchange) -> RescueDecision:
        """Decide what becomes of the answer. Raises HookError."""
        rescue, reader = self._rescue, exchange.reader
        answer, prefix = exchange.answer, exchange.call_prefix
        decision = await rescue.judge(reader, exchange.request, answer, prefix, exchange.milliseconds)
        if decision.again:
            self.recorder.reader = None
        return decision

    async def accept(self, exchange: Exchange, decision: RescueDecision) -> list[Event]:
        """Record the answer, unless a policy refuses it; return what there is to show."""
        recorder, events = self.recorder, list[Event]()
        if exchange.held_back and recorder.answer.text:
            refused = await refuse_output(self._conversation, recorder)
            events += [] if refused is None else [refused]
        recorder.reader = None
        recorder.add_answer(exchange.milliseconds)
        if (exchange.held_back or decision.replaced) and recorder.answer.text:
            events.append(TextDelta(recorder.answer.text, exchange.agent))
        return events

    async def call_tools(self, exchange: Exchange, decision: RescueDecision) -> AsyncGenerator[Event, None]:
        """Store the answer, carry out its calls, and record their results and a handoff."""
        await self.recorder.store()
        visited = self._guards.visited
        calls = ToolCalls(
            self._conversation,
            self.recorder.answer.tool_calls,
            exchange.toolset,
            refusals=decision.refusals,
            guesses=exchange.reader.guesses,
            visited=visited,
        )
        try:
            if decision.error is not None:
                calls.refuse_all(str(decision.error))
                raise decision.error
            async with aclosing(calls.run()) as events:
                async for event in events:
                    yield event
        finally:
            # Also when interrupted, even here: a call that was carried out has its result, any other says that it was
            # not.
            await run_to_completion(self._record_results(calls))
        if handed_over := await self.recorder.add_handoff(calls.outcomes):
            visited.add(handed_over.target)
            yield handed_over

    async def _record_results(self, calls: ToolCalls) -> None:
        self.recorder.add_results(calls.outcomes, await calls.combined_changes())


def _smaller_window(refusal: ContextTooLong, sent: int) -> int:
    """Return the window to use after the server refused ``sent`` tokens: its own, if it is smaller than that."""
    return refusal.limit if refusal.limit and refusal.limit < sent else max(1, sent * 2 // 3)

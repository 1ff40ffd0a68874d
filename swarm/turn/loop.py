"""One turn: from the user's message to the end of the answer. The only loop there is.

What is stored when: the user's message before the request goes out; the answer when it ends or is interrupted, before
its calls are carried out; their results, with all that the tools changed, before the next request. A process that dies
anywhere leaves a log that can be gone on with.
"""

from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.context.builder import RequestContext
from swarmchat.swarm.conversation.events import Event, ReasoningDelta, Retrying, Rotated, TextDelta, Warned
from swarmchat.swarm.errors import ContextTooLong, OverBudget
from swarmchat.swarm.models.base import Answer, ModelRequest, ReasoningChunk, Retry, TextChunk
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.answer_reader import AnswerReader
from swarmchat.swarm.turn.faults import Guards
from swarmchat.swarm.turn.guardrails import refuse_input, refuse_output
from swarmchat.swarm.turn.recorder import TurnRecords
from swarmchat.swarm.turn.rescue import Rescue, RescueDecision
from swarmchat.swarm.turn.tool_execution import Calls

if TYPE_CHECKING:
    from swarmchat.swarm.session.session import Session


async def run_turn(session: "Session", text: str) -> AsyncGenerator[Event, None]:
    """Run one turn of ``session``; see ``Session.run_turn``."""
    await session.ready()
    turn = _Turn(session)
    try:
        try:
            refused = await refuse_input(session, turn.records, text)
        except BaseException:
            # Not as the user's message: what no policy has let through is never sent.
            turn.records.add("unsent", text=text)
            raise
        if refused is not None:
            yield refused
        else:
            turn.records.add_user(text)
            async with aclosing(turn.converse()) as events:
                async for event in events:
                    yield event
        await turn.records.store()
    except BaseException as error:
        await turn.records.abandon(error)
        raise
    yield turn.records.ended()


class _Turn:
    """The requests of one turn, and what comes of their answers."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._guards = Guards(session)
        self.records = TurnRecords(session)
        self._rescue = Rescue(session, self.records, self._guards)
        self._judgement = RescueDecision()
        self._offer = Toolset()

    async def converse(self) -> AsyncGenerator[Event, None]:
        """Ask, carry out what the answer calls for, and ask again, until an answer calls for nothing."""
        while True:
            self._guards.requests += 1
            async with aclosing(self._ask()) as events:
                async for event in events:
                    yield event
            if self._judgement.again:
                continue
            if not self.records.answer.tool_calls:
                return
            await self.records.store()
            async with aclosing(self._carry_out(self._judgement)) as events:
                async for event in events:
                    yield event

    async def _carry_out(self, judgement: RescueDecision) -> AsyncGenerator[Event, None]:
        visited = self._guards.visited
        calls = Calls(
            self._session, self.records.answer.tool_calls, self._offer, refusals=judgement.refusals, visited=visited
        )
        try:
            if judgement.error is not None:
                calls.refuse_all(str(judgement.error))
                raise judgement.error
            async with aclosing(calls.run()) as events:
                async for event in events:
                    yield event
        finally:
            # Also when interrupted, even here: what was carried out has its result, and the rest one that says so.
            await run_to_completion(self._add_results(calls))
        if handed_over := await self.records.add_handoff(calls.outcomes):
            visited.add(handed_over.target)
            yield handed_over

    async def _add_results(self, calls: Calls) -> None:
        self.records.add_results(calls.outcomes, await calls.combined_changes())

    async def _ask(self) -> AsyncGenerator[Event, None]:
        """Send a request and take the answer. A context that the server finds too long is cut and sent once more."""
        records = self.records
        self._offer = await self._session.toolset()
        tail = self._rescue.tail
        context = await self._session.prepare(records.pending, self._offer, tail=tail)
        async with aclosing(self._request(context)) as events:
            try:
                async for event in events:
                    yield event
                return
            except ContextTooLong as error:
                if records.partial_text:
                    raise
                refused = error
        # The server's own window, if that is smaller than what was just refused.
        window = max(1, records.context_tokens * 2 // 3)
        if refused.limit and refused.limit < records.context_tokens:
            window = refused.limit
        try:
            context = await self._session.prepare(records.pending, self._offer, tail=tail, shrink_to=window)
        except OverBudget:
            # There is nothing left to leave out: what the server said is the better message.
            raise refused from None
        yield Warned(f"the server says that the context is too long; sending {window:,} tokens at most from now on")
        async with aclosing(self._request(context)) as events:
            async for event in events:
                yield event

    async def _request(self, context: RequestContext) -> AsyncGenerator[Event, None]:
        session, records = self._session, self.records
        if rotation := context.rotation:
            records.add_rotation(rotation)
            yield Rotated(len(rotation.dropped), rotation.tokens_before, rotation.tokens_after)
        request = session.request(context, self._rescue.parameters)
        records.add_request(request, context.tokens)
        await records.store()
        if rotation:
            session.forget_before(context)
        started = session.journal.now()
        async with aclosing(self._stream(request)) as events:
            async for event in events:
                yield event
        said = self._said
        ms = max(0, round((session.journal.now() - started) / timedelta(milliseconds=1)))
        async with aclosing(self._take(request, ms)) as events:
            async for event in events:
                yield event
        if warning := session.cut_warning(said.usage, context.tokens):
            yield Warned(warning)

    async def _stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        """Listen to the answer: show what may be shown, and stop a model that is stuck."""
        records = self.records
        self._hearing = hearing = AnswerReader(self._offer, repair=self._rescue.repairs)
        records.hearing = None if self._held_back else hearing
        answer: Answer | None = None
        async with aclosing(self._session.model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextChunk() | ReasoningChunk():
                        for delta in self._shown(hearing.add(event)):
                            yield delta
                        if hearing.stuck:
                            break
                    case Retry(attempt, seconds, reason):
                        yield Retrying(attempt, seconds, reason)
                    case Answer(text):
                        answer = event
                        if text and not hearing.heard:
                            for delta in self._shown(hearing.add(TextChunk(text))):
                                yield delta
        for delta in self._shown(hearing.finish()):
            yield delta
        self._said = hearing.raw_answer(answer)

    def _shown(self, chunks: Iterable[TextChunk | ReasoningChunk]) -> Iterator[Event]:
        agent = self._session.agent.name
        for chunk in chunks:
            if not self._held_back:
                yield (
                    TextDelta(chunk.text, agent) if isinstance(chunk, TextChunk) else ReasoningDelta(chunk.text, agent)
                )

    async def _take(self, request: ModelRequest, ms: int) -> AsyncGenerator[Event, None]:
        """Decide what becomes of the answer, and add it to the records if it is taken."""
        session, records = self._session, self.records
        prefix = f"text_{request.key[:8]}"
        self._judgement = judgement = await self._rescue.judge(self._hearing, self._said, prefix, ms)
        if judgement.again:
            records.hearing = None
        # Whoever leaves meanwhile has seen what is not on record yet.
        for event in judgement.events:
            yield event
        if judgement.again:
            return
        if self._held_back and records.answer.text and (refused := await refuse_output(session, records)):
            yield refused
        records.hearing = None
        records.add_answer(ms)
        if (self._held_back or judgement.replaced) and records.answer.text:
            yield TextDelta(records.answer.text, session.agent.name)

    @property
    def _held_back(self) -> bool:
        """Whether an answer is shown only when it is whole: what may still be rejected is not shown while it comes."""
        rejecting = any(policy.reject_output is not None for policy in self._session.swarm.policies)
        return rejecting or self._session.agent.validate is not None

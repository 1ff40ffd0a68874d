"""One turn: from the user's message to the end of the answer. The only loop there is.

What is stored when: the user's message before the request goes out; the answer when it ends or is interrupted, before
its calls are carried out; their results, with all that the tools changed, before the next request. A process that dies
anywhere leaves a log that can be gone on with.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from swarmchat.swarm.calls import Calls
from swarmchat.swarm.context import RequestContext
from swarmchat.swarm.errors import ContextTooLong, OverBudget, RepeatedCall, RequestLimit
from swarmchat.swarm.events import Event, ReasoningDelta, Retrying, Rotated, TextDelta, Warned
from swarmchat.swarm.model import Answer, ModelRequest, ReasoningChunk, Retry, TextChunk
from swarmchat.swarm.settle import settle
from swarmchat.swarm.turn_policy import refuse_input, refuse_output
from swarmchat.swarm.turn_records import TurnRecords

if TYPE_CHECKING:
    from swarmchat.swarm.session import Session


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
        self._calls_made: dict[tuple[str, str], int] = {}
        self._visited: set[str] = set()
        self.records = TurnRecords(session)

    async def converse(self) -> AsyncGenerator[Event, None]:
        """Ask, carry out what the answer calls for, and ask again, until an answer calls for nothing."""
        for _ in range(self._session.settings.max_requests):
            async with aclosing(self._ask()) as events:
                async for event in events:
                    yield event
            if not self.records.answer.tool_calls:
                return
            await self.records.store()
            async with aclosing(self._carry_out()) as events:
                async for event in events:
                    yield event
        raise RequestLimit(
            f"the model asked for tools in {self._session.settings.max_requests} requests in a row and gave no answer: "
            "ask differently, or raise max_requests"
        )

    async def _carry_out(self) -> AsyncGenerator[Event, None]:
        calls = Calls(self._session, self.records.answer.tool_calls)
        try:
            self.records.check_repeats(self._calls_made)
            async with aclosing(calls.run()) as events:
                async for event in events:
                    yield event
        except RepeatedCall as error:
            calls.refuse_all(str(error))
            raise
        finally:
            # Also when interrupted: what was carried out has its result, and the rest one that says so.
            edits = await settle(calls.combined_edits())
            self.records.add_results(calls.outcomes, edits)
        if handed_over := await self.records.add_handoff(calls.outcomes, self._visited):
            yield handed_over

    async def _ask(self) -> AsyncGenerator[Event, None]:
        """Send a request and take the answer. A context that the server finds too long is cut and sent once more."""
        records = self.records
        async with aclosing(self._request(await self._session.prepare(records.pending))) as events:
            try:
                async for event in events:
                    yield event
                return
            except ContextTooLong as error:
                if records.partial:
                    raise
                refused = error
        # The server's own window, if that is smaller than what was just refused.
        window = max(1, records.context_tokens * 2 // 3)
        if refused.limit and refused.limit < records.context_tokens:
            window = refused.limit
        try:
            context = await self._session.prepare(records.pending, shrink_to=window)
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
        request = session.request(context)
        records.add_request(request, context.tokens)
        await records.store()
        if rotation:
            session.forget_before(context)
        started = session.journal.now()
        async with aclosing(self._stream(request)) as events:
            async for event in events:
                yield event
        records.add_answer(session.journal.now() - started)
        if warning := session.cut_warning(records.answer.usage, context.tokens):
            yield Warned(warning)

    async def _stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        session, records = self._session, self.records
        agent = session.agent.name
        # What a policy may still reject is not shown while it comes.
        held_back = any(policy.reject_output is not None for policy in session.swarm.policies)
        records.partial.clear()
        async with aclosing(session.model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextChunk(text) if not held_back:
                        records.partial.append(text)
                        yield TextDelta(text, agent)
                    case ReasoningChunk(text) if not held_back:
                        yield ReasoningDelta(text, agent)
                    case Retry(attempt, seconds, reason):
                        yield Retrying(attempt, seconds, reason)
                    case Answer():
                        records.answer = event
        records.partial.clear()
        if held_back and records.answer.text:
            if refused := await refuse_output(session, records):
                yield refused
            yield TextDelta(records.answer.text, agent)

"""One turn: from the user's message to the end of the answer. The only loop there is.

What is stored when: the user's message before the request goes out; the answer when it ends or is interrupted, before
its calls are carried out; their results before the next request. A process that dies anywhere leaves a log that can
be gone on with.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from swarmchat.backends import BackendError
from swarmchat.swarm.context import Context
from swarmchat.swarm.errors import ContextTooLong, LimitReached, OverBudget
from swarmchat.swarm.events import (
    Event,
    ReasoningDelta,
    Retrying,
    Rotated,
    TextDelta,
    ToolFinished,
    TurnEnded,
    Warned,
)
from swarmchat.swarm.model import Answer, ModelRequest, ReasoningChunk, Retry, TextChunk, ToolCall
from swarmchat.swarm.records import Record

if TYPE_CHECKING:
    from swarmchat.swarm.session import Session


async def run_turn(session: "Session", text: str) -> AsyncGenerator[Event, None]:
    """Run one turn of ``session``; see ``Session.run_turn``."""
    await session.ready()
    turn = _Turn(session)
    turn.add_user(text)
    try:
        for _ in range(session.settings.max_requests):
            async with aclosing(turn.ask()) as events:
                async for event in events:
                    yield event
            if not turn.answer.tool_calls:
                break
            await turn.store()
            for call in turn.answer.tool_calls:
                yield turn.refuse(call)
        else:
            raise LimitReached(
                f"the model asked for tools in {session.settings.max_requests} requests in a row and gave no answer: "
                "ask differently, or raise max_requests"
            )
        await turn.store()
    except BaseException as error:
        await turn.abandon(error)
        raise
    yield turn.ended()


class _Turn:
    """The records of a turn that are still to be stored, and what was said so far."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._number = session.turns + 1
        self._pending: list[Record] = []
        self._partial: list[str] = []
        self._context_tokens = 0
        self.answer = Answer()
        if (first := session.session_record()) is not None:
            self._pending.append(first)

    def add_user(self, text: str) -> None:
        """Take the user's message."""
        message = {"role": "user", "content": text}
        self._add("user", message=message, tokens=self._session.count(message))

    async def ask(self) -> AsyncGenerator[Event, None]:
        """Send a request and take the answer. A context that the server finds too long is cut and sent once more."""
        async with aclosing(self._request(await self._session.prepare(self._pending))) as events:
            try:
                async for event in events:
                    yield event
                return
            except ContextTooLong as error:
                if self._partial:
                    raise
                refused = error
        window = self._smaller_window(refused)
        try:
            context = await self._session.prepare(self._pending, shrink_to=window)
        except OverBudget:
            # There is nothing left to leave out: what the server said is the better message.
            raise refused from None
        yield Warned(f"the server says that the context is too long; sending {window:,} tokens at most from now on")
        async with aclosing(self._request(context)) as events:
            async for event in events:
                yield event

    def _smaller_window(self, error: ContextTooLong) -> int:
        """Return a window that leaves out some of what was just refused: the server's own, if that is smaller."""
        shorter = self._context_tokens * 2 // 3
        return error.limit if error.limit and error.limit < self._context_tokens else max(1, shorter)

    async def _request(self, context: Context) -> AsyncGenerator[Event, None]:
        session = self._session
        if rotation := context.rotation:
            self._add_rotation(context)
            yield Rotated(len(rotation.dropped), rotation.tokens_before, rotation.tokens_after)
        request = session.request(context)
        self._context_tokens = context.tokens
        self._add("request", model=request.model, key=request.key, tokens=context.tokens)
        await self.store()
        if rotation:
            session.forget_before(context)
        started = session.now()
        async with aclosing(self._stream(request)) as events:
            async for event in events:
                yield event
        self._add_answer(self.answer, session.now() - started)
        if warning := session.cut_warning(self.answer.usage, context.tokens):
            yield Warned(warning)

    async def _stream(self, request: ModelRequest) -> AsyncGenerator[Event, None]:
        agent = self._session.agent.name
        self._partial.clear()
        async with aclosing(self._session.model.stream(request)) as events:
            async for event in events:
                match event:
                    case TextChunk(text):
                        self._partial.append(text)
                        yield TextDelta(text, agent)
                    case ReasoningChunk(text):
                        yield ReasoningDelta(text, agent)
                    case Retry(attempt, seconds, reason):
                        yield Retrying(attempt, seconds, reason)
                    case Answer():
                        self.answer = event
        self._partial.clear()

    def refuse(self, call: ToolCall) -> Event:
        """Answer a call of a tool that the agent does not have."""
        result = f"Error: there is no tool named {call.name!r}. Answer without tools."
        message = {"role": "tool", "tool_call_id": call.id, "content": result}
        tokens = self._session.count(message, parallel=len(self.answer.tool_calls) > 1)
        self._add("tool", message=message, tokens=tokens, name=call.name, status="error")
        return ToolFinished(call.name, call.arguments, "error", result, self._session.agent.name)

    async def store(self) -> None:
        """Commit what is pending. What cannot be stored is held for the next commit, but for the user's message.

        The user still has that one and is told that it was not taken.
        """
        pending, self._pending = self._pending, []
        await self._session.commit(pending, keep=all(record.type != "user" for record in pending))

    async def abandon(self, error: BaseException) -> None:
        """Store what is left when the turn ends before its time."""
        if self._partial:
            text = "".join(self._partial)
            self._add_answer(Answer(text, finish="interrupted"))
        if isinstance(error, Exception):
            self._add("error", error={"kind": type(error).__name__, "message": str(error)})
        # A backend that has just failed is not asked again; the answer waits for the next commit.
        if self._pending and not isinstance(error, BackendError):
            await self.store()

    def ended(self) -> TurnEnded:
        """Return the event that closes the turn."""
        answer = self.answer
        return TurnEnded(self._number, answer.text, answer.finish, self._context_tokens, answer.usage)

    def _add(self, kind: str, **data: Any) -> None:
        record = self._session.record(kind, offset=len(self._pending), turn=self._number, **data)
        self._pending.append(record)

    def _add_answer(self, answer: Answer, took: timedelta | None = None) -> None:
        message = answer.to_message()
        data: dict[str, Any] = {"tokens": self._session.count(message), "finish": answer.finish}
        if answer.usage is not None:
            data["usage"] = dict(answer.usage)
        if answer.reasoning:
            data["reasoning"] = answer.reasoning
        if took is not None:
            data["ms"] = max(0, round(took / timedelta(milliseconds=1)))
        self._add("assistant", message=message, **data)

    def _add_rotation(self, context: Context) -> None:
        rotation = context.rotation
        assert rotation is not None
        self._add(
            "rotate",
            first_kept=rotation.first_kept,
            window=self._session.budget.window,
            tokens_before=rotation.tokens_before,
            tokens_after=rotation.tokens_after,
            dropped={"groups": len(rotation.dropped), "from": rotation.dropped[0], "to": rotation.dropped[-1]},
        )

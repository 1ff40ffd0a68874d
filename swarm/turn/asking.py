"""Answer the questions of tools: ask a model outside the conversation, or the user.

Questions and answers are recorded with the result of the call, so that a replay repeats them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.conversation.conversation import Conversation
from swarmchat.swarm.errors import AskError, OutputError, OverBudget
from swarmchat.swarm.models.base import Answer, Model, ModelRequest, TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.tools.asking import user_question
from swarmchat.swarm.tools.context import ArgumentsError, Context, Outcome, ToolFailure
from swarmchat.swarm.tools.toolset import Toolset
from swarmchat.swarm.turn.question import read_question, wanted_type

_ATTEMPTS = 3
"""Requests until an answer must fit."""
_SILENCE = "I have no answer yet."
"""Shown to the model in place of an empty answer."""


class ToolAsking:
    """What the call of ``outcome`` asks. Time that an answer takes is not the tool's."""

    def __init__(self, conversation: Conversation, ctx: Context[Any], outcome: Outcome) -> None:
        self._conversation = conversation
        self._ctx = ctx
        self._outcome = outcome

    @property
    def model_name(self) -> str:
        """The name of the agent's model."""
        return self._conversation.model.name

    async def ask_model(
        self, prompt: Any, output: Any, model: Model | str | None, fields: Mapping[str, Any] | None = None
    ) -> Any:
        """Ask a model; see ``Context.ask``. ``fields`` are further ones of the request."""
        conversation, question, kind = self._conversation, read_question(prompt), wanted_type(output)
        chosen = conversation.model_named(model) if isinstance(model, str | None) else model
        parameters = {**conversation.settings.parameters, **(fields or {})}
        if kind is not None:
            parameters["response_format"] = kind.response_format
        messages = [dict(conversation.blobs.take(message)) for message in (*question.earlier, question.message)]
        for _ in range(_ATTEMPTS):
            answer = await self._request(chosen, messages, parameters)
            if kind is None and (text := cleaned(answer.text)):
                return text
            problem, retry = "the answer is empty", "Your answer was empty."
            if kind is not None:
                from swarmchat.swarm.turn.output import instruction, read_output

                try:
                    return read_output(kind, answer, repair=True)[1]
                except ArgumentsError as error:
                    problem, retry = str(error), f"Your answer does not fit: {error}. {instruction(kind)}"
            messages += [
                {"role": "assistant", "content": answer.text or _SILENCE},
                {"role": "user", "content": retry},
            ]
        raise OutputError(f"{chosen.name} gave no usable answer to the tool ({problem}): ask differently")

    async def _request(self, model: Model, messages: Sequence[dict[str, Any]], parameters: dict[str, Any]) -> Answer:
        """Ask ``model`` and record the answer. Raises OverBudget and the kinds of ModelError."""
        conversation = self._conversation
        room, tokens = conversation.budget.available, conversation.counter.prompt(messages)
        if tokens > room:
            raise OverBudget(
                f"the question of the tool has {tokens:,} tokens, and {room:,} fit: ask with less",
                needed=tokens,
                available=room,
            )
        request = ModelRequest(model.name, tuple(map(encode_json, messages)), (), parameters)
        request = await conversation.blobs.filled(request)
        started = conversation.journal.now()
        answers: list[Answer] = []
        async with self._untimed():
            with conversation.trace.request(model, request, answers, of_tool=True):
                answer = await conversation.ask_model(model, request, self._outcome)
                answers.append(answer)
        data: dict[str, Any] = {"model": answer.fallback or model.name, "key": request.key, "messages": list(messages)}
        data |= {"answer": answer.text, "finish": answer.finish}
        if answer.usage is not None:
            data["usage"] = dict(answer.usage)
        data["ms"] = max(0, round((conversation.journal.now() - started) / timedelta(milliseconds=1)))
        self._outcome.asked.append(("ask_model", data))
        return answer

    async def ask_user(self, text: str, choices: Sequence[str], output: Any) -> Any:
        """Ask the user; see ``Context.ask_user``."""
        conversation = self._conversation
        question = user_question(text, self._outcome.call.name, choices, output)
        task = conversation.task
        if task is not None:
            question = replace(question, agent=conversation.agent.name)
        async with self._untimed(), conversation.user_is_free:
            with nullcontext() if task is None else task.paused():
                answer = await conversation.ask_user(question, self._outcome)
        fields = {"choices": list(question.choices)} if question.choices else {}
        self._outcome.asked.append(("ask_user", {"question": text, "kind": question.kind, **fields, "answer": answer}))
        if answer is None:
            raise AskError(f"the user did not answer: {text}")
        try:
            return question.check(answer)
        except ArgumentsError as error:
            raise AskError(f"the user's answer is invalid: {error}") from error

    async def run_agent(self, tool: Any, task: str) -> str:
        """Refuse: outside of a turn no agent works."""
        raise ToolFailure(f"{tool.name} is an agent, and no turn runs")

    @asynccontextmanager
    async def _untimed(self) -> AsyncIterator[None]:
        """Stop the clock of the tool's timeout."""
        limit, now = self._ctx.limit, asyncio.get_running_loop().time
        end = None if limit is None or limit.expired() else limit.when()
        if limit is None or end is None:
            yield
            return
        left = end - now()
        limit.reschedule(None)
        try:
            yield
        finally:
            # RuntimeError: the call has ended while an MCP server was asking.
            with suppress(RuntimeError):
                limit.reschedule(now() + left)


def cleaned(text: str) -> str:
    """Return ``text`` without thoughts and tokens of chat templates."""
    answer_filter = AnswerFilter(Toolset())
    pieces = [*answer_filter.feed(text), *answer_filter.finish()]
    return "".join(piece.text for piece in pieces if isinstance(piece, TextChunk)).strip()

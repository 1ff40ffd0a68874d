"""The functions that cut chats to a window, ours and those of other libraries, set up as their documentation says.

Each is a context manager for a worker: it gives a function that cuts every one of ``chats`` (the arguments of ``chat``)
(of those before ``until``, if that is given) to its ``window``, and returns for each how long that took and what came
of it. ``counted``: what each message costs is known before. All count exactly alike, but for litellm, which has its own
counter, and LangChain's approximate one.
"""

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from swarmchat.swarm import Budget, GroupBuilder, Record, build_context, counter_for
from swarmchat.swarm.common.encoding import encode_json

from benchmarks.chats import SYSTEM, chat
from benchmarks.corpus import MODEL, TIME
from tests.helpers.chat_rules import check_messages

Chat = list[dict[str, Any]]
Wanted = Sequence[Mapping[str, Any]]
Once = Callable[[], Awaitable[list[dict[str, Any]]]]


@asynccontextmanager
async def ours(chats: Wanted, counted: bool = False) -> AsyncIterator[Once]:
    """Cut the groups of a session. ``counted``: as in a chat that goes on, where they are counted and made JSON."""
    counter = counter_for(MODEL)
    system = [encode_json(SYSTEM)]

    def prepared(messages: Chat, window: int) -> Callable[[], Chat]:
        groups = GroupBuilder(records=records_of(messages)).groups
        if counted:
            for group in groups:
                group.tokens(counter)
                group.encoded()

        def cut() -> Any:
            return build_context(groups, counter=counter, budget=Budget(window), system=system).messages

        return cut

    yield await _each(chats, prepared, decode=lambda sent: [json.loads(message) for message in sent], again=not counted)


@asynccontextmanager
async def langchain(chats: Wanted, counted: bool = False, approximate: bool = False) -> AsyncIterator[Once]:
    """Call LangChain's ``trim_messages``, with what its documentation says keeps a chat valid."""
    from langchain_core.messages import convert_to_messages, trim_messages

    def prepared(messages: Chat, window: int) -> Callable[[], Chat]:
        theirs = convert_to_messages(messages)
        known = _Known([(id(one), [message]) for one, message in zip(theirs, messages, strict=True)], counted)

        def cut() -> Chat:
            sent = trim_messages(
                theirs,
                max_tokens=window,
                token_counter="approximate" if approximate else known.tokens,
                strategy="last",
                include_system=True,
                start_on="human",
                end_on=("human", "tool"),
            )
            return known.messages(sent)

        return cut

    yield await _each(chats, prepared)


@asynccontextmanager
async def litellm(chats: Wanted) -> AsyncIterator[Once]:
    """Call litellm's ``trim_messages``. Where it fails, it logs that and returns the messages as they are."""
    from litellm.utils import trim_messages

    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)

    def prepared(messages: Chat, window: int) -> Callable[[], Chat]:
        return lambda: trim_messages(messages, MODEL, max_tokens=window)

    yield await _each(chats, prepared)


@asynccontextmanager
async def autogen(chats: Wanted, counted: bool = False) -> AsyncIterator[Once]:
    """Ask AutoGen's ``TokenLimitedChatCompletionContext`` for its messages."""
    from autogen_core import FunctionCall
    from autogen_core.model_context import TokenLimitedChatCompletionContext
    from autogen_core.models import (
        AssistantMessage,
        FunctionExecutionResult,
        FunctionExecutionResultMessage,
        SystemMessage,
        UserMessage,
    )

    def theirs_of(message: dict[str, Any]) -> Any:
        role, content = message["role"], message["content"]
        if role == "system":
            return SystemMessage(content=content)
        if role == "user":
            return UserMessage(content=content, source="user")
        if role == "tool":
            result = FunctionExecutionResult(
                content=content, name="look_up", call_id=message["tool_call_id"], is_error=False
            )
            return FunctionExecutionResultMessage(content=[result])
        functions = [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]
        calls = [FunctionCall(**function) for function in functions]
        return AssistantMessage(content=calls or content, source="assistant")

    def prepared(messages: Chat, window: int) -> Callable[[], Any]:
        pairs: list[tuple[Any, Chat]] = []
        for message in messages:
            if message["role"] == "tool" and pairs[-1][1][0]["role"] == "tool":
                # All results of one message are one message there.
                pairs[-1][0].content += theirs_of(message).content
                pairs[-1][1].append(message)
            else:
                pairs.append((theirs_of(message), [message]))
        known = _Known([(id(one), mine) for one, mine in pairs], counted)
        context = TokenLimitedChatCompletionContext(
            _Client(known), token_limit=window, initial_messages=[one for one, _ in pairs]
        )

        async def cut() -> Chat:
            return known.messages(await context.get_messages())

        return cut

    yield await _each(chats, prepared)


class _Known:
    """The messages that those of another library are made from, by identity, and what they cost."""

    def __init__(self, pairs: Sequence[tuple[int, Chat]], counted: bool) -> None:
        self._counter = counter_for(MODEL)
        self._messages = dict(pairs)
        self._costs = {identity: self._count(messages) for identity, messages in pairs} if counted else None

    def tokens(self, theirs: Sequence[object]) -> int:
        """Return what messages of the other library cost."""
        if self._costs is not None:
            return sum(self._costs[id(one)] for one in theirs)
        return sum(self._count(self._messages[id(one)]) for one in theirs)

    def messages(self, theirs: Sequence[object]) -> Chat:
        """Return the messages that ``theirs`` are made from."""
        return [message for one in theirs for message in self._messages[id(one)]]

    def _count(self, messages: Chat) -> int:
        return sum(self._counter.message(message, parallel=len(messages) > 1) for message in messages)


class _Client:
    """As much of a model client as AutoGen's context uses."""

    def __init__(self, known: _Known) -> None:
        self._known = known

    def count_tokens(self, messages: Sequence[object], *, tools: object = ()) -> int:
        return self._known.tokens(messages)


def records_of(messages: Chat) -> list[Record]:
    """Return the records of a log, without the system message, which is the agent's."""
    numbered = enumerate(messages[1:])
    return [Record(message["role"], seq, 0, TIME, None, {"message": message}) for seq, message in numbered]


async def _each(
    chats: Wanted,
    prepare: Callable[[Chat, int], Callable[[], Any]],
    *,
    decode: Callable[[Any], Chat] = list,
    again: bool = False,
) -> Once:
    """Return what cuts all ``chats``; ``again``: each time as if for the first time."""
    prepared = [(chat(**one["chat"])[: one.get("until")], one["window"]) for one in chats]
    ready = [prepare(messages, window) for messages, window in prepared]
    await _timed(prepare(chat(20, 0), 500))  # what is imported or loaded at the first use

    async def once() -> list[dict[str, Any]]:
        results = []
        for index, (messages, window) in enumerate(prepared):
            seconds, sent = await _timed(prepare(messages, window) if again else ready[index])
            results.append({"seconds": seconds, **_judged(messages, decode(sent), window)})
        return results

    return once


async def _timed(cut: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long ``cut`` takes, and what it returns or has others wait for."""
    started = time.perf_counter()
    sent = cut()
    if isinstance(sent, Awaitable):
        sent = await sent
    return time.perf_counter() - started, sent


def _judged(messages: Chat, sent: Chat, window: int) -> dict[str, Any]:
    """Return what is right and wrong with ``sent``, which is to stand for ``messages``."""
    question = next(message for message in reversed(messages) if message["role"] == "user")
    tokens = counter_for(MODEL).prompt(sent)
    places = {id(message): place for place, message in enumerate(messages)}
    return {
        "kept": len(sent),
        "places": [places[id(message)] for message in sent if id(message) in places],
        "tokens": tokens,
        "complaint": check_messages(sent),
        "system": any(message["role"] == "system" and message["content"] == SYSTEM["content"] for message in sent),
        "question": any(message["content"] == question["content"] for message in sent),
        "over": tokens > window * 1.05,
    }

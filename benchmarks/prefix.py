"""How much of each request begins like the one before it: what providers keep in their prompt caches and sell for less.

A session sends a chat of 300 turns over HTTP, so that all that is done to a request counts. Trimmers of other libraries
are given the same chat before each of its answers.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, OpenAIModel, Session, SessionSettings, Swarm, counter_for, tool

from benchmarks.chats import SYSTEM, chat
from benchmarks.corpus import CLIENT, MODEL
from benchmarks.setup import Setup
from benchmarks.tables import Table
from benchmarks.trimmers import Chat
from benchmarks.workers import MissingPeerError, worker

TITLE = "Prompt cache"
_TURNS, _QUICK = 300, 40
_WINDOWS = (4_000, 16_000, 128_000)
_PEERS = {"LangChain, trim_messages": "langchain", "AutoGen, TokenLimited…Context": "autogen"}
_PRICE, _CACHED_PRICE = 2.0, 0.5
_SMALLEST, _BLOCK = 1_024, 128
_ABOUT = f"""A chat of {{turns}} turns, {{requests}} requests, of which a third calls tools. *Repeated*: the
share of all tokens sent that stand in messages with which the request before began, too. *Price*: of all
requests, with {_PRICE:.2f} dollars for a million tokens and {_CACHED_PRICE:.2f} for cached ones (GPT-4.1),
where a repeated beginning of {_SMALLEST:,} tokens or more is cached in blocks of {_BLOCK}; *uncached*: the
price without a cache. An eighth of the window, at most 4,096 tokens, is kept free for the answer. Swarmchat
leaves 70 % when it cuts, and so repeats the whole of the request before until the next cut; a trimmer that
fills the window drops something in each turn."""

_Sent = list[tuple[str, int]]
"""One request: each message, and its tokens."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Compare the requests of a session with those of trimmers."""
    turns = _QUICK if setup.quick else _TURNS
    messages = _chat(turns)
    requests = sum(message["role"] == "assistant" for message in messages)
    rows = []
    missing = set()
    for window in setup.sizes(_WINDOWS):
        name = f"{window // 1000}k"
        rows.append((name, "swarmchat", *_row(await _session(messages, window))))
        for peer, function in _PEERS.items():
            try:
                rows.append((name, peer, *_row(await _trimmed(function, messages, window))))
            except MissingPeerError as error:
                missing.add(str(error))
    about = _ABOUT.format(turns=turns, requests=requests)
    about += f" Not installed: {', '.join(sorted(missing))}." if missing else ""
    head = ("window", "", "tokens sent", "repeated", "price $", "uncached $")
    yield Table("Repeated beginnings of requests", head, rows, about)


def _chat(turns: int) -> Chat:
    """Return a chat of so many turns."""
    messages = chat(turns * 4, 1)
    questions = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return messages[: questions[turns]]


def _reserve(window: int) -> int:
    return min(4_096, window // 8)


async def _session(messages: Chat, window: int) -> list[_Sent]:
    """Return the requests of a session in which ``messages`` are said."""
    results = {}
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    contents = {message["tool_call_id"]: message["content"] for message in messages if message["role"] == "tool"}
    for call in calls:
        results[json.loads(call["function"]["arguments"])["words"]] = contents[call["id"]]

    @tool
    def look_up(words: str) -> str:
        """Look something up."""
        return str(results[words])

    swarm = Swarm("archive", [Agent("desk", SYSTEM["content"], tools=[look_up])])
    answers = [message for message in messages if message["role"] == "assistant"]
    async with _server(answers) as (address, received):
        model = OpenAIModel(MODEL, base_url=address, context_window=window)
        settings = SessionSettings(reserve=_reserve(window))
        backend = open_backend("memory:")
        async with await Session.open(backend, model, client=CLIENT, swarm=swarm, settings=settings) as session:
            for message in messages:
                if message["role"] == "user":
                    async for _ in session.run_turn(message["content"]):
                        pass
        await model.close()
        await backend.close()
    assert len(received) == len(answers)
    counter = counter_for(MODEL)
    return [[(json.dumps(message), counter.message(message)) for message in sent] for sent in received]


@asynccontextmanager
async def _server(answers: Sequence[dict[str, Any]]) -> AsyncIterator[tuple[str, list[Chat]]]:
    """Run a server that gives ``answers`` one after the other. Yields its address, and the messages that it gets."""
    left, received = deque(answers), list[Chat]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
                received.append(json.loads(await reader.readexactly(length))["messages"])
                answer = {"choices": [{"index": 0, "message": left.popleft(), "finish_reason": "stop"}]}
                body = json.dumps(answer).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
                writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", received


async def _trimmed(function: str, messages: Chat, window: int) -> list[_Sent]:
    """Return what a trimmer leaves of ``messages`` before each answer."""
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    spec = {"length": len(messages), "seed": 1}
    chats = [{"chat": spec, "until": place, "window": window - _reserve(window)} for place in answers]
    async with worker(f"benchmarks.trimmers:{function}", chats=chats, counted=True) as running:
        [results] = await running.run()
    counter = counter_for(MODEL)
    tokens = [counter.message(message) for message in messages]
    return [[(str(place), tokens[place]) for place in result["places"]] for result in results]


def _row(requests: Sequence[_Sent]) -> tuple[str, ...]:
    sent = repeated = cached = 0
    for before, request in pairwise([[], *requests]):
        same = 0
        for (old, _), (new, tokens) in zip(before, request, strict=False):
            if old != new:
                break
            same += tokens
        sent += sum(tokens for _, tokens in request)
        repeated += same
        cached += same // _BLOCK * _BLOCK if same >= _SMALLEST else 0
    price = (sent - cached) * _PRICE / 1e6 + cached * _CACHED_PRICE / 1e6
    return f"{sent:,}", f"{repeated / sent:.1%}", f"{price:.2f}", f"{sent * _PRICE / 1e6:.2f}"

"""How much of each request is the same as the previous one from the start: the part that prompt caches make cheaper.

A session sends a chat of 300 turns over HTTP, so that everything done to a request counts. Trimmers of other libraries
get the same chat before each of its answers.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from swarmchat.backends import open_backend
from swarmchat.swarm import (
    Agent,
    Budget,
    GroupBuilder,
    OpenAIModel,
    Session,
    SessionSettings,
    Swarm,
    build_context,
    counter_for,
    tool,
)

from benchmarks.chats import SYSTEM, chat
from benchmarks.corpus import CLIENT, MODEL
from benchmarks.setup import Setup
from benchmarks.tables import Aim, Table
from benchmarks.trimmers import Chat, records_of
from benchmarks.workers import MissingPeerError, worker

TITLE = "Prompt cache"
_TURNS, _QUICK = 300, 40
_WINDOWS = (4_000, 16_000, 128_000)
_PEERS = {"LangChain, trim_messages": "langchain", "AutoGen, TokenLimited…Context": "autogen"}
_PRICE, _CACHED_PRICE = 2.0, 0.2
_SMALLEST, _BLOCK = 1_024, 128
_MARKS = [(high / 100, low / 100) for high in (90, 95, 100) for low in range(40, 85, 5)]
_HANDOFF = 10
_NIGHT = " It is night: be quiet, too."
_KINDS = ("plain", "dynamic text", "handoffs")
_ABOUT = f"""A chat of {{turns}} turns, {{requests}} requests, of which a third calls tools. *Repeated*: the
share of all tokens sent that stand in messages with which the request before began, too. *Price*: of all
requests, with {_PRICE:.2f} dollars for a million tokens and {_CACHED_PRICE:.2f} for cached ones, where a repeated
beginning of {_SMALLEST:,} tokens or more is cached in blocks of {_BLOCK}; *uncached*: the price without a cache. An
eighth of the window, at most 4,096 tokens, is kept free for the answer. *Dynamic text* changes in each turn: swarmchat
has it as a `reminder`, the others in their system message, which is where they have a place for it. *Handoffs*: another
agent, with another system message, takes over in every {_HANDOFF}th turn. Where no window is full, nobody cuts, and
all repeat the same; with handoffs, ours send less, as an agent does not see the calls of another one."""
_ABOUT_MARKS = """The same plain chat, cut at fixed marks: the high one 90, 95 or 100 % of the room, the low one 40 to
80 %. Marks that leave less cost less, without end, so *best* is the cheapest of those that send at least as much on
average (less a hundredth); where none sends as much, ours count as the best."""

_Sent = list[tuple[str, int]]
"""One request: each message, and its tokens."""


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Compare the requests of a session with those of trimmers, and its marks with others."""
    turns = _QUICK if setup.quick else _TURNS
    messages = _chat(turns)
    requests = sum(message["role"] == "assistant" for message in messages)
    about = _ABOUT.format(turns=turns, requests=requests)
    places: dict[tuple[str, int], list[list[int]]] = {}
    for kind in _KINDS:
        rows, aims = [], []
        missing = set()
        for window in setup.sizes(_WINDOWS):
            name = f"{window // 1000}k"
            ours = _repeated(await _session(messages, window, kind))
            rows.append((name, "swarmchat", *ours.cells))
            for peer, function in _PEERS.items():
                try:
                    if (function, window) not in places:
                        places[function, window] = await _trimmed(function, messages, window)
                    theirs = _repeated(_sent_by_peer(messages, places[function, window], kind))
                except MissingPeerError as error:
                    missing.add(str(error))
                    continue
                rows.append((name, peer, *theirs.cells))
                aims.append(Aim(f"Price, {kind}, {name}, × {peer}", ours.price / theirs.price, 1.01))
        missed = f" Not installed: {', '.join(sorted(missing))}." if missing else ""
        head = ("window", "", "tokens sent", "repeated", "price $", "uncached $")
        title = f"Repeated beginnings of requests: {kind}"
        yield Table(title, head, rows, about + missed if kind == "plain" else missed.strip(), aims)
    yield _marks(messages, setup)


@dataclass(frozen=True)
class _Repeated:
    """What the requests of a chat repeat."""

    sent: int
    repeated: int
    price: float

    @property
    def share(self) -> float:
        """The share of tokens that the request before sent at the same place."""
        return self.repeated / self.sent

    @property
    def cells(self) -> tuple[str, ...]:
        """The figures as cells of a row."""
        return f"{self.sent:,}", f"{self.share:.1%}", f"{self.price:.2f}", f"{self.sent * _PRICE / 1e6:.2f}"


def _chat(turns: int) -> Chat:
    """Return a chat of so many turns."""
    messages = chat(turns * 4, 1)
    questions = [place for place, message in enumerate(messages) if message["role"] == "user"]
    return messages[: questions[turns]]


def _reserve(window: int) -> int:
    return min(4_096, window // 8)


def _marks(messages: Chat, setup: Setup) -> Table:
    """Compare the marks of a session with fixed ones."""
    rows, aims = [], []
    for window in setup.sizes(_WINDOWS):
        budget = SessionSettings(reserve=_reserve(window)).budget(window)
        ours = _repeated(_cut(messages, budget))
        tried = {marks: _repeated(_cut(messages, replace(budget, high=marks[0], low=marks[1]))) for marks in _MARKS}
        as_much = {marks: one for marks, one in tried.items() if one.sent >= 0.99 * ours.sent}
        best, cheapest = min(as_much.items(), key=lambda item: item[1].price, default=((budget.high, budget.low), ours))
        name = f"{window // 1000}k"
        for label, (high, low), one in (
            ("chosen by the window", (budget.high, budget.low), ours),
            ("best", best, cheapest),
            ("90 and 70 %", (0.9, 0.7), tried[0.9, 0.7]),
        ):
            rows.append((name, label, f"{high:.0%}", f"{low:.0%}", *one.cells[:3]))
        aims.append(Aim(f"Price at our marks, {name}", ours.price / cheapest.price, 1.1))
    head = ("window", "marks", "high", "low", "tokens sent", "repeated", "price $")
    return Table("Marks", head, rows, _ABOUT_MARKS, aims)


def _cut(messages: Chat, budget: Budget) -> list[_Sent]:
    """Return the requests of ``messages``, cut to ``budget`` as a session does it."""
    counter, first_kept, requests = counter_for(MODEL), 0, []
    builder = GroupBuilder()
    system = [json.dumps(SYSTEM).encode()]
    for record in records_of(messages):
        if record.type == "assistant":
            context = build_context(
                builder.groups, counter=counter, budget=budget, system=system, first_kept=first_kept
            )
            first_kept = context.rotation.first_kept if context.rotation else first_kept
            groups = [(str(group.seq), group.tokens(counter)) for group in context.groups]
            requests.append([("system", counter.message(SYSTEM)), *groups])
        builder.feed(record)
    return requests


async def _session(messages: Chat, window: int, kind: str) -> list[_Sent]:
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

    turn = 0
    reminder = (lambda ctx: _dynamic(turn)) if kind == "dynamic text" else ""
    agents = [
        Agent(name, SYSTEM["content"] + more, tools=[look_up], reminder=reminder)
        for name, more in (("desk", ""), ("night", _NIGHT))
    ]
    swarm = Swarm("archive", agents, default="desk")
    answers = [message for message in messages if message["role"] == "assistant"]
    async with _server(answers) as (address, received):
        model = OpenAIModel(MODEL, base_url=address, context_window=window)
        settings = SessionSettings(reserve=_reserve(window))
        backend = open_backend("memory:")
        async with await Session.open(backend, model, client=CLIENT, swarm=swarm, settings=settings) as session:
            for message in messages:
                if message["role"] == "user":
                    turn += 1
                    if kind == "handoffs" and turn % _HANDOFF == 0:
                        await session.go_to(agents[turn // _HANDOFF % 2].name)
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


async def _trimmed(function: str, messages: Chat, window: int) -> list[list[int]]:
    """Return the places of the messages that a trimmer leaves of ``messages`` before each answer."""
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    spec = {"length": len(messages), "seed": 1}
    room = window - _reserve(window) - counter_for(MODEL).message({"role": "system", "content": _dynamic(1)})
    chats = [{"chat": spec, "until": place, "window": room} for place in answers]
    async with worker(f"benchmarks.trimmers:{function}", chats=chats, counted=True) as running:
        [results] = await running.run()
    return [result["places"] for result in results]


def _sent_by_peer(messages: Chat, places: list[list[int]], kind: str) -> list[_Sent]:
    """Return the requests with the messages at ``places``, the system message first."""
    counter = counter_for(MODEL)
    tokens = [counter.message(message) for message in messages]
    answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    requests = []
    for place, kept in zip(answers, places, strict=True):
        turn = sum(message["role"] == "user" for message in messages[:place])
        system = {"plain": "", "dynamic text": _dynamic(turn), "handoffs": str(turn // _HANDOFF % 2)}[kind]
        more = counter.text(system) if kind == "dynamic text" else 0
        requests.append([(f"system {system}", tokens[0] + more), *((str(each), tokens[each]) for each in kept[1:])])
    return requests


def _dynamic(turn: int) -> str:
    """Return text that is another one in each turn."""
    return f"It is minute {turn} of the day. {turn * 7} visitors are in the reading room, {turn % 5} at the desk."


def _repeated(requests: Sequence[_Sent]) -> _Repeated:
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
    return _Repeated(sent, repeated, price)

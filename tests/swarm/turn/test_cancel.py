"""A cancel at every await: what was said is kept, what was done is told, and the session goes on, here and elsewhere.

``Cancelling`` cancels a task where it waits for the n-th time. Each scenario is run for n = 1, 2, … until a run ends by
itself, so that no place is left out at which Ctrl-C can strike.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from chat_rules import check_messages
from chats import Faulty, copy_into, open_session, sent
from model_server import ModelServer, Reply, SeenRequest, failure, server_fixture, text, tool_calls
from swarmchat.backends import Backend, BackendUnavailable, Lease, Write, open_backend
from swarmchat.backends.memory import MemoryBackend
from swarmchat.swarm import Agent, Context, Policy, State, Swarm, tool
from swarmchat.swarm.archive.sessions import fork_session
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.conversation.events import Event, TextDelta, ToolFinished
from swarmchat.swarm.models.base import Answer, ModelRequest, Retry, ToolCall
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import hidden_turns
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.session_index import list_sessions
from swarmchat.swarm.session.session import Session

server = server_fixture


@dataclass(frozen=True)
class Cut:
    """When a task is cancelled: where it waits for the ``at``-th time."""

    at: int
    late: bool = False
    """Whether only when what it waits for is there already, so that nobody takes it."""
    again: bool = False
    """Whether wherever it waits from then on, too, as by somebody who hammers on Ctrl-C."""


KINDS = {"early": Cut(0), "late": Cut(0, late=True), "again": Cut(0, again=True)}
kinds = pytest.mark.parametrize("kind", KINDS)


class Cancelling(Coroutine[Any, Any, Any]):
    """``work``, whose task is cancelled as ``cut`` says."""

    def __init__(self, work: Coroutine[Any, Any, Any], cut: Cut) -> None:
        self._work = work
        self._cut = cut
        self._waits = 0
        self.struck = False
        """Whether it was cancelled."""

    def send(self, value: Any) -> Any:
        return self._waiting(self._work.send(value))

    def throw(self, *error: Any) -> Any:
        return self._waiting(self._work.throw(*error))

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()

    def _waiting(self, awaited: Any) -> Any:
        self._waits += 1
        if self._waits == self._cut.at or (self._cut.again and self._waits > self._cut.at):
            self.struck = True
            task = asyncio.current_task()
            assert task is not None
            if self._cut.late and awaited is not None:
                # Before the task itself: it is woken, and finds itself cancelled.
                awaited.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        return awaited


async def cancelled(work: Coroutine[Any, Any, Any], cut: Cut) -> bool:
    """Run ``work``; return whether it was cancelled."""
    running = Cancelling(work, cut)
    with suppress(asyncio.CancelledError):
        await asyncio.create_task(running)
    return running.struck


def at_every_await(kind: str, scenario: Callable[[Cut], Awaitable[bool]], every: int = 1) -> int:
    """Run ``scenario`` with a cancel at each ``every``-th place until it says that nothing was cancelled.

    Returns how many runs were cancelled.
    """

    async def run() -> int:
        for times, at in enumerate(itertools.count(1, every)):
            if not await scenario(replace(KINDS[kind], at=at)):
                return times
        raise AssertionError

    return asyncio.run(run())


class Waiting(Faulty):
    """A backend that waits before and after everything, so that it can be cancelled before it is done and after."""

    fail_at = 0
    """Which commit fails, counted from the first."""

    async def get(self, key: str) -> bytes | None:
        return await _between(super().get(key))

    async def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        return await _between(super().get_many(keys))

    async def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        async for each in self.inner.scan(prefix):
            await asyncio.sleep(0)
            yield each

    async def length(self, key: str) -> int:
        return await _between(super().length(key))

    async def slice(self, key: str, start: int, stop: int | None = None) -> list[bytes]:
        return await _between(super().slice(key, start, stop))

    async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
        if self.commits + 1 == self.fail_at:
            self.fail = 1
        return await _between(super().commit(*writes, lease=lease))

    async def acquire(self, key: str, owner: bytes, ttl: float, *, replacing: bytes | None = None) -> Lease | None:
        return await _between(super().acquire(key, owner, ttl, replacing=replacing))

    async def release(self, lease: Lease) -> None:
        return await _between(super().release(lease))


async def _between(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        await asyncio.sleep(0)
    except BaseException:
        work.close()
        raise
    done = await work
    await asyncio.sleep(0)
    return done


class Speaking(ScriptedModel):
    """A scripted model that takes its time."""

    async def stream(self, request: ModelRequest) -> Any:
        async with aclosing(super().stream(request)) as events:
            async for event in events:
                await asyncio.sleep(0)
                yield event


@dataclass
class Order:
    count: int = 0


@tool
async def fill(ctx: Context) -> str:
    """Fill in the order."""
    await asyncio.sleep(0)
    order = await ctx.state("order").update(lambda order: Order(order.count + 1))
    await asyncio.sleep(0)
    return f"{order.count} filled"


@tool
def weigh() -> str:
    """Weigh it."""
    return "3 kg"


async def about_politics(text: str) -> bool:
    await asyncio.sleep(0)
    return "election" in text


TOOLS = [fill, weigh]
AGENTS = [Agent("desk", "You are a desk.", tools=TOOLS, handoffs=["till"]), Agent("till", "You are a till.")]
IN, OUT = Policy("in", reject_input=about_politics), Policy("out", reject_output=about_politics)
STATES = [State("order", default=Order)]
SWARM = Swarm("shop", AGENTS, states=STATES, policies=[IN])
HOLDING = Swarm("shop", AGENTS, states=STATES, policies=[IN, OUT])
"""The same, whose answers are shown when they are whole."""

WINDOW = {"context_window": 700, "reserve": 60}
LONG = "a question of many words " * 40
ASKED = "fill in and weigh"
SAID = "Let me fill in and weigh it."
TURN: list[Any] = [
    "",
    [
        Retry(2, 0.1, "the server is busy"),
        *("Let me ", "fill in ", "and weigh it."),
        Answer(SAID, (ToolCall("c1", "fill", "{}"), ToolCall("c2", "weigh", "{}")), "tool_calls"),
    ],
    Answer("", (ToolCall("c3", "transfer_to_till", "{}"),), "tool_calls"),
    "It is filled in and weighs 3 kg.<|im_end|>",
]
"""An answer that is asked for again; a new attempt, words and two calls; a handoff; an answer that is put right."""


async def stored(backend: Backend, session: str = "s") -> list[Record]:
    return [parse_record(line) for line in await backend.slice(keys.session_log("ann", session), 0)]


async def begun(backend: Backend, swarm: Swarm = SWARM, name: str = "s") -> Session:
    """Open a session in which so much was said that the next request leaves something out."""
    inner = backend.inner if isinstance(backend, Waiting) else backend
    model = ScriptedModel(["one", "two", "three"])
    if isinstance(inner, MemoryBackend):
        copy_into(inner, await said(swarm))
        return await open_session(backend, model, name, swarm, **WINDOW)
    session = await open_session(backend, model, name, swarm, **WINDOW)
    await say_much(session)
    return session


async def say_much(session: Session) -> None:
    for number in range(3):
        async for _ in session.run_turn(f"{number} {LONG}"):
            pass


SAID_MUCH: dict[str, MemoryBackend] = {}


async def said(swarm: Swarm) -> MemoryBackend:
    """Return a store with such a session: it is the same each time, and takes longer than what is looked at."""
    key = str([policy.name for policy in swarm.policies])
    if key not in SAID_MUCH:
        SAID_MUCH[key] = MemoryBackend()
        async with await open_session(
            SAID_MUCH[key], ScriptedModel(["one", "two", "three"]), "s", swarm, **WINDOW
        ) as s:
            await say_much(s)
    return SAID_MUCH[key]


async def listen(session: Session, message: str, heard: list[Event]) -> None:
    async with aclosing(session.run_turn(message)) as events:
        async for event in events:
            heard.append(event)  # noqa: PERF401 - what was heard until a cancel counts


async def seen(session: Session) -> tuple[Any, ...]:
    """Return how things stand for the next turn: who goes on, what is sent, and what the session is called."""
    await session.conversation.ready()
    context = await session.context()
    return session.agent.name, session.navigation, context.messages, session.last_turn, session.info.name


async def check(backend: Backend, session: Session, swarm: Swarm, question: str = "and now?") -> None:
    """What is stored makes sense, the session goes on, and whoever opens it sees what it sees."""
    records = await stored(backend, session.info.id)
    assert [record.seq for record in records] == list(range(len(records)))
    hidden = hidden_turns(records)
    tools = [record.data for record in records if record.type == "tool" and record.turn not in hidden]
    order = await session.primitives.state("order").get()
    assert order.count == sum(data["name"] == "fill" and data["status"] == "ok" for data in tools)
    before = await seen(session)
    await session.close()
    model = ScriptedModel(["after"])
    async with await open_session(backend, model, session.info.id, swarm, **WINDOW) as again:
        assert not again.damaged
        assert await seen(again) == before
        await listen(again, question, [])
    assert check_messages(sent(model)) is None
    assert sent(model)[-1] == {"role": "user", "content": question}


def check_turn(records: list[Record], turns: int, heard: list[Event], session: Session) -> None:
    """What the user has seen of a turn is in its records, and so is the question, or nothing is."""
    turn = [record for record in records if record.turn > turns]
    asked = [record for record in turn if record.type == "user"]
    if not any(record.type == "unsent" for record in turn):
        assert len(asked) == (session.turns > turns)
    answers = "".join(str(record.message["content"] or "") for record in turn if record.type == "assistant")
    assert answers.startswith("".join(event.text for event in heard if isinstance(event, TextDelta)))
    results = {record.data["name"]: record.data["status"] for record in turn if record.type == "tool"}
    for event in heard:
        if isinstance(event, ToolFinished):
            assert results[event.name] == event.status


@kinds
@pytest.mark.parametrize("held_back", [False, True])
def test_a_turn(kind: str, held_back: bool) -> None:
    whole: set[str] = set()

    async def scenario(cut: Cut) -> bool:
        was_cancelled, types = await turn(Waiting(open_backend("memory:")), cut, HOLDING if held_back else SWARM)
        whole.update(() if was_cancelled else types)
        return was_cancelled

    assert at_every_await(kind, scenario) > 30
    assert whole == {"user", "rotate", "request", "rescue", "assistant", "tool", "state", "handoff"}


@pytest.mark.parametrize("store", ["disk", "redis"])
@kinds
def test_a_turn_on_other_stores(kind: str, store: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"disk:{tmp_path}" if store == "disk" else request.getfixturevalue("redis_url")

    async def scenario(cut: Cut) -> bool:
        backend = open_backend(url)
        was_cancelled, _ = await turn(backend, cut, SWARM, f"s{cut.at}")
        await backend.close()
        return was_cancelled

    assert at_every_await(kind, scenario, every=5) > 3


async def turn(backend: Backend, cut: Cut, swarm: Swarm, name: str = "s") -> tuple[bool, list[str]]:
    """Have a turn that is cancelled; return whether it was, and the types of its records."""
    session = await begun(backend, swarm, name)
    session.model = Speaking(TURN)
    heard: list[Event] = []
    was_cancelled = await cancelled(listen(session, ASKED, heard), cut)
    records = await stored(backend, name)
    check_turn(records, 3, heard, session)
    await check(backend, session, swarm)
    return was_cancelled, [record.type for record in records if record.turn == 4]


def test_leaving_a_turn_at_every_event() -> None:
    async def scenario(cut: Cut) -> bool:
        backend = open_backend("memory:")
        session = await begun(backend)
        session.model = Speaking(TURN)
        heard: list[Event] = []
        async with aclosing(session.run_turn(ASKED)) as events:
            async for event in events:
                heard.append(event)
                if len(heard) == cut.at:
                    break
        check_turn(await stored(backend), 3, heard, session)
        await check(backend, session, SWARM)
        return len(heard) == cut.at

    assert at_every_await("early", scenario) > 15


@kinds
@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize("doubtful", ["turn", "go_to"])
def test_a_turn_after_a_handoff_of_which_nobody_knows_whether_it_was_stored(
    kind: str, lands: bool, doubtful: str
) -> None:
    async def scenario(cut: Cut) -> bool:
        backend = Waiting(open_backend("memory:"))
        session = await begun(backend)
        session.model = Speaking([*TURN[:3], "fine"] if doubtful == "turn" else ["fine"])
        # Who stores it is told that the store is away, whether or not it was stored.
        backend.fail_at, backend.lands = backend.commits + (6 if doubtful == "turn" else 1), lands
        with pytest.raises(BackendUnavailable):
            await (listen(session, ASKED, []) if doubtful == "turn" else session.go_to("till"))
        assert session.conversation.journal.in_doubt
        was_cancelled = await cancelled(listen(session, "still there?", []), cut)
        await check(backend, session, SWARM)
        return was_cancelled

    assert at_every_await(kind, scenario) > 5


async def fork(session: Session) -> None:
    forked = await fork_session(session.backend, session.info, "forked", session.conversation.journal.now())
    await SessionWriter(session.backend, "ann").store(forked, name="forked")


OPERATIONS: dict[str, Callable[[Session], Coroutine[Any, Any, Any]]] = {
    "undo": lambda session: session.undo(2),
    "redo": lambda session: session.redo(2),
    "go_to": lambda session: session.go_to("desk"),
    "go_back": lambda session: session.go_back(),
    "reset": lambda session: session.reset(),
    "compact": lambda session: session.compact("numbers"),
    "pin": lambda session: session.pin(3),
    "unpin": lambda session: session.unpin(1),
    "rename": lambda session: session.rename("renamed"),
    "set": lambda session: session.change_settings(replace(session.settings, placeholder="Sorry.")),
    "fork": fork,
    "close": lambda session: session.close(),
}
PREPARED: dict[str, Callable[[Session], Coroutine[Any, Any, Any]]] = {
    "redo": lambda session: session.undo(2),
    "unpin": lambda session: session.pin(1),
}


@kinds
@pytest.mark.parametrize("operation", OPERATIONS)
def test_between_turns(kind: str, operation: str) -> None:
    lengths = set()

    async def scenario(cut: Cut) -> bool:
        backend = Waiting(open_backend("memory:"))
        session = await begun(backend)
        session.model = Speaking([*TURN, "In short."])
        await listen(session, ASKED, [])
        await PREPARED.get(operation, Session.context)(session)
        before, records = await seen(session), await stored(backend)
        was_cancelled = await cancelled(OPERATIONS[operation](session), cut)
        after = await stored(backend)
        lengths.add(len(after) - len(records))
        if len(after) == len(records):
            assert await seen(session) == before
        await check(backend, session, SWARM)
        if operation == "fork":
            await check_fork(backend)
        return was_cancelled

    assert at_every_await(kind, scenario) > 0
    # All of it or nothing.
    assert len(lengths) <= 2


async def check_fork(backend: Backend) -> None:
    """There is a whole copy or none, and it can be made once more."""
    listed = [info.name for info in await list_sessions(backend, "ann")]
    if "forked" not in listed:
        async with await open_session(backend, ScriptedModel([]), swarm=SWARM, **WINDOW) as session:
            await fork(session)
    model = ScriptedModel(["after"])
    async with await open_session(backend, model, "forked", SWARM, **WINDOW) as session:
        await listen(session, "and here?", [])
    assert check_messages(sent(model)) is None


@kinds
@pytest.mark.parametrize("name", ["s", "new"])
def test_opening(kind: str, name: str) -> None:
    async def scenario(cut: Cut) -> bool:
        backend = Waiting(open_backend("memory:"))
        await (await begun(backend)).close()
        opened: list[Session] = []

        async def opening() -> None:
            opened.append(await open_session(backend, ScriptedModel([]), name, SWARM, **WINDOW))

        was_cancelled = await cancelled(opening(), cut)
        for session in opened:
            await session.close()
        # It is nobody's: whoever comes now is not told that it is open elsewhere.
        async with await open_session(backend, ScriptedModel(["fine"]), name, SWARM, **WINDOW) as session:
            await listen(session, "hello", [])
        return was_cancelled

    assert at_every_await(kind, scenario) > 5


@kinds
def test_a_turn_over_the_network_that_is_tried_again(kind: str, server: ModelServer) -> None:
    seen_before: set[str] = set()

    def answer(request: SeenRequest) -> Reply:
        last = request.body["messages"][-1]
        if last["role"] == "tool":
            return text("It is ", "filled in.")
        if last["content"] not in seen_before:
            seen_before.add(last["content"])
            return failure(429, headers={"Retry-After": "0"})
        return tool_calls([{"index": 0, "id": "c1", "function": {"name": "fill", "arguments": "{}"}}])

    server.reply(*[answer] * 500)

    async def scenario(cut: Cut) -> bool:
        backend = open_backend("memory:")
        session = await begun(backend)
        session.model = model = OpenAIModel("gpt-4o", base_url=server.base_url, api_key="sk-test")
        heard: list[Event] = []
        was_cancelled = await cancelled(listen(session, f"{cut.at}: {ASKED}", heard), cut)
        await model.close()
        check_turn(await stored(backend), 3, heard, session)
        await check(backend, session, SWARM)
        return was_cancelled

    assert at_every_await(kind, scenario, every=3) > 5

"""The store is not what this process left: records are gone, or another process went on."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_rules import check_messages
from chats import Faulty, open_session, say, sent, text_of
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.backends import Backend, BackendUnavailable, Delete, Lease, Put, Truncate, Write, open_backend
from swarmchat.backends.testing.tools import gone, until
from swarmchat.swarm import Agent, BadRecord, Context, Session, State, Swarm, delete_session, list_sessions, tool
from swarmchat.swarm.archive.sessions import clear_states
from swarmchat.swarm.conversation.events import Event, Warned
from swarmchat.swarm.conversation.restore import keep_as_new
from swarmchat.swarm.errors import LimitReached, LogLost, OverBudget, PinError, SessionBusy
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.primitives.navigation import Navigation

LOG = keys.session_log("ann", "s")


@tool
async def order(ctx: Context, item: str) -> str:
    """Note an order."""
    return ", ".join(await ctx.state("order").update(lambda items: [*items, item]))


SWARM = Swarm(
    "shop",
    [Agent("desk", "You are a desk.", tools=[order], handoffs=["till"]), Agent("till", "You are a till.")],
    states=[State("order", default=list)],
)
TURNS: list[Any] = [
    Answer("", (ToolCall("c1", "order", '{"item":"tea"}'),), "tool_calls"),
    "Tea is noted.",
    Answer("", (ToolCall("c2", "transfer_to_till", "{}"),), "tool_calls"),
    "That is 3.50.",
    "Goodbye.",
    "Really.",
]


async def records_of(backend: Backend) -> list[Record]:
    return [parse_record(line) for line in await backend.slice(LOG, 0)]


async def flush(backend: Backend) -> None:
    """Remove everything, as FLUSHALL does or a lifetime that runs out."""
    values = [Delete(key) async for key, _ in backend.scan("")]
    await backend.commit(*values, Delete(LOG))


async def is_missing(backend: Backend, key: str) -> bool:
    return await backend.length(key) == 0


def warnings(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Warned)]


async def begin(backend: Backend, model: ScriptedModel) -> Session:
    session = await open_session(backend, model, swarm=SWARM)
    await say(session, "a tea")
    await say(session, "pay")
    return session


async def check_restored(backend: Backend, session: Session) -> None:
    """The log is whole, and whoever opens it finds agent, stack and states."""
    records = await records_of(backend)
    assert [record.seq for record in records] == list(range(len(records)))
    assert [record.message["content"] for record in records if record.type == "user"] == ["a tea", "pay", "bye"]
    await session.close()
    model = ScriptedModel(["again"])
    async with await open_session(backend, model, swarm=SWARM) as again:
        assert again.agent.name == "till"
        assert again.navigation.stack == ("desk",)
        assert await again.primitives.state("order").get() == ["tea"]
        await say(again, "hello")
        assert check_messages(sent(model)) is None


def test_a_store_that_was_emptied_gets_everything_again(backend_url: str) -> None:
    async def scenario() -> None:
        backend = open_backend(backend_url)
        session = await begin(backend, ScriptedModel(TURNS))
        await flush(backend)
        events = await say(session, "bye")
        assert text_of(events) == "Goodbye."
        (warning,) = warnings(events)
        assert "stored again" in warning
        await check_restored(backend, session)
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("lost", [1, 3, 6])
def test_the_last_commits_are_stored_again(backend_url: str, lost: int) -> None:
    """A failover, or a server that syncs every second, forgets the end of the log and the values beside it."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        session = await begin(backend, ScriptedModel(TURNS))
        length = await backend.length(LOG)
        stale = Put(keys.session_swarm("ann", "s"), b'{"active":"desk","stack":[]}')
        await backend.commit(Truncate(LOG, length - lost), *([stale] if lost > 5 else []))
        (warning,) = warnings(await say(session, "bye"))
        assert f"{lost} records" in warning
        await check_restored(backend, session)
        await backend.close()

    asyncio.run(scenario())


def test_records_not_in_memory_are_reported_as_gone(backend_url: str) -> None:
    """A long session holds the end of its log only: that is stored, with numbers that fit, and the user is told."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        model = ScriptedModel([f"answer {number}" for number in range(70)])
        session = await open_session(backend, model, context_window=700, reserve=60)
        for number in range(60):
            await say(session, f"{number} {'word ' * 40}")
        await flush(backend)
        with pytest.raises(LogLost, match=r"are stored again.*are lost"):
            await say(session, "bye")
        await say(session, "bye")
        records = await records_of(backend)
        assert [record.seq for record in records] == list(range(len(records)))
        assert records[0].type == "session"
        questions = [record.message["content"].split()[0] for record in records if record.type == "user"]
        assert questions[-2:] == ["59", "bye"]
        assert check_messages(sent(model)) is None
        before = sent(model)
        await session.close()
        async with await open_session(backend, ScriptedModel(["x"]), context_window=700, reserve=60) as again:
            context = await again.context()
            assert len(context.messages) == len(before) + 1
        await backend.close()

    asyncio.run(scenario())


def test_nothing_is_written_behind_another_process(backend_url: str) -> None:
    """A process that wakes after its lease has run out, and after another one has come and gone, writes nothing."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        session = await begin(backend, ScriptedModel(TURNS))
        lease: Lease | None = session.conversation.journal._lease.lease
        assert lease is not None
        await backend.release(lease)
        async with await open_session(backend, ScriptedModel(["from elsewhere"]), swarm=SWARM) as other:
            await say(other, "hello")
        before = await backend.slice(LOG, 0)
        for _ in range(3):
            with pytest.raises(SessionBusy, match="continued by another process"):
                await say(session, "bye")
        with pytest.raises(SessionBusy):
            await session.undo()
        await session.close()
        assert await backend.slice(LOG, 0) == before
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("kept", [0, 3])
def test_nothing_is_mixed_into_what_another_process_has_written_after_a_loss(
    backend_url: str, turns: int, kept: int
) -> None:
    """The log may then be shorter than this process knows it, as long, or longer: it is another one in any case."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        async with await open_session(backend, ScriptedModel(["a", "b"]), name="s") as session:
            await say(session, "first")
            await say(session, "second")
            assert session.conversation.journal._lease.lease is not None
            await backend.release(session.conversation.journal._lease.lease)
            if kept:
                await backend.commit(Truncate(LOG, kept))
            else:
                await flush(backend)
            async with await open_session(backend, ScriptedModel(["x", "y", "z"]), name="s") as other:
                for _ in range(turns):
                    await say(other, "from elsewhere")
            before = await backend.slice(LOG, 0)
            for _ in range(2):
                with pytest.raises(SessionBusy, match="continued by another process"):
                    await say(session, "third")
            assert await backend.slice(LOG, 0) == before
        assert await backend.slice(LOG, 0) == before
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and made anew"])
def test_a_session_that_was_deleted_does_not_come_back(backend_url: str, again: bool) -> None:
    """A process wakes after its lease has run out and its session was deleted; what it has becomes a new session."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        session = await begin(backend, ScriptedModel(TURNS))
        assert session.conversation.journal._lease.lease is not None
        await backend.release(session.conversation.journal._lease.lease)
        await delete_session(backend, session.info)
        if again:
            async with await open_session(backend, ScriptedModel(["of another one"]), swarm=SWARM) as other:
                await say(other, "hello")
        before = await backend.slice(LOG, 0)
        for _ in range(2):
            with pytest.raises(SessionBusy, match="deleted by another process"):
                await say(session, "bye")
        of = session.conversation
        info, lacking = await keep_as_new(of.journal, of.blobs, session.settings.lifetimes, of.navigation)
        await session.close()
        assert (info.name, lacking) == ("s-2", "")
        assert await backend.slice(LOG, 0) == before
        model = ScriptedModel(["Goodbye."])
        async with await open_session(backend, model, swarm=SWARM, name="s-2") as kept:
            await say(kept, "bye")
            assert (kept.agent.name, kept.turns) == ("till", 3)
            assert await kept.primitives.state("order").get() == ["tea"]
        assert check_messages(sent(model)) is None
        assert {info.name for info in await list_sessions(backend, "ann")} == {"s-2", *(["s"] if again else [])}
        await backend.close()

    asyncio.run(scenario())


def test_an_answer_that_another_process_kept_from_being_stored_is_not_dropped_silently(backend_url: str) -> None:
    """It arrives after another process has continued the session: the error counts it, at the turn and at the end."""

    class Overtaken(ScriptedModel):
        async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
            lease = session.conversation.journal._lease.lease
            assert lease is not None
            await backend.release(lease)
            async with await open_session(backend, ScriptedModel(["from elsewhere"]), swarm=SWARM) as other:
                await say(other, "hello")
            async for event in super().stream(request):
                yield event

    async def scenario() -> None:
        nonlocal backend, session
        backend = open_backend(backend_url)
        session = await begin(backend, ScriptedModel(TURNS))
        session.model = Overtaken(["an answer"])
        with pytest.raises(
            SessionBusy, match=r"continued by another process.*the last answer is not stored \(1 record\)"
        ):
            await say(session, "bye")
        assert [record.message["content"] for record in session.unsaved] == ["an answer"]
        before = await backend.slice(LOG, 0)
        with pytest.raises(SessionBusy, match="is not stored"):
            await session.close()
        assert await backend.slice(LOG, 0) == before
        await backend.close()

    backend: Backend
    session: Session
    asyncio.run(scenario())


def test_a_held_answer_survives_a_log_that_cannot_be_restored_at_once() -> None:
    """An answer waits for the next commit; the store loses everything, and fails once more while that is repaired."""

    class FailsLater(Faulty):
        fail_at = 0

        async def commit(self, *writes: Write, lease: Lease | None = None) -> None:
            self.fail = int(self.commits + 1 == self.fail_at)
            await super().commit(*writes, lease=lease)

    async def scenario() -> None:
        backend = FailsLater(open_backend("memory:"))
        model = ScriptedModel([f"answer {number}" for number in range(70)])
        session = await open_session(backend, model, context_window=700, reserve=60)
        for number in range(40):
            await say(session, f"{number} {'word ' * 40}")
        # The second commit of a turn stores the answer.
        backend.fail_at = backend.commits + 2
        with pytest.raises(BackendUnavailable):
            await say(session, "held")
        await flush(backend.inner)
        # The lease is lost, the log is too short, and the third commit would repair it.
        backend.fail_at = backend.commits + 3
        with pytest.raises(BackendUnavailable):
            await say(session, "bye")
        with pytest.raises(LogLost, match="are lost"):
            await say(session, "bye")
        await say(session, "bye")
        records = await records_of(backend.inner)
        assert [record.seq for record in records] == list(range(len(records)))
        answers = [record.message["content"] for record in records if record.type == "assistant"]
        assert answers[-2:] == ["answer 40", "answer 41"]
        await session.close()

    asyncio.run(scenario())


def test_an_open_session_does_not_run_out(tmp_path: Path) -> None:
    """What belongs to a session lives as long as it is open, whatever its lifetime."""

    async def scenario() -> None:
        backend = open_backend(f"disk:{tmp_path}")
        session = await open_session(
            backend, ScriptedModel(TURNS), swarm=SWARM, lifetimes=Lifetimes(session=0.6), lease=30
        )
        await say(session, "a tea")
        await backend.commit(Put("witness", b"", 2.0))
        await until(lambda: gone(backend, "witness"))
        assert await backend.length(LOG) > 0
        assert warnings(await say(session, "pay")) == []
        await session.close()
        await until(lambda: is_missing(backend, LOG))
        await backend.close()

    asyncio.run(scenario())


class Improvised:
    """A model that calls tools, hands over or answers, as ``rng`` decides."""

    name = "gpt-4o"
    context_window = 900

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.requests: list[ModelRequest] = []

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        self.requests.append(request)
        number = len(self.requests)
        kind = self._rng.random()
        if kind < 0.25:
            yield Answer("", (ToolCall(f"c{number}", "order", f'{{"item":"{number}"}}'),), "tool_calls")
        elif kind < 0.35:
            yield Answer("", (ToolCall(f"c{number}", "transfer_to_till", "{}"),), "tool_calls")
        else:
            yield Answer(f"answer {number} {'word ' * self._rng.randrange(1, 30)}")

    async def close(self) -> None:
        pass


async def lose_something(backend: Backend, rng: random.Random) -> None:
    length = await backend.length(LOG)
    if rng.random() < 0.5:
        await flush(backend)
    else:
        await backend.commit(Truncate(LOG, rng.randrange(length + 1)))


async def do_something(session: Session, rng: random.Random) -> None:
    kind = rng.random()
    with suppress(LogLost, OverBudget, LimitReached, PinError):
        if kind < 0.7:
            await say(session, "question " * rng.randrange(1, 40))
        elif kind < 0.8:
            await session.undo(rng.randrange(1, 3))
        elif kind < 0.85:
            await session.redo()
        elif kind < 0.9:
            await session.go_to(rng.choice(["desk", "till"]))
        elif kind < 0.95:
            await session.reset()
        else:
            await session.pin(session.last_turn)


@given(st.randoms(use_true_random=False))
def test_whatever_is_lost_the_log_is_sound_and_the_next_process_sees_the_same(rng: random.Random) -> None:
    async def scenario() -> None:
        backend, model = open_backend("memory:"), Improvised(rng)
        window = {"context_window": 900, "reserve": 60, "max_requests": 4}
        session = await open_session(backend, model, swarm=SWARM, **window)
        for _ in range(rng.randrange(3, 25)):
            if rng.random() < 0.25:
                await lose_something(backend, rng)
            await do_something(session, rng)
        # A loss that was not noticed yet would be noticed by the next process instead.
        for _ in range(2):
            with suppress(LogLost, OverBudget, LimitReached):
                await say(session, "last")
        records = await records_of(backend)
        assert [record.seq for record in records] == list(range(len(records)))
        assert check_messages([json.loads(message) for message in model.requests[-1].messages]) is None
        navigation, context = session.navigation, await session.context()
        await session.close()
        async with await open_session(backend, model, swarm=SWARM, **window) as again:
            assert again.navigation == navigation
            assert (await again.context()).messages == context.messages

    asyncio.run(scenario())


def test_a_session_whose_log_was_evicted_does_not_open_empty():
    async def scenario():
        backend = open_backend("memory:")
        async with Session.open(backend, ScriptedModel(["one"]), client="ann", name="box") as session:
            await session.ask("hi")
            log = keys.session_log("ann", session.info.id)
        await backend.commit(Delete(log))
        with pytest.raises(BadRecord, match=r"the log of session 'box' is gone"):
            await Session.open(backend, ScriptedModel([]), client="ann", name="box")
        # The lease is free: it can be deleted.
        await delete_session(backend, (await list_sessions(backend, "ann"))[0])
        assert await list_sessions(backend, "ann") == []

    asyncio.run(scenario())


def test_an_agent_that_was_evicted_is_found_in_the_log(backend_url: str) -> None:
    """So is the entry in the list."""

    async def scenario() -> None:
        backend = open_backend(backend_url)
        await (await begin(backend, ScriptedModel(TURNS))).close()
        (before,) = await list_sessions(backend, "ann")
        await backend.commit(Delete(keys.session_swarm("ann", "s")), Delete(keys.session_index("ann", "s")))
        async with await open_session(backend, ScriptedModel(["again", "more"]), swarm=SWARM) as session:
            assert (session.turns, session.info.title, session.info.states) == (before.turns, before.title, ["order"])
            assert session.navigation == Navigation("till", ("desk",))
            assert warnings(await say(session, "hello")) == [
                "the store had lost the active agent: it is till, as the log says"
            ]
        async with await open_session(backend, ScriptedModel(["more"]), swarm=SWARM) as session:
            assert session.agent.name == "till"
            assert warnings(await say(session, "hello")) == []
        await backend.close()

    asyncio.run(scenario())


def test_a_state_that_was_evicted_is_stored_again(backend_url: str) -> None:
    async def scenario() -> None:
        backend = open_backend(backend_url)
        await (await begin(backend, ScriptedModel(TURNS))).close()
        async with await open_session(backend, ScriptedModel([]), swarm=SWARM) as session:
            before = {state.name: await session.primitives.state(state).get() for state in SWARM.states}
        (info,) = await list_sessions(backend, "ann")
        assert info.states
        await backend.commit(*(Delete(keys.session_state("ann", "s", name)) for name in info.states))
        async with await open_session(backend, ScriptedModel(["more"]), swarm=SWARM) as session:
            assert {state.name: await session.primitives.state(state).get() for state in SWARM.states} == before
            assert warnings(await say(session, "hello")) == [
                f"the store had lost the state {name}: it is stored again, as the log says" for name in info.states
            ]
        await clear_states(backend, info, info.states, datetime.now(UTC))
        async with await open_session(backend, ScriptedModel(["more"]), swarm=SWARM) as session:
            assert warnings(await say(session, "hello")) == []
            for state in SWARM.states:
                assert await session.primitives.state(state).get() == state.initial()
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("change", [{"turns": "many"}, {"states": {"a": 1}}, {"title": None}, {"resume_with": "x"}])
def test_an_entry_with_values_of_another_type_is_in_no_list(change: dict[str, object]) -> None:
    async def scenario() -> None:
        backend = open_backend("memory:")
        async with Session.open(backend, ScriptedModel(["one"]), client="ann", name="box") as session:
            await session.ask("hi")
        entry = json.loads(await backend.get(keys.session_index("ann", "box")) or b"")
        await backend.commit(Put(keys.session_index("ann", "box"), json.dumps({**entry, **change}).encode()))
        assert await list_sessions(backend, "ann") == []

    asyncio.run(scenario())

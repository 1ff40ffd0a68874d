"""Undo and redo: by turn, with agent, way back and states as they were, and nothing is lost."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
from chat_rules import check_messages
from chats import Faulty, open_session, say
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.backends import BackendUnavailable, open_backend
from swarmchat.swarm import Agent, Context, Policy, State, Swarm, tool
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.export import as_messages
from swarmchat.swarm.archive.log_summary import LogSummary
from swarmchat.swarm.archive.sessions import fork_session, rename_session
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.errors import ModelUnavailable
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import find_session
from swarmchat.swarm.primitives.navigation import Navigation

NOW = datetime(2026, 5, 6, 7, 8, 9, tzinfo=UTC)


@tool
async def note(ctx: Context, what: str) -> str:
    """Note something."""
    await ctx.memory.set("last", what)
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes, what]))


@tool
async def forget(ctx: Context) -> str:
    """Forget the notes."""
    await ctx.state("notes").clear()
    return "forgotten"


SWARM = Swarm(
    "desk",
    [
        Agent("a", "You are a.", tools=[note, forget], handoffs=["b", "c"]),
        Agent("b", "You are b.", tools=[note, forget], handoffs=["a", "c"]),
        Agent("c", "You are c.", tools=[note, forget]),
    ],
    states=[State("notes", default=list), State("never", default=str)],
    policies=[Policy("polite", reject_input=["damn"])],
)


def follow(request):
    """Answer as the question says: ``note X``, ``forget``, ``go X`` (a handoff), ``fail``, or anything else."""
    messages = [json.loads(message) for message in request.messages]
    asked = max(index for index, message in enumerate(messages) if message["role"] == "user")
    verb, _, what = messages[asked]["content"].partition(" ")
    offered = {definition["function"]["name"] for definition in request.tools}
    name = f"transfer_to_{what}" if verb == "go" else verb
    if verb == "fail":
        return ["Half of it", ModelUnavailable("gone")]
    if len(messages) == asked + 1 and name in offered:
        arguments = {"what": what} if verb == "note" else {}
        return Answer("", (ToolCall("call_1", name, json.dumps(arguments)),), "tool_calls")
    return f"You said {messages[asked]['content']}"


def model():
    return ScriptedModel([follow] * 1000, name="gpt-4o")


async def opened(backend, name="s", **options):
    return await open_session(backend, model(), name, swarm=SWARM, **options)


async def records_of(backend, name="s"):
    return [parse_record(line) for line in await backend.slice(keys.session_log("ann", name), 0)]


async def asked(session):
    """Return what the user said, as far as it is sent; whatever is sent is valid."""
    messages = [json.loads(message) for message in (await session.context()).messages]
    assert check_messages(messages) is None
    return [message["content"] for message in messages if message["role"] == "user"]


async def standing(session):
    navigation = session.navigation
    return navigation.active, navigation.stack, await session.primitives.state("notes").get()


def run(scenario):
    return asyncio.run(scenario)


def test_undo_and_redo_on_every_backend_and_in_another_process(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        async with await opened(backend) as session:
            for text in ("hello", "note tea", "go b", "note cake", "go c"):
                await say(session, text)
            assert await standing(session) == ("c", ("a", "b"), ["tea", "cake"])
            done = await session.undo()
            assert (done.turns, done.text, done.left) == ((5,), "go c", 4)
            assert await standing(session) == ("b", ("a",), ["tea", "cake"])
            done = await session.undo(2)
            assert (done.turns, done.text, done.left) == ((3, 4), "go b", 2)
            assert await standing(session) == ("a", (), ["tea"])
            assert await asked(session) == ["hello", "note tea"]
            assert (session.turns, session.info.highest_turn, session.last_turn) == (2, 5, 2)
            # Of the client, not of the session.
            assert await session.primitives.memory.all() == {"last": "cake"}
        async with await opened(backend) as session:
            assert await standing(session) == ("a", (), ["tea"])
            assert await asked(session) == ["hello", "note tea"]
            assert session.last_turn == 2
            done = await session.redo()
            assert (done.turns, done.text, done.left) == ((3,), "go b", 3)
            assert await standing(session) == ("b", ("a",), ["tea"])
            assert (await session.redo(9)).turns == (4, 5)
            assert await standing(session) == ("c", ("a", "b"), ["tea", "cake"])
            assert (await session.redo()).turns == ()
            assert await asked(session) == ["hello", "note tea", "go b", "note cake", "go c"]
            assert (await session.undo(99)).turns == (1, 2, 3, 4, 5)
            assert (await session.undo()).turns == ()
            assert await standing(session) == ("a", (), [])
            assert await asked(session) == []
            await say(session, "again")
            assert (session.turns, session.info.highest_turn, await asked(session)) == (1, 6, ["again"])
            # What was undone is gone for good now, but for the log.
            assert (await session.redo()).turns == ()
        log = await records_of(backend)
        assert [record.seq for record in log] == list(range(len(log)))
        moves = [(record.type, record.turn, dict(record.data)) for record in log if record.type in ("undo", "redo")]
        states = {"notes": ["tea", "cake"]}
        assert moves[0] == (
            "undo",
            5,
            {"from": 5, "to": 5, "last": 4, "left": 4, "active": "b", "stack": ["a"], "states": states},
        )
        assert moves[-1][2] == {
            "from": 1,
            "to": 5,
            "last": 0,
            "left": 0,
            "active": "a",
            "stack": [],
            "states": {"notes": None},
        }
        assert not [record for record in log if record.type == "state" and record.seq > told_first(log)]
        await backend.close()

    def told_first(records):
        return next(record.seq for record in records if record.type == "undo")

    run(scenario())


def test_an_undo_is_one_commit_and_nothing_happens_if_it_fails(backend_url):
    async def scenario():
        backend = Faulty(open_backend(backend_url))
        async with await opened(backend) as session:
            await say(session, "note tea")
            await say(session, "go b")
            commits = backend.commits
            await session.undo()
            assert backend.commits == commits + 1
            await session.redo()
            for backend.lands, now in ((False, "b"), (True, "a")):
                backend.fail = 1
                with pytest.raises(BackendUnavailable):
                    await session.undo()
                await session.context()
                await session.conversation.ready()
                assert session.navigation.active == now
                assert await asked(session) == ["note tea", "go b"][: 2 if now == "b" else 1]
        await backend.close()

    run(scenario())


def test_what_was_held_back_is_stored_before_it_is_undone():
    async def scenario():
        backend = Faulty(open_backend("memory:"))
        async with await opened(backend) as session:
            await say(session, "hello")
            turn = session.run_turn("more")
            await anext(turn)
            backend.fail = 1
            with pytest.raises(BackendUnavailable):
                await turn.aclose()
            assert [record.type for record in session.unsaved] == ["assistant"]
            assert (await session.undo()).turns == (2,)
            assert await asked(session) == ["hello"]
        assert [record.type for record in await records_of(backend)][-3:] == ["request", "assistant", "undo"]
        await backend.close()

    run(scenario())


def test_turns_that_failed_or_were_refused_are_undone_too():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            await say(session, "hello")
            with pytest.raises(ModelUnavailable):
                await say(session, "fail now")
            await say(session, "damn")
            assert (await session.undo()).text == "damn"
            assert (await session.undo()).text == "fail now"
            messages = [json.loads(message) for message in (await session.context()).messages]
            assert [message["content"] for message in messages[1:]] == ["hello", "You said hello"]

    run(scenario())


def test_what_is_done_between_turns_belongs_to_the_turn_before():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            assert (await session.undo()).turns == ()
            await session.go_to("c")
            await say(session, "one")
            await session.go_to("b")
            await say(session, "two")
            await session.undo()
            # As it was before the question.
            assert (session.navigation.active, await asked(session)) == ("b", ["one"])
            await session.undo()
            assert (session.navigation.active, await asked(session)) == ("c", [])
            assert (await session.redo()).turns == (1,)
            assert (session.navigation.active, await asked(session)) == ("b", ["one"])
            assert (await session.redo()).turns == (2,)
            assert await asked(session) == ["one", "two"]
            await session.undo()
            # After an undo as well, and it ends what can be redone.
            await session.go_to("a")
            assert (await session.redo()).turns == ()
            await say(session, "three")
            assert await asked(session) == ["one", "three"]
            await session.undo()
            assert session.navigation.active == "a"
        async with await opened(backend) as session:
            assert await asked(session) == ["one"]
            await say(session, "four")
            assert await asked(session) == ["one", "four"]
            assert (await session.undo(2)).turns == (1, 4)
            assert (session.navigation.active, await asked(session)) == ("c", [])
            assert (await session.redo()).turns == (1,)
            assert (await session.redo()).turns == (4,)
            assert await asked(session) == ["one", "four"]
        assert [
            (record.data["from"], record.data["to"]) for record in await records_of(backend) if record.type == "undo"
        ][-2:] == [(4, 4), (1, 1)]

    run(scenario())


def test_a_reset_is_undone_by_itself():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            await say(session, "one")
            await session.reset()
            assert (session.turns, session.info.highest_turn, await asked(session)) == (1, 2, [])
            undone = await session.undo()
            assert (undone.turns, undone.resets, undone.left, undone.text) == ((2,), {2}, 1, "")
            assert await asked(session) == ["one"]
            assert (await session.redo()).resets == {2}
            assert await asked(session) == []
            await say(session, "two")
        async with await opened(backend) as session:
            assert (session.turns, await asked(session)) == (2, ["two"])
            assert (await session.undo(2)).turns == (2, 3)
            assert await asked(session) == ["one"]

    run(scenario())


def test_an_undo_goes_back_behind_a_cut_and_the_memory():
    async def scenario():
        backend = open_backend("memory:")
        options = {"context_window": 400, "reserve": 40}
        long = "word " * 30
        async with await opened(backend, **options) as session:
            sent = {}
            for number in range(1, 21):
                await say(session, f"{number} {long}")
                sent[number] = await asked(session)
            assert session.records[0].turn > 10
            for last in (19, 18, 12, 3, 2):
                await session.undo(session.last_turn - last)
                assert await asked(session) == sent[last]
                async with await opened(backend, "other", **options) as other:
                    assert await asked(other) == []
        async with await opened(backend, **options) as session:
            assert await asked(session) == sent[2]
            for last in (5, 11, 20):
                await session.redo(last - session.last_turn)
                assert await asked(session) == sent[last]
        async with await opened(backend, **options) as session:
            assert await asked(session) == sent[20]
            assert session.conversation.first_kept > 0

    run(scenario())


def test_a_removed_agent_is_replaced_also_by_an_undo():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            await say(session, "go b")
            await say(session, "go c")
            await say(session, "hello")
        smaller = Swarm("desk", [SWARM.agent("c")], states=SWARM.states)
        async with await open_session(backend, model(), swarm=smaller) as session:
            await session.undo(2)
            assert (session.navigation.active, session.navigation.stack) == ("c", ())

    run(scenario())


def test_a_fork_honours_what_was_undone():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            for text in ("note tea", "go b", "note cake"):
                await say(session, text)
            await session.undo(2)
            await say(session, "note pie")
            await session.undo()
            info = session.info

            async def fork(name, turn=None):
                copy = await fork_session(backend, info, name, NOW, turn)
                stored = await SessionWriter(backend, "ann").store(copy, name=name)
                async with await opened(backend, stored.info.name) as forked:
                    return [await asked(forked), await standing(forked), (await forked.redo()).turns]

            # An undone turn can be gone back to.
            assert await fork("three", 3) == [["note tea", "go b", "note cake"], ("b", ("a",), ["tea", "cake"]), ()]
            assert await fork("four", 4) == [["note tea", "note pie"], ("a", (), ["tea", "pie"]), ()]
            assert await fork("one", 1) == [["note tea"], ("a", (), ["tea"]), ()]
            assert await fork("all") == [["note tea"], ("a", (), ["tea"]), (4,)]
            await session.redo()
            assert await fork("redone", 4) == [["note tea", "note pie"], ("a", (), ["tea", "pie"]), ()]

    run(scenario())


def test_what_was_undone_is_in_no_export_and_a_rename_changes_nothing():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend) as session:
            for text in ("one", "two", "three"):
                await say(session, text)
            await session.undo(2)
        await rename_session(backend, await find_session(backend, "ann", "s"), "renamed", NOW)
        records = await records_of(backend)
        assert [message["content"] for message in as_messages(records)] == ["one", "You said one"]
        shown = [entry.text for entry in dialogue(records) if entry.kind != "note"]
        assert shown == ["one", "You said one"]
        async with await opened(backend, "renamed") as session:
            assert session.last_turn == 1
            assert (await session.redo(2)).turns == (2, 3)

    run(scenario())


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["hello", "note tea", "note cake", "forget", "go a", "go b", "go c", "fail", "damn"]),
        st.tuples(st.just("undo"), st.integers(1, 3)),
        st.tuples(st.just("redo"), st.integers(1, 3)),
        st.tuples(st.sampled_from(["agent"]), st.sampled_from("abc")),
        st.sampled_from([("reopen", 0), ("fork", 0), ("back", 0)]),
    ),
    max_size=14,
)


class Snapshots:
    """What a session with undo must be: a list of how things stood after each turn."""

    def __init__(self) -> None:
        self.there = [([], ("a", (), []))]
        self.numbers = []
        self.gone = []

    async def turned(self, session, text):
        self.gone.clear()
        self.numbers.append(session.info.highest_turn)
        self.there.append(([*self.there[-1][0], *([text] if text != "damn" else [])], await standing(session)))

    async def went(self, session):
        self.gone.clear()
        self.there[-1] = (self.there[-1][0], await standing(session))

    def undo(self, turns):
        for _ in range(min(turns, len(self.there) - 1)):
            self.gone.append((self.there.pop(), self.numbers.pop()))

    def redo(self, turns):
        for _ in range(min(turns, len(self.gone))):
            there, number = self.gone.pop()
            self.there.append(there)
            self.numbers.append(number)


@given(STEPS)
def test_a_session_is_what_a_list_of_snapshots_says(steps):
    async def scenario():
        backend = open_backend("memory:")
        session = await opened(backend)
        model, forks = Snapshots(), 0
        for step in steps:
            match step:
                case ("undo", turns):
                    model.undo(turns)
                    await session.undo(turns)
                case ("redo", turns):
                    model.redo(turns)
                    await session.redo(turns)
                case ("agent", name):
                    before = session.navigation
                    await session.go_to(name)
                    if session.navigation != before:
                        await model.went(session)
                case ("back", _):
                    before = session.navigation
                    await session.go_back()
                    if session.navigation != before:
                        await model.went(session)
                case ("reopen", _):
                    await session.close()
                    session = await opened(backend, session.info.name)
                case ("fork", _) if not session.is_new:
                    forks += 1
                    made = await fork_session(backend, session.info, f"s{forks}", NOW)
                    await session.close()
                    info = (await SessionWriter(backend, "ann").store(made, name=f"s{forks}")).info
                    session = await opened(backend, info.id)
                case str():
                    try:
                        await say(session, step)
                    except ModelUnavailable:
                        assert step == "fail"
                    await model.turned(session, step)
            texts, stood = model.there[-1]
            assert await asked(session) == texts
            assert await standing(session) == stood
            assert session.turns == len(model.numbers)
        # What the log says by itself is the same.
        records = await records_of(backend, session.info.id)
        texts, (active, stack, notes) = model.there[-1]
        assert [message["content"] for message in as_messages(records) if message["role"] == "user"] == texts
        summary = LogSummary()
        for record in records:
            summary.take(record)
        assert summary.info.turns == session.turns
        assert json.loads(summary.stored_state.states.get("notes", b"[]")) == notes
        assert (summary.state.navigation or Navigation("a")) == Navigation(active, stack)
        # And so are forks, of any turn that is there.
        for number, (texts, _) in zip(model.numbers, model.there[1:], strict=True):
            made = await fork_session(backend, session.info, "fork", NOW, number)
            forked = [parse_record(line) async for line in made.read()]
            assert [message["content"] for message in as_messages(forked) if message["role"] == "user"] == texts
        await session.close()

    run(scenario())

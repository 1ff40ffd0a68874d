"""Compact and pins: what is sent stays valid and fits, whatever is done, and follows from the log alone."""

import asyncio
import json
from contextlib import suppress

import pytest
from chat_rules import check_messages
from chats import contents, open_session, say
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Summarized, Swarm, Warned
from swarmchat.swarm.archive.export import as_messages
from swarmchat.swarm.errors import CompactFailed, ModelUnavailable, NothingToCompact, OverBudget, PinError
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.runner import replay

SWARM = Swarm("desk", [Agent("a", "You are a.", handoffs=["b"]), Agent("b", "You are b.", handoffs=["a"])])
WINDOW = {"context_window": 400, "reserve": 40}
LONG = "word " * 30


def answer(request):
    messages = request.decoded_messages()
    if "sum up conversations" in messages[0]["content"]:
        return Answer("<think>hm</think>In short.", usage={"prompt_tokens": 9})
    return f"You said {messages[-1]['content']}"


async def opened(backend, steps=None, **options):
    return await open_session(backend, ScriptedModel(steps or [answer] * 500, name="gpt-4o"), swarm=SWARM, **options)


async def records_of(session):
    return [record async for record in read_records(session.backend, session.info)]


def test_a_summary_replaces_the_older_turns_on_every_backend(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        async with await opened(backend) as session:
            for number in range(4):
                await say(session, f"{number} {LONG}")
            whole = [json.loads(message) for message in (await session.context()).messages]
            done = await session.compact("the numbers")
            assert (done.summary, done.messages, done.usage) == ("In short.", 6, {"prompt_tokens": 9})
            assert done.tokens_after < done.tokens_before
            [record] = [each for each in await records_of(session) if each.type == "compact"]
            assert (record.turn, record.agent, record.data["focus"]) == (4, "a", "the numbers")
            short = (await session.context()).messages
            assert [json.loads(message)["role"] for message in short[1:]] == ["user", "assistant"] * 2
            # The other agent sees all of it.
            await session.go_to("b")
            assert len((await session.context()).messages) == len(whole)
            await session.go_back()
            assert len(as_messages(await records_of(session))) >= 8
        async with await opened(backend) as session:
            assert (await session.context()).messages == short
            await session.undo()
            assert [json.loads(message) for message in (await session.context()).messages] == whole[:-2]
            await session.redo()
            assert (await session.context()).messages == short
            await session.reset()
            assert len((await session.context()).messages) == 1
        await backend.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("", CompactFailed),
        (Answer("cut", finish="length"), CompactFailed),
        (Answer(LONG * 20), CompactFailed),
        (ModelUnavailable("gone"), ModelUnavailable),
    ],
)
def test_a_failure_leaves_all_as_it_was(reply, error):
    async def scenario():
        steps = [answer, answer, reply]
        async with await opened(open_backend("memory:"), steps) as session:
            with pytest.raises(NothingToCompact):
                await session.compact()
            await say(session, LONG)
            await say(session, "and then?")
            before = (await session.context()).messages, await records_of(session)
            with pytest.raises(error):
                await session.compact()
            assert ((await session.context()).messages, await records_of(session)) == before

    asyncio.run(scenario())


def test_a_pinned_turn_stays_when_others_go():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend, **WINDOW) as session:
            await say(session, "remember the otter")
            assert (await session.pin(1)).turns == (1,)
            with pytest.raises(PinError, match="already pinned"):
                await session.pin(1)
            with pytest.raises(PinError, match="turn 7 cannot be pinned"):
                await session.pin(7)
            for number in range(40):
                await say(session, f"{number} {LONG}")
            assert contents(session.model)[1] == "remember the otter"
            assert len(session.records) < 60
            await session.pin(39)
            with pytest.raises(PinError, match="half of the room"):
                await session.pin(40)
            await session.unpin(39)
            sent = (await session.context()).messages
        async with await opened(backend, **WINDOW) as session:
            assert (await session.context()).messages == sent
            await session.unpin(1)
            assert b"otter" not in b"".join((await session.context()).messages)
            with pytest.raises(PinError, match="not pinned"):
                await session.unpin(1)
            await say(session, "on")
            await session.undo(2)
            assert b"otter" in b"".join((await session.context()).messages)

    asyncio.run(scenario())


OPERATIONS = st.one_of(
    st.tuples(st.just("say"), st.sampled_from(["yes", "a few more words", LONG, LONG + LONG])),
    st.tuples(st.sampled_from(["pin", "unpin"]), st.integers(1, 8)),
    st.tuples(st.sampled_from(["compact", "reset", "reopen"]), st.none()),
    st.tuples(st.sampled_from(["undo", "redo"]), st.integers(1, 2)),
    st.tuples(st.just("go"), st.sampled_from("ab")),
)


async def do(session, name, what):
    with suppress(PinError, NothingToCompact, CompactFailed, OverBudget):
        match name:
            case "say":
                await say(session, what)
            case "go":
                await session.go_to(what)
            case "compact" | "reset":
                await getattr(session, name)()
            case _:
                await getattr(session, name)(what)


@given(st.lists(OPERATIONS, min_size=4, max_size=24))
def test_whatever_is_done_the_context_is_valid_fits_and_follows_from_the_log(operations):
    async def scenario():
        backend = open_backend("memory:")
        session = await opened(backend, **WINDOW)
        for name, what in [("say", "hello"), ("say", LONG), *operations]:
            if name == "reopen":
                await session.close()
                session = await opened(backend, **WINDOW)
            else:
                await do(session, name, what)
            context = await session.context()
            messages = [json.loads(message) for message in context.messages]
            assert check_messages(messages) is None
            assert context.tokens <= context.available
            assert session.conversation.counter.prompt(messages) <= context.tokens
        await session.close()
        again = await opened(backend, **WINDOW)
        assert (await again.context()).messages == context.messages
        records = await records_of(again)
        await again.close()
        done = await replay(RecordedConversation("s", records, whole=True), open_backend("memory:"), swarm=SWARM)
        assert list(map(str, done.differences)) == []

    asyncio.run(scenario())


async def warnings_of(session, number):
    events = [event async for event in session.run_turn(f"{number} {LONG}")]
    return [event for event in events if isinstance(event, Warned | Summarized)]


def test_older_turns_are_summarized_before_a_cut_and_a_replay_does_the_same():
    async def scenario():
        backend = open_backend("memory:")
        async with await opened(backend, auto_compact=True, **WINDOW) as session:
            warnings = [warning for number in range(12) for warning in await warnings_of(session, number)]
            assert len(warnings) > 1
            assert all(isinstance(each, Summarized) and each.tokens_after < each.tokens_before for each in warnings)
            records = await records_of(session)
        assert not [record for record in records if record.type == "rotate"]
        assert len([record for record in records if record.type == "compact"]) == len(warnings)
        replayed = await replay(RecordedConversation("s", records, whole=True), open_backend("memory:"), swarm=SWARM)
        assert replayed.differences == []

    asyncio.run(scenario())


def test_a_model_that_cannot_summarize_is_asked_and_named_once():
    def silent(request):
        return Answer("") if "sum up" in request.decoded_messages()[0]["content"] else answer(request)

    async def scenario():
        async with await opened(open_backend("memory:"), [silent] * 50, auto_compact=True, **WINDOW) as session:
            warnings = [warning for number in range(12) for warning in await warnings_of(session, number)]
            assert len(warnings) == 1
            assert "because gpt-4o gave no summary of them: the model gave no summary" in warnings[0].text
            assert [record for record in await records_of(session) if record.type == "rotate"]

    asyncio.run(scenario())

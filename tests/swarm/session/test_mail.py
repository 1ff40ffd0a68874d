"""Messages from outside: told by any process, taken into the conversation once, seen by the agent that they are for."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
from chat_rules import check_messages
from chats import Faulty, contents, open_session, say
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.backends import Append, Backend, BackendUnavailable, open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    MailboxFull,
    MailError,
    MailReceived,
    ScriptedModel,
    Session,
    Swarm,
    TurnEnded,
    read_records,
    tell,
)
from swarmchat.swarm.conversation.events import Event, HandedOver, Warned
from swarmchat.swarm.persistence import keys


def scenario(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in an event loop of its own."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


SHOP = Swarm("shop", [Agent("clerk", "Sell.", handoffs=["packer"]), Agent("packer", "Pack.")])


async def received(session: Session) -> list[Event]:
    return [event async for event in session.receive()]


def mails(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, MailReceived)]


async def log(session: Session) -> list[tuple[str, Any]]:
    return [(record.type, record.agent) async for record in read_records(session.backend, session.info)]


@scenario
async def test_a_message_waits_until_it_is_received_and_the_agent_sees_it() -> None:
    backend = open_backend("memory:")
    model = ScriptedModel(["Hi!", "It has shipped."])
    async with await open_session(backend, model) as session:
        await say(session, "hello")
        await tell(backend, "ann", "s", "Your order has shipped.", sender="shop")
        assert await session.wait_for_mail(5)
        assert await received(session) == [MailReceived("Your order has shipped.", "shop", "assistant", False)]
        assert await received(session) == []
        assert not await session.wait_for_mail(0)
        await say(session, "any news?")
        assert [type(content) for content in contents(model)] == [str] * 5
        assert "from shop" in contents(model)[3]
        assert "Your order has shipped." in contents(model)[3]
        assert contents(model)[4] == "any news?"


@scenario
async def test_a_turn_takes_what_waits_before_its_question() -> None:
    backend = open_backend("memory:")
    model = ScriptedModel(["Hi!", "Yes."])
    async with await open_session(backend, model) as session:
        await say(session, "hello")
        await backend.commit(Append(keys.session_mailbox("ann", "s"), (b"{damaged", b"{}")))
        await session.tell("one")
        await session.tell("two", wake=True)
        events = await say(session, "any news?")
        assert mails(events) == ["one", "two"]
        assert [event.text for event in events if isinstance(event, Warned)] == [
            "2 messages from outside could not be read and were removed: send them again"
        ]
        # The turn has answered it.
        assert await received(session) == []
        assert (await log(session))[4:6] == [("mail", "assistant")] * 2
        assert len(model.requests) == 2


@scenario
async def test_a_message_wakes_the_agent_that_it_is_for() -> None:
    backend = open_backend("memory:")
    model = ScriptedModel(["Hi!", "Packed.", "Again."])
    async with await open_session(backend, model, swarm=SHOP) as session:
        await say(session, "hello")
        await session.tell("for your information")
        await session.tell("pack it", agent="packer", wake=True)
        await session.tell("and this")
        events = await received(session)
        assert mails(events) == ["for your information", "pack it", "and this"]
        assert [type(event) for event in events].index(HandedOver) == 2
        assert [event.text for event in events if isinstance(event, TurnEnded)] == ["Packed."]
        assert session.agent.name == "packer"
        # The clerk's message is not the packer's.
        assert not any("your information" in str(content) for content in contents(model))
        assert "pack it" in contents(model)[-1]
        assert (session.turns, session.navigation.stack) == (2, ("clerk",))
        await session.undo()
        assert (await session.go_back()).active == "clerk"
        assert await received(session) == []


@scenario
async def test_no_undo_hides_a_message_and_none_ends_a_redo() -> None:
    backend = open_backend("memory:")
    model = ScriptedModel(["Hi!", "A.", "B."])
    async with await open_session(backend, model) as session:
        await say(session, "hello")
        await session.tell("shipped")
        await say(session, "a")
        assert (await session.undo()).turns == (2,)
        await session.tell("arrived")
        assert mails(await received(session)) == ["arrived"]
        assert session.last_turn == 1
        assert (await session.redo()).turns == (2,)
        await session.undo(2)
        await say(session, "b")
        assert ["shipped" in str(content) or "arrived" in str(content) for content in contents(model)[1:]] == [
            True,
            True,
            False,
        ]


@scenario
async def test_a_session_is_stored_with_its_first_message() -> None:
    backend = open_backend("memory:")
    with pytest.raises(MailError, match="no session 's'"):
        await tell(backend, "ann", "s", "hello")
    async with await open_session(backend, ScriptedModel(["Hi!"])) as session:
        await session.tell("welcome", wake=True)
        await tell(backend, "ann", "s", "second")
        events = await received(session)
        assert mails(events) == ["welcome", "second"]
        assert session.turns == 1
    async with await open_session(backend, ScriptedModel([])) as session:
        assert await received(session) == []


@scenario
async def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend("memory:")
    async with await open_session(backend, ScriptedModel(["Hi!"])) as session:
        await say(session, "hello")
        with pytest.raises(MailError, match="32,001 characters, expected at most 32,000"):
            await session.tell("x" * 32_001)
        with pytest.raises(MailError, match="empty"):
            await session.tell(" \n")
        monkeypatch.setattr("swarmchat.swarm.persistence.mailbox.MAX_WAITING", 3)
        for _ in range(3):
            await session.tell("x" * 10)
        with pytest.raises(MailboxFull, match="3 messages waiting"):
            await session.tell("more")
        assert len(await received(session)) == 3
        await session.tell("more")


@pytest.mark.parametrize("lands", [False, True])
@scenario
async def test_a_commit_of_unknown_outcome_delivers_once(lands: bool) -> None:
    backend = Faulty(open_backend("memory:"))
    async with await open_session(backend, ScriptedModel(["Hi!", "Yes."])) as session:
        await say(session, "hello")
        await session.tell("shipped")
        backend.fail, backend.lands = 1, lands
        with pytest.raises(BackendUnavailable):
            await received(session)
        assert mails(await received(session)) == ["shipped"]
        assert [kind for kind, _ in await log(session)].count("mail") == 1


@scenario
async def test_many_tell_while_one_receives() -> None:
    backend: Backend = open_backend("memory:")
    model = ScriptedModel([Answer("Hi!"), *[Answer("Yes.")] * 10])
    async with await open_session(backend, model) as session:
        await say(session, "hello")
        texts = {f"{teller}-{number}" for teller in range(4) for number in range(10)}

        async def keep_telling(teller: int) -> None:
            for number in range(10):
                await tell(backend, "ann", "s", f"{teller}-{number}", wake=not number)

        telling = asyncio.gather(*map(keep_telling, range(4)))
        arrived: list[str] = []
        while len(arrived) < 40:
            assert await session.wait_for_mail(5)
            arrived += mails(await received(session))
        await telling
        assert len(arrived) == len(texts)
        assert set(arrived) == texts


_STEPS = st.one_of(
    st.tuples(st.just("tell"), st.sampled_from([None, "clerk", "packer", "nobody"]), st.booleans()),
    st.tuples(st.just("fail"), st.integers(1, 2), st.booleans()),
    st.sampled_from([("receive",), ("ask",), ("undo",), ("redo",), ("reopen",)]),
)


@given(st.lists(_STEPS, max_size=12))
@scenario
async def test_whatever_happens_each_message_is_in_the_log_once(steps: list[Any]) -> None:
    backend = Faulty(open_backend("memory:"))
    model = ScriptedModel(["Hi!", *["Fine."] * 100])
    session = await open_session(backend, model, swarm=SHOP)
    await say(session, "hello")
    told: list[str] = []
    for number, step in enumerate(steps):
        # What a person at the terminal sees as an error, after which the chat goes on.
        with suppress(BackendUnavailable):
            match step:
                case ("tell", agent, wake):
                    backend.fail = 0
                    told.append(str(number))
                    await tell(backend, "ann", "s", str(number), agent=agent, wake=wake)
                case ("fail", count, lands):
                    backend.fail, backend.lands = count, lands
                case ("receive",):
                    await received(session)
                case ("ask",):
                    await say(session, "go on")
                case ("undo",):
                    await session.undo()
                case ("redo",):
                    await session.redo()
                case ("reopen",):
                    backend.fail = 0
                    await session.close()
                    session = await open_session(backend, model, swarm=SHOP)
    backend.fail = 0
    await received(session)
    records = [record async for record in read_records(backend, session.info)]
    assert [record.data["text"] for record in records if record.type == "mail"] == told
    assert not await session.wait_for_mail(0)
    for request in model.requests:
        assert check_messages([json.loads(message) for message in request.messages]) is None
    await session.close()

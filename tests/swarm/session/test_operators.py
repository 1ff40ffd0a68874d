"""Operators: people whom agents hand over to, their desks, and what agents and replays see of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from chat_rules import check_messages
from chats import Faulty, contents, open_session, say, sent
from swarmchat.backends import Delete, Put, open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    DefinitionError,
    MailError,
    MailReceived,
    Operator,
    OperatorCase,
    OperatorDesk,
    PersonAwaited,
    ScriptedModel,
    Session,
    SessionBusy,
    SessionWriter,
    State,
    Swarm,
    ToolCall,
    delete_session,
    fork_session,
    read_records,
    tool,
)
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.agents.swarm_check import check_swarm
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.testing import replay_transcript


@tool
async def refund(ctx: Context, amount: int) -> str:
    """Give money back."""
    await ctx.state("paid").set(amount)
    return f"paid {amount}"


def shop(**operator: Any) -> Swarm:
    return Swarm(
        "shop",
        agents=[
            Agent("clerk", "Sell.", handoffs=["support", "packer"]),
            Agent("packer", "Pack.", handoffs=["support"]),
        ],
        operators=[Operator("support", tools=[refund], **operator)],
        states=[State("paid", default=0)],
    )


HANDS_OVER = Answer(
    "One moment.",
    (ToolCall("call_1", "transfer_to_support", '{"reason": "wants money back", "summary": "It broke."}'),),
    "tool_calls",
)


async def receive(session: Session) -> list[Any]:
    return [event async for event in session.receive()]


async def acts(session: Session) -> list[str]:
    return [event.act for event in await receive(session) if isinstance(event, MailReceived)]


@asynccontextmanager
async def taken(session: Session, swarm: Swarm) -> AsyncIterator[OperatorCase]:
    async with OperatorDesk(session.backend, swarm, "Anna") as desk:
        (ticket,) = await desk.tickets()
        yield await desk.take(ticket.client, ticket.session)


@pytest.mark.parametrize("kind", ["memory", "disk", "redis"])
def test_a_person_takes_a_conversation_answers_and_hands_it_back(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = {"memory": "memory:", "disk": f"disk:{tmp_path / 'store'}"}.get(kind) or request.getfixturevalue("redis_url")

    async def run() -> None:
        backend, swarm = open_backend(url), shop()
        model = ScriptedModel([HANDS_OVER, "I am back."])
        session = await open_session(backend, model, swarm=swarm)
        async with OperatorDesk(backend, swarm, "Anna") as desk, OperatorDesk(backend, swarm, "Ben") as other:
            assert await desk.tickets() == []
            events = await say(session, "my money!")
            assert PersonAwaited("support", "", 2) in events
            assert await desk.wait(5)
            (ticket,) = await desk.tickets()
            assert (ticket.client, ticket.operator, ticket.agent) == ("ann", "support", "clerk")
            assert (ticket.reason, ticket.summary) == ("wants money back", "It broke.")
            await say(session, "hurry")
            case = await desk.take(ticket.client, ticket.session)
            with pytest.raises(SessionBusy, match="another operator"):
                await other.take(ticket.client, ticket.session)
            await case.say("What broke?")
            assert await session.wait_for_mail(5)
            assert await acts(session) == ["joined", "said"]
            assert PersonAwaited("support", "Anna", 2) in await say(session, "the phone")
            questions = [record.message["content"] async for record in case.new_records() if record.type == "user"]
            assert questions == ["my money!", "hurry", "the phone"]
            await case.call("refund", {"amount": 5})
            assert await acts(session) == ["called", "result"]
            assert await (await case.primitives()).state("paid").get() == 5
            assert await case.give_back("paid in full") == "clerk"
            assert await desk.tickets() == []
            assert await session.wait_for_mail(5)
            assert await acts(session) == ["back"]
        assert (session.agent.name, session.navigation.stack) == ("clerk", ())
        messages = sent(model)
        assert check_messages(messages) is None
        joined = "\n".join(str(content) for content in contents(model))
        for text in ("hurry", "What broke?", "the phone", "returned:\n\npaid 5", "note, which the user cannot see"):
            assert joined.count(text) == 1
        lines = [record.line async for record in read_records(backend, session.info)]
        await session.close()
        await backend.close()
        path = tmp_path / "log.jsonl"
        path.write_bytes(b"\n".join(lines) + b"\n")

    asyncio.run(run())
    replay_transcript(tmp_path / "log.jsonl", swarm=shop())


def test_nobody_comes_in_time_or_it_is_closed() -> None:
    async def run(swarm: Swarm, by_hand: bool) -> tuple[list[Any], list[Any]]:
        model = ScriptedModel([*([] if by_hand else [HANDS_OVER]), "I help you.", "I help you."])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            if by_hand:
                await session.tell("begin")
                await session.go_to("support")
            else:
                await say(session, "my money!")
            if session.agent.is_person:
                assert await session.wait_for_mail(5)
                assert (await acts(session))[-1] == "closed"
                assert not await OperatorDesk(session.backend, swarm, "Anna").tickets()
            assert session.agent.name == "clerk"
            return contents(model), sent(model)

    now = datetime.now(UTC)
    day = ("mo", "tu", "we", "th", "fr", "sa", "su")[(now.weekday() + 3) % 7]
    late, _ = asyncio.run(run(shop(timeout=0.01), by_hand=False))
    assert "nobody from support came within 0.01 s" in late[-1]
    refused, _ = asyncio.run(run(shop(hours=f"{day} 09:00-17:00", timezone="UTC"), by_hand=False))
    assert f"support is not available now; the hours are {day} 09:00-17:00 UTC" in refused[-1]
    closed, _ = asyncio.run(run(shop(hours=f"{day} 09:00-17:00", timezone="UTC"), by_hand=True))
    assert "the hours are" in closed[-1]


def test_a_user_who_goes_back_or_undoes_is_with_nobody_and_the_desk_is_told() -> None:
    async def run() -> None:
        swarm, model = shop(), ScriptedModel([HANDS_OVER, HANDS_OVER, "Yes?"])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            await say(session, "my money!")
            async with taken(session, swarm) as case:
                await session.go_back()
                assert not await case.is_mine()
                with pytest.raises(MailError, match="gone back to an agent"):
                    await case.say("too late")
                await case.drop()
            await say(session, "again")
            assert session.agent.name == "support"
            await session.undo()
            assert session.agent.name == "clerk"
            assert not await OperatorDesk(session.backend, swarm, "Anna").tickets()
            await session.redo()
            async with taken(session, swarm) as case:
                await case.say("hello")
                await receive(session)
                await session.undo(2)
                # What a person said is hidden by no undo.
                await say(session, "what now?")
                assert "hello" in "\n".join(contents(model))

    asyncio.run(run())


def test_an_operator_whose_process_is_gone_is_replaced_and_can_write_no_more() -> None:
    async def run() -> None:
        swarm, model = shop(), ScriptedModel([HANDS_OVER])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            await say(session, "my money!")
            async with OperatorDesk(session.backend, swarm, "Anna", lease=0.3) as desk:
                case = await desk.take("ann", session.info.id)
                # As if the process were stopped.
                await case._lease._heartbeat.stop()
                await asyncio.sleep(0.4)
                assert await acts(session) == ["joined"]
                assert await session.wait_for_mail(5)
                assert await acts(session) == ["left"]
                (ticket,) = await desk.tickets()
                assert ticket.taken_by == ""
                async with OperatorDesk(session.backend, swarm, "Ben") as other:
                    second = await other.take("ann", session.info.id)
                    with pytest.raises(MailError, match="another operator"):
                        await case.say("I am late")
                    await second.leave()
                assert await acts(session) == ["joined", "left"]

    asyncio.run(run())


def test_an_agent_reacts_to_messages_from_outside_once_the_person_hands_back() -> None:
    async def run() -> None:
        swarm, model = shop(), ScriptedModel([HANDS_OVER, "It has shipped."])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            await say(session, "my money!")
            await session.tell("It has shipped.", agent="packer", wake=True)
            assert await acts(session) == [""]
            assert session.agent.name == "support"
            assert len(model.requests) == 1
            async with taken(session, swarm) as case:
                await session.tell("Task b1 is done.", wake=True)
                await case.give_back(agent="clerk")
            assert await acts(session) == ["joined", "", "back"]
            texts = contents(model)
            for text in ("It has shipped.", "Task b1 is done.", "please react to them, too"):
                assert sum(text in content for content in texts) == 1
            assert await acts(session) == []

    asyncio.run(run())


def test_copies_wait_again_and_deleted_sessions_do_not() -> None:
    async def run() -> None:
        swarm, backend = shop(), open_backend("memory:")
        session = await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm)
        await say(session, "my money!")
        await session.close()
        desk = OperatorDesk(backend, swarm, "Anna")
        forked = await fork_session(backend, session.info, "copy", datetime.now(UTC))
        await SessionWriter(backend, "ann").store(forked, name="copy")
        await delete_session(backend, session.info)
        assert await desk.tickets() == []
        async with await open_session(backend, ScriptedModel([]), "copy", swarm=swarm) as again:
            assert again.agent.name == "support"
            (ticket,) = await desk.tickets()
            assert ticket.session == again.info.id

    asyncio.run(run())


class CountsScans(Faulty):
    """A backend that counts scans for tickets."""

    scans = 0

    def scan(self, prefix: str) -> AsyncIterator[tuple[str, bytes]]:
        self.scans += prefix == keys.tickets("shop")
        return super().scan(prefix)


def test_a_desk_reads_the_index_and_a_scan_finds_what_a_dead_process_did_not_list() -> None:
    async def run() -> None:
        swarm, backend = shop(), CountsScans(open_backend("memory:"))
        desk, index = OperatorDesk(backend, swarm, "Anna"), keys.ticket_index("shop")
        assert await desk.tickets() == []
        session = await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm)
        await say(session, "my money!")
        (ticket,) = await desk.tickets()
        assert backend.scans == 1
        # As if the process had died between the two commits.
        listed = await backend.get(index)
        await backend.commit(Delete(index))
        assert await desk.tickets() == []
        assert await OperatorDesk(backend, swarm, "Ben").tickets() == [ticket] == await desk.tickets()
        await backend.commit(Put(index, b"[[1], nonsense"))
        assert not await session.wait_for_mail(0)
        assert await backend.get(index) == listed
        await session.close()
        await backend.commit(Delete(index))
        session = await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm)
        assert await backend.get(index) == listed
        # A damaged ticket is counted until its session is opened.
        await backend.commit(Put(keys.ticket("shop", "ann", session.info.id), b"{nonsense"))
        for one in (desk, OperatorDesk(backend, swarm, "Ben")):
            assert (await one.tickets(), one.unreadable) == ([], 1)
        await session.close()
        session = await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm)
        assert (len(await desk.tickets()), desk.unreadable) == (1, 0)
        listed = await backend.get(index)
        # A reference whose ticket is gone, or is another one now, is dropped.
        await session.go_back()
        assert await backend.get(index) is None
        await backend.commit(Put(index, listed))
        await say(session, "my money!")
        await backend.commit(Put(index, listed))
        assert await desk.tickets() == []
        assert await backend.get(index) is None
        await session.close()
        assert backend.scans == 3

    asyncio.run(run())


def test_no_desk_shows_a_session_that_another_swarm_has_and_its_ticket_goes_with_it() -> None:
    async def run() -> None:
        swarm, backend = shop(), open_backend("memory:")
        async with await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm) as session:
            await say(session, "my money!")
        other = Swarm("other", [Agent("clerk", "Sell.")])
        async with await open_session(backend, ScriptedModel(["Yes?"]), swarm=other) as session:
            await say(session, "hello")
        desk, ticket = OperatorDesk(backend, swarm, "Anna"), keys.ticket("shop", "ann", session.info.id)
        assert await desk.tickets() == []
        assert await backend.get(ticket) is not None
        await delete_session(backend, session.info)
        assert await desk.tickets() == await desk.tickets() == []
        assert await backend.get(ticket) is await backend.get(keys.ticket_index("shop")) is None

    asyncio.run(run())


def test_a_call_that_a_dead_process_left_is_not_repeated() -> None:
    async def run() -> None:
        swarm, backend = shop(), open_backend("memory:")
        session = await open_session(backend, ScriptedModel([HANDS_OVER]), swarm=swarm)
        await say(session, "my money!")
        async with taken(session, swarm) as case:
            await case.call("refund", {"amount": 5})
            # What the process stores before it carries the call out.
            from swarmchat.swarm.turn.mail import take_mail

            await take_mail(session.conversation, one_wake=True)
            await take_mail(session.conversation, one_wake=True)
            await session.close()
            async with await open_session(backend, ScriptedModel([]), swarm=swarm) as again:
                (result,) = [event for event in await receive(again) if event.act == "result"]
                assert result.text.startswith("interrupted")
                assert await again.primitives.state("paid").get() == 0
                assert await acts(again) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"hours": "mo-fr 9-17"}, "'mo-fr 9-17' cannot be read"),
        ({"hours": "mo-xx 09:00-17:00"}, "cannot be read"),
        ({"hours": "mo 17:00-09:00"}, "cannot be read"),
        ({"hours": "mo 25:00-26:00"}, "cannot be read"),
        ({"timezone": "Mars/Base"}, "unknown time zone 'Mars/Base'"),
        ({"timeout": 0}, "timeout is 0, expected seconds above 0"),
        ({"model": "x"}, "has model, but is a person"),
    ],
)
def test_mistakes_in_the_definition_of_an_operator(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem):
        Operator("support", **fields)


def test_mistakes_in_a_swarm_with_operators() -> None:
    support = Operator("support")
    with pytest.raises(DefinitionError, match="a session starts with an agent"):
        Swarm("shop", [Agent("clerk")], operators=[support], default="support")
    with pytest.raises(DefinitionError, match="has the operator 'support' as a tool"):
        Swarm("shop", [Agent("clerk", tools=["agent:support"])], operators=[support])
    with pytest.raises(DefinitionError, match="two of its agents are named 'clerk'"):
        Swarm("shop", [Agent("clerk")], operators=[Operator("clerk")])
    with pytest.raises(DefinitionError, match="has no operators"):
        OperatorDesk(open_backend("memory:"), Swarm("shop", [Agent("clerk")]), "Anna")
    with pytest.raises(DefinitionError, match="is an agent, not an operator"):
        OperatorDesk(open_backend("memory:"), shop(), "Anna", "clerk")


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-11-27T08:00:00+00:00", True),  # a Friday, 9 o'clock in Berlin
        ("2026-11-27T07:59:00+00:00", False),
        ("2026-11-27T16:00:00+00:00", False),
        ("2026-11-28T22:30:00+00:00", True),  # Saturday, until midnight
        ("2026-11-29T12:00:00+00:00", False),
    ],
)
def test_hours(moment: str, is_open: bool) -> None:
    operator = Operator("support", hours="mo-fr 9:00-17:00; sa 20:00-24:00", timezone="Europe/Berlin")
    assert operator.is_open(datetime.fromisoformat(moment)) is is_open


def test_an_operator_in_a_toml_file(tmp_path: Path) -> None:
    file = tmp_path / "swarm.toml"
    file.write_text(
        '[agents.clerk]\nhandoffs = ["support"]\n'
        '[operators.support]\nhours = "mo-fr 09:00-17:00"\ntimezone = "UTC"\ntimeout = 60\n'
    )
    swarm = load_swarm(str(file), tmp_path)
    (operator,) = swarm.operators
    assert (operator.hours, operator.timeout, swarm.names) == ("mo-fr 09:00-17:00", 60, {"clerk", "support"})
    assert check_swarm(swarm, {}) == []
    file.write_text('[agents.clerk]\n[operators.support]\nhuors = "x"\n')
    with pytest.raises(DefinitionError, match=r"unknown key 'operators\.support\.huors'"):
        load_swarm(str(file), tmp_path)

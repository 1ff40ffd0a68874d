"""The swarms among the examples, walked through with the demo model on every backend."""

import asyncio
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from chat_rules import check_messages
from chats import open_session, say
from swarmchat.backends import open_backend
from swarmchat.examples import helpdesk, phone_shop
from swarmchat.examples.helpdesk_data import HELP
from swarmchat.swarm import Answer, DemoModel, ScriptedModel, Swarm, ToolCall
from swarmchat.swarm.conversation.events import (
    HandedOver,
    Refused,
    Rotated,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
)

PAGE = Path(__file__).parents[1] / "docs" / "demo.md"
SWARMS = {"helpdesk": helpdesk.swarm, "phone_shop": phone_shop.swarm}


class RecordingModel(DemoModel):
    """The demo model of a swarm, which keeps the requests that it is sent."""

    def __init__(self, swarm: Swarm) -> None:
        super().__init__(rules=swarm.demo)
        self.requests = []

    async def stream(self, request):
        self.requests.append(request)
        async for event in super().stream(request):
            yield event


def run(scenario):
    return asyncio.run(scenario)


async def talk(session, *lines):
    """Say the lines one after the other; return the last answer."""
    for line in lines:
        events = await say(session, line)
    assert isinstance(events[-1], TurnEnded)
    return events[-1].text


async def state(session, name):
    return asdict(await session.primitives.state(name).get())


async def check_requests(session, model, storage):
    """Every request is one that a server would take, and holds no id of an item."""
    ids = [item_id for item_id, _ in await session.primitives.storage(storage).items()]
    assert ids
    for request in model.requests:
        assert check_messages(request.decoded_messages()) is None
        body = request.body()
        assert not [item_id for item_id in ids if item_id.encode() in body]


def test_a_walk_through_the_help_desk(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = RecordingModel(helpdesk.swarm)
        async with await open_session(backend, model, swarm=helpdesk.swarm) as session:
            assert "a strawberry is not" in await talk(session, "are bananas berries?")
            await talk(session, "let us play tic-tac-toe", "play 5", "I take 3")
            assert "square 5 is not free" in await talk(session, "5")
            assert "X has won!" in await talk(session, "7")
            assert await state(session, "game") == {"board": "OOX4X6X89", "winner": "X"}
            assert "game is over" in await talk(session, "8")

            await talk(session, "I want to buy a phone")
            assert session.agent.name == "sales"
            assert "Still missing: quantity, name" in await talk(session, "a red one")
            assert "missing: quantity, name" in await talk(session, "place the order")
            await talk(session, "two", "my name is Ann", "are penguins cold?", "place the order")
            order = {"item": "phone", "colour": "red", "quantity": 2, "name": "Ann", "status": "placed"}
            assert await state(session, "order") == order
            assert await session.primitives.memory.all() == {"name": "Ann"}

            assert "What is wrong" in await talk(session, "I want my money back")
            assert session.agent.name == "refunds"
            assert "refund for Ann is requested: it is broken" in await talk(session, "it is broken")
            assert (await state(session, "order"))["status"] == "refund requested"
            assert session.navigation.stack == ("triage", "sales")
            assert "Here I am again" in await talk(session, "back")
            assert session.agent.name == "sales"
            await talk(session, "back")
            assert session.agent.name == "triage"
            await check_requests(session, model, "facts")
        await backend.close()

    run(scenario())


def test_the_form_and_the_game_outlive_the_history_and_the_process(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = RecordingModel(helpdesk.swarm)
        async with await open_session(backend, model, swarm=helpdesk.swarm) as session:
            await talk(session, "play 5", "I want to buy two laptops", "in blue please")
            await session.reset()
            assert "Still missing: name" in await talk(session, "show my order")
            assert "two laptops" not in model.requests[-1].body().decode()
        await backend.close()
        if backend_url == "memory:":
            return

        backend = open_backend(backend_url)
        async with await open_session(backend, model, swarm=helpdesk.swarm) as session:
            assert session.agent.name == "sales"
            await talk(session, "my name is Ann", "place the order")
            order = {"item": "laptop", "colour": "blue", "quantity": 2, "name": "Ann", "status": "placed"}
            assert await state(session, "order") == order
            assert await state(session, "game") == {"board": "O234X6789", "winner": ""}
            await check_requests(session, model, "facts")
        async with await open_session(backend, model, name="later", swarm=helpdesk.swarm) as session:
            assert "name Ann" in await talk(session, "who am I?")
            assert "Still missing: colour" in await talk(session, "one more: 3 tablets")
            assert (await state(session, "order"))["name"] == "Ann"
        await backend.close()

    run(scenario())


def test_an_order_is_filled_in_over_more_turns_than_are_sent():
    async def scenario():
        model = RecordingModel(helpdesk.swarm)
        async with await open_session(
            open_backend("memory:"), model, swarm=helpdesk.swarm, context_window=1000, reserve=100
        ) as session:
            await talk(session, "I want to buy a phone", "in red", "my name is Ann")
            events = []
            for _ in range(12):
                events += await say(session, "show my order")
            assert any(isinstance(event, Rotated) for event in events)
            sent = [message["content"] for message in model.requests[-1].decoded_messages()]
            assert "in red" not in sent
            assert "show my order" in sent
            await talk(session, "two", "place the order")
            order = {"item": "phone", "colour": "red", "quantity": 2, "name": "Ann", "status": "placed"}
            assert await state(session, "order") == order
            assert all(check_messages(request.decoded_messages()) is None for request in model.requests)

    run(scenario())


def test_who_talks_politics_is_banned_in_every_session(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = RecordingModel(helpdesk.swarm)
        async with await open_session(backend, model, swarm=helpdesk.swarm) as session:
            events = await say(session, "who will win the election?")
            assert isinstance(events[0], Refused)
            assert events[0].banned
        async with await open_session(backend, model, name="other", swarm=helpdesk.swarm) as session:
            assert isinstance((await say(session, "are bananas berries?"))[0], Refused)
        assert model.requests == []
        async with await open_session(backend, model, client="bob", swarm=helpdesk.swarm) as session:
            assert "berry" in await talk(session, "are bananas berries?")
        await backend.close()

    run(scenario())


def test_a_walk_through_the_phone_shop(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = RecordingModel(phone_shop.swarm)
        async with await open_session(backend, model, swarm=phone_shop.swarm) as session:
            assert "Birch, 399" in await talk(session, "I need a phone with a good camera")
            await talk(session, "put the cheap one in the basket", "add 2 with a big screen", "buy a cheap phone")
            assert await state(session, "basket") == {
                "lines": [{"name": "Alder", "price": 149, "count": 2}, {"name": "Maple", "price": 549, "count": 2}]
            }
            assert "nothing fits 'a submarine'" in await talk(session, "add a submarine")
            await session.reset()
            assert "Total: 1,396" in await talk(session, "what is in the basket?")
            await talk(session, "add -2 of the Alder")
            await check_requests(session, model, "catalogue")
        if backend_url != "memory:":
            await backend.close()
            backend = open_backend(backend_url)
        async with await open_session(backend, model, swarm=phone_shop.swarm) as session:
            assert "2 × Maple" in await talk(session, "check out")
            assert session.agent.name == "cashier"
            assert await state(session, "basket") == {"lines": []}
            assert "basket is empty" in await talk(session, "check out")
            assert "Spruce" in await talk(session, "I am looking for one with a long battery life")
            assert session.agent.name == "advisor"
            assert await session.primitives.memory.get("last purchase") == ["Maple"]
            await check_requests(session, model, "catalogue")
        await backend.close()

    run(scenario())


@pytest.mark.parametrize(
    ("swarm", "message", "tool", "agent"),
    [
        ("helpdesk", "Is it true that a banana is a berry?", "find_fact", "triage"),
        ("helpdesk", "tell me something about octopuses", "find_fact", "triage"),
        ("helpdesk", "what do you know about honey?", "find_fact", "triage"),
        ("helpdesk", "why is the sky blue", "find_fact", "triage"),
        ("helpdesk", "Tic tac toe!", "start_game", "triage"),
        ("helpdesk", "I'd like another game", "start_game", "triage"),
        ("helpdesk", "show me the board", "show_board", "triage"),
        ("helpdesk", "put it on 4", "play", "triage"),
        ("helpdesk", "9.", "play", "triage"),
        ("helpdesk", "My name's Ann-Marie", "remember_client", "triage"),
        ("helpdesk", "what's my name?", "remember_client", "triage"),
        ("helpdesk", "my language is pt-BR", "remember_client", "triage"),
        ("helpdesk", "how much are the phones?", "fill_order", "sales"),
        ("helpdesk", "I'd like three black tablets, and call me Ann", "fill_order", "sales"),
        ("helpdesk", "I would like to buy something", None, "sales"),
        ("helpdesk", "please confirm my order", "place_order", "sales"),
        ("helpdesk", "where is my order", "show_order", "sales"),
        ("helpdesk", "can I return it?", None, "refunds"),
        ("helpdesk", "My phone is broken, I want a refund", "request_refund", "refunds"),
        ("helpdesk", "how do I connect a real model?", None, "triage"),
        ("helpdesk", "what did I say?", None, "triage"),
        ("helpdesk", "hello", None, "triage"),
        ("phone_shop", "I want to buy a phone", None, "advisor"),
        ("phone_shop", "which phones do you have?", None, "advisor"),
        ("phone_shop", "something for my grandmother", "search_catalogue", "advisor"),
        ("phone_shop", "show me something cheap", "search_catalogue", "advisor"),
        ("phone_shop", "I'll take the waterproof one", "put_in_basket", "advisor"),
        ("phone_shop", "show my basket", "show_basket", "advisor"),
        ("phone_shop", "that's all", "check_out", "cashier"),
        ("phone_shop", "I want to pay", "check_out", "cashier"),
    ],
)
def test_sentences_may_vary(swarm, message, tool, agent):
    async def scenario():
        model = RecordingModel(SWARMS[swarm])
        async with await open_session(open_backend("memory:"), model, swarm=SWARMS[swarm]) as session:
            events = await say(session, message)
            assert [event.name for event in events if isinstance(event, ToolStarted)] == ([tool] if tool else [])
            assert session.agent.name == agent
            assert all(check_messages(request.decoded_messages()) is None for request in model.requests)

    run(scenario())


def test_the_help_suggests_what_works():
    async def scenario():
        async with await open_session(
            open_backend("memory:"), RecordingModel(helpdesk.swarm), swarm=helpdesk.swarm
        ) as session:
            suggestions = re.findall(r'"([^"]+)"', HELP)
            assert len(suggestions) > 10
            for message in suggestions:
                events = await say(session, message)
                assert "no rule" not in events[-1].text
                assert "did not work" not in events[-1].text
                assert "Nothing" not in events[-1].text
            assert isinstance(events[0], Refused)

    run(scenario())


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([("find_fact", {"about": "planets in space", "limit": 3})], ["\n.*\n"]),
        ([("find_fact", {"about": "quarterly taxes"})], ["There is no fact"]),
        (
            [("play", {"square": number}) for number in (12, 0, -1)],
            ["12 is not free", "0 is not free", "-1 is not free"],
        ),
        ([("play", {"square": 5}), ("play", {"square": 3}), ("play", {"square": 7})], ["O 2 3", "O O X", "X has won!"]),
        ([("play", {"square": number}) for number in (5, 9, 8)], ["O 2 3", "O O 3", "O has won."]),
        ([("play", {"square": number}) for number in (2, 4, 5, 7, 9)], ["", "", "", "", "draw"]),
        ([("start_game", {}), ("play", {"square": 1}), ("show_board", {})], ["1 2 3", "X O 3", "X O 3"]),
    ],
)
def test_what_the_tools_of_triage_answer(calls, results):
    assert_results(helpdesk.swarm, calls, results)


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([("fill_order", {"quantity": -1})], ["must be 1 or more"]),
        ([("place_order", {})], ["missing: item, colour, quantity, name"]),
        (
            [
                ("fill_order", {"item": "phone", "colour": "red", "quantity": 1, "name": "Ann"}),
                ("place_order", {}),
                ("place_order", {}),
                ("fill_order", {"item": "tablet"}),
            ],
            [
                "status: open.$",
                "status: placed",
                "the order is placed",
                "name: Ann, status: open. Still missing: colour",
            ],
        ),
    ],
)
def test_what_the_tools_of_sales_answer(calls, results):
    assert_results(helpdesk.swarm, [("transfer_to_sales", {}), *calls], ["handed_over", *results])


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([("put_in_basket", {"description": "Oak", "count": 3})], ["3 × Oak, 429 each"]),
        ([("put_in_basket", {"description": "Oak", "count": -3})], ["The basket is empty"]),
        ([("search_catalogue", {"description": "quarterly taxes"})], ["Nothing fits"]),
        ([("search_catalogue", {"description": "phone", "limit": 0})], ["Error: ValueError: total 0"]),
    ],
)
def test_what_the_tools_of_the_shop_answer(calls, results):
    assert_results(phone_shop.swarm, calls, results)


def assert_results(swarm, calls, results):
    """Make the calls one after the other; each result must match its pattern."""

    async def scenario():
        steps = [
            Answer(tool_calls=(ToolCall(f"call_{number}", name, json.dumps(arguments)),), finish="tool_calls")
            for number, (name, arguments) in enumerate(calls)
        ]
        model = ScriptedModel([*steps, "Done."])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            await say(session, "go")
            return [record.message["content"] for record in session.records if record.type == "tool"]

    outcomes = run(scenario())
    assert len(outcomes) == len(results)
    for got, pattern in zip(outcomes, results, strict=True):
        assert re.search(pattern, got.replace("\\n", "\n"), re.DOTALL), got


def test_calls_in_one_message_play_one_after_the_other():
    async def scenario():
        calls = tuple(ToolCall(f"call_{square}", "play", f'{{"square": {square}}}') for square in (5, 3, 3, 7, 8))
        model = ScriptedModel([Answer(tool_calls=calls, finish="tool_calls"), "Done."])
        async with await open_session(open_backend("memory:"), model, swarm=helpdesk.swarm) as session:
            await say(session, "go")
            assert await state(session, "game") == {"board": "OOX4X6X89", "winner": "X"}
            statuses = [record.data["status"] for record in session.records if record.type == "tool"]
            assert statuses == ["ok", "ok", "error", "ok", "error"]

    run(scenario())


def test_the_page_shows_the_conversation():
    (shown,) = re.findall(r"^````text\n(you ❯.*?)\n````$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert run(walk(re.findall(r"^you ❯ (.+)$", shown, re.MULTILINE))) == shown


async def walk(lines):
    """Return what a walk through the help desk looks like."""
    shown = []
    swarm = helpdesk.swarm
    async with await open_session(open_backend("memory:"), RecordingModel(swarm), swarm=swarm) as session:
        for line in lines:
            shown.append(f"you ❯ {line}\n")
            speaking = False
            async for event in session.run_turn(line):
                if speaking and not isinstance(event, TextDelta):
                    shown.append("\n")
                    speaking = False
                match event:
                    case ToolFinished(name, arguments, status):
                        shown.append(f"  {name}({arguments}): {status}\n")
                    case HandedOver(source, target):
                        shown.append(f"  {source} → {target}\n")
                    case Refused(policy, _, banned, message):
                        shown.append(f"  refused by {policy}{', banned' if banned else ''}\n{message}\n")
                    case TextDelta(text, agent):
                        shown.append(text if speaking else f"{agent} ❯ {text}")
                        speaking = True
            shown.append("\n")
    return "".join(shown).rstrip()

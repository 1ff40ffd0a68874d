"""A record of raw answers as small models give them, each through a whole session: what runs, and what is shown."""

import asyncio
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from chats import open_session, say, sent, text_of
from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER
from swarmchat.swarm.conversation.events import HandedOver
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.tools.tool import Tool, tool

DATA = Path(__file__).parent / "data" / "raw_answers.jsonl"
"""Of each entry: what was asked and answered, the tools, the calls that may be carried out, and what may be shown."""
ENTRIES = [json.loads(line) for line in DATA.read_text("utf-8").splitlines()]
GOOD, LAST = "We are glad to help you.", "You are welcome."
PIECE = 4
NO_CALLS = ("cut in tags", "cut JSON", "explains", "no tools", "ordinary")
"""Forms of which nothing is ever carried out."""
TEXTS = ("explains", "no tools", "fences", "ordinary", "programs")
"""Forms of which some answers may show what looks like a call: in a program, or because it is what was asked for."""
MARKUP = re.compile(
    r"</?(?:tool|function|invoke|args?\b|parameter)|\[TOOL|<\||\"(?:name|tool|action)\"\s*:\s*\"\w+_"
    r"|\b(?:find_fact|play|fill_order|place_order|show_board)\((?!square\))"
)
INSTRUCTIONS = "You are the front desk. Answer questions from the facts that you find, and play tic-tac-toe."


@dataclass
class Outcome:
    """What came of one raw answer."""

    calls: list[dict[str, Any]]
    shown: str
    answer: str
    """The text of the turn's last answer."""
    remembered: str
    """What the model and the log say of it in the next turn."""


CALLS: list[dict[str, Any]] = []
"""What the tools were called with."""


def note(name: str, **arguments: Any) -> str:
    CALLS.append({"name": name, "arguments": arguments})
    return "done"


@tool
def find_fact(about: str, limit: int = 1) -> str:
    """Find the facts that best match a description."""
    return note("find_fact", about=about, **({} if limit == 1 else {"limit": limit}))


@tool
def show_board() -> str:
    """Show the board of tic-tac-toe."""
    return note("show_board")


@tool
def play(square: int) -> str:
    """Put the client's X on a square."""
    return note("play", square=square)


@tool
def fill_order(item: str = "", colour: str = "", quantity: int = 0, name: str = "") -> str:
    """Fill in what the client has said of an order."""
    fields = {"item": item, "colour": colour, "quantity": quantity, "name": name}
    return note("fill_order", **{field: value for field, value in fields.items() if value})


@tool
def place_order() -> str:
    """Place the order."""
    return note("place_order")


TOOLS: list[Tool] = [find_fact, show_board, play, fill_order, place_order]


async def play_session(entry: dict[str, Any]) -> Outcome:
    """Have the turn of ``entry``, in pieces of ``PIECE`` characters, and one more; return what came of it."""
    CALLS.clear()
    offered = [each for each in TOOLS if each.name in entry["tools"]]
    desk = Agent("desk", INSTRUCTIONS, offered, ["sales"] if offered else [])
    swarm = Swarm("shop", [desk, Agent("sales", "You are sales.")], default="desk")
    text, finish = entry["answer"], entry.get("finish", "stop")
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    history = entry.get("history", [])
    model = ScriptedModel([*(answer for _, answer in history), [*pieces, Answer(text, finish=finish)], *[GOOD] * 9])
    backend = open_backend("memory:")
    async with await open_session(backend, model, swarm=swarm, rescue_confirm="never") as session:
        for question, _ in history:
            await say(session, question)
        events = await say(session, entry["question"])
        await say(session, "Thank you.")
    handoffs = [each.target for each in events if isinstance(each, HandedOver)]
    calls = [*CALLS, *({"name": f"transfer_to_{target}", "arguments": {}} for target in handoffs)]
    records = [parse_record(line) for line in await backend.slice(keys.session_log("ann", "s"), 0)]
    messages = [record.data["message"] for record in records if record.type == "assistant"]
    messages += [message for message in sent(model) if message["role"] != "user"]
    remembered = [message["content"] or "" for message in messages]
    remembered += [call["function"]["arguments"] for message in messages for call in message.get("tool_calls", ())]
    return Outcome(calls, text_of(events), events[-1].text, "\n".join(remembered))


def problem_of(entry: dict[str, Any], outcome: Outcome) -> str | None:
    """Return what is not sane about the turn, ``None`` if nothing."""
    if outcome.calls != entry["calls"]:
        return f"ran {outcome.calls}, expected {entry['calls']}"
    # How the texts of two answers are set apart is up to the terminal.
    if "".join(outcome.shown.split()) not in [
        "".join(text.split()) for text in (entry["shown"], entry["shown"] + GOOD)
    ]:
        return f"showed {outcome.shown!r}, expected {entry['shown']!r}"
    if not outcome.answer.strip() or outcome.answer == PLACEHOLDER:
        return f"ended with {outcome.answer!r}"
    return None


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    async def scenario() -> list[Outcome]:
        return [await play_session(entry) for entry in ENTRIES]

    return asyncio.run(scenario())


def test_the_record_is_large_and_without_repetition() -> None:
    answers = {(entry["question"], entry["answer"], entry.get("finish"), *entry["tools"]) for entry in ENTRIES}
    assert len(answers) == len({entry["id"] for entry in ENTRIES}) == len(ENTRIES) >= 200
    assert not [entry["id"] for entry in ENTRIES if entry["form"] in NO_CALLS and entry["calls"]]
    assert not [entry["id"] for entry in ENTRIES if entry["form"] not in TEXTS and MARKUP.search(entry["shown"])]


def test_no_markup_is_shown_or_remembered(outcomes: list[Outcome]) -> None:
    for entry, outcome in zip(ENTRIES, outcomes, strict=True):
        allowed = {match[0] for match in MARKUP.finditer(entry["shown"])}
        assert {match[0] for match in MARKUP.finditer(outcome.shown)} <= allowed, entry["id"]
        assert {match[0] for match in MARKUP.finditer(outcome.remembered)} <= allowed, entry["id"]


def test_the_turns_are_sane(outcomes: list[Outcome]) -> None:
    problems = {
        entry["id"]: problem
        for entry, outcome in zip(ENTRIES, outcomes, strict=True)
        if (problem := problem_of(entry, outcome))
    }
    assert not problems, "\n".join(f"{name}: {problem}" for name, problem in problems.items())

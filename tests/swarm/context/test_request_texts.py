"""The texts of requests in a log: each once, restored exactly, bounded, and never a wrong one."""

import asyncio
from dataclasses import replace

import pytest
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Answer, ScriptedModel, Session, Swarm, ToolCall, tool
from swarmchat.swarm.archive.redaction import Redaction
from swarmchat.swarm.context import request_texts
from swarmchat.swarm.context.request_texts import RequestTexts
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record


@tool
def price(item: str) -> str:
    """Price of an item: größer als 3 €."""
    return "3"


LONG = "You sell tea. " * 20


def requests_of(swarm: Swarm, steps: list, *, openings: int = 1) -> list[Record]:
    """Hold a session with as many openings, each with all ``steps``; return its requests."""

    async def hold() -> list[Record]:
        backend = open_backend("memory:")
        for _ in range(openings):
            model = ScriptedModel(list(steps))
            async with await Session.open(backend, model, client="ann", name="s", swarm=swarm) as session:
                while len(model.requests) < len(steps):
                    async for _ in session.run_turn("hello"):
                        pass
        return [record async for record in read_records(backend, session.info) if record.type == "request"]

    return asyncio.run(hold())


def test_each_text_is_written_once_also_after_a_handoff_and_another_start():
    agents = [Agent("clerk", "You sell.", tools=[price], handoffs=["till"]), Agent("till", "Pay.", handoffs=["clerk"])]
    there, back = (Answer(tool_calls=(ToolCall("", f"transfer_to_{name}", "{}"),)) for name in ("till", "clerk"))
    requests = requests_of(Swarm("shop", agents), ["a", there, "b", back, "c"], openings=2)
    kept = [list(record.data.get("texts", {})) for record in requests]
    # The clerk, the till with and without a way back: every other request sends what is known.
    assert kept[0] == ["instructions", "tools"]
    assert sum(map(len, kept)) == len({(p, r.data["parts"][p]) for r in requests for p in ("instructions", "tools")})
    texts = RequestTexts(requests)
    assert texts.get("instructions", requests[0].data["parts"]["instructions"]) == ["You sell."]
    (function, *_) = texts.get("tools", requests[0].data["parts"]["tools"]) or []
    assert function["function"]["description"] == "Price of an item: größer als 3 €."


def test_a_reminder_is_told_from_a_prompt():
    for agent, shown in (
        (Agent("clerk", "You sell.", reminder="Be brief."), "(reminder) Be brief."),
        (Agent("clerk", "You sell.", system=["Be brief."]), "Be brief."),
    ):
        (request,) = requests_of(Swarm("shop", [agent]), ["a"])
        assert RequestTexts([request]).get("instructions", request.data["parts"]["instructions"]) == [
            "You sell.",
            shown,
        ]


def test_a_prompt_that_changes_a_little_is_written_as_its_difference():
    times = iter(range(100))
    swarm = Swarm("shop", [Agent("clerk", lambda ctx: f"{LONG}It is 12:{next(times):02} “now”. {LONG}")])
    requests = requests_of(swarm, ["a"] * 12)
    whole, *others = (record.data["texts"]["instructions"] for record in requests)
    assert isinstance(whole, list)
    assert all(len(str(other)) < 120 for other in others)
    texts = RequestTexts(requests)
    for minute, record in enumerate(requests):
        (text,) = texts.get("instructions", record.data["parts"]["instructions"]) or [""]
        assert text == f"{LONG}It is 12:{minute:02} “now”. {LONG}"
    # Without the whole text, a difference is nothing.
    assert RequestTexts(requests[1:]).get("instructions", requests[1].data["parts"]["instructions"]) is None


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(request_texts, "LARGEST_SUM", 1500)
    numbers = iter(range(1000))
    swarm = Swarm("shop", [Agent("clerk", lambda ctx: " ".join(str(next(numbers) ** 9) for _ in range(20)))])
    requests = requests_of(swarm, ["a"] * 12)
    kept = [str(record.data["texts"]) for record in requests if "texts" in record.data]
    assert 2 <= len(kept) < 12
    assert sum(map(len, kept)) < 2000

    monkeypatch.setattr(request_texts, "LONGEST", 100)
    assert all("texts" not in record.data for record in requests_of(swarm, ["a"] * 2))


@pytest.mark.parametrize(
    "texts",
    [
        {"instructions": ["You buy."]},
        {"instructions": "You sell."},
        {"instructions": {"like": "x", "start": -5, "end": "1", "text": 7}},
        {"instructions": {"like": "2a417e157c14", "start": 0, "end": 0, "text": "[" * 100_000}},
        {"instructions": {}, "tools": None, "other": [1]},
        ["You sell."],
        7,
    ],
)
def test_a_text_that_is_not_the_one_of_the_digest_is_none(texts):
    (request,) = requests_of(Swarm("shop", [Agent("clerk", "You sell.")]), ["a"])
    damaged = replace(request, data={**request.data, "texts": texts})
    assert RequestTexts([damaged]).get("instructions", request.data["parts"]["instructions"]) is None


def test_a_redacted_text_is_none():
    (request,) = requests_of(Swarm("shop", [Agent("clerk", "You sell to Ann.")]), ["a"])
    redacted = Redaction(["Ann"]).record(request)
    assert redacted.data["texts"] == {"instructions": ["You sell to [redacted]."]}
    assert RequestTexts([redacted]).get("instructions", request.data["parts"]["instructions"]) is None

"""Any conversation that a session holds replays as the same: plain, with tools, leaks, silence, handoffs and cuts."""

import asyncio
import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from recorded import Recorder, again, ask
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Context, Policy, Session, State, Swarm, tool
from swarmchat.swarm.errors import ContextTooLong, ModelUnavailable, SwarmError
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.replay.steps import written_conversation
from swarmchat.swarm.replay.writing import write_test


@tool
async def note(ctx: Context, text: str) -> str:
    """Note something."""
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes[-3:], text]))


@tool
async def remember(ctx: Context, name: str) -> str:
    """Remember the client's name, and fail for some."""
    await ctx.memory.set("name", name)
    if name == "nobody":
        raise ValueError("that is no name")
    return name


@tool
async def send_on(ctx: Context) -> str:
    """Send the client to the other one."""
    ctx.handoff("till" if ctx.agent == "desk" else "desk")
    return "sent"


def today(ctx: Context) -> str:
    return f"It is {ctx.now():%H:%M:%S}."


async def known(ctx: Context) -> str:
    return f"{await ctx.memory.get('name', '?')}: {await ctx.state('notes').get()}"


TOOLS = [note, remember, send_on]
SHOP = Swarm(
    "shop",
    [
        Agent("desk", "Take orders.", tools=TOOLS, handoffs=["till"], system=[known], reminder=today),
        Agent(
            "till", "Take money.", tools=TOOLS, handoffs=["desk"], validate=lambda text: "loud" if "!" in text else None
        ),
    ],
    states=[State("notes", default=list)],
    policies=[Policy("secret", reject_output=["secret"])],
)

WORDS = st.sampled_from(
    ["tea", "Yes!", "well, well", "word " * 40, "{}", "é 漢字", "<think>hm</think>so", "", "secret"]
)
CALLS = st.sampled_from(
    [
        ("note", '{"text":"a"}'),
        ("note", "{'text': 'b',}"),
        ("Note", '{"text":"c"}'),
        ("note", '{"x":1}'),
        ("nothing", "{}"),
        ("remember", '{"name":"Ann"}'),
        ("remember", '{"name":"nobody"}'),
        ("send_on", "{}"),
        ("transfer_to_till", "{}"),
        ("transfer_to_desk", "{}"),
        ("transfer_back", "{}"),
    ]
)
LEAKS = CALLS.map(
    lambda call: f'<tool_call>{{"name": "{call[0]}", "arguments": {call[1]}}}</tool_call>'
) | st.sampled_from(["<|im_end|>", '<tool_call>{"name": "note"', "same line again\n" * 200])
ANSWERS = st.builds(
    lambda words, leak, made, ids, usage: Answer(
        words + leak,
        tuple(ToolCall(f"{ids}{n}", *call) for n, call in enumerate(made)),
        usage=usage,
    ),
    WORDS,
    st.just("") | LEAKS,
    st.lists(CALLS, max_size=3),
    st.sampled_from(["0", "call_", "x"]),
    st.none() | st.fixed_dictionaries({"prompt_tokens": st.integers(80, 600)}),
)
ERRORS = st.sampled_from([ModelUnavailable("away"), ContextTooLong("long"), ContextTooLong("long", limit=350)])
STEPS = ANSWERS | ANSWERS | ANSWERS | ERRORS | WORDS.map(lambda words: [words or "x", ModelUnavailable("cut")])
MOVES = st.one_of(
    st.tuples(st.just("ask"), WORDS.map(lambda text: text or "hi")),
    st.tuples(st.just("ask"), WORDS.map(lambda text: text or "hi")),
    st.tuples(st.just("go"), st.sampled_from(["desk", "till"])),
    st.tuples(st.sampled_from(["back", "reset"]), st.none()),
    st.tuples(st.just("open"), st.sampled_from([450, 700, 1500])),
    st.tuples(st.just("set"), st.sampled_from([{"placeholder": "Hm?"}, {"reserve": 90}, {"parameters": {"seed": 1}}])),
    st.tuples(st.just("name"), st.sampled_from(["Ann", "Bob"])),
    st.tuples(st.sampled_from(["pin", "unpin"]), st.integers(1, 3)),
    st.tuples(st.just("compact"), st.sampled_from(["", "tea"])),
    st.tuples(st.sampled_from(["undo", "redo"]), st.integers(1, 3)),
)


async def hold(recorder: Recorder, moves: list[Any], steps: list[Any], window: int) -> None:
    left = iter(steps)
    model = ScriptedModel([lambda request: next(left, "ok")] * 2000)
    session = await recorder.open(model, context_window=window)
    for kind, what in moves:
        with suppress(SwarmError):
            session = await move(session, kind, what, recorder)
    await session.close()


async def move(session: Session, kind: str, what: Any, recorder: Recorder) -> Session:
    """Do one of the ``MOVES``; return the session to go on with."""
    match kind:
        case "ask":
            await ask(session, what)
        case "go":
            await session.go_to(what)
        case "back":
            await session.go_back()
        case "reset":
            await session.reset()
        case "undo":
            await session.undo(what)
        case "redo":
            await session.redo(what)
        case "set":
            await session.change_settings(replace(session.settings, **what))
        case "name":
            await session.change_memory(lambda memory: memory.set("name", what))
        case "pin":
            await session.pin(what)
        case "unpin":
            await session.unpin(what)
        case "compact":
            await session.compact(what)
        case "open":
            await session.close()
            return await recorder.open(session.model, context_window=what)
    return session


@given(st.lists(MOVES, min_size=1, max_size=12), st.lists(STEPS, max_size=25), st.sampled_from([450, 700, 32_000]))
def test_a_random_conversation_replays_as_the_same(moves, steps, window):
    async def run() -> None:
        backend = open_backend("memory:")
        recorder = Recorder(backend, SHOP)
        await hold(recorder, moves, steps, window)
        log = await recorder.log()
        if log == b"\n":
            return
        with tempfile.TemporaryDirectory() as folder:
            first = await again(log, Path(folder, "log.jsonl"), SHOP)
            second = await again(log, Path(folder, "log.jsonl"), SHOP)
        reports = [f"{each}\n" + "\n".join(each.diff()) for each in first.differences[:3]]
        assert not reports, "\n".join(reports)
        assert [record.line for record in first.records] == [record.line for record in second.records]
        assert len(first.records) == len(log.splitlines())
        assert all(json.loads(line) for line in log.splitlines())

    asyncio.run(run())


@given(st.lists(MOVES, min_size=1, max_size=8), st.lists(STEPS, max_size=15))
def test_a_random_conversation_passes_as_a_test_in_both_forms(moves, steps):
    async def run() -> None:
        recorder = Recorder(open_backend("memory:"), SHOP)
        await hold(recorder, moves, steps, 32_000)
        records = [parse_record(line) for line in (await recorder.log()).splitlines() if line]
        written = written_conversation(records, "s")
        if not any(kind == "user" for kind, _ in written.steps):
            return
        outcomes = []
        for name in ("t.yaml", "t.jsonl"):
            with tempfile.TemporaryDirectory() as folder:
                replayed = await again(write_test(written, Path(name)), Path(folder, name), SHOP)
            assert [str(each) for each in replayed.differences] == [], write_test(written, Path("t.jsonl")).decode()
            outcomes.append(replayed.turns)
        assert outcomes[0] == outcomes[1]

    asyncio.run(run())

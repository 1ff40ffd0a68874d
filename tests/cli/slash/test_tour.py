"""A tour of every slash command, on every backend: each does what it says, and what is left replays."""

import asyncio

import pytest
from contexts import chat_in
from swarmchat.backends import open_backend
from swarmchat.cli.errors import CliError
from swarmchat.cli.slash.builtin import COMMANDS, LeaveChat, run_command
from swarmchat.swarm import Agent, Context, Session, State, Storage, Swarm, tool
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.runner import replay

TOUR = """
/help | agents and data
/help undo | [N]
/agents | * clerk
/stack | clerk
/tools | note(what)
/session | box
/sessions | no sessions yet
/set temperature 0.5 | set here
/set | max_context
hello there, this is a long greeting with many words so that there is something to gain by a summary of it all
/call note {"what": "tea"} | tea
/call files/read note {"number": 0} | tea
! /call files/read | cannot call 'files/read'
/state notes | ["tea"]
/storage box | lamp
/storage box lamp | lamp
/memory name Ann | Ann
/memory --clear name | forgotten
/set temperature 0.7 | 0.7
/set temperature default | not set
/approve | note: auto
/approve note deny | deny
! /call note {"what": "x"} | not allowed
/approve files/read note ask | tools matching files/read note: ask
! /approve files/read note | not a rule
/approve auto | auto
a long story about the lamp that goes on and on and on and on, with a lamp, and a lamp, and another lamp
and what then?
/pin 1 | turn 1 is pinned
/context | pinned: hello there
/unpin | no longer pinned
/pin story | turn 2
/compact the lamp | Summed up
/context | summary:
/tokens | sent, as counted here
go on
/undo | turn 4 is undone
/redo | is back
/retry | turn 4 is undone
/agent boss | boss ‹ clerk
/back | clerk
/debug last | "records"
/model demo | demo answers
/task boss weigh the lamp | task b1 has started
/tasks | weigh the lamp
/task 1 | b1 · boss
! /task boss | usage
! /task 9 | no task b9
! /task 9 stop | is not running
/history | hello there
/history lamp | story
/search lamp | box
! /copy | no terminal with a clipboard
/mcp | no MCP servers
/prompt | no prompts
! /file missing.md why | no such file
! /theme nothing | no such theme
/theme mono | theme mono from now on
/theme | * mono
/theme auto | theme auto
! /thoughts loud | expected folded, shown, hidden
/thoughts shown
/rename crate | crate
! /now | needs the message
/now go on
/undo | is undone
/edit | undone
/export crate.jsonl | wrote
/import crate.jsonl | crate
/fork copy | copy
/resume crate | crate
/reset | no longer sent
/doctor | swarmchat doctor
/new fresh | fresh
/clear
/exit
"""
"""A line each: what is said, or a command and what it shows; with an exclamation mark, one that fails."""


@tool
async def note(ctx: Context, what: str) -> str:
    """Note something."""
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes, what]))


@tool(name="files/read note")
async def read_note(ctx: Context, number: int) -> str:
    """Read a note."""
    return (await ctx.state("notes").get())[number]


def swarm() -> Swarm:
    agents = [Agent("clerk", "Serve.", tools=[note, read_note], handoffs=["boss"]), Agent("boss", "Decide.")]
    return Swarm(
        "office",
        agents,
        states=[State("notes", default=list)],
        storages=[Storage("box", str, items=["lamp"], type=str)],
    )


def answer(request):
    """Answer with the question, or with a summary where one is asked for."""
    messages = request.decoded_messages()
    if "sum up conversations" in messages[0]["content"]:
        return Answer("Summed up: a lamp.", usage={"prompt_tokens": 60, "completion_tokens": 5})
    return Answer(f"You said {messages[-1]['content']}", usage={"prompt_tokens": 50, "completion_tokens": 9})


async def opened(backend, name):
    model = ScriptedModel([answer] * 50, name="gpt-4o")
    return await Session.open(backend, model, client="ann", name=name, swarm=swarm())


async def take_tour(backend):
    """Go through the tour; return which commands were given, and the sessions that they led to."""
    chat = chat_in(await opened(backend, "box"), lambda name: opened(backend, name))
    used, seen = [], ["box"]
    for line in TOUR.strip().splitlines():
        step, _, expected = (part.strip() for part in line.partition(" | "))
        fails = step.startswith("! ")
        step = step.removeprefix("! ")
        if not step.startswith("/"):
            async for _ in chat.session.run_turn(step):
                pass
            continue
        used.append(step[1:].split()[0])
        if fails:
            with pytest.raises((CliError, SwarmError), match=expected):
                await run_command(chat, step)
            continue
        if step == "/exit":
            with pytest.raises(LeaveChat):
                await run_command(chat, step)
            break
        outcome = await run_command(chat, step)
        assert expected in f"{outcome.page}\n{outcome.remark}", f"{step}: {outcome}"
        if outcome.next_session is not None:
            await chat.switch_to(outcome.next_session)
            seen.append(chat.session.info.id)
        if outcome.send is not None:
            async for _ in chat.session.run_turn(outcome.send):
                pass
    await chat.session.close()
    return used, seen


def test_every_command_on_every_backend(backend_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario():
        backend = open_backend(backend_url)
        used, seen = await take_tour(backend)
        assert sorted(set(COMMANDS) - set(used)) == []
        assert seen == ["box", "copy", "box", "fresh"]
        for line in await backend.slice("swarmchat:1:{ann}:session:box:log", 0):
            parse_record(line)
        await backend.close()

    asyncio.run(scenario())


def test_what_the_commands_left_replays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    async def scenario():
        backend = open_backend("memory:")
        await take_tour(backend)
        session = await Session.open(backend, ScriptedModel([]), client="ann", name="box", swarm=swarm())
        info = session.info
        await session.close()
        records = [record async for record in read_records(backend, info)]
        types = {record.type for record in records}
        assert {"compact", "pin", "unpin", "set", "rename", "state", "undo", "redo", "handoff", "reset"} <= types
        done = await replay(RecordedConversation("box", records, whole=True), backend, swarm=swarm())
        assert list(map(str, done.differences)) == []

    asyncio.run(scenario())

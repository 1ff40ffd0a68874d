"""Completion of what follows the name of a slash command."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from swarmchat.cli.completion.tool_arguments import continued, names_line, skeleton
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.session.undo import Timeline

_FILES = 500
"""How many entries of a folder are offered at most."""


async def agents(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the agents of the swarm but for the active one."""
    others = [agent for agent in chat.session.swarm.agents if agent.name != chat.session.navigation.active]
    return [(agent.name, agent.description) for agent in others]


async def calls(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return what the active agent may call now; behind a name, an object to be filled in, or one more argument."""
    toolset = await chat.session.conversation.toolset()
    name, space, arguments = typed.partition(" ")
    if not space:
        return [(tool.name, tool.signature.description.split("\n")[0]) for tool in toolset.tools.values()]
    if name not in toolset.tools:
        return ()
    parameters = toolset.tools[name].signature.parameters
    begun = continued(parameters, arguments)
    if not begun:
        begun = [(skeleton(parameters), names_line(parameters))]
        begun += [] if parameters.get("required") else continued(parameters, "{")
    return [(f"{name} {each}", about) for each, about in begun]


async def states(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the states that the swarm declares."""
    return [(state.name, "") for state in chat.session.swarm.states]


async def storages(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the storages that the swarm declares."""
    return [(storage.name, "") for storage in chat.session.swarm.storages]


async def sessions(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the client's other sessions, the last used first."""
    from swarmchat.swarm.persistence.session_index import list_sessions

    found = await list_sessions(chat.session.backend, chat.session.info.client)
    return [(info.name, info.title) for info in found if info.id != chat.session.info.id]


async def models(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the models that are known without asking a server: the one in use, and those that agents name."""
    named = {agent.model: f"of {agent.name}" for agent in chat.session.swarm.agents if agent.model}
    return list({**named, chat.session.model.name: "in use", "demo": "built in: scripted answers, no AI"}.items())


async def remembered(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the names of what is remembered of the client; behind one, its value to be changed."""
    values = {
        name: json.dumps(value, ensure_ascii=False)
        for name, value in (await chat.session.primitives.memory.all()).items()
    }
    name, space, _ = typed.partition(" ")
    if name == "--clear":
        return [(f"--clear {each}", value) for each, value in values.items()]
    if space:
        return [(f"{name} {values[name]}", "what is remembered now")] if name in values else ()
    return [*values.items(), *([("--clear", "forget something")] if values else [])]


async def name_now(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the name of the session, to be changed."""
    return [(chat.session.info.name, "what it is called now")]


async def files(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return what is in the folder that ``typed`` leads to; what begins with a dot only if that was typed."""
    return await asyncio.to_thread(_entries, typed)


async def export_files(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return what ``files`` does, also behind the sign that a file may be replaced."""
    mark = typed[: len(typed) - len(typed.removeprefix("!").lstrip())]
    return [(mark + name, about) for name, about in await files(chat, typed.removeprefix(mark))]


def _entries(typed: str) -> list[Choice]:
    folder, start = os.path.split(typed)
    found = []
    with os.scandir(Path(folder or ".").expanduser()) as entries:
        for entry in entries:
            if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                found.append((os.path.join(folder, entry.name) + ("/" if entry.is_dir() else ""), ""))
            if len(found) == _FILES:
                break
    return sorted(found)


_MOST = 100
"""How many turns are offered at most."""


class _Past(Timeline):
    """The turns of a session, and which of them are pinned."""

    def __init__(self, session: Session) -> None:
        super().__init__(session.swarm.default)
        self.pinned: dict[int, None] = {}

    def choices(self, turns: Sequence[int]) -> list[Choice]:
        """Return ``turns`` by their numbers."""
        return [(str(turn), self.texts.get(turn, "")) for turn in turns[:_MOST]]

    def counts(self, turns: Sequence[int]) -> list[Choice]:
        """Return how many of ``turns`` there can be, each with the last one that is among them then."""
        return [(str(count), self.texts.get(turn, "")) for count, turn in enumerate(turns[:_MOST], 1)]


async def turns_to_undo(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return how many turns can be taken back, with the question of the first one that is gone then."""
    past = await _past(chat.session)
    return past.counts(past.visible[::-1])


async def turns_to_redo(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return how many turns can be brought back, with the question of the last one that is there then."""
    past = await _past(chat.session)
    return past.counts(past.redoable)


async def turns_to_pin(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the turns that are not pinned, the last one first."""
    past = await _past(chat.session)
    return past.choices([turn for turn in reversed(past.visible) if turn in past.texts and turn not in past.pinned])


async def turns_to_unpin(chat: ChatContext, typed: str) -> Sequence[Choice]:
    """Return the turns that are pinned, the last one first."""
    past = await _past(chat.session)
    return past.choices(sorted(past.pinned, reverse=True))


async def _past(session: Session) -> _Past:
    past, seen = _Past(session), 0
    async for record in read_records(session.backend, session.info):
        past.take(record)
        seen = record.seq + 1
        if session.conversation.retained.pins(record.seq):
            past.pinned[record.turn] = None
    for record in session.unsaved:
        if record.seq >= seen:
            past.take(record)
    return past

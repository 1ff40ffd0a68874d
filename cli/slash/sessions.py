"""Slash commands about sessions: begin one, list them, go on in another, and find what was said."""

import random
import re
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.arguments import files, name_now, sessions
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Outcome, command
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session, free_name, list_sessions
from swarmchat.swarm.session.session import Session

_MOST = 20
_NAME, _LINE = 30, 100


async def _others(session: Session) -> list[SessionInfo]:
    found = await list_sessions(session.backend, session.info.client)
    return [info for info in found if info.id != session.info.id]


@command("new", "start a new session; this one is kept", arguments="[NAME]")
async def _new(chat: ChatContext, argument: str) -> Outcome:
    client = chat.session.info.client
    name = clean_text(argument) or await free_name(chat.session.backend, client, random.SystemRandom())
    await _must_be_free(chat.session, name)
    hint = f"; /resume {chat.session.info.name} goes back" if chat.session.turns else ""
    return Outcome(remark=f"this is session {name!r} now{hint}", go_on_in=name)


@command("sessions", "list your sessions, the most recent first; * marks this one")
async def _sessions(chat: ChatContext, argument: str) -> str:
    found = await list_sessions(chat.session.backend, chat.session.info.client)
    width = max((len(one_line(info.name, _NAME)) for info in found[:_MOST]), default=0)
    lines = [_line(info, width, is_open=info.id == chat.session.info.id) for info in found[:_MOST]]
    if len(found) > _MOST:
        lines.append(f"and {len(found) - _MOST:,} more: swarmchat sessions list")
    return "\n".join(lines) or "no sessions yet: this one is stored with its first turn"


@command("resume", "switch to another session; default: the most recent one", arguments="[NAME]", completes=sessions)
async def _resume(chat: ChatContext, argument: str) -> Outcome:
    others = await _others(chat.session)
    if not argument:
        if not others:
            raise UsageError("no other session")
        info: SessionInfo | None = others[0]
    else:
        info = await find_session(chat.session.backend, chat.session.info.client, argument)
    if info is None:
        raise UsageError(f"unknown session {argument!r}; {nearest(argument, (each.name for each in others))}")
    if info.id == chat.session.info.id:
        raise UsageError(f"{info.name!r} is the session that is open")
    turns = "1 turn" if info.turns == 1 else f"{info.turns} turns"
    return Outcome(remark=f"this is session {info.name!r} now, after {turns}", go_on_in=info.id)


@command("rename", "rename this session", arguments="NAME", completes=name_now)
async def _rename(chat: ChatContext, argument: str) -> Outcome:
    name = clean_text(argument)
    if not name:
        raise UsageError("which name? /rename NAME")
    if name not in (chat.session.info.id, chat.session.info.name):
        await _must_be_free(chat.session, name)
    await chat.session.rename(name)
    return Outcome(remark=f"this session is called {name!r} now")


@command(
    "history",
    "list the turns of this session, or those that contain a text",
    arguments="[TEXT]",
    when=lambda chat: chat.session.turns > 0,
)
async def _history(chat: ChatContext, argument: str) -> str:
    from swarmchat.swarm.archive.dialogue import dialogue

    records = [record async for record in read_records(chat.session.backend, chat.session.info)]
    lines: dict[int, list[str]] = {}
    found: set[int] = set()
    for said in dialogue(records, undone=True):
        if said.kind not in ("user", "assistant", "call"):
            continue
        if argument.casefold() in f"{said.text}\n{said.name}({said.arguments})".casefold():
            found.add(said.turn)
        if said.kind != "call":
            who = "you" if said.kind == "user" else said.who
            undone = " (undone)" if said.undone else ""
            line = f"{said.turn:>4}  {who}{undone}: {one_line(said.text.strip(), _LINE)}"
            lines.setdefault(said.turn, []).append(line)
    shown = [line for turn, told in lines.items() if turn in found for line in told]
    return "\n".join(shown) or (f"no turn contains {argument!r}" if argument else "nothing was said yet")


@command("search", "find a text in all your sessions", arguments="TEXT")
async def _search(chat: ChatContext, argument: str) -> str:
    from swarmchat.swarm.archive.search import search_sessions

    if not argument:
        raise UsageError("no text to search for: /search TEXT")
    pattern = re.compile(re.escape(argument), re.IGNORECASE)
    lines = []
    infos = await list_sessions(chat.session.backend, chat.session.info.client)
    async for info, hits in search_sessions(chat.session.backend, infos, pattern):
        if isinstance(hits, BadRecord):
            lines.append(f"{one_line(info.name, _NAME)} was left out: {hits}")
            continue
        for hit in hits:
            undone = " (undone)" if hit.undone else ""
            text = one_line(f"{hit.before}{hit.match}{hit.after}", _LINE)
            lines.append(f"{one_line(hit.session, _NAME)}  turn {hit.turn}  {hit.role}{undone}: {text}")
    return "\n".join(lines) or f"no session contains {argument!r}"


@command(
    "import",
    "import sessions from a file: our logs, message lists, llm or Codex",
    arguments="FILE",
    completes=files,
)
async def _import(chat: ChatContext, argument: str) -> Outcome:
    from swarmchat.swarm.archive.writer import SessionWriter
    from swarmchat.swarm.importers.detect import open_transcript

    if not argument:
        raise UsageError("which file? /import FILE")
    path = _path(argument)
    client = chat.session.info.client
    lines = []
    with open_transcript(path, client) as transcript:
        writer = SessionWriter(chat.session.backend, client, chat.session.settings.lifetimes.session)
        for incoming in transcript.sessions:
            stored = await writer.store(incoming)
            lines.append(f"{one_line(stored.info.name, _NAME)}: {stored.status}, {incoming.info.turns} turns")
        lines += transcript.remarks
    return Outcome(page="\n".join(lines), remark="/resume NAME goes on in one of them")


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}: {error}") from error


async def _must_be_free(session: Session, name: str) -> None:
    if await find_session(session.backend, session.info.client, name) is not None:
        raise UsageError(f"{session.info.client} has a session {name!r} already: choose another name")


def _line(info: SessionInfo, width: int, *, is_open: bool) -> str:
    turns = f"{info.turns} turn{'' if info.turns == 1 else 's'}"
    when = info.updated[:16].replace("T", " ")
    name = one_line(info.name, _NAME)
    return f"{'*' if is_open else ' '} {name:<{width}}  {when}  {turns:>9}  {one_line(info.title, 60)}".rstrip()

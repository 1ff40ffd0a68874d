"""Slash commands about sessions: start, list, resume, rename, copy, search, export and import them."""

import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings.store import matching_session
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.files import file_choices
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.slash.turns import read_timeline
from swarmchat.cli.terminal.printing import duration
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.session_index import (
    SessionInfo,
    find_session,
    free_name,
    list_sessions,
    numbered_name,
)
from swarmchat.swarm.session.session import Session

_FORMATS = {".jsonl": "jsonl", ".json": "openai", ".md": "markdown", ".html": "html", ".htm": "html"}
"""The format of an export, by the suffix of the file's name."""
_MAX_SESSIONS = 20
"""Maximum number of sessions to list."""
_NAME, _LINE = 30, 100
"""Columns of a session's name, and of a text from it."""


async def _all(session: Session) -> list[SessionInfo]:
    return await list_sessions(session.backend, session.info.client)


async def _others(session: Session) -> list[SessionInfo]:
    return [info for info in await _all(session) if info.id != session.info.id]


async def _other_names(chat: ChatContext, typed: str) -> list[Choice]:
    return [(info.name, info.title) for info in await _others(chat.session)]


async def _current_name(chat: ChatContext, typed: str) -> list[Choice]:
    return [(chat.session.info.name, "the current name")]


async def _export_files(chat: ChatContext, typed: str) -> list[Choice]:
    overwrite = typed[: len(typed) - len(typed.removeprefix("!").lstrip())]
    return [(overwrite + name, about) for name, about in await file_choices(chat, typed.removeprefix(overwrite))]


def _is_stored(chat: ChatContext) -> bool:
    return not chat.session.is_new


def _check_file(swarm: Swarm, argument: str) -> None:
    _export_target(argument, "session")


@Command("new", "start a new session; this one is kept", "[NAME]")
async def _new(chat: ChatContext, argument: str) -> CommandResult:
    client = chat.session.info.client
    name = clean_text(argument) or await free_name(chat.session.backend, client, random.SystemRandom())
    await _must_be_free(chat.session, name)
    hint = f"; /resume {chat.session.info.name} goes back" if not chat.session.is_new else ""
    return CommandResult(remark=f"this is now session {name!r}{hint}", next_session=name)


@Command("sessions", "list your sessions, the most recent first; * marks this one")
async def _sessions(chat: ChatContext, argument: str) -> str:
    infos = await _all(chat.session)
    listed = infos[:_MAX_SESSIONS]
    width = max((len(one_line(info.name, _NAME)) for info in listed), default=0)
    lines = [
        f"{number:>2} {_session_line(info, width, is_open=info.id == chat.session.info.id)}"
        for number, info in enumerate(listed, 1)
    ]
    if len(infos) > len(listed):
        lines.append(f"and {len(infos) - len(listed):,} more: swarmchat sessions list")
    return "\n".join(lines) or "no sessions yet: this one is stored with its first turn"


@Command(
    "resume",
    "switch to a session: its name, its number in /sessions, or the start of its name or title; default: choose one",
    "[NAME]",
    completes=_other_names,
)
async def _resume(chat: ChatContext, argument: str) -> CommandResult:
    infos = await _all(chat.session)
    if argument:
        info = matching_session(infos, argument)
    else:
        others = [info for info in infos if info.id != chat.session.info.id]
        if not others:
            raise UsageError("no other session")
        info = await _picked(chat, others)
        if info is None:
            return CommandResult(remark="no other session was chosen")
    if info is None:
        raise UsageError(f"unknown session {argument!r}; {nearest(argument, (each.name for each in infos))}")
    if info.id == chat.session.info.id and not chat.session.conversation.journal.taken_over:
        raise UsageError(f"{info.name!r} is the open session")
    return CommandResult(remark=f"this is now session {info.name!r}, with {_turns(info.turns)}", next_session=info.id)


async def _picked(chat: ChatContext, infos: Sequence[SessionInfo]) -> SessionInfo | None:
    """Return the one of ``infos`` that the user chooses, or the first where nobody can be asked."""
    answerer = chat.session.conversation.answerer
    if answerer is None or len(infos) == 1:
        return infos[0]
    from swarmchat.swarm.tools.asking import UserQuestion

    listed = infos[:_MAX_SESSIONS]
    width = max(len(one_line(info.name, _NAME)) for info in listed)
    lines = {_session_line(info, width).strip(): info for info in listed}
    rest = f" (and {len(infos) - len(listed):,} more: /resume NAME)" if len(infos) > len(listed) else ""
    chosen = await answerer(UserQuestion(f"which session?{rest}", "/resume", tuple(lines)))
    return None if chosen is None else lines[chosen]


@Command("rename", "rename this session", "NAME", completes=_current_name)
async def _rename(chat: ChatContext, argument: str) -> CommandResult:
    name = clean_text(argument)
    if not name:
        raise UsageError("which name? /rename NAME")
    if name not in (chat.session.info.id, chat.session.info.name):
        await _must_be_free(chat.session, name)
    await chat.session.rename(name)
    return CommandResult(remark=f"this session is now called {name!r}")


@Command("fork", "continue in a copy of this session", "[NAME]", is_useful=_is_stored)
async def _fork(chat: ChatContext, argument: str) -> CommandResult:
    from swarmchat.swarm.archive.sessions import fork_session
    from swarmchat.swarm.archive.writer import SessionWriter

    await _store_all(chat.session)
    backend, info = chat.session.backend, chat.session.info
    name = clean_text(argument) or await numbered_name(backend, info.client, info.name)
    await _must_be_free(chat.session, name)
    forked = await fork_session(backend, info, name, datetime.now(UTC))
    stored = await SessionWriter(backend, info.client, chat.session.settings.lifetimes.session).store(forked, name=name)
    remark = f"this is now session {name!r}; {info.name!r} is unchanged; /resume {info.name} goes back"
    return CommandResult(remark=remark, next_session=stored.info.id)


@Command(
    "history",
    "list the turns of this session, or those that contain a text",
    "[TEXT]",
    is_useful=lambda chat: not chat.session.is_new,
)
async def _history(chat: ChatContext, argument: str) -> str:
    from swarmchat.swarm.archive.dialogue import dialogue

    records = [record async for record in read_records(chat.session.backend, chat.session.info)]
    lines: dict[int, list[str]] = {}
    matches: set[int] = set()
    for entry in dialogue(records, undone=True):
        if entry.kind not in ("user", "assistant", "call"):
            continue
        if argument.casefold() in f"{entry.text}\n{entry.name}({entry.arguments})".casefold():
            matches.add(entry.turn)
        if entry.kind != "call":
            who = "you" if entry.kind == "user" else entry.who
            line = f"{entry.turn:>4}  {who}{_undone(entry.undone)}: {one_line(entry.text.strip(), _LINE)}"
            lines.setdefault(entry.turn, []).append(line)
    page = "\n".join(line for turn, group in lines.items() if turn in matches for line in group)
    return page or (f"no turn contains {argument!r}" if argument else "no messages yet")


@Command("search", "find a text in all your sessions", "TEXT")
async def _search(chat: ChatContext, argument: str) -> str:
    from swarmchat.swarm.archive.search import search_sessions

    if not argument:
        raise UsageError("no text to search for: /search TEXT")
    pattern = re.compile(re.escape(argument), re.IGNORECASE)
    lines = []
    async for info, hits in search_sessions(chat.session.backend, await _all(chat.session), pattern):
        if isinstance(hits, BadRecord):
            lines.append(f"{one_line(info.name, _NAME)} was skipped: {hits}")
            continue
        for hit in hits:
            text = one_line(f"{hit.before}{hit.match}{hit.after}", _LINE)
            lines.append(f"{one_line(hit.session, _NAME)}  turn {hit.turn}  {hit.role}{_undone(hit.undone)}: {text}")
    return "\n".join(lines) or f"no session contains {argument!r}"


@Command(
    "export",
    "write the session to a .jsonl, .json, .md or .html file; ! overwrites",
    "[!] [FILE]",
    check=_check_file,
    completes=_export_files,
    is_useful=_is_stored,
)
async def _export(chat: ChatContext, argument: str) -> CommandResult:
    from swarmchat.cli.sessions.files import export_session

    await _store_all(chat.session)
    path, form, overwrites = _export_target(argument, chat.session.info.name)
    if path.exists() and not overwrites:
        raise UsageError(f"{path} already exists: /export ! {path} overwrites it")
    await export_session(chat.session.backend, chat.session.info, form, path)
    return CommandResult(remark=f"wrote {path}: {form}, {path.stat().st_size:,} bytes")


@Command(
    "import", "import sessions from a file: swarmchat logs, message lists, llm or Codex", "FILE", completes=file_choices
)
async def _import(chat: ChatContext, argument: str) -> CommandResult:
    from swarmchat.swarm.archive.writer import SessionWriter
    from swarmchat.swarm.importers.detect import open_transcript

    if not argument:
        raise UsageError("which file? /import FILE")
    client = chat.session.info.client
    lines = []
    with open_transcript(_path(argument), client) as transcript:
        writer = SessionWriter(chat.session.backend, client, chat.session.settings.lifetimes.session)
        for incoming in transcript.sessions:
            stored = await writer.store(incoming)
            lines.append(f"{one_line(stored.info.name, _NAME)}: {stored.status}, {incoming.info.turns} turns")
        lines += transcript.remarks
    return CommandResult(page="\n".join(lines), remark="/resume NAME opens one of them")


@Command("session", "show this session: name, client, model and store")
async def _session(chat: ChatContext, argument: str) -> str:
    info = chat.session.info
    values = {
        "session": info.name,
        "title": info.title or "-",
        "turns": (await read_timeline(chat.session)).count,
        "client": info.client,
        "model": chat.session.model.name,
        "kept in": chat.session.backend.url,
        "kept": kept_for(chat.session),
    }
    return "\n".join(f"{name:<7}  {value}" for name, value in values.items())


def kept_for(session: Session) -> str:
    """Return for how long a session stays in its store."""
    lifetime = session.settings.lifetimes.session
    return "until it is deleted" if lifetime is None else f"for {duration(lifetime)} after it was last open"


async def _store_all(session: Session) -> None:
    """Store unsaved records. Raises UsageError for a session without a turn."""
    await session.flush()
    if session.is_new:
        raise UsageError("this session has no messages yet")


async def _must_be_free(session: Session, name: str) -> None:
    if await find_session(session.backend, session.info.client, name) is not None:
        raise UsageError(f"{session.info.client} already has a session {name!r}: choose another name")


def _export_target(argument: str, session: str) -> tuple[Path, str, bool]:
    """Return the file to export to, its format, and whether an existing file is overwritten. Raises UsageError."""
    name = argument.removeprefix("!").strip() or (re.sub(r"[^\w.-]+", "-", session).strip("-.") or "session") + ".md"
    path = _path(name)
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"{name!r} has no known format, expected a name that ends in one of {', '.join(_FORMATS)}")
    return path, form, argument.startswith("!")


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{name}: {error}") from error


def _undone(undone: bool) -> str:
    return " (undone)" if undone else ""


def _turns(count: int) -> str:
    return f"{count} turn{'' if count == 1 else 's'}"


def _session_line(info: SessionInfo, width: int, *, is_open: bool = False) -> str:
    when = info.updated[:16].replace("T", " ")
    name, title = one_line(info.name, _NAME), one_line(info.title, 60)
    return f"{'*' if is_open else ' '} {name:<{width}}  {when}  {_turns(info.turns):>9}  {title}".rstrip()

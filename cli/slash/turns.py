"""Slash commands about whole turns: take back, bring back, ask again, and go on elsewhere."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.arguments import export_files, turns_to_redo, turns_to_undo
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Outcome, command
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import clean_text
from swarmchat.swarm.session.session import Session
from swarmchat.swarm.session.undo import redoable

FORMATS = {".jsonl": "jsonl", ".json": "openai", ".md": "markdown", ".html": "html", ".htm": "html"}
"""How a session is written, by the end of the file's name."""

_STAYS = "memory, storages and bans stay as they are"


def _has_turns(chat: ChatContext) -> bool:
    return chat.session.last_turn > 0


def _has_undone(chat: ChatContext) -> bool:
    return bool(redoable([*chat.session.records, *chat.session.unsaved]))


def _has_log(chat: ChatContext) -> bool:
    return not chat.session.is_new


def check_number(swarm: Swarm, argument: str) -> None:
    """Raise UsageError unless ``argument`` says how many turns."""
    _number(argument)


def check_file(swarm: Swarm, argument: str) -> None:
    """Raise UsageError unless ``argument`` names a file that a session can be written to, or none."""
    _file(argument, "session")


@command(
    "undo",
    "undo the last turn, or the last N, with agent and states",
    arguments="[N]",
    check=check_number,
    completes=turns_to_undo,
    when=_has_turns,
)
async def _undo(chat: ChatContext, argument: str) -> Outcome:
    done = await chat.session.undo(_number(argument))
    if not done.turns:
        raise UsageError("nothing to undo: no turn is left")
    return Outcome(remark=f"{_named(done.turns)} undone; {_standing(chat.session, done.left)}; {_STAYS}")


@command(
    "redo",
    "redo the first undone turn, or the first N",
    arguments="[N]",
    check=check_number,
    completes=turns_to_redo,
    when=_has_undone,
)
async def _redo(chat: ChatContext, argument: str) -> Outcome:
    done = await chat.session.redo(_number(argument))
    if not done.turns:
        raise UsageError("nothing to redo: redo works only right after an undo")
    return Outcome(remark=f"{_named(done.turns)} there again; {_standing(chat.session, done.left)}")


@command("retry", "undo the last turn and ask again", when=_has_turns)
async def _retry(chat: ChatContext, argument: str) -> Outcome:
    done = await chat.session.undo()
    if not done.turns:
        raise UsageError("no question to ask again")
    remark = f"{_named(done.turns)} undone; {_STAYS}"
    if not done.text.strip():
        return Outcome(remark=f"{remark}; there was no text in it to ask again")
    return Outcome(remark=remark, send=done.text)


@command(
    "edit",
    "undo the last turn and edit its question",
    at_prompt_only=True,
    when=_has_turns,
)
async def _edit(chat: ChatContext, argument: str) -> Outcome:
    done = await chat.session.undo()
    if not done.turns:
        raise UsageError("no question to edit")
    remark = f"{_named(done.turns)} undone; {_standing(chat.session, done.left)}; {_STAYS}"
    return Outcome(remark=remark, draft=done.text)


@command("fork", "continue in a copy of this session", arguments="[NAME]", when=_has_log)
async def _fork(chat: ChatContext, argument: str) -> Outcome:
    from swarmchat.swarm.archive.sessions import fork_session
    from swarmchat.swarm.archive.writer import SessionWriter
    from swarmchat.swarm.persistence.session_index import find_session, numbered_name

    await _store_all(chat.session)
    backend, info = chat.session.backend, chat.session.info
    name = clean_text(argument) or await numbered_name(backend, info.client, info.name)
    if await find_session(backend, info.client, name) is not None:
        raise UsageError(f"{info.client} has a session {name!r} already: choose another name")
    forked = await fork_session(backend, info, name, datetime.now(UTC))
    stored = await SessionWriter(backend, info.client, chat.session.settings.lifetimes.session).store(forked, name=name)
    remark = f"this is session {name!r} now; {info.name!r} stays as it is, and /resume {info.name} goes back to it"
    return Outcome(remark=remark, go_on_in=stored.info.id)


@command(
    "export",
    "write the session to a .jsonl, .json, .md or .html file; ! overwrites",
    arguments="[!] [FILE]",
    check=check_file,
    completes=export_files,
    when=_has_log,
)
async def _export(chat: ChatContext, argument: str) -> Outcome:
    from swarmchat.cli.sessions.files import export_session

    await _store_all(chat.session)
    path, form, replaces = _file(argument, chat.session.info.name)
    if path.exists() and not replaces:
        raise UsageError(f"{path} is there already: /export ! {path} replaces it")
    await export_session(chat.session.backend, chat.session.info, form, path)
    return Outcome(remark=f"wrote {path}: {form}, {path.stat().st_size:,} bytes")


async def _store_all(session: Session) -> None:
    """Store what could not be stored before. Raises UsageError for a session that is in no store yet."""
    await session.flush()
    if session.is_new:
        raise UsageError("nothing was said in this session yet")


def _number(argument: str) -> int:
    if not argument:
        return 1
    if not re.fullmatch("[0-9]{1,9}", argument) or int(argument) < 1:
        raise UsageError(f"{argument!r} is no number of turns, expected 1 or more")
    return int(argument)


def _file(argument: str, session: str) -> tuple[Path, str, bool]:
    """Return where to, in which format, and whether a file that is there may be replaced."""
    replaces = argument.startswith("!")
    name = argument.removeprefix("!").strip() or (re.sub(r"[^\w.-]+", "-", session).strip("-.") or "session") + ".md"
    path = Path(name)
    if name.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError as error:
            raise UsageError(f"{name}: {error}") from error
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UsageError(f"{name!r} does not say how to write the session: end it in {', '.join(FORMATS)}")
    return path, form, replaces


def _named(turns: Sequence[int]) -> str:
    if len(turns) == 1:
        return f"turn {turns[0]} is"
    if len(turns) == turns[-1] - turns[0] + 1:
        return f"turns {turns[0]} to {turns[-1]} are"
    return f"{len(turns)} turns are"


def _standing(session: Session, left: int) -> str:
    turns = "1 turn" if left == 1 else f"{left or 'no'} turns"
    return f"now {turns}; active agent: {session.agent.name}"

"""Slash commands about the terminal: how it looks, and its clipboard."""

import os
import re
import shutil
import sys
from collections.abc import Sequence

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Outcome, command
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.cli.terminal.clipboard import copies, copying
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import ABOUT, THEMES, check_theme, paint, theme_in_use, use_theme
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.archive.dialogue import DialogueEntry, dialogue
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.session.session import Session

_SAMPLE = (
    ("code.keyword", "def"),
    ("", " "),
    ("code.function", "f"),
    ("", "(): "),
    ("code.string", '"a"'),
    ("", " "),
    ("code.comment", "# why"),
    ("", " "),
    ("error", "error"),
)


def check_theme_name(swarm: Swarm, argument: str) -> None:
    """Raise UsageError unless ``argument`` names a theme, or none."""
    if argument:
        _checked(argument)


def check_answer(swarm: Swarm, argument: str) -> None:
    """Raise UsageError unless ``argument`` says what of the answers is meant."""
    _turn(argument)


async def _themes(chat: ChatContext, typed: str) -> Sequence[Choice]:
    return list(ABOUT.items())


async def _answers(chat: ChatContext, typed: str) -> Sequence[Choice]:
    found = {str(said.turn): said.text for said in _in_memory(chat.session)}
    turns = [(turn, one_line(text, 60)) for turn, text in reversed(found.items())]
    return [("code", "the last code block of the last answer"), *turns]


@command(
    "theme",
    "show the themes, or switch to one",
    arguments="[NAME]",
    check=check_theme_name,
    at_prompt_only=True,
    completes=_themes,
)
async def _theme(chat: ChatContext, argument: str) -> Outcome:
    colour = wants_colour(sys.stdout)
    if not argument:
        lines = [_line(name, colour) for name in THEMES]
        return Outcome(raw="".join(f"{line}\n" for line in lines)) if colour else Outcome(page="\n".join(lines))
    use_theme(_checked(argument))
    kept = f"swarmchat config set theme {argument} keeps it"
    if not colour:
        kept = "it is not seen: NO_COLOR, --plain or TERM turn all styles off"
    return Outcome(remark=f"theme {argument} from now on; {kept}")


@command(
    "copy",
    "copy the last answer, its last code block, or the answer of turn N",
    arguments="[code or N]",
    check=check_answer,
    at_prompt_only=True,
    completes=_answers,
    when=lambda chat: chat.session.last_turn > 0,
)
async def _copy(chat: ChatContext, argument: str) -> Outcome:
    turn = _turn(argument)
    if not copies(sys.stdout):
        raise UsageError("no terminal with a clipboard: /export FILE writes everything to a file")
    answer = await _answer(chat.session, turn)
    text = _last_code(answer.text) if argument == "code" else answer.text.strip("\n")
    # What is pasted must not control what it is pasted into.
    text = sanitize(text)
    what = "the last code block" if argument == "code" else f"the answer of turn {answer.turn}"
    told = f"copied {len(text):,} characters, {what}; your terminal must allow OSC 52"
    return Outcome(raw=copying(text, os.environ), remark=told)


def _checked(name: str) -> str:
    try:
        return check_theme(name)
    except ValueError as error:
        raise UsageError(f"theme {one_line(name, 60)!r}: {error}") from error


def _line(name: str, colour: bool) -> str:
    head = f"{'*' if name == theme_in_use() else ' '} {name:<5}  "
    if not colour:
        return head + ABOUT[name]
    sample = "".join(paint(role, text, name) if role else text for role, text in _SAMPLE)
    # On a narrow screen each sample still has one line.
    wide = shutil.get_terminal_size().columns >= 64
    return f"{head}{sample}  {paint('remark', ABOUT[name], name)}" if wide else head + sample


def _turn(argument: str) -> int | None:
    if argument in ("", "code"):
        return None
    if not re.fullmatch("[0-9]{1,9}", argument) or int(argument) < 1:
        raise UsageError(f"{one_line(argument, 60)!r} is nothing to copy, expected code or the number of a turn")
    return int(argument)


async def _answer(session: Session, turn: int | None) -> DialogueEntry:
    """Return the last answer, or that of ``turn``. Raises UsageError where there is none, and the backend's errors."""
    found = [said for said in _in_memory(session) if turn in (None, said.turn)]
    if not found:
        records = [record async for record in read_records(session.backend, session.info)]
        found = [said for said in dialogue(records) if _is_answer(said) and turn in (None, said.turn)]
    if not found:
        why = "nothing was answered yet" if turn is None else f"no answer in turn {turn}: /history lists the turns"
        raise UsageError(why)
    return found[-1]


def _in_memory(session: Session) -> list[DialogueEntry]:
    records = [*session.records, *session.unsaved]
    return [said for said in dialogue(records) if _is_answer(said)]


def _is_answer(said: DialogueEntry) -> bool:
    return said.kind == "assistant"


def _last_code(text: str) -> str:
    """Return the last code block in ``text``, without its fences. Raises UsageError where there is none."""
    from markdown_it import MarkdownIt

    blocks = [token.content for token in MarkdownIt("commonmark").parse(text) if token.type in ("fence", "code_block")]
    if not blocks:
        raise UsageError("no code block in the last answer: /copy copies all of it")
    # Without the end of its last line: pasted into a shell, it would run at once.
    return blocks[-1].removesuffix("\n")

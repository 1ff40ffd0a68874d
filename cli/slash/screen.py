"""Slash commands for the terminal: theme, clipboard, the thoughts of models, clearing the screen."""

import os
import re
import shutil
import sys
from collections.abc import Iterable

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.slash.turns import has_turns
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.clipboard import copies, copying
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import ABOUT, THEMES, check_theme, paint, theme_in_use, use_theme
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.archive.dialogue import DialogueEntry, dialogue
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.session.session import Session

_SAMPLE = {
    "code.keyword": "def",
    "code.function": "f():",
    "code.string": '"a"',
    "code.comment": "# why",
    "error": "error",
}
"""Words of code and an error, by their roles in a theme."""


def _check_theme(swarm: Swarm, argument: str) -> None:
    if argument:
        try:
            check_theme(argument)
        except ValueError as error:
            raise UsageError(f"theme {one_line(argument, 60)!r}: {error}") from error


async def _themes(chat: ChatContext, typed: str) -> list[Choice]:
    return list(ABOUT.items())


@Command(
    "theme", "show the themes, or switch to one", "[NAME]", check=_check_theme, at_prompt_only=True, completes=_themes
)
async def _theme(chat: ChatContext, argument: str) -> CommandResult:
    colour = wants_colour(sys.stdout)
    if not argument:
        lines = "\n".join(_theme_line(name, colour) for name in THEMES)
        return CommandResult(raw=f"{lines}\n") if colour else CommandResult(page=lines)
    _check_theme(chat.session.swarm, argument)
    use_theme(argument)
    hint = f"swarmchat config set theme {argument} keeps it"
    if not colour:
        hint = "it has no effect: NO_COLOR, --plain or TERM turn all styles off"
    return CommandResult(remark=f"theme {argument} from now on; {hint}")


def _theme_line(name: str, colour: bool) -> str:
    head = f"{'*' if name == theme_in_use() else ' '} {name:<5}  "
    if not colour:
        return head + ABOUT[name]
    sample = " ".join(paint(role, text, name) for role, text in _SAMPLE.items())
    # On a narrow screen each sample still has one line.
    wide = shutil.get_terminal_size().columns >= 64
    return f"{head}{sample}  {paint('remark', ABOUT[name], name)}" if wide else head + sample


def _check_answer(swarm: Swarm, argument: str) -> None:
    _answer_turn(argument)


async def _answer_choices(chat: ChatContext, typed: str) -> list[Choice]:
    answers = {str(answer.turn): one_line(answer.text, 60) for answer in _answers_in_memory(chat.session)}
    return [("code", "the last code block of the last answer"), *reversed(answers.items())]


@Command(
    "copy",
    "copy the last answer, its last code block, or the answer of turn N",
    "[code or N]",
    check=_check_answer,
    at_prompt_only=True,
    completes=_answer_choices,
    is_useful=has_turns,
)
async def _copy(chat: ChatContext, argument: str) -> CommandResult:
    turn = _answer_turn(argument)
    if not copies(sys.stdout):
        raise UsageError("no terminal with a clipboard: /export FILE writes everything to a file")
    answer = await _find_answer(chat.session, turn)
    text, what = answer.text.strip("\n"), f"the answer of turn {answer.turn}"
    if argument == "code":
        text, what = _last_code(answer.text), "the last code block"
    # Pasted text must not control the program that it is pasted into.
    text = sanitize(text)
    remark = f"copied {len(text):,} characters, {what}; your terminal must allow OSC 52"
    return CommandResult(raw=copying(text, os.environ), remark=remark)


def _answer_turn(argument: str) -> int | None:
    if argument in ("", "code"):
        return None
    if not re.fullmatch("[0-9]{1,9}", argument) or int(argument) < 1:
        raise UsageError(f"cannot copy {one_line(argument, 60)!r}, expected code or the number of a turn")
    return int(argument)


async def _find_answer(session: Session, turn: int | None) -> DialogueEntry:
    """Return the last answer, or that of ``turn``. Raises UsageError if it does not exist, and the backend's errors."""
    candidates = _answers_in_memory(session)
    if not any(turn in (None, answer.turn) for answer in candidates):
        candidates = _answers([record async for record in read_records(session.backend, session.info)])
    for answer in reversed(candidates):
        if turn in (None, answer.turn):
            return answer
    raise UsageError("no answer yet" if turn is None else f"no answer in turn {turn}: /history lists the turns")


def _answers_in_memory(session: Session) -> list[DialogueEntry]:
    return _answers([*session.records, *session.unsaved])


def _answers(records: Iterable[Record]) -> list[DialogueEntry]:
    return [entry for entry in dialogue(records) if entry.kind == "assistant"]


def _last_code(text: str) -> str:
    """Return the last code block in ``text``, without its fences. Raises UsageError if the text has no code block."""
    from markdown_it import MarkdownIt

    blocks = [token.content for token in MarkdownIt("commonmark").parse(text) if token.type in ("fence", "code_block")]
    if not blocks:
        raise UsageError("no code block in the last answer: /copy copies all of it")
    # Without the end of its last line: pasted into a shell, it would run at once.
    return blocks[-1].removesuffix("\n")


_THOUGHTS = {
    "folded": "one line about the thoughts of a reasoning model",
    "shown": "all of them, dim",
    "hidden": "nothing of them",
}


def _check_thoughts(swarm: Swarm, argument: str) -> None:
    if argument and argument not in _THOUGHTS:
        raise UsageError(f"/thoughts {one_line(argument, 60)}: expected {', '.join(_THOUGHTS)}, or nothing to toggle")


async def _thought_choices(chat: ChatContext, typed: str) -> list[Choice]:
    return list(_THOUGHTS.items())


@Command(
    "thoughts",
    "show or fold the model's thoughts",
    "[folded, shown or hidden]",
    check=_check_thoughts,
    at_prompt_only=True,
    completes=_thought_choices,
)
async def _thoughts(chat: ChatContext, argument: str) -> CommandResult:
    _check_thoughts(chat.session.swarm, argument)
    return CommandResult(thoughts=argument or "toggle")


@Command("clear", "clear the screen", at_prompt_only=True)
async def _clear(chat: ChatContext, argument: str) -> CommandResult:
    if can_move(sys.stdout):
        from prompt_toolkit.shortcuts import clear

        clear()
    return CommandResult()

"""Print sessions, conversations, search results and remarks."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from swarmchat.cli.render.renderer import mark
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.cli.terminal.printing import count_of, duration
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.archive.dialogue import NO_ANSWER, DialogueEntry
from swarmchat.swarm.archive.search import SearchHit

_NAME = 30


def print_sessions(rows: Sequence[Mapping[str, Any]], everywhere: bool) -> None:
    """Print one line per session: name, last use, turns, time until it is deleted, agent and model, title."""
    left = [time_left(row["expires"]) for row in rows]
    longest = max(map(len, left), default=0)
    width = max((len(one_line(row["name"], _NAME)) for row in rows), default=0)
    for row, still in zip(rows, left, strict=True):
        where = f"{row['backend']:<6}  " if everywhere else ""
        who = "/".join(one_line(str(row[name]), _NAME) for name in ("agent", "model") if row[name])
        name = one_line(row["name"], _NAME).ljust(width)
        use = f"{_local(row['updated'])}  {count_of(row['turns'], 'turn'):>9}"
        use += f"  {still:<{longest}}" if longest else ""
        print(f"{where}{name}  {use}  {who}  {one_line(row['title'], 60)}".rstrip())


def time_left(expires: str | None) -> str:
    """Return how long a session is still kept; empty for one that does not expire."""
    if expires is None:
        return ""
    seconds = (datetime.fromisoformat(expires) - datetime.now(UTC)).total_seconds()
    return f"{duration(seconds)} left"


def print_dialogue(entries: Iterable[DialogueEntry]) -> None:
    """Print a conversation: messages in full, everything else as one dim line each."""
    sign, colour = mark(sys.stdout), wants_colour(sys.stdout)
    for each in entries:
        undone = " (undone)" if each.undone else ""
        if each.task:
            _print_of_task(each, undone, colour)
            continue
        if each.kind in ("user", "assistant", "system"):
            head = f"{one_line(each.who, 60)}{undone} {sign}"
            print(f"{_styled('name', head, colour)} {sanitize(each.text.strip())}")
            continue
        role = "error" if each.kind == "error" else "remark"
        print(_styled(role, f"  {entry_line(each)}{undone}", colour))


def _print_of_task(entry: DialogueEntry, undone: str, colour: bool) -> None:
    """Print an event of a task as one indented line."""
    message = entry.kind in ("user", "assistant", "system")
    begins = entry.kind == "note" and entry.text.startswith(f"task {entry.task},")
    line = f"{entry.who}: {one_line(entry.text, 200)}" if message else entry_line(entry)
    print(_styled("remark", f"  {'' if begins else f'  {entry.task} '}{line}{undone}", colour))


def entry_line(entry: DialogueEntry) -> str:
    """Return an entry that is no message in one line."""
    line = one_line(entry.text, 200)
    if entry.kind == "call":
        call = f"{one_line(entry.who, 60)} · {one_line(entry.name, 60)}({one_line(entry.arguments, 60)})"
        result = "" if entry.status == NO_ANSWER else f": {one_line(entry.text, 80)}"
        return f"{call}  {one_line(entry.status, 20)}{result}"
    return f"error: {line}" if entry.kind == "error" else line


def print_hits(hits: Iterable[SearchHit], where: str = "") -> None:
    """Print one line per match: session, turn, speaker, and the text around it."""
    colour = wants_colour(sys.stdout)
    for hit in hits:
        who = f"{hit.role} {one_line(hit.who, 40)}" if hit.who and hit.who != hit.role else hit.role
        undone = " (undone)" if hit.undone else ""
        match = _styled("found", _flat(hit.match[:200]), colour)
        text = f"{_flat(hit.before)}{match}{_flat(hit.after)}".strip()
        print(f"{where}{one_line(hit.session, _NAME)}  turn {hit.turn}  {who}{undone}: {text}")


def _flat(text: str) -> str:
    """Return ``text`` on one line; spaces at its ends stay."""
    return "".join(" " if letter.isspace() else letter for letter in sanitize(text))


def _styled(role: str, text: str, colour: bool) -> str:
    return paint(role, text) if colour else text


def _local(moment: str) -> str:
    """Return a time in the local time zone."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return one_line(moment, 16).ljust(16)

"""Play a transcript back on the terminal, in the time that it took then, or faster."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from swarmchat.cli.render.renderer import Renderer, mark
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.conversation.events import (
    Event,
    HandedOver,
    Refused,
    Rescued,
    Rotated,
    TextDelta,
    ToolFinished,
    TurnEnded,
)
from swarmchat.swarm.importers.record_builder import moment_of
from swarmchat.swarm.models.scripted import word_pieces
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.files import read_conversations

_LONGEST = 3.0
"""Seconds that nothing happens, at most: somebody watches."""


async def show(paths: Sequence[Path], start: int | None, until: int | None, speed: float | None) -> None:
    """Show the conversations in ``paths``. Off a terminal, and at the speed 0, all at once."""
    at_once = not sys.stdout.isatty() or speed == 0
    for path in paths:
        for conversation in await read_conversations(path):
            player = _Player(0 if at_once else speed or 1)
            for record in conversation.records:
                if (start or 0) <= record.turn <= (until or record.turn):
                    await player.play(record)
            player.end()


class _Player:
    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._colour = wants_colour(sys.stdout)
        self._renderer = Renderer(sys.stdout, sys.stdout, chat=True, colour=self._colour)
        self._calls: dict[str, tuple[str, str]] = {}
        self._last: datetime | None = None
        self._agent = "assistant"

    async def play(self, record: Record) -> None:
        """Show what a record tells, as long after the one before it as then."""
        wait = self._wait(record)
        self._agent = record.agent or self._agent
        if record.type == "assistant":
            await self._answer(record, wait)
            return
        await asyncio.sleep(wait)
        if record.type in ("user", "unsent", "system"):
            text = text_of(record.message) if record.type != "unsent" else str(record.data.get("text"))
            self._say("you" if record.type != "system" else "system", text)
        elif record.type == "policy" and record.data.get("direction") == "input":
            self._say("you", str(record.data.get("text", "")))
        elif record.type == "error":
            error = record.data.get("error")
            self._renderer.error(str(error.get("message")) if isinstance(error, dict) else "unknown")
        elif record.type in ("reset", "undo", "redo", "rename"):
            turns = (
                f" of the turns {record.data.get('from')} to {record.data.get('to')}" if "from" in record.data else ""
            )
            self._renderer.remark(f"{record.type}{turns}")
        for event in self._events(record):
            self._renderer.show(event)

    def end(self) -> None:
        """End the line that is open."""
        self._renderer.end_turn()

    async def _answer(self, record: Record, wait: float) -> None:
        text = text_of(record.message)
        for call_id, name, arguments in calls_of(record.message):
            self._calls[call_id] = (name, arguments)
        pieces = word_pieces(text)
        for piece in pieces:
            if wait:
                await asyncio.sleep(wait / len(pieces))
            self._renderer.show(TextDelta(piece, self._agent))
        if wait:
            sys.stdout.flush()
        if not record.message.get("tool_calls"):
            finish = str(record.data.get("finish", "stop"))
            self._renderer.show(TurnEnded(record.turn, text or " ", finish, 0, None))
        self._renderer.end_answer()

    def _events(self, record: Record) -> Iterator[Event]:
        data = record.data
        if record.type == "tool":
            name, arguments = self._calls.get(
                str(record.message.get("tool_call_id")), (str(data.get("name") or "tool"), "")
            )
            status, seconds = str(data.get("status", "ok")), data.get("ms", 0)
            seconds = seconds / 1000 if isinstance(seconds, int) else 0.0
            yield ToolFinished(name, arguments, status, text_of(record.message), self._agent, seconds)
        elif record.type == "handoff":
            yield HandedOver(str(data.get("from")), str(data.get("to")), ())
            self._agent = str(data.get("to"))
        elif record.type == "rescue":
            cause, step, detail = (str(data.get(name, "")) for name in ("cause", "step", "detail"))
            yield Rescued(cause, step, 1, detail, self._agent)
        elif record.type == "rotate":
            groups = data.get("dropped")
            count = groups.get("groups", 0) if isinstance(groups, dict) else 0
            yield Rotated(int(count), int(data.get("tokens_before", 0)), int(data.get("tokens_after", 0)))
        elif record.type == "policy":
            direction, banned = str(data.get("direction")), bool(data.get("banned"))
            what = "your message" if direction == "input" else "the answer"
            if direction == "output":
                yield Refused(str(data.get("policy")), direction, banned, "")
            else:
                # What was answered then is not in the log.
                told = f"policy {one_line(str(data.get('policy')), 60)} refused {what}"
                self._renderer.remark(told + ("; you were banned" if banned else ""))

    def _say(self, who: str, text: str) -> None:
        self._renderer.end_answer()
        head = f"{who} {mark(sys.stdout)}"
        print(paint("name", head) if self._colour else head, sanitize(text.strip()), flush=True)

    def _wait(self, record: Record) -> float:
        moment = moment_of(record.ts)
        now = None if moment is None else datetime.fromisoformat(moment)
        last, self._last = self._last, now or self._last
        if not self._speed or now is None or last is None:
            return 0.0
        return max(0.0, min(_LONGEST, (now - last).total_seconds() / self._speed))

"""Play a transcript back on the terminal, at its recorded pace or faster: ``replay --mode show``."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime

from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.swarm.common.messages import calls_of, text_of
from swarmchat.swarm.conversation import events
from swarmchat.swarm.importers.record_builder import moment_of
from swarmchat.swarm.models.scripted import word_pieces
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.script import is_handoff
from swarmchat.swarm.replay.selection import Selection

_LONGEST_PAUSE = 3.0
"""Seconds; longer recorded pauses are cut to this."""


async def play_transcripts(selection: Selection, start: int | None, until: int | None, speed: float | None) -> None:
    """Play the selected conversations. Off a terminal and at speed 0 there are no pauses."""
    no_pauses = not sys.stdout.isatty() or speed == 0
    for path in selection.paths:
        for conversation in selection.of_file(path, await read_conversations(path)):
            turns = (start or 0, until or sys.maxsize)
            records = [record for record in conversation.records if turns[0] <= record.turn <= turns[1]]
            await Player(0 if no_pauses else speed or 1).play_all(records)


class Player:
    """Shows one record after the other, with pauses unless ``speed`` is 0. ``user`` is the user's name."""

    def __init__(self, speed: float, user: str = "you") -> None:
        self._speed = speed
        self._user = user
        colour, live = wants_colour(sys.stdout), can_move(sys.stdout)
        self._renderer = Renderer(sys.stdout, sys.stdout, chat=True, colour=colour, live=live)
        self._calls: dict[str, tuple[str, str]] = {}
        self._last: datetime | None = None
        self._agent = "assistant"

    async def play_all(self, records: Sequence[Record]) -> None:
        """Show ``records``; at a terminal, answers are drawn as Markdown."""

        async def play_each() -> None:
            for record in records:
                await self.play(record)

        await self._renderer.during(play_each(), "playback")
        self.end()

    def end(self) -> None:
        """End the open line."""
        self._renderer.end_turn()

    async def play(self, record: Record) -> None:
        """Show ``record`` after the pause that was before it."""
        pause = self._pause_before(record)
        data = record.data
        self._agent = record.agent or self._agent
        if record.type == "assistant":
            await self._play_answer(record, pause)
            return
        await asyncio.sleep(pause)
        show = self._renderer.show
        match record.type:
            case "user" | "steer" | "system":
                self._renderer.entered(
                    "system" if record.type == "system" else self._user, text_of(record.message).strip()
                )
            case "unsent" | "policy":
                if data.get("direction", "input") == "input":
                    self._renderer.entered(self._user, str(data.get("text", "")).strip())
                if record.type == "policy":
                    # The log does not contain the message that was answered instead.
                    policy, direction = str(data.get("policy")), str(data.get("direction"))
                    show(events.Refused(policy, direction, bool(data.get("banned")), ""))
            case "mail":
                about = (record.text("text"), record.text("sender"), record.agent or "")
                show(events.MailReceived(*about, False, record.text("act")))
            case "error":
                error = data.get("error")
                self._renderer.error(str(error.get("message")) if isinstance(error, dict) else "unknown")
            case "reset" | "undo" | "redo" | "rename":
                turns = f" of turns {data['from']} to {data.get('to')}" if "from" in data else ""
                self._renderer.remark(f"{record.type}{turns}")
            case "tool":
                unknown_call = (str(data.get("name") or "tool"), "")
                name, arguments = self._calls.get(str(record.message.get("tool_call_id")), unknown_call)
                status, ms = str(data.get("status", "ok")), data.get("ms", 0)
                seconds = ms / 1000 if isinstance(ms, int) else 0.0
                if status == "ok" and is_handoff(name):
                    return
                show(events.ToolFinished(name, arguments, status, text_of(record.message), self._agent, seconds))
            case "handoff":
                self._agent = str(data.get("to"))
                show(events.HandedOver(str(data.get("from")), self._agent, ()))
            case "rescue":
                cause, step, detail = (str(data.get(name, "")) for name in ("cause", "step", "detail"))
                show(events.Rescued(cause, step, 1, detail, self._agent))
            case "rotate":
                dropped = data.get("dropped")
                counts = (dropped.get("groups") if isinstance(dropped, dict) else None, data.get("tokens_before"))
                groups, before = (count if isinstance(count, int) else None for count in counts)
                show(events.Rotated(groups, before, int(data.get("tokens_after", 0))))

    async def _play_answer(self, record: Record, pause: float) -> None:
        text = text_of(record.message)
        for call_id, name, arguments in calls_of(record.message):
            self._calls[call_id] = (name, arguments)
        pieces = word_pieces(text)
        for piece in pieces:
            if pause:
                await asyncio.sleep(pause / len(pieces))
            self._renderer.show(events.TextDelta(piece, self._agent))
        if not record.message.get("tool_calls"):
            finish = str(record.data.get("finish", "stop"))
            self._renderer.show(events.TurnEnded(record.turn, text or " ", finish, 0, None))
        self._renderer.end_answer()

    def _pause_before(self, record: Record) -> float:
        """Return how many seconds to wait before ``record`` is shown."""
        moment = moment_of(record.ts)
        now = None if moment is None else datetime.fromisoformat(moment)
        last, self._last = self._last, now or self._last
        if not self._speed or now is None or last is None:
            return 0.0
        return max(0.0, min(_LONGEST_PAUSE, (now - last).total_seconds() / self._speed))

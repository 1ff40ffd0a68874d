"""The output formats of a non-interactive run: the answers as text, one JSON document, or the log as JSON lines."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.swarm.conversation import events
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log import hidden_turns, read_records
from swarmchat.swarm.persistence.session_index import SessionInfo


class Output:
    """Receives the events of a run, in order, and prints them in its format."""

    def __init__(self, *, print_answers: bool = False) -> None:
        self.renderer = Renderer(colour=wants_colour(sys.stderr), print_answers=print_answers)
        """Prints remarks and errors, and the answers if asked to; knows whether output was lost."""

    def begin_turn(self, question: str, line: int | None) -> None:
        """``question`` is sent; ``line`` is its line in the script."""

    def show(self, event: events.Event) -> None:
        """An event of the turn."""
        self.renderer.show(event)

    def end_turn(self, turn: int | None, agent: str, error: BaseException | None) -> None:
        """The turn has ended, perhaps with ``error``. ``turn`` is its number, if anything of it is stored."""
        self.renderer.end_turn()

    async def follow(self, backend: Backend, info: SessionInfo) -> None:
        """Records may have been added to the session."""

    async def finish(self, backend: Backend, info: SessionInfo, error: BaseException | None) -> None:
        """The run is over and the session closed. ``error`` is the first one of the run."""


class TextOutput(Output):
    """Prints the answers, separated by a line with a form feed, which no answer contains."""

    def __init__(self) -> None:
        super().__init__(print_answers=True)
        self._is_first = True
        self._begins = False

    def begin_turn(self, question: str, line: int | None) -> None:
        """Print the separator, except before the first answer; messages from outside may have no answer."""
        self._begins = True
        if question:
            self._separate()

    def show(self, event: events.Event) -> None:
        """Print the separator before anything except a message from outside."""
        if not isinstance(event, events.MailReceived | events.Warned):
            self._separate()
        super().show(event)

    def _separate(self) -> None:
        if self._begins and not self._is_first:
            self.renderer.raw("\f\n")
        self._is_first, self._begins = self._is_first and not self._begins, False


class JsonLinesOutput(Output):
    """Prints each answer of a given type as a line of JSON, and nothing else."""

    def show(self, event: events.Event) -> None:
        """Print the value, once it is whole and checked."""
        super().show(event)
        if isinstance(event, events.TurnEnded) and event.finish != "refused":
            self.renderer.write_data(
                json.dumps(as_json(event.output), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            )


class JsonOutput(Output):
    """Prints one JSON document at the end of the run, however it ended."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[dict[str, Any]] = []

    def begin_turn(self, question: str, line: int | None) -> None:
        """Add a turn."""
        about = {"turn": None, "line": line, "question": question, "agent": None, "answer": ""}
        lists: dict[str, Any] = {"messages": [], "tools": [], "tasks": [], "handoffs": [], "rescues": []}
        lists["refused"] = None
        end = {"tokens": None, "usage": None, "finish": None, "recovered": True, "undone": False}
        end |= {"output": None, "error": None}
        self._turns.append({**about, **lists, **end})

    def show(self, event: events.Event) -> None:
        """Add the event to the turn."""
        super().show(event)
        turn = self._turns[-1]
        match event:
            case events.TextDelta(text):
                turn["answer"] += text
            case events.ToolFinished(name, arguments, status, result, agent, seconds):
                about = {"agent": agent, "name": name, "arguments": arguments, "status": status, "result": result}
                turn["tools"].append({**about, "seconds": round(seconds, 3)})
            case events.TaskEnded():
                turn["tasks"].append(asdict(event))
            case events.MailReceived(text, sender, agent, wake):
                turn["messages"].append({"text": text, "sender": sender, "agent": agent, "wake": wake})
            case events.HandedOver(source, target):
                turn["handoffs"].append({"from": source, "to": target})
            case events.Rescued(cause, step, attempt, detail, agent):
                about = {"agent": agent, "cause": cause, "step": step}
                turn["rescues"].append({**about, "attempt": attempt, "detail": detail})
            case events.Refused(policy, direction, banned):
                turn["refused"] = {"policy": policy, "direction": direction, "banned": banned}
            case events.TurnEnded():
                # The last answer alone; the text so far is that of all agents of the turn.
                turn |= {"answer": event.text, "finish": event.finish, "recovered": event.recovered}
                turn |= {"tokens": event.context_tokens, "usage": event.usage and dict(event.usage)}
                if event.output is not None:
                    turn["output"] = as_json(event.output)

    def end_turn(self, turn: int | None, agent: str, error: BaseException | None) -> None:
        """Add how the turn ended."""
        super().end_turn(turn, agent, error)
        self._turns[-1] |= {"turn": turn, "agent": agent, "error": _error_as_json(error)}

    async def finish(self, backend: Backend, info: SessionInfo, error: BaseException | None) -> None:
        """Print the document."""
        with suppress(BackendError, BadRecord):
            hidden = hidden_turns([record async for record in read_records(backend, info)])
            for turn in self._turns:
                turn["undone"] = turn["turn"] in hidden
        session = {"id": info.id, "name": info.name, "client": info.client, "kept_in": backend.url}
        document = {"session": session, "turns": self._turns, "error": _error_as_json(error)}
        self.renderer.write_data(json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")


class LogOutput(Output):
    """Prints the records of the session, from the first one on, as soon as they are stored."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._position = 0

    async def follow(self, backend: Backend, info: SessionInfo) -> None:
        """Print the new records."""
        if info.id != self._session:
            self._session, self._position = info.id, 0
        # If the store cannot be reached, the next call prints these records too.
        with suppress(BackendError):
            lines = await backend.slice(keys.session_log(info.client, info.id), self._position)
            self._position += len(lines)
            self.renderer.write_data(b"".join(line + b"\n" for line in lines))


OUTPUTS: dict[str, Callable[[], Output]] = {"text": TextOutput, "json": JsonOutput, "jsonl": LogOutput}
"""The output formats by name."""


def as_json(value: Any) -> Any:
    """Return ``value``, an answer of a given type, as JSON values."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=str)


def _error_as_json(error: BaseException | None) -> dict[str, Any] | None:
    if error is None:
        return None
    if not isinstance(error, Exception):
        return {"kind": "Interrupted", "message": "stopped by a signal", "exit_code": None}
    return {"kind": type(error).__name__, "message": str(error), "exit_code": getattr(error, "exit_code", 1)}

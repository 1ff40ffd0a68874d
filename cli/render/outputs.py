"""What a run prints: the answers, one JSON document about them, or the log as it grows."""

import io
import json
import sys
from contextlib import suppress
from typing import Any

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.errors import OutputLost
from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.terminal.capabilities import wants_colour
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.swarm.conversation.events import (
    Event,
    HandedOver,
    Refused,
    Rescued,
    TextDelta,
    ToolFinished,
    TurnEnded,
)
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.log_reader import hidden_turns, read_records
from swarmchat.swarm.persistence.session_index import SessionInfo

OUTPUTS = ("text", "json", "jsonl")


class Output:
    """Is told what happens in a run, in the order in which it does, and prints of it what it is for."""

    def __init__(self, renderer: Renderer) -> None:
        self.renderer = renderer
        """Prints what is to be said beside the output."""

    def begin_turn(self, question: str, line: int | None) -> None:
        """``question`` is sent; it stands in ``line`` of the script."""

    def show(self, event: Event) -> None:
        """Something happens in the turn."""
        self.renderer.show(event)

    def end_turn(self, turn: int | None, agent: str, error: BaseException | None) -> None:
        """The turn is over, at its end or because of ``error``. ``turn`` is its number, if anything of it is stored."""
        self.renderer.end_turn()

    async def follow(self, backend: Backend, info: SessionInfo) -> None:
        """Something may have been stored in the session."""

    async def finish(self, backend: Backend, info: SessionInfo, error: BaseException | None) -> None:
        """The run is over, and the session is closed. ``error`` is the first that there was."""

    @property
    def reader_left(self) -> bool:
        """Whether nobody reads the output any more, as when ``head`` has had enough."""
        return self.renderer.reader_left

    def check(self) -> None:
        """Raise OutputLost if not all could be written, unless the reader left."""
        self.renderer.check_output()


def make_output(form: str) -> Output:
    """Return what prints in the form ``form``, one of OUTPUTS."""
    return {"text": TextOutput, "json": JsonOutput, "jsonl": LogOutput}[form]()


class TextOutput(Output):
    """Prints the answers, and between two of them a line with a form feed, which is in no answer."""

    def __init__(self) -> None:
        super().__init__(Renderer(colour=wants_colour(sys.stderr)))
        self._turns = 0

    def begin_turn(self, question: str, line: int | None) -> None:
        """Print what stands between two answers."""
        self._turns += 1
        if self._turns > 1:
            self.renderer.divide()


class _Nowhere(io.StringIO):
    """Takes text and forgets it."""

    def write(self, text: str) -> int:
        return len(text)


class _DataOutput(Output):
    """Writes bytes to standard output, where nothing in them may control a terminal."""

    def __init__(self) -> None:
        super().__init__(Renderer(_Nowhere(), colour=wants_colour(sys.stderr)))
        self._lost: OSError | None = None

    @property
    def reader_left(self) -> bool:
        """Whether nobody reads the output any more."""
        return isinstance(self._lost, BrokenPipeError)

    def check(self) -> None:
        """Raise OutputLost if not all could be written, unless the reader left."""
        if self._lost is not None and not isinstance(self._lost, BrokenPipeError):
            raise OutputLost(f"standard output cannot be written: {self._lost.strerror}") from self._lost

    def _write(self, data: bytes) -> None:
        if self._lost is not None or not data:
            return
        try:
            if sys.stdout.isatty():
                sys.stdout.write(sanitize(data.decode("utf-8", "replace")))
            else:
                sys.stdout.buffer.write(data)
            sys.stdout.flush()
        except OSError as error:
            # The turn goes on: what it says is stored.
            self._lost = error


class JsonOutput(_DataOutput):
    """Prints one JSON document when the run is over, however it ended."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[dict[str, Any]] = []

    def begin_turn(self, question: str, line: int | None) -> None:
        """Begin what is told of the turn."""
        about = {"turn": None, "line": line, "question": question, "agent": None, "answer": ""}
        lists: dict[str, Any] = {"tools": [], "handoffs": [], "rescues": [], "refused": None}
        end = {"tokens": None, "usage": None, "finish": None, "recovered": True, "undone": False, "error": None}
        self._turns.append({**about, **lists, **end})

    def show(self, event: Event) -> None:
        """Note what is told of it."""
        super().show(event)
        turn = self._turns[-1]
        match event:
            case TextDelta(text):
                turn["answer"] += text
            case ToolFinished(name, arguments, status, result, agent, seconds):
                about = {"agent": agent, "name": name, "arguments": arguments, "status": status, "result": result}
                turn["tools"].append({**about, "seconds": round(seconds, 3)})
            case HandedOver(source, target):
                turn["handoffs"].append({"from": source, "to": target})
            case Rescued(cause, step, attempt, detail, agent):
                about = {"agent": agent, "cause": cause, "step": step}
                turn["rescues"].append({**about, "attempt": attempt, "detail": detail})
            case Refused(policy, direction, banned):
                turn["refused"] = {"policy": policy, "direction": direction, "banned": banned}
            case TurnEnded():
                # The last answer; before, what several agents said stood together.
                turn |= {"answer": event.text, "finish": event.finish, "recovered": event.recovered}
                turn |= {"tokens": event.context_tokens, "usage": event.usage and dict(event.usage)}

    def end_turn(self, turn: int | None, agent: str, error: BaseException | None) -> None:
        """Note how it ended."""
        super().end_turn(turn, agent, error)
        self._turns[-1] |= {"turn": turn, "agent": agent, "error": _told(error)}

    async def finish(self, backend: Backend, info: SessionInfo, error: BaseException | None) -> None:
        """Print the document."""
        with suppress(BackendError, BadRecord):
            hidden = hidden_turns([record async for record in read_records(backend, info)])
            for turn in self._turns:
                turn["undone"] = turn["turn"] in hidden
        session = {"id": info.id, "name": info.name, "client": info.client, "kept_in": backend.url}
        document = {"session": session, "turns": self._turns, "error": _told(error)}
        self._write(json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n")


class LogOutput(_DataOutput):
    """Prints the records of the session as they are stored, from the first one on, as soon as they are."""

    def __init__(self) -> None:
        super().__init__()
        self._session = ""
        self._position = 0

    async def follow(self, backend: Backend, info: SessionInfo) -> None:
        """Print the records that are new."""
        if info.id != self._session:
            self._session, self._position = info.id, 0
        # A store that is away for a moment is asked again when there is more.
        with suppress(BackendError):
            lines = await backend.slice(keys.session_log(info.client, info.id), self._position)
            self._position += len(lines)
            self._write(b"".join(line + b"\n" for line in lines))

    async def finish(self, backend: Backend, info: SessionInfo, error: BaseException | None) -> None:
        """Print what was stored when the session was closed."""
        await self.follow(backend, info)


def _told(error: BaseException | None) -> dict[str, Any] | None:
    if error is None:
        return None
    if not isinstance(error, Exception):
        return {"kind": "Interrupted", "message": "stopped by a signal", "exit_code": None}
    code = getattr(error, "exit_code", 1)
    return {"kind": type(error).__name__, "message": str(error), "exit_code": code}

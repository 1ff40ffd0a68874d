"""Model answers in a folder, keyed by request, so that a second live replay is free and needs no network."""

import errno
import os
import re
import stat
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter
from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.errors import ModelError, TranscriptError
from swarmchat.swarm.models.base import (
    Answer,
    DiscoverableModel,
    Model,
    ModelEvent,
    ModelRequest,
    ReasoningChunk,
    TextChunk,
)
from swarmchat.swarm.models.server_facts import ServerFacts

_SUFFIX = ".ndjson"
"""JSON lines, but not the suffix of transcripts: the replay of a folder skips the cassettes in it."""

Slot = tuple[str, int, int]
"""The key of a request, the number of the run, and how often the run has had this request answered, from 1."""
_FACTS: Slot = ("", 0, 0)
"""The slot for the server's facts about the model."""


_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class TimedAnswer:
    """An answer, and the seconds that the model took."""

    answer: Answer
    seconds: float


class Cassette:
    """The answers of one model, in a file of ``folder`` that several processes may share.

    Each answer is a line, appended as soon as it is complete; of several for one slot, the last one counts. With
    ``refresh``, only answers that are added from now on are found.
    """

    def __init__(self, folder: Path, model: str, *, refresh: bool = False) -> None:
        self.path = folder / (re.sub(r"[^\w.-]+", "_", model)[:100] + _SUFFIX)
        """The file with the answers."""
        self._model = model
        self._entries: dict[Slot, TimedAnswer | ServerFacts] = {}
        self._position = 0
        self._read_new()
        if refresh:
            self._entries = {}

    def find(self, slot: Slot) -> TimedAnswer | None:
        """Return the answer of ``slot``, also if another process has just added it. Raises TranscriptError."""
        entry = self._entry(slot)
        return entry if isinstance(entry, TimedAnswer) else None

    def find_facts(self) -> ServerFacts | None:
        """Return the server's recorded facts about the model; ``None`` if never asked. Raises TranscriptError."""
        entry = self._entry(_FACTS)
        return entry if isinstance(entry, ServerFacts) else None

    def add(self, slot: Slot, timed: TimedAnswer) -> None:
        """Store an answer. Raises TranscriptError if the file cannot be written."""
        key, run, number = slot
        answer = {name: value for name, value in asdict(timed.answer).items() if value}
        self._append({"key": key, "run": run, "number": number, "seconds": timed.seconds, "answer": answer})
        self._entries[slot] = timed

    def add_facts(self, facts: ServerFacts) -> None:
        """Store the server's facts about the model. Raises TranscriptError if the file cannot be written."""
        self._append({"model": self._model, "facts": asdict(facts)})
        self._entries[_FACTS] = facts

    def compact(self) -> None:
        """Remove the lines that later ones replace. Raises TranscriptError if the file cannot be written."""
        try:
            if not self.path.exists():
                return
            content = self.path.read_bytes()
            lines = {slot: line for slot, _, line in _parse(content)}
            new = b"".join(line + b"\n" for line in lines.values())
            # If another process has just added an answer, its line must not be lost: duplicates do no harm.
            if new != content and self.path.stat().st_size == len(content):
                write_atomically(self.path, new)
        except OSError as error:
            raise self._unusable("written", error) from error

    def _entry(self, slot: Slot) -> TimedAnswer | ServerFacts | None:
        if slot not in self._entries:
            self._read_new()
        return self._entries.get(slot)

    def _read_new(self) -> None:
        """Read the lines added to the file since the last time."""
        try:
            if not self.path.exists() or self.path.stat().st_size == self._position:
                return
            with self.path.open("rb") as file:
                file.seek(self._position)
                content = file.read()
        except OSError as error:
            raise self._unusable("read", error) from error
        # The last line may still be written.
        whole = content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        self._entries |= {slot: entry for slot, entry, _ in _parse(whole)}

    def _append(self, value: dict[str, Any]) -> None:
        """Add a line. A single write to the end of a file is not mixed with the writes of other processes."""
        line = encode_json(value) + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Read and write: a pipe that nobody reads is opened at once, and refused.
            file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                about = os.fstat(file)
                if not stat.S_ISREG(about.st_mode):
                    raise OSError(errno.EINVAL, "it is not a regular file")
                # A disk that was full may have taken the beginning of a line.
                is_cut_off = about.st_size > 0 and os.pread(file, 1, about.st_size - 1) != b"\n"
                line = b"\n" * is_cut_off + line
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                os.close(file)
        except OSError as error:
            raise self._unusable("written", error) from error

    def _unusable(self, verb: str, error: OSError) -> TranscriptError:
        reason = error.strerror or error
        return TranscriptError(f"the cassette {self.path} cannot be {verb}: {reason}; choose another --cassette folder")


class MeteredModel:
    """Answers with ``inner`` and adds up its answers; with ``cassette``, recorded answers are not asked for again.

    One is used for one ``run`` of one conversation.
    """

    def __init__(self, inner: Model, cassette: Cassette | None = None, run: int = 1) -> None:
        self._inner, self._cassette, self._run = inner, cassette, run
        self._answered: Counter[str] = Counter()
        self.answers: list[Answer] = []
        """All answers, in order."""
        self.seconds = 0.0
        """The time that the model took for them, also for those that come from the cassette."""
        self.asked = 0
        """How many of the answers do not come from the cassette."""
        self.facts = ServerFacts()
        """What the server of ``inner`` reported."""

    @property
    def name(self) -> str:
        """The name of ``inner``."""
        return self._inner.name

    @property
    def context_window(self) -> int:
        """The window of ``inner``, or the one that its server reported when the cassette was recorded."""
        return self.facts.window or self._inner.context_window

    async def discover(self) -> None:
        """Ask the server of ``inner``, unless the cassette holds its answer."""
        if not isinstance(self._inner, DiscoverableModel):
            return
        known = None if self._cassette is None else self._cassette.find_facts()
        if known is None:
            await self._inner.discover()
            known = self._inner.facts
            if self._cassette is not None:
                self._cassette.add_facts(known)
        self.facts = known

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer ``request`` from the cassette or with ``inner``; see ``Model.stream``."""
        slot = (request.key, self._run, self._answered[request.key] + 1)
        recorded = None if self._cassette is None else self._cassette.find(slot)
        if recorded is not None:
            self._count(request, recorded)
            if recorded.answer.reasoning:
                yield ReasoningChunk(recorded.answer.reasoning)
            if recorded.answer.text:
                yield TextChunk(recorded.answer.text)
            yield recorded.answer
            return
        try:
            async with aclosing(self._ask(request, slot)) as events:
                async for event in events:
                    yield event
        except ModelError as error:
            if self._cassette is not None:
                error.args = (f"{error}; {self._cassette.path} has no answer to this request", *error.args[1:])
            raise

    async def _ask(self, request: ModelRequest, slot: Slot) -> AsyncGenerator[ModelEvent, None]:
        started = time.monotonic()
        async with aclosing(self._inner.stream(request)) as events:
            async for event in events:
                if isinstance(event, Answer):
                    # As it is stored: a second run shows the same sum.
                    timed = TimedAnswer(event, round(time.monotonic() - started, 3))
                    self.asked += 1
                    self._count(request, timed)
                    # The answer of a fallback is not the model's own.
                    if self._cassette is not None and not event.fallback:
                        self._cassette.add(slot, timed)
                yield event

    async def close(self) -> None:
        """Close the connections of ``inner``."""
        await self._inner.close()

    def _count(self, request: ModelRequest, timed: TimedAnswer) -> None:
        self._answered[request.key] += 1
        self.answers.append(timed.answer)
        self.seconds += timed.seconds


def _parse(content: bytes) -> Iterator[tuple[Slot, TimedAnswer | ServerFacts, bytes]]:
    """Yield the entries with their lines. Invalid lines, such as conflict marks of git, are skipped."""
    for line in content.splitlines():
        try:
            value = decode_json(line)
            if "facts" in value:
                yield _FACTS, _check(ServerFacts, value["facts"]), line
            else:
                slot = str(value["key"]), _check(int, value["run"]), _check(int, value["number"])
                timed = TimedAnswer(_check(Answer, value["answer"]), _check(_Seconds, value["seconds"]))
                yield slot, timed, line
        except (ValueError, TypeError, KeyError):
            continue


def _check(kind: Any, value: object) -> Any:
    """Return ``value`` as a ``kind``. Raises ValueError if it is none."""
    return _adapter(kind).validate_python(value)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

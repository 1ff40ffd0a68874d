"""A transcript with what came out of its replay in place of what was in it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.runner import Replayed

_KEPT = ("ms",)
"""Fields that a replay knows nothing of."""


def updated_lines(replayed: Replayed) -> list[bytes]:
    """Return the lines of the transcript as they are now; those in which nothing changed are the same bytes."""
    old = replayed.conversation.records
    waiting = list(replayed.conversation.expectations)
    lines: list[bytes] = []
    for record in _with_times(old, replayed.records):
        while waiting and waiting[0].turn < record.turn:
            lines.append(waiting.pop(0).line)
        lines.append(record.line)
    return [*lines, *(expectation.line for expectation in waiting)]


def _with_times(old: Sequence[Record], new: Sequence[Record]) -> Iterator[Record]:
    """Yield the new records with the times of the old ones, as long as they are of the same types."""
    by_turn: dict[int, list[Record]] = {}
    for record in old:
        by_turn.setdefault(record.turn, []).append(record)
    for record in new:
        before = by_turn.get(record.turn, [])
        if not before or before[0].type != record.type:
            # From here on, nobody knows which is which in this turn.
            before.clear()
            yield record
            continue
        then = before.pop(0)
        times = {name: then.data[name] for name in _KEPT if name in then.data and name in record.data}
        made = replace(record, ts=then.ts, data={**record.data, **times})
        same = (made.seq, made.agent, made.data) == (then.seq, then.agent, then.data)
        yield then if same else made


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there as it was or as it is now, and never in between. Raises TranscriptError."""
    made = None
    try:
        target = path.resolve()
        handle, made = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(made, target.stat().st_mode & 0o7777)
        os.replace(made, target)
    except BaseException as error:
        if made is not None:
            Path(made).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise TranscriptError(f"{path} cannot be written: {error.strerror or error}") from error
        raise

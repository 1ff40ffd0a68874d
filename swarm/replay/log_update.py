"""Write the results of a replay back into its transcript."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.images.parts import line_to_data
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.runner import Replayed

_TIMING_FIELDS = ("ms",)
"""Fields that a replay cannot reproduce: they are copied from the old record."""


def updated_lines(replayed: Replayed) -> list[bytes]:
    """Return the updated lines of the transcript. An unchanged record keeps its bytes."""
    old = replayed.conversation.records
    waiting = list(replayed.conversation.expectations)
    lines: list[bytes] = []
    for record in _with_times(old, replayed.records):
        while waiting and waiting[0].turn < record.turn:
            lines.append(waiting.pop(0).line)
        lines.append(line_to_data(record.line, replayed.conversation.blobs))
    return [*lines, *(expectation.line for expectation in waiting)]


def _with_times(old: Sequence[Record], new: Sequence[Record]) -> Iterator[Record]:
    """Yield the new records with the times of the old ones, as far as the types in a turn match."""
    by_turn: dict[int, list[Record]] = {}
    for record in old:
        by_turn.setdefault(record.turn, []).append(record)
    for record in new:
        before = by_turn.get(record.turn, [])
        if not before or before[0].type != record.type:
            # From here on, old and new records of this turn cannot be matched.
            before.clear()
            yield record
            continue
        then = before.pop(0)
        times = {name: then.data[name] for name in _TIMING_FIELDS if name in then.data and name in record.data}
        updated = replace(record, ts=then.ts, data={**record.data, **times})
        same = (updated.seq, updated.agent, updated.data) == (then.seq, then.agent, then.data)
        yield then if same else updated


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file atomically. Raises TranscriptError if it cannot be written."""
    try:
        write_atomically(path, data)
    except OSError as error:
        raise TranscriptError(f"{path} cannot be written: {error.strerror or error}") from error

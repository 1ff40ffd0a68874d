"""Files of conversations: their format, and the sessions in them, checked in full before anything is stored."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from swarmchat.swarm.archive.writer import SessionSnapshot
from swarmchat.swarm.common.encoding import NestingError, decode_json
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.codex import find_rollout
from swarmchat.swarm.importers.lines import read_lines
from swarmchat.swarm.importers.native import find_logs
from swarmchat.swarm.importers.openai_messages import find_message_lists
from swarmchat.swarm.importers.record_builder import clean_name
from swarmchat.swarm.persistence.records import timestamp

FORMATS = ("jsonl", "openai", "llm", "codex")
"""Logs of swarmchat, message lists, the database of the llm tool, and sessions of the Codex CLI."""

_SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True)
class Transcript:
    """A file of sessions: its format, its sessions, and notes on it."""

    format: str
    sessions: Sequence[SessionSnapshot]
    remarks: Sequence[str] = field(default_factory=tuple)


@contextmanager
def open_transcript(path: Path, client: str, format: str | None = None) -> Iterator[Transcript]:  # noqa: A002 - its name
    """Read the file at ``path`` as sessions of ``client``. ``format`` is one of FORMATS; ``None``: detect it.

    The whole file is checked at once; its sessions can be read until the context ends. Raises TranscriptError, which
    names the line, what is wrong, and what was expected.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            yield _read(path, file, name, client, format or find_format(file, name))
    except NestingError as error:
        raise TranscriptError(f"{name} is not a conversation: it is {error}") from error
    except OSError as error:
        raise TranscriptError(f"{name} cannot be read: {error.strerror or error}") from error


def find_format(file: BinaryIO, name: str) -> str:
    """Return the one of FORMATS that ``file`` has. Raises TranscriptError if it has none."""
    file.seek(0)
    if file.read(len(_SQLITE)) == _SQLITE:
        return "llm"
    first = next(read_lines(file, name), None)
    if first is None:
        raise TranscriptError(f"{name} is empty, expected {_EXPECTED}")
    try:
        value = decode_json(first.data)
    except ValueError:
        # A damaged line, or a value over several lines: the reader of message lists distinguishes them.
        return "jsonl" if b'"seq"' in first.data[:500] else "openai"
    if isinstance(value, dict):
        if "seq" in value and "type" in value:
            return "jsonl"
        if "messages" in value:
            return "openai"
        if "payload" in value or ("timestamp" in value and "id" in value):
            return "codex"
        raise TranscriptError(f"{name}, line 1: unknown format, expected {_EXPECTED}")
    if isinstance(value, list):
        return "openai"
    raise TranscriptError(f"{name}, line 1: it is not a JSON object, expected {_EXPECTED}")


def _read(path: Path, file: BinaryIO, name: str, client: str, chosen: str) -> Transcript:
    fallback = clean_name(path.stem, "imported")
    moment = timestamp(datetime.fromtimestamp(path.stat().st_mtime, UTC))
    if chosen == "llm":
        # Only this one needs a database library.
        from swarmchat.swarm.importers.llm import find_llm_log

        return Transcript(chosen, *find_llm_log(path, name, client, moment))
    if chosen == "codex":
        sessions = find_rollout(file, name, fallback, client, moment)
    elif chosen == "openai":
        sessions = find_message_lists(file, name, fallback, client, moment)
    else:
        sessions = find_logs(file, name, fallback)
    if not sessions:
        raise TranscriptError(f"{name} is empty, expected {_EXPECTED}")
    return Transcript(chosen, sessions)


_EXPECTED = "a log of swarmchat, message lists, the logs.db of llm, or a session of the Codex CLI"

"""Transcripts to replay: logs, conversations of other programs, and hand-written conversations."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmchat.swarm.agents.replay_rules import NO_RULES, ReplayRules
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.errors import DefinitionError, TranscriptError
from swarmchat.swarm.images.parts import line_to_blobs
from swarmchat.swarm.importers.detect import find_format, open_transcript
from swarmchat.swarm.importers.lines import Line, at_line, parse_json, read_lines
from swarmchat.swarm.importers.native import read_record
from swarmchat.swarm.persistence.records import Record, parse_record
from swarmchat.swarm.replay.expectations import Expectation
from swarmchat.swarm.replay.handwritten import TYPES, Part, check_expected, read_by_hand
from swarmchat.swarm.replay.parameters import with_parameters
from swarmchat.swarm.replay.places import Place
from swarmchat.swarm.replay.yaml_file import LONGEST_FILE
from swarmchat.swarm.replay.yaml_tests import YAML_SUFFIXES, yaml_parts


@dataclass
class RecordedConversation:
    """One session of a transcript."""

    name: str
    records: list[Record]
    whole: bool
    """Whether it is a log of swarmchat, with everything that happened; else it has messages only."""
    by_hand: bool = False
    """Whether nothing of it was ever recorded: only its expectations are compared."""
    expectations: list[Expectation] = field(default_factory=list)
    """What is expected of turns, in order."""
    foreign: bool = False
    """Whether it comes out of a file of another program."""
    line: int = 1
    """The line of the file at which it begins."""
    rules: ReplayRules = NO_RULES
    """What is not compared."""
    number: int = 1
    """Its number in a handwritten file: those with the rows of one table of parameters share it."""
    row: Mapping[str, Any] = field(default_factory=dict)
    """The values of its row."""

    @property
    def tags(self) -> Sequence[str]:
        """The tags by which the conversation can be selected."""
        tags: Sequence[str] = self.about.get("tags", ()) if self.by_hand else ()
        return tags

    blobs: Mapping[str, bytes] = field(default_factory=dict)
    """The data of images that the records name, by its digest."""

    @property
    def about(self) -> Mapping[str, Any]:
        """The fields of the conversation's session record."""
        first = self.records[0] if self.records else None
        return first.data if first is not None and first.type == "session" else {}


def _check_file(path: Path) -> None:
    if path.exists() and not path.is_file():
        # A pipe without a writer would block for ever, and ignore Ctrl-C.
        raise TranscriptError(f"{path} is not a regular file: name a file or a folder")


async def read_conversations(path: Path) -> Sequence[RecordedConversation]:
    """Return the conversations in the file at ``path``. Raises TranscriptError, naming the line and what is wrong."""
    name = str(path)
    _check_file(path)
    try:
        if path.suffix.lower() in YAML_SUFFIXES:
            with path.open("rb") as file:
                return list(_conversations(yaml_parts(file.read(LONGEST_FILE + 1), name), name, path.stem))
        with path.open("rb") as file:
            lines = list(read_lines(file, name)) if _is_ours(path) else None
        if lines is not None:
            return list(_conversations(_parts(lines, name), name, path.stem))
        conversations = []
        with open_transcript(path, "replay") as transcript:
            for incoming in transcript.sessions:
                blobs: dict[str, bytes] = {}
                records = [parse_record(_stored(line, blobs)) async for line in incoming.read()]
                conversation = RecordedConversation(incoming.info.name, records, whole=False, foreign=True, blobs=blobs)
                conversations.append(conversation)
        return conversations
    except OSError as error:
        raise TranscriptError(f"{name} cannot be read: {error.strerror or error}") from error
    except TranscriptError as error:
        # The readers of files report that nothing was imported.
        raise TranscriptError(str(error).removesuffix("; nothing of it was imported")) from error


def _is_ours(path: Path) -> bool:
    """Whether the lines are records, of a log or written by hand."""
    with path.open("rb") as file:
        first = next(read_lines(file, str(path)), None)
        if first is None:
            return True
        try:
            value = decode_json(first.data)
        except ValueError:
            # A damaged line of a log, or a value over several lines, in which calls have a type too.
            is_record = b'"type"' in first.data and b'"messages"' not in first.data and first.data.lstrip()[:1] == b"{"
            return is_record or find_format(file, str(path)) == "jsonl"
        return isinstance(value, dict) and "messages" not in value and "payload" not in value and "type" in value


def _parts(lines: Sequence[Line], name: str) -> list[Part]:
    """Cut the lines where sessions begin."""
    if not lines:
        raise TranscriptError(f"{name} is empty, expected records: {', '.join(TYPES)} …")
    parts: list[Part] = []
    for line in lines:
        value = parse_json(line, name)
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            raise at_line(name, line.number, "it is not an object with a 'type', expected a record")
        if not parts or (value["type"] == "session" and parts[-1]):
            parts.append([])
        parts[-1].append((line, value))
    return parts


def _conversations(parts: Sequence[Part], name: str, fallback: str) -> Iterator[RecordedConversation]:
    names: dict[str, int] = {}
    for number, part in enumerate(parts, 1):
        first = part[0][0].number
        rules = _rules(part[0][1], Place(name, first))
        title = str(part[0][1].get("name") or (fallback if len(parts) == 1 else f"{fallback}-{number}"))
        if any("seq" in value for _, value in part):
            blobs: dict[str, bytes] = {}
            records, expectations = _read_log(part, name, blobs)
            # A conversation from elsewhere has no record of a request: the exact request is unknown.
            whole = any(record.type == "request" for record in records) or not _has_answers(records)
            yield RecordedConversation(
                title, records, whole, expectations=expectations, blobs=blobs, line=first, rules=rules
            )
        else:
            for line, _ in part if not name.endswith(YAML_SUFFIXES) else ():
                _check_keys(line.data, Place(name, line.number))
            for each_title, lines, row in with_parameters(part, title, name):
                if each_title in names:
                    problem = f"the name {each_title!r} is also that of the conversation in line {names[each_title]}"
                    raise TranscriptError(f"{Place(name, first)}: {problem}: give it another one")
                names[each_title] = first
                records, expectations = read_by_hand(lines, name)
                yield RecordedConversation(
                    each_title, records, False, True, expectations, line=first, rules=rules, number=number, row=row
                )


def _check_keys(data: bytes, where: Place) -> None:
    """Raise TranscriptError if an object in a line has a key twice."""

    def checked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            names = [name for name, _ in pairs]
            repeated = next(name for name in names if names.count(name) > 1)
            raise TranscriptError(f"{where}: the key {repeated!r} occurs twice")
        return values

    json.loads(data, object_pairs_hook=checked)


def _rules(about: Mapping[str, Any], where: Place) -> ReplayRules:
    """Return the rules in the first line of a conversation. Raises TranscriptError."""
    if about["type"] != "session" or not about.keys() & {"ignore", "normalize"}:
        return NO_RULES
    try:
        return ReplayRules(about.get("ignore", ()), about.get("normalize", ()))
    except DefinitionError as error:
        raise TranscriptError(f"{where}: {str(error).removeprefix('replay: ')}") from error


def _has_answers(records: Sequence[Record]) -> bool:
    return any(record.type in ("user", "assistant", "tool") for record in records)


def _stored(line: bytes, blobs: dict[str, bytes]) -> bytes:
    """Return a line as a session stores it; the data in it is added to ``blobs``."""
    line, new_blobs = line_to_blobs(line)
    blobs |= new_blobs
    return line


def _read_log(part: Part, name: str, blobs: dict[str, bytes]) -> tuple[list[Record], list[Expectation]]:
    """Read the lines of a log. Expectations may stand among them, without a number of their own.

    The data of images is added to ``blobs``.
    """
    records: list[Record] = []
    expectations: list[Expectation] = []
    for line, value in part:
        if value["type"] == "expect":
            where = Place(name, line.number)
            expectations.append(check_expected(value, line.data, records[-1].turn if records else 0, where))
            continue
        record = read_record(line, name, len(records))
        records.append(parse_record(_stored(line.data, blobs)) if b";base64," in line.data else record)
    return records, expectations

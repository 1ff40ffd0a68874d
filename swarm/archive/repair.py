"""Repair of damaged logs in stores and files; the damaged log is kept as a copy."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from swarmchat.backends import Append, Backend, Truncate
from swarmchat.swarm.archive.log_summary import read_stored_state
from swarmchat.swarm.archive.whole_lines import whole_lines
from swarmchat.swarm.archive.writer import SessionSnapshot, SessionWriter, reader
from swarmchat.swarm.common.cancellation import run_to_completion
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.context.normalize import NO_RESULT, renamed_id
from swarmchat.swarm.errors import BadRecord, TranscriptError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.lease import holding
from swarmchat.swarm.persistence.log import read_lines
from swarmchat.swarm.persistence.records import MESSAGE_TYPES, Record, parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo


@dataclass
class RepairedLog:
    """A valid log, and the problems of the damaged one."""

    lines: list[bytes] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    """Invalid lines. This and the other lists hold each problem and its repair, with the line number."""
    unpaired: list[str] = field(default_factory=list)
    """Calls and results that do not fit together: each request puts them right without a repair."""
    misnumbered: list[str] = field(default_factory=list)

    @property
    def damage(self) -> list[str]:
        """The problems that only a repair solves."""
        return [*self.unreadable, *self.misnumbered]

    @property
    def findings(self) -> list[str]:
        """All problems."""
        return [*self.unreadable, *self.unpaired, *self.misnumbered]


@dataclass
class _Entry:
    """A record of the log under repair."""

    line: int | None
    """Line number in the damaged log, from 1; ``None`` for a record that repair adds."""
    record: Record
    changed: bool = False


_Waiting = dict[str, list[tuple[_Entry, str]]]
"""Calls that have no result yet, by original id: the calling entry and the new id."""


def repair_log(lines: Iterable[bytes]) -> RepairedLog:
    """Return a valid log made of ``lines``.

    Invalid lines, results without a call and second results are dropped. Calls without a result get one that says so,
    duplicate ids get a number, and the records are renumbered. Raises BadRecord for a log of a newer version.
    """
    repaired = RepairedLog()
    entries = _parsed(lines, repaired.unreadable)
    entries = _paired(entries, repaired.unpaired)
    new_places = {entry.line - 1: place for place, entry in enumerate(entries) if entry.line is not None}
    for place, entry in enumerate(entries):
        repaired.lines.append(_numbered(entry, place, new_places, repaired.misnumbered))
    return repaired


def renumber(records: Iterable[Record], start: int) -> list[bytes]:
    """Return ``records``, with gaps or not, as the lines of a valid log from the position ``start`` on.

    Results without a call are dropped, calls without a result get one that says so. References to other records are
    renumbered too.
    """
    entries = _paired([_Entry(record.seq + 1, record) for record in records], [])
    new_places = {entry.line - 1: place for place, entry in enumerate(entries, start) if entry.line is not None}
    return [_numbered(entry, place, new_places, []) for place, entry in enumerate(entries, start)]


def _parsed(lines: Iterable[bytes], findings: list[str]) -> list[_Entry]:
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_record(line)
        except BadRecord as error:
            if error.newer_version:
                raise
            findings.append(f"line {number}: {str(error).removeprefix('not a record: ')}: dropped")
            continue
        entries.append(_Entry(number, record))
    return entries


def _paired(entries: Sequence[_Entry], findings: list[str]) -> list[_Entry]:
    """Return the entries such that every call has one result, after the call."""
    paired: list[_Entry] = []
    waiting: _Waiting = {}
    used: set[str] = set()
    for entry in entries:
        record = entry.record
        if record.type not in MESSAGE_TYPES:
            paired.append(entry)
        elif record.type == "tool":
            paired += _result(entry, waiting, findings)
        else:
            if record.type in ("user", "steer"):
                paired += _stand_ins(waiting, findings)
            fresh: _Waiting = {}
            if record.type == "assistant":
                entry = _call_ids(entry, fresh, used, findings)
            # After a later call with the same id, no result can belong to the earlier one.
            paired += _stand_ins({call_id: waiting.pop(call_id) for call_id in fresh if call_id in waiting}, findings)
            waiting.update(fresh)
            paired.append(entry)
    return paired + _stand_ins(waiting, findings)


def _call_ids(entry: _Entry, fresh: _Waiting, used: set[str], findings: list[str]) -> _Entry:
    """Add the calls of a message to ``fresh``, and rename duplicate ids."""
    message = entry.record.message
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return entry
    fixed: list[Any] = []
    for index, call in enumerate(calls):
        if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
            findings.append(f"line {entry.line}: call {index + 1} is invalid: dropped")
            continue
        old = call.get("id") if isinstance(call.get("id"), str) and call["id"] else None
        new = old or f"call_{entry.line}_{index}"
        number = (entry.line or 0) * 1000 + index
        while new in used:
            # One of an earlier repair may be taken as well.
            new, number = renamed_id(old or new, number), number + 1
        if new != old:
            problem = "has no id" if old is None else f"has the id {old!r}, which an earlier one has"
            findings.append(f"line {entry.line}: call {index + 1} {problem}: now {new!r}")
            call = {**call, "id": new}
        used.add(new)
        fixed.append(call)
        fresh.setdefault(old or new, []).append((entry, new))
    if fixed != calls:
        entry = _Entry(entry.line, _with_message(entry.record, {**message, "tool_calls": fixed}), changed=True)
    return entry


def _result(entry: _Entry, waiting: _Waiting, findings: list[str]) -> list[_Entry]:
    message = entry.record.message
    call_id = message.get("tool_call_id")
    if message.get("role") == "function":
        return [entry]
    calls = waiting.get(call_id) if isinstance(call_id, str) else None
    if not calls:
        findings.append(f"line {entry.line}: the result of {call_id!r} belongs to no waiting call: dropped")
        return []
    _, new = calls.pop(0)
    if not calls and isinstance(call_id, str):
        del waiting[call_id]
    if new == call_id:
        return [entry]
    return [_Entry(entry.line, _with_message(entry.record, {**message, "tool_call_id": new}), changed=True)]


def _stand_ins(waiting: _Waiting, findings: list[str]) -> list[_Entry]:
    """Return placeholder results for the calls that have none."""
    results = []
    for entry, call_id in chain.from_iterable(waiting.values()):
        findings.append(f"line {entry.line}: the call {call_id!r} has no result: added one that says so")
        message = {"role": "tool", "tool_call_id": call_id, "content": NO_RESULT}
        data = {"message": message, "status": "interrupted"}
        results.append(_Entry(None, replace(entry.record, type="tool", data=data)))
    waiting.clear()
    return results


def _numbered(entry: _Entry, place: int, new_places: Mapping[int, int], findings: list[str]) -> bytes:
    """Return the line of a record at its new number ``place``. References to other records are renumbered too."""
    record = entry.record
    data = {name: _moved(record.type, name, value, new_places) for name, value in record.data.items()}
    if record.seq == place and not entry.changed and data == record.data:
        return record.line
    if entry.line is not None and record.seq != entry.line - 1:
        findings.append(f"line {entry.line}: the number is {record.seq}, expected {entry.line - 1}: now {place}")
    return replace(record, seq=place, data=data).line


_REFERENCES = {"rotate": ("first_kept",), "compact": ("first_kept", "through"), "dropped": ("from", "to")}
"""Fields that hold the number of a record, by the type of record or by the field around them."""


def _moved(kind: str, name: str, value: Any, new_places: Mapping[int, int]) -> Any:
    """Return the field ``name`` of a record of the type ``kind``, with the new numbers of the records it names."""
    if isinstance(value, int) and name in _REFERENCES.get(kind, ()):
        return _place(value, new_places)
    if kind == "rotate" and name == "dropped" and isinstance(value, dict):
        return {each: _moved("dropped", each, number, new_places) for each, number in value.items()}
    if name == "pinned" and isinstance(value, list):
        return [[_place(number, new_places) for number in span] if _is_span(span) else span for span in value]
    if name == "summaries" and isinstance(value, dict):
        return {agent: new_places[seq] for agent, seq in value.items() if seq in new_places}
    if kind == "reset" and name == "keep" and isinstance(value, list):
        return [new_places[number] for number in value if number in new_places]
    return value


def _is_span(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(number, int) for number in value)


def _place(old: int, new_places: Mapping[int, int]) -> int:
    """Return the new number of the record ``old``, or of the first later one that was not dropped."""
    return min((new for was, new in new_places.items() if was >= old), default=old)


def _with_message(record: Record, message: Mapping[str, Any]) -> Record:
    # The stored count of tokens belongs to the old message.
    data = {name: value for name, value in record.data.items() if name != "tokens"}
    return replace(record, data={**data, "message": message})


@dataclass(frozen=True)
class Repaired:
    """The problems, and the name of the copy of the damaged log; ``None`` if nothing was changed."""

    findings: Sequence[str]
    kept_as: str | None = None
    needed: bool = False
    """Whether only a repair solves some of the problems: each request puts the others right."""


async def repair_session(
    backend: Backend, info: SessionInfo, ttl: float | None = None, *, dry_run: bool = False
) -> Repaired:
    """Store a copy of a session under another name, then repair its log in one commit.

    With ``dry_run`` nothing is changed. Raises SessionBusy while another process has it open, and BadRecord for a log
    of a newer version.
    """
    if dry_run:
        repaired = repair_log([line async for line in read_lines(backend, info)])
        return Repaired(repaired.findings, needed=bool(repaired.damage))
    async with holding(backend, info) as lease:
        lines = [line async for line in read_lines(backend, info)]
        whole = [line async for line in whole_lines(backend, info)]
        repaired = repair_log(lines)
        if not repaired.findings:
            return Repaired(())
        name = f"{info.name}-before-repair"
        state = await read_stored_state(backend, info)
        copy = replace(info, id=f"{info.id}-before-repair", name=name)
        content = SessionSnapshot(copy, state, len(lines), f"repair:{info.id}:{len(lines)}", reader(lambda: whole))
        backup = await SessionWriter(backend, info.client, ttl).store(content)
        log = keys.session_log(info.client, info.id)
        changes = (Truncate(log, 0), Append(log, tuple(repaired.lines), ttl))
        await run_to_completion(backend.commit(*changes, info.put(ttl), lease=lease.lease))
        return Repaired(repaired.findings, backup.info.name, bool(repaired.damage))


def repair_file(path: Path, *, dry_run: bool = False) -> Repaired:
    """Copy a file to ``FILE.bak``, then repair the logs in it. With ``dry_run`` nothing is changed.

    Raises TranscriptError if the file cannot be read or written, or has a newer version.
    """
    try:
        lines = [line.removesuffix(b"\r") for line in path.read_bytes().split(b"\n")]
        findings: list[str] = []
        needed = False
        repaired: list[bytes] = []
        for start, log in _logs(lines):
            part = repair_log(log)
            repaired += part.lines
            findings += [_with_file_line(finding, start) for finding in part.findings]
            needed = needed or bool(part.damage)
        if dry_run or not findings:
            return Repaired(findings, needed=needed)
        backup = _free_backup_path(path)
        shutil.copy2(path, backup)
        write_atomically(path, b"".join(line + b"\n" for line in repaired))
        return Repaired(findings, str(backup), needed)
    except OSError as error:
        raise TranscriptError(f"{path} cannot be repaired: {error.strerror or error}") from error
    except BadRecord as error:
        raise TranscriptError(f"{path}: {error}; it was left as it is") from error


def _logs(lines: Sequence[bytes]) -> list[tuple[int, list[bytes]]]:
    """Return the logs in ``lines``, each with the index of its first line. Empty lines are ignored."""
    logs: list[tuple[int, list[bytes]]] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if not logs or _starts_log(line):
            logs.append((number, []))
        logs[-1][1].append(line)
    return logs


def _starts_log(line: bytes) -> bool:
    try:
        record = parse_record(line)
    except BadRecord:
        return False
    return record.type == "session" and record.seq == 0


def _with_file_line(finding: str, start: int) -> str:
    """Return a finding with the line number in the file instead of in the log."""
    number, colon, rest = finding.removeprefix("line ").partition(":")
    return f"line {int(number) + start}{colon}{rest}"


def _free_backup_path(path: Path) -> Path:
    backup, number = path.with_name(f"{path.name}.bak"), 1
    while backup.exists():
        number += 1
        backup = path.with_name(f"{path.name}.bak{number}")
    return backup

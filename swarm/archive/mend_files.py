"""Repair a session or a file with logs. What was there is kept: as another session, or as another file."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swarmchat.backends import Append, Backend, Truncate
from swarmchat.swarm.archive.incoming import Incoming, reader
from swarmchat.swarm.archive.log_summary import read_beside
from swarmchat.swarm.archive.repair import mend_log
from swarmchat.swarm.archive.writer import SessionWriter
from swarmchat.swarm.common.cancellation import settle
from swarmchat.swarm.errors import BadRecord, TranscriptError
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.holding import holding
from swarmchat.swarm.persistence.log_reader import read_lines
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import SessionInfo


@dataclass(frozen=True)
class Repaired:
    """What was wrong, and where the log is kept as it was: nowhere, if nothing was changed."""

    findings: Sequence[str]
    kept_as: str | None = None


async def repair_session(
    backend: Backend, info: SessionInfo, ttl: float | None = None, *, dry_run: bool = False
) -> Repaired:
    """Repair the log of a session in one commit, after a copy of it was stored as a session of its own.

    With ``dry_run`` nothing is changed. Raises SessionBusy while another process has it open, and BadRecord for a log
    of a newer version.
    """
    if dry_run:
        return Repaired(mend_log([line async for line in read_lines(backend, info)]).findings)
    async with holding(backend, info) as held:
        lines = [line async for line in read_lines(backend, info)]
        mended = mend_log(lines)
        if not mended.findings:
            return Repaired(())
        name = f"{info.name}-before-repair"
        beside = await read_beside(backend, info)
        copy = replace(info, id=f"{info.id}-before-repair", name=name)
        content = Incoming(copy, beside, len(lines), f"repair:{info.id}:{len(lines)}", reader(lambda: lines))
        kept = await SessionWriter(backend, info.client, ttl).store(content)
        log = keys.session_log(info.client, info.id)
        changes = (Truncate(log, 0), Append(log, tuple(mended.lines), ttl))
        await settle(backend.commit(*changes, info.put(ttl), lease=held.lease))
        return Repaired(mended.findings, kept.info.name)


def repair_file(path: Path, *, dry_run: bool = False) -> Repaired:
    """Repair the logs in a file, after it was copied to ``FILE.bak``. With ``dry_run`` nothing is changed.

    Raises TranscriptError when it cannot be read or written, or is of a newer version.
    """
    try:
        lines = [line.removesuffix(b"\r") for line in path.read_bytes().split(b"\n")]
        findings: list[str] = []
        mended: list[bytes] = []
        for start, log in _logs(lines):
            part = mend_log(log)
            mended += part.lines
            findings += [_moved(finding, start) for finding in part.findings]
        if dry_run or not findings:
            return Repaired(findings)
        kept = _free(path)
        shutil.copy2(path, kept)
        _write(path, mended)
        return Repaired(findings, str(kept))
    except OSError as error:
        raise TranscriptError(f"{path} cannot be repaired: {error.strerror or error}") from error
    except BadRecord as error:
        raise TranscriptError(f"{path}: {error}; it was left as it is") from error


def _logs(lines: Sequence[bytes]) -> list[tuple[int, list[bytes]]]:
    """Return the logs in ``lines``, each with the place of its first line. Empty lines are none."""
    logs: list[tuple[int, list[bytes]]] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        if not logs or _begins(line):
            logs.append((number, []))
        logs[-1][1].append(line)
    return logs


def _begins(line: bytes) -> bool:
    try:
        record = parse_record(line)
    except BadRecord:
        return False
    return record.type == "session" and record.seq == 0


def _moved(finding: str, start: int) -> str:
    """Return a finding with the number of its line in the file."""
    number, colon, rest = finding.removeprefix("line ").partition(":")
    return f"line {int(number) + start}{colon}{rest}"


def _free(path: Path) -> Path:
    kept, number = path.with_name(f"{path.name}.bak"), 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}.bak{number}")
    return kept


def _write(path: Path, lines: Sequence[bytes]) -> None:
    """Replace the file at once, so that it is never half there."""
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(line + b"\n" for line in lines)
        shutil.copymode(path, made)
        os.replace(made, path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise

"""Export sessions to files, import them from files, and copy them between stores."""

import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from swarmchat.backends import Backend
from swarmchat.cli.app.options import Flags
from swarmchat.cli.app.runner import Work
from swarmchat.cli.app.signals import run_until_signal
from swarmchat.cli.errors import CliError, OutputLost, UsageError
from swarmchat.cli.sessions.stores import remark
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.store import OpenStore, open_store
from swarmchat.cli.terminal.printing import as_line, print_json
from swarmchat.cli.terminal.progress import Progress, progress_on
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.swarm.archive.export import as_jsonl, as_openai
from swarmchat.swarm.archive.redaction import Redaction
from swarmchat.swarm.archive.sessions import snapshot
from swarmchat.swarm.archive.writer import SessionSnapshot, SessionWriter, Stored
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.importers.detect import FORMATS, open_transcript
from swarmchat.swarm.persistence.log import read_lines, read_records
from swarmchat.swarm.persistence.session_index import SessionInfo

EXPORTS = ("jsonl", "openai", "markdown", "html")


def redaction(patterns: Sequence[str]) -> Redaction:
    """Return the redaction of everything that ``patterns`` match. Raises UsageError."""
    try:
        return Redaction(patterns)
    except re.error as error:
        raise UsageError(f"--redact {error.pattern!r} is not a regular expression: {error}") from error
    except ValueError as error:
        raise UsageError(f"--redact: {error}") from error


async def export_session(
    backend: Backend, info: SessionInfo, form: str, patterns: Redaction, output: Path | None
) -> None:
    """Write a session to standard output or to a file, which is written completely or not at all."""
    if form not in EXPORTS:
        raise UsageError(f"--format is {form!r}, expected one of {', '.join(EXPORTS)}")
    with _open_output(output) as file:
        async for piece in _export_pieces(backend, info, form, patterns):
            file.write(piece)


async def _export_pieces(backend: Backend, info: SessionInfo, form: str, patterns: Redaction) -> AsyncIterator[bytes]:
    if form == "jsonl" and not patterns:
        async for line in read_lines(backend, info):
            yield line + b"\n"
        return
    records = [patterns.record(record) async for record in read_records(backend, info)]
    if form == "jsonl":
        for piece in as_jsonl(records):
            yield piece
    elif form == "openai":
        yield as_openai(records)
    else:
        from dataclasses import replace

        from swarmchat.swarm.archive.export import as_html, as_markdown

        redacted = replace(info, title=patterns.text(info.title), name=patterns.text(info.name))
        for page in (as_markdown if form == "markdown" else as_html)(redacted, records):
            yield page.encode("utf-8", "replace")


class _Screen:
    """Writes bytes to the terminal, without its control characters."""

    def write(self, data: bytes) -> None:
        sys.stdout.write(sanitize(data.decode("utf-8", "replace")))


@contextmanager
def _open_output(output: Path | None) -> Iterator[BinaryIO | _Screen]:
    try:
        if output is None:
            yield _Screen() if sys.stdout.isatty() else sys.stdout.buffer
            sys.stdout.flush()
            return
        if output.exists() and not output.is_file():
            # Write to a device or a pipe; never replace it.
            with output.open("wb") as device:
                yield device
            return
        content = BytesIO()
        yield content
        write_atomically(output, content.getvalue())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLost(f"{output or 'standard output'} cannot be written: {error.strerror or error}") from error


def import_sessions(flags: Flags, files: Sequence[Path], as_name: str | None, form: str | None, as_json: bool) -> Work:
    """Check the ``files``; return the work that stores their sessions."""
    if form is not None and form not in FORMATS:
        raise UsageError(f"--format is {form!r}, expected one of {', '.join(FORMATS)}")
    if as_name is not None and not as_name.strip():
        raise UsageError("--as needs a name that is not empty")
    settings = wiring.apply_settings(flags)
    stack = ExitStack()
    try:
        snapshots: list[SessionSnapshot] = []
        for path in files:
            source = stack.enter_context(_standard_input()) if str(path) == "-" else path
            transcript = stack.enter_context(open_transcript(source, settings.client_name, form))
            for text in transcript.remarks:
                remark(text)
            snapshots += transcript.sessions
    except BaseException:
        stack.close()
        raise

    async def work() -> None:
        with stack:
            async with open_store(settings) as store:
                await _store_all(store, snapshots, _names(as_name, len(snapshots)), as_json, "imported")

    return run_until_signal(work(), "SIGINT", "SIGTERM", "SIGHUP")


async def copy_sessions(source: OpenStore, target: OpenStore, infos: Sequence[SessionInfo], as_json: bool) -> None:
    """Copy the sessions ``infos`` from ``source`` to ``target``."""
    snapshots = [await snapshot(source.backend, info) for info in infos]
    await _store_all(target, snapshots, [None] * len(snapshots), as_json, "copied")


async def _store_all(
    store: OpenStore, snapshots: Sequence[SessionSnapshot], names: Iterable[str | None], as_json: bool, verb: str
) -> None:
    rows: list[dict[str, Any]] = []
    with progress_on(sum(incoming.count for incoming in snapshots)) as progress:
        writer = SessionWriter(store.backend, store.client, store.ttl, progress=progress.advance)
        try:
            for incoming, name in zip(snapshots, names, strict=True):
                stored = await writer.store(incoming, name=name)
                rows.append(_row(incoming, stored))
                if stored.status == "taken":
                    raise CliError(
                        f"{store.client} has another session {name!r} on {store.name}: choose another name with --as"
                    )
                if not as_json:
                    _say(progress, incoming, stored, verb)
        except BaseException as error:
            if len(snapshots) > 1 or not isinstance(error, Exception):
                progress.stop()
                remark(f"{len(rows)} of {len(snapshots)} sessions are stored; run the same command again to continue")
            raise
    if as_json:
        print_json(rows)


def _say(progress: Progress, incoming: SessionSnapshot, stored: Stored, verb: str) -> None:
    outcomes = {"there": "already there", "continued": "continued: new turns were added"}
    resumed = ", continued after an interruption" if stored.status == "resumed" else ""
    outcome = outcomes.get(stored.status, verb + resumed)
    name = as_line(incoming.info.name)
    renamed = "" if stored.info.name == incoming.info.name else f" as {as_line(stored.info.name)}"
    turns = "1 turn" if incoming.info.turns == 1 else f"{incoming.info.turns} turns"
    progress.print(f"{name}{renamed}: {outcome} ({turns}, {incoming.count} records)")


def _row(incoming: SessionSnapshot, stored: Stored) -> dict[str, Any]:
    about = {"name": stored.info.name, "id": stored.info.id, "from": incoming.info.name, "status": stored.status}
    return {**about, "turns": incoming.info.turns, "records": incoming.count}


def _names(as_name: str | None, count: int) -> list[str | None]:
    if as_name is None or count == 1:
        return [as_name] * count
    return [f"{as_name}-{number}" for number in range(1, count + 1)]


@contextmanager
def _standard_input() -> Iterator[Path]:
    """Copy standard input to a temporary file: it is read twice, to be checked before anything is stored."""
    with tempfile.TemporaryDirectory(prefix="swarmchat-") as folder:
        path = Path(folder) / "standard-input"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path

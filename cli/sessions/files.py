"""Export sessions to files, import them from files, and copy them between stores."""

import re
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from swarmchat.backends import Backend
from swarmchat.cli.app.command_runner import Work
from swarmchat.cli.app.options import Flags
from swarmchat.cli.app.signals import run_until_signal
from swarmchat.cli.attachments.reading import too_large
from swarmchat.cli.errors import CliError, OutputLost, UsageError
from swarmchat.cli.render.renderer import remark
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.store import OpenStore, open_store
from swarmchat.cli.terminal.printing import as_line, count_of, print_json
from swarmchat.cli.terminal.progress import progress_on
from swarmchat.cli.terminal.sanitize import sanitize
from swarmchat.swarm.archive.client_data import copy_client_data, shared_data
from swarmchat.swarm.archive.export import as_html, as_jsonl, as_markdown, as_openai
from swarmchat.swarm.archive.redaction import Redaction
from swarmchat.swarm.archive.sessions import snapshot
from swarmchat.swarm.archive.whole_lines import whole_lines, whole_record
from swarmchat.swarm.archive.writer import SessionSnapshot, SessionWriter, Stored
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.errors import BadRecord
from swarmchat.swarm.importers.detect import FORMATS, open_transcript
from swarmchat.swarm.persistence.log import read_records
from swarmchat.swarm.persistence.session_index import SessionInfo

EXPORTS = ("jsonl", "openai", "markdown", "html")
_PIECE = 1 << 20


async def export(store: OpenStore, name: str, form: str, redact: Sequence[str], output: Path | None) -> None:
    """Export the session called ``name``; see `export_session`."""
    await export_session(store.backend, await store.session(name), form, output, redact)


async def export_session(
    backend: Backend, info: SessionInfo, form: str, output: Path | None, redact: Sequence[str] = ()
) -> None:
    """Write a session to standard output or to a file, which is written completely or not at all.

    The patterns ``redact`` match what is replaced. Raises UsageError for an invalid one, and for an unknown ``form``.
    """
    if form not in EXPORTS:
        raise UsageError(f"--format is {form!r}, expected one of {', '.join(EXPORTS)}")
    redaction = _redaction(redact)
    with _open_output(output) as file:
        async for piece in _export_pieces(backend, info, form, redaction):
            file.write(piece)


def _redaction(patterns: Sequence[str]) -> Redaction:
    """Return the redaction with ``patterns``. Raises UsageError for an invalid one."""
    try:
        return Redaction(patterns)
    except re.error as error:
        raise UsageError(f"--redact {error.pattern!r} is not a regular expression: {error}") from error
    except ValueError as error:
        raise UsageError(f"--redact: {error}") from error


async def export_test(store: OpenStore, name: str, form: str, redact: Sequence[str], output: Path | None) -> None:
    """Write the session called ``name`` as a test; YAML if ``output`` says so. Raises UsageError."""
    from swarmchat.swarm.replay.steps import written_conversation
    from swarmchat.swarm.replay.writing import write_test
    from swarmchat.swarm.replay.written_images import images_as_files

    if form != "jsonl":
        raise UsageError(f"--as-test writes JSONL, or YAML if -o ends in .yaml: leave out --format {form}")
    redaction = _redaction(redact)
    info = await store.session(name)
    records = [
        await whole_record(store.backend, info, redaction.record(record))
        async for record in read_records(store.backend, info)
    ]
    written = written_conversation(records, redaction.text(info.name))
    if not any(kind == "user" for kind, _ in written.steps):
        raise UsageError(f"session {name!r} has no turn that a test could repeat: each was stopped or failed")
    if written.left_out:
        turns = [f"turn {turn}" for turn in sorted({*written.left_out} - {0})]
        mail = ["messages from outside"] if 0 in written.left_out else []
        remark(f"omitted, because a test cannot repeat it: {', '.join([*turns, *mail])}")
    images = [] if output is None else list(images_as_files(written.steps, output.stem))
    data = write_test(written, output or Path("test.jsonl"))
    with _open_output(output) as file:
        file.write(data)
    for image, content in images:
        with _open_output((output or Path()).with_name(image)) as file:
            file.write(content)


async def _export_pieces(backend: Backend, info: SessionInfo, form: str, redaction: Redaction) -> AsyncIterator[bytes]:
    if form == "jsonl" and not redaction:
        async for line in whole_lines(backend, info):
            yield line + b"\n"
        return
    records = [redaction.record(record) async for record in read_records(backend, info)]
    if form != "markdown":
        records = [await whole_record(backend, info, record) for record in records]
    if form == "jsonl":
        for piece in as_jsonl(records):
            yield piece
    elif form == "openai":
        yield as_openai(records)
    else:
        redacted = replace(info, title=redaction.text(info.title), name=redaction.text(info.name))
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
        raise UsageError("--as is empty: give a name")
    settings = wiring.apply_settings(flags)
    with ExitStack() as stack:
        snapshots: list[SessionSnapshot] = []
        for path in files:
            source = stack.enter_context(_standard_input(settings.max_import)) if str(path) == "-" else path
            transcript = stack.enter_context(open_transcript(source, settings.client_name, form))
            for text in transcript.remarks:
                remark(text)
            snapshots += transcript.sessions
        transcripts = stack.pop_all()

    async def work() -> None:
        with transcripts:
            async with open_store(settings) as store:
                await _store_all(store, snapshots, as_name, as_json, "imported")

    return run_until_signal(work(), "SIGINT", "SIGTERM", "SIGHUP")


async def copy(store: OpenStore, to: str, names: Sequence[str], everything: bool, as_json: bool) -> None:
    """Copy sessions to the store ``to``: those called ``names``, or all of them with the client's other data."""
    if bool(names) == everything:
        raise UsageError("which sessions? Give either their names or --all")
    async with open_store(replace(store.settings, backend=to)) as target:
        if store.backend.url == target.backend.url:
            raise UsageError("source and target are the same store: name another one with --to")
        infos = await store.sessions() if everything else [await store.session(name) for name in names]
        snapshots = []
        for info in infos:
            try:
                snapshots.append(await snapshot(store.backend, info))
            except BadRecord as error:
                if not everything:
                    raise
                remark(f"not copied: {error}")
        await _store_all(target, snapshots, None, as_json, "copied")
        if everything:
            lifetimes = wiring.session_settings(target.settings).lifetimes
            async for name, copied in copy_client_data(store.backend, target.backend, store.client, lifetimes):
                remark(f"{name}: {'copied' if copied else 'already there, not changed'}")
            if shared := await shared_data(store.backend):
                remark(f"storages that all clients share stay on {store.name}: {', '.join(shared)}")
        elif not as_json:
            remark(f"memory, bans and storages of {store.client} stay on {store.name}: --all copies them too")


async def _store_all(
    store: OpenStore, snapshots: Sequence[SessionSnapshot], as_name: str | None, as_json: bool, verb: str
) -> None:
    """Store ``snapshots``, under their own names or ``as_name``, and print the outcome of each."""
    store.must_last()
    rows: list[dict[str, Any]] = []
    with progress_on(sum(incoming.count for incoming in snapshots)) as progress:
        writer = SessionWriter(store.backend, store.client, store.ttl, progress=progress.advance)
        try:
            for number, incoming in enumerate(snapshots, 1):
                name = f"{as_name}-{number}" if as_name and len(snapshots) > 1 else as_name
                stored = await writer.store(incoming, name=name)
                about = {"name": stored.info.name, "id": stored.info.id, "from": incoming.info.name}
                counts = {"turns": incoming.info.turns, "records": incoming.count}
                rows.append({**about, "status": stored.status, **counts})
                if stored.status == "taken":
                    raise CliError(
                        f"{store.client} has another session {name!r} on {store.name}: choose another name with --as"
                    )
                if not as_json:
                    progress.print(_outcome_line(incoming, stored, verb))
        except BaseException as error:
            if len(snapshots) > 1 or not isinstance(error, Exception):
                progress.stop()
                remark(f"{len(rows)} of {len(snapshots)} sessions are stored; run the same command again to continue")
            raise
    if as_json:
        print_json(rows)


def _outcome_line(incoming: SessionSnapshot, stored: Stored, verb: str) -> str:
    outcomes = {"there": "already there", "continued": "continued: new turns were added"}
    resumed = ", continued after an interruption" if stored.status == "resumed" else ""
    outcome = outcomes.get(stored.status, verb + resumed)
    name = as_line(incoming.info.name)
    renamed = "" if stored.info.name == incoming.info.name else f" as {as_line(stored.info.name)}"
    return f"{name}{renamed}: {outcome} ({count_of(incoming.info.turns, 'turn')}, {incoming.count} records)"


@contextmanager
def _standard_input(limit: int) -> Iterator[Path]:
    """Copy standard input to a temporary file: it is read twice, to be checked before anything is stored.

    Raises UsageError for more than ``limit`` bytes, once they have come.
    """
    with tempfile.TemporaryDirectory(prefix="swarmchat-") as folder:
        path = Path(folder) / "standard-input"
        with path.open("wb") as file:
            while piece := sys.stdin.buffer.read(_PIECE):
                if file.tell() + len(piece) > limit:
                    raise too_large("standard input", limit)
                file.write(piece)
        yield path

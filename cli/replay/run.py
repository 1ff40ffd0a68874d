"""Replay the conversations of files in their order, and report the results."""

import secrets
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

from swarmchat.backends import BackendError
from swarmchat.cli.errors import CliError, NotFoundError, ReplayMismatch, UsageError
from swarmchat.cli.replay.ci_reports import as_junit, as_markdown_summary, github_annotations
from swarmchat.cli.replay.pool import GONE, Start, Worker, WorkerError, worker_pool
from swarmchat.cli.replay.record import check_recordable, write_recording
from swarmchat.cli.replay.replayer import ReplayTask, open_replayer
from swarmchat.cli.replay.report import Report
from swarmchat.cli.replay.request import ReplayRequest
from swarmchat.cli.replay.result import Case, ReplayResult
from swarmchat.cli.replay.updating import check_updatable, update_file
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import choose_model
from swarmchat.swarm.errors import SwarmError, TranscriptError
from swarmchat.swarm.replay.cassette import Cassette
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.log_update import write_whole
from swarmchat.swarm.replay.runner import Replayed
from swarmchat.swarm.replay.selection import Selection

_AHEAD = 4
"""Tasks that are ready for each process."""

_Error = CliError | SwarmError | BackendError


async def replay_transcripts(request: ReplayRequest, workers: Sequence[Worker] = ()) -> int:
    """Replay files, in the processes ``workers`` if there are any, and return the exit code.

    Raises ReplayMismatch if something differs.

    If one of several files cannot be used, the others are replayed all the same.
    """
    request.check()
    selection = Selection.of(request.files, request.expression, request.tags)
    if request.mode == "show":
        from swarmchat.cli.replay.player import play_transcripts

        await play_transcripts(selection, request.start, request.until, request.speed)
        return 0
    report = Report(level=request.level, verbose=request.verbose, as_json=request.as_json)
    settings = wiring.apply_settings(request.store_flags)
    if request.mode == "live" and not request.models:
        settings = await choose_model(settings)
    resume = secrets.token_hex()
    _to_github(request, f"::stop-commands::{resume}")
    try:
        async with AsyncExitStack() as stack:
            replayer = await stack.enter_async_context(open_replayer(request, settings))
            start: Start = partial(partial, replayer.replay)
            if workers:
                start = await stack.enter_async_context(worker_pool(workers, request, settings.model))
            run = _Run(request, selection, report, start)
            await run.replay_all()
    finally:
        report.clear_progress()
        _to_github(request, f"::{resume}::")
        _write_reports(request, report)
    if not report.outcome.cases and not run.errors:
        raise UsageError("no conversation is selected: look at -k and --tag")
    report.end()
    if run.errors:
        # A file that cannot be used outranks a difference.
        return 65 if any(error.exit_code == 65 for error in run.errors) else run.errors[0].exit_code
    if not report.all_the_same:
        raise ReplayMismatch(report.summary())
    return 0


def _write_reports(request: ReplayRequest, report: Report) -> None:
    """Write the files for CI, also if the replay was stopped."""
    outcome = report.outcome
    if request.junit is not None:
        write_whole(request.junit, as_junit(outcome))
    if request.summary is not None:
        text = as_markdown_summary(outcome, report.summary())
        try:
            # GitHub shows one file for all commands of a step.
            with request.summary.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise TranscriptError(f"{request.summary} cannot be written: {error.strerror or error}") from error
    _to_github(request, *github_annotations(outcome))
    for model in {case.model for case in outcome.cases if request.refresh and request.cassette}:
        Cassette(request.cassette or Path(), model).compact()


def _to_github(request: ReplayRequest, *commands: str) -> None:
    """Print commands for the log of GitHub Actions, which obeys them in any text that is printed, such as an answer."""
    for command in commands if request.github else ():
        print(command, file=sys.stderr if request.as_json else sys.stdout, flush=True)


@dataclass(frozen=True)
class _File:
    """A file with the replays of its conversations, which may have started."""

    path: Path
    conversations: Sequence[RecordedConversation] = ()
    """All conversations of the file."""
    replays: Sequence[tuple[ReplayTask, Callable[[], Awaitable[ReplayResult]]]] = ()
    """The replays of the selected ones; those of one conversation are neighbours."""
    error: _Error | None = None


@dataclass
class _Run:
    request: ReplayRequest
    selection: Selection
    report: Report
    start: Start
    errors: list[_Error] = field(default_factory=list)
    """The errors of files that cannot be used."""

    async def replay_all(self) -> None:
        """Replay and report all files in their order. Raises the errors after which no file can be replayed."""
        ahead = self.request.jobs * _AHEAD if self.request.jobs > 1 else 1
        paths = deque(self.selection.paths)
        waiting: deque[_File] = deque()
        while (paths or waiting) and not (self.request.fail_fast and self.report.failed):
            while paths and sum(len(file.replays) for file in waiting) < ahead:
                waiting.append(await self._read(paths.popleft()))
            file = waiting.popleft()
            try:
                await self._finish(file)
            except (UsageError, NotFoundError, WorkerError, SwarmError, BackendError) as error:
                # A model or a store that is unreachable now will not be there for the next file.
                is_gone = error.is_gone if isinstance(error, WorkerError) else isinstance(error, GONE)
                stops = is_gone or len(self.selection.paths) == 1
                self.report.add_failure(file.path, error, printed=not stops)
                if stops:
                    raise
                self.errors.append(error)

    async def _read(self, path: Path) -> _File:
        """Read a file and start the replays of its selected conversations."""
        try:
            _check_exists(path)
            conversations = await read_conversations(path)
            selected = self.selection.of_file(path, conversations)
            if self.request.update and selected:
                check_updatable(path, conversations, selected, self.request.mode)
            if self.request.record and selected:
                check_recordable(path, conversations, selected)
        except (UsageError, NotFoundError, SwarmError) as error:
            return _File(path, error=error)
        tasks = [
            ReplayTask(path, conversation, model, run)
            for conversation in selected
            for model in self.request.models or (None,)
            for run in range(1, self.request.repeat + 1)
        ]
        return _File(path, conversations, [(task, self.start(task)) for task in tasks])

    async def _finish(self, file: _File) -> None:
        """Report the replays of a file, and update it if requested. Raises the errors of its replays."""
        if file.error is not None:
            raise file.error
        replayed: list[Replayed] = []
        try:
            await self._report_all(file, replayed)
        finally:
            # If a model fails, the answers before that have been paid for.
            if self.request.record and replayed:
                self.report.add_recording(file.path, write_recording(file.path, replayed, file.conversations))
        if self.request.update and replayed:
            await update_file(file.path, replayed, self.report, yes=self.request.yes)

    async def _report_all(self, file: _File, replayed: list[Replayed]) -> None:
        """Report the replays of a file as they end, and add them to ``replayed``. Raises their errors."""
        several = len(file.conversations) > 1
        for _, replays in groupby(file.replays, lambda replay: id(replay[0].conversation)):
            cases: list[Case] = []
            try:
                for _, runs in groupby(replays, lambda replay: replay[0].model_name):
                    results = []
                    for task, result in runs:
                        self.report.show_progress(task)
                        results.append(await result())
                    cases.append(Case(results, several, self.request.min_pass))
                    replayed += [result.replayed for result in results]
            finally:
                # If a model fails, those before it have been paid for.
                if cases:
                    self.report.add(cases)
            if self.request.fail_fast and self.report.failed:
                return


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"no such file: {str(path)!r}")

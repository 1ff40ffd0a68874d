"""Replay the conversations in files, one after the other, and report the results."""

import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.errors import CliError, NotFoundError, ReplayMismatch, UsageError
from swarmchat.cli.replay.report import ReplayResult, Report
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.models import choose_model, make_model
from swarmchat.cli.settings.settings import Settings
from swarmchat.cli.settings.store import open_store
from swarmchat.cli.terminal.confirmation import can_confirm, confirm
from swarmchat.cli.terminal.printing import as_line
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.errors import ModelError, SwarmError, TranscriptError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.replay.compare import Difference, compare_logs
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import MODES, Replayed, replay
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.replay.update import updated_lines, write_whole

_SUFFIXES = (".jsonl", ".json")


@dataclass(frozen=True)
class ReplayRequest:
    """The arguments of ``swarmchat replay``."""

    files: Sequence[Path]
    flags: Mapping[str, Any]
    mode: str = "verify"
    models: Sequence[str] = ()
    update: bool = False
    yes: bool = False
    start: int | None = None
    until: int | None = None
    every: bool = False
    verbose: bool = False
    as_json: bool = False
    junit: Path | None = None
    speed: float | None = None


async def replay_transcripts(request: ReplayRequest) -> int:
    """Replay files and return the exit code. Raises ReplayMismatch if something differs.

    If one of several files cannot be used, the others are replayed all the same.
    """
    _check(request)
    paths = transcript_paths(request.files)
    if request.mode == "show":
        from swarmchat.cli.replay.player import play_transcripts

        await play_transcripts(paths, request.start, request.until, request.speed)
        return 0
    report = Report(every=request.every, verbose=request.verbose, as_json=request.as_json, drift=request.mode == "live")
    # The sessions of a replay are removed again, so by default they are never written to disk.
    settings = wiring.apply_settings({**request.flags, "backend": request.flags.get("backend") or "memory"})
    if request.mode == "live" and not request.models:
        settings = await choose_model(settings)
    errors: list[CliError | SwarmError | BackendError] = []
    try:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(settings))
            swarm = None
            if request.flags.get("swarm") is not None:
                swarm = wiring.make_swarm(settings)
                stack.push_async_callback(wiring.close_swarm, swarm)
            replayer = _Replayer(request, report, settings, store.backend, swarm)
            for path in paths:
                try:
                    await replayer.replay_file(path)
                except (UsageError, NotFoundError, SwarmError) as error:
                    # A model that is unreachable now will not answer for the next file.
                    if len(paths) == 1 or isinstance(error, ModelError):
                        raise
                    errors.append(error)
                    report.add_failure(path, error)
    finally:
        report.clear_progress()
        if request.junit is not None:
            write_whole(request.junit, report.as_junit())
    report.end()
    if errors:
        # A file that cannot be used outranks a difference.
        return 65 if any(error.exit_code == 65 for error in errors) else errors[0].exit_code
    if not report.all_the_same:
        raise ReplayMismatch(report.summary())
    return 0


def transcript_paths(files: Sequence[Path]) -> list[Path]:
    """Return the files, and those in folders sorted by path. Raises UsageError and NotFoundError."""
    paths: dict[Path, None] = {}
    for path in files:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
            if not inside:
                raise UsageError(f"{path} contains no transcripts: expected files named *{' or *'.join(_SUFFIXES)}")
            paths |= dict.fromkeys(inside)
        else:
            if len(files) == 1:
                _check_exists(path)
            paths[path] = None
    return list(paths)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"no such file: {str(path)!r}")


def _check(request: ReplayRequest) -> None:
    modes = (*MODES, "show")
    if request.mode not in modes:
        raise UsageError(f"unknown mode {request.mode!r}; --mode takes {', '.join(modes)}")
    if request.models and request.mode != "live":
        raise UsageError("-m is the model to try: use it with --mode live")
    if request.speed is not None and request.mode != "show":
        raise UsageError("--speed is for playback: use it with --mode show")
    if request.start is not None and request.until is not None and request.until < request.start:
        raise UsageError(f"--until {request.until} is before --from {request.start}")
    if request.update and (request.mode == "show" or request.start is not None or request.until is not None):
        raise UsageError("--update writes whole transcripts: leave out --from, --until and --mode show")
    if request.yes and not request.update:
        raise UsageError("--yes accepts an update: use it with --update")
    if request.update and len(request.models) > 1:
        raise UsageError(f"--update writes the answers of one model, not {len(request.models)}: give one -m")


def _read_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that are not blank. Raises TranscriptError."""
    try:
        return [line.rstrip(b"\r") for line in path.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise TranscriptError(f"{path} cannot be read: {error.strerror or error}") from error


@dataclass(frozen=True)
class _Replayer:
    """Replays files on one backend, with one model after the other."""

    request: ReplayRequest
    report: Report
    settings: Settings
    backend: Backend
    swarm: Swarm | None
    """The swarm that the user named, if any."""

    async def replay_file(self, path: Path) -> None:
        """Replay every conversation in a file, and update the file if asked to. Raises UsageError and SwarmError."""
        _check_exists(path)
        conversations = await read_conversations(path)
        if self.request.update and (partial := [each for each in conversations if not each.whole]):
            origin = "was written by hand" if partial[0].by_hand else "comes from another program"
            raise UsageError(f"{path} {origin}: --update can write only logs of swarmchat")
        replayed: list[Replayed] = []
        for model in self.request.models or (None,):
            for conversation in conversations:
                result = await self._replay(path, conversation, model)
                self.report.add(result, several=len(conversations) > 1)
                replayed.append(result.replayed)
        if self.request.update:
            await self._update(path, replayed)

    async def _replay(self, path: Path, conversation: RecordedConversation, model_name: str | None) -> ReplayResult:
        live = self.request.mode == "live"
        plain = wiring.make_swarm(replace(self.settings, swarm=None))
        swarm = self.swarm or named_swarm(conversation, plain)
        remarks = []
        if swarm is None:
            if reason := lacks_swarm(conversation, self.request.mode):
                raise UsageError(f"{path}, {conversation.name}: {reason}")
            if conversation.about.get("swarm"):
                remarks.append(f"{conversation.name}: a stand-in agent with the same tools replaces its swarm")
        model: Model | None = None
        if live:
            model = make_model(self.settings, interactive=False, swarm=swarm or plain, name=model_name)
        started = time.monotonic()
        try:
            replayed = await replay(
                conversation,
                self.backend,
                swarm=swarm,
                mode=self.request.mode,
                model=model,
                # Otherwise the transcript has the limits and the rescue settings.
                settings=wiring.session_settings(self.settings) if live else None,
                start=self.request.start,
                until=self.request.until,
            )
        finally:
            if model is not None:
                await model.close()
        return ReplayResult(path, replayed, time.monotonic() - started, model.name if model else "", remarks)

    async def _update(self, path: Path, replayed: Sequence[Replayed]) -> None:
        new = [line for each in replayed for line in updated_lines(each)]
        old = _read_lines(path)
        if new != old:
            changes = [change for each in replayed for change in compare_logs(each.conversation.records, each.records)]
            self.report.add_changes(path, changes)
            if reason := await self._refusal(path, changes):
                self.report.add_refusal(path, reason)
                return
            write_whole(path, b"\n".join(new) + b"\n")
        changed = sum(before != after for before, after in zip(old, new, strict=False)) + abs(len(old) - len(new))
        self.report.add_update(path, changed, len(new))

    async def _refusal(self, path: Path, changes: Sequence[Difference]) -> str:
        """Ask whether to accept ``changes`` if any is breaking; return why not, empty if they are accepted."""
        if self.request.yes or not any(change.breaking for change in changes):
            return ""
        if not can_confirm():
            return "the conversation takes another course, and nobody can be asked without a terminal: pass --yes"
        return "" if await confirm(f"Write these changes into {as_line(str(path))}?") else "the changes were declined"

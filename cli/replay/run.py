"""Replay files, one conversation after the other, and say what came of it."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swarmchat.backends import Backend, BackendError
from swarmchat.cli.errors import CliError, NotFoundError, ReplayMismatch, UsageError
from swarmchat.cli.replay.report import ReplayResult, Report
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.errors import ModelError, SwarmError, TranscriptError
from swarmchat.swarm.models.base import Model
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import MODES, Replayed, replay
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.replay.update import updated_lines, write_whole

_ENDINGS = (".jsonl", ".json")


@dataclass(frozen=True)
class ReplayRequest:
    """What the command line asks for."""

    files: Sequence[Path]
    flags: Mapping[str, Any]
    mode: str = "verify"
    models: Sequence[str] = ()
    update: bool = False
    start: int | None = None
    until: int | None = None
    every: bool = False
    verbose: bool = False
    as_json: bool = False
    junit: Path | None = None
    speed: float | None = None


async def run(wanted: ReplayRequest) -> int:
    """Replay what is wanted; return the exit code. Raises ReplayMismatch where something differs, and what goes wrong.

    Of several files, one that cannot be used does not keep the others from being replayed.
    """
    _check(wanted)
    paths = transcripts(wanted.files)
    if wanted.mode == "show":
        from swarmchat.cli.replay.player import show

        await show(paths, wanted.start, wanted.until, wanted.speed)
        return 0
    report = Report(every=wanted.every, verbose=wanted.verbose, as_json=wanted.as_json, drift=wanted.mode == "live")
    work = _Work(wanted, report)
    errors: list[CliError | SwarmError | BackendError] = []
    try:
        async with work.opened():
            for path in paths:
                try:
                    await work.replay_file(path)
                except (UsageError, NotFoundError, SwarmError) as error:
                    # A model that cannot be asked is no better for the next file.
                    if len(paths) == 1 or isinstance(error, ModelError):
                        raise
                    errors.append(error)
                    report.failed(path, error)
    finally:
        report.clear()
        if wanted.junit is not None:
            from swarmchat.cli.replay.report import as_junit

            write_whole(wanted.junit, as_junit(work.done, report.failures))
    report.end()
    if errors:
        report.complain()
        # A file that cannot be used is worse than one that is another now.
        return 65 if any(error.exit_code == 65 for error in errors) else errors[0].exit_code
    if not report.all_the_same:
        raise ReplayMismatch(report.summary())
    return 0


def transcripts(files: Sequence[Path]) -> list[Path]:
    """Return the files that are meant, those of a folder sorted by their paths. Raises UsageError and NotFoundError."""
    found: dict[Path, None] = {}
    for path in files:
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix in _ENDINGS and each.is_file())
            if not inside:
                raise UsageError(f"{path} holds no transcript: there is no {' and no '.join(_ENDINGS)} in it")
            found |= dict.fromkeys(inside)
        else:
            if len(files) == 1:
                _check_is_there(path)
            found[path] = None
    return list(found)


def _check_is_there(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"there is no file {str(path)!r}")


def _check(wanted: ReplayRequest) -> None:
    if wanted.mode not in (*MODES, "show"):
        raise UsageError(f"--mode is {wanted.mode!r}, expected one of {', '.join((*MODES, 'show'))}")
    if wanted.models and wanted.mode != "live":
        raise UsageError("-m names who answers: it goes with --mode live")
    if wanted.speed is not None and wanted.mode != "show":
        raise UsageError("--speed goes with --mode show")
    if wanted.start is not None and wanted.until is not None and wanted.until < wanted.start:
        raise UsageError(f"--until {wanted.until} is before --from {wanted.start}")
    if wanted.update and (wanted.mode == "show" or wanted.start is not None or wanted.until is not None):
        raise UsageError("--update writes all of a transcript: it goes with no --from, no --until and no --mode show")
    if wanted.update and len(wanted.models) > 1:
        raise UsageError("--update writes what one model answers: give one -m")


class _Work:
    """Replays files on one backend, with one model after the other."""

    def __init__(self, wanted: ReplayRequest, report: Report) -> None:
        self._wanted = wanted
        self._report = report
        flags = dict(wanted.flags)
        # A replay is nobody's session: what is kept of it is removed, and usually never written.
        flags["backend"] = flags.get("backend") or "memory"
        self._settings: Settings = wiring.apply_settings(flags)
        self._backend: Backend = wiring.make_backend(self._settings)
        self._swarm: Swarm | None = None
        self.done: list[ReplayResult] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open what is needed, and let go of it."""
        try:
            if self._wanted.flags.get("swarm") is not None:
                self._swarm = wiring.make_swarm(self._settings)
            yield
        finally:
            await self._backend.close()
            if self._swarm is not None:
                await wiring.close_swarm(self._swarm)

    async def replay_file(self, path: Path) -> None:
        """Replay all that is in a file, and update it if that is wanted. Raises UsageError and SwarmError."""
        _check_is_there(path)
        conversations = await read_conversations(path)
        if self._wanted.update and (by_hand := [each for each in conversations if not each.whole]):
            what = "was written by hand" if by_hand[0].by_hand else "comes from another program"
            raise UsageError(f"{path} {what}: --update writes logs of swarmchat only")
        several = len(conversations) > 1
        done = []
        for model in self._wanted.models or (None,):
            for conversation in conversations:
                made = await self._replay(path, conversation, model)
                self._report.replayed(path, made, several=several)
                done.append(made)
        self.done += done
        if self._wanted.update:
            self._update(path, [each.replayed for each in done])

    async def _replay(self, path: Path, conversation: RecordedConversation, name: str | None) -> ReplayResult:
        wanted = self._wanted
        plain = wiring.make_swarm(replace(self._settings, swarm=None))
        swarm = self._swarm or named_swarm(conversation, plain)
        remarks = []
        if swarm is None:
            if why := lacks_swarm(conversation, wanted.mode):
                raise UsageError(f"{path}, {conversation.name}: {why}")
            if conversation.about.get("swarm"):
                remarks.append(f"{conversation.name}: agents with the tools that it calls stand in for its swarm")
        model: Model | None = None
        if wanted.mode == "live":
            model = wiring.make_model(self._settings, interactive=False, swarm=swarm or plain, name=name)
        # Bounds and the rescue are told by the transcript; what the user has set is for live.
        settings = wiring.session_settings(self._settings) if wanted.mode == "live" else None
        started = time.monotonic()
        try:
            replayed = await replay(
                conversation,
                self._backend,
                swarm=swarm,
                mode=wanted.mode,
                model=model,
                settings=settings,
                start=wanted.start,
                until=wanted.until,
            )
        finally:
            if model is not None:
                await model.close()
        return ReplayResult(
            path, conversation, replayed, time.monotonic() - started, "" if model is None else model.name, remarks
        )

    def _update(self, path: Path, replayed: Sequence[Replayed]) -> None:
        lines = [line for each in replayed for line in updated_lines(each)]
        try:
            before = [line.rstrip(b"\r") for line in path.read_bytes().split(b"\n") if line.strip()]
        except OSError as error:
            raise TranscriptError(f"{path} cannot be read: {error.strerror or error}") from error
        if lines == before:
            self._report.say(f"{path}: nothing to update")
            return
        write_whole(path, b"\n".join(lines) + b"\n")
        changed = sum(old != new for old, new in zip(before, lines, strict=False)) + abs(len(before) - len(lines))
        self._report.updated(path, f"{path}: updated, {changed} of {len(lines)} lines are others now")

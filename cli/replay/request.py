"""The arguments of ``swarmchat replay``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.cli.replay.difference_report import LEVELS
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.replay.runner import MODES


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
    expression: str = ""
    """The expression of ``-k``."""
    tags: Sequence[str] = ()
    jobs: int = 1
    repeat: int = 1
    min_pass: float = 1.0
    cassette: Path | None = None
    refresh: bool = False
    level: str = "short"
    """How much to show of differences: see ``difference_report.LEVELS``."""
    fail_fast: bool = False
    verbose: bool = False
    as_json: bool = False
    junit: Path | None = None
    summary: Path | None = None
    github: bool = False
    speed: float | None = None
    record: bool = False
    ignore: Sequence[str] = ()
    normalize: Sequence[str] = ()

    @property
    def store_flags(self) -> dict[str, Any]:
        """The flags, with the memory as the default backend: the sessions of a replay are removed again."""
        return {**self.flags, "backend": self.flags.get("backend") or "memory"}

    @cached_property
    def rules(self) -> ReplayRules:
        """What is not compared. Raises UsageError."""
        try:
            return ReplayRules(self.ignore, self.normalize)
        except DefinitionError as error:
            raise UsageError(str(error).replace("replay: ", "--ignore and --normalize: ")) from error

    def check(self) -> None:
        """Raise UsageError for arguments that are invalid, or contradict each other."""
        modes = (*MODES, "show")
        if self.mode not in modes:
            raise UsageError(f"unknown mode {self.mode!r}; --mode takes {', '.join(modes)}")
        if self.level not in LEVELS:
            raise UsageError(f"--diff is {self.level!r}, expected one of {', '.join(LEVELS)}")
        self._check_live()
        self.rules  # noqa: B018 - it raises what is wrong with them
        if self.speed is not None and self.mode != "show":
            raise UsageError("--speed is for playback: use it with --mode show")
        if self.start is not None and self.until is not None and self.until < self.start:
            raise UsageError(f"--until {self.until} is before --from {self.start}")
        if self.update and (self.mode == "show" or self.start is not None or self.until is not None):
            raise UsageError("--update writes whole transcripts: leave out --from, --until and --mode show")
        if self.update and self.fail_fast:
            raise UsageError("--update needs all differences: leave out --fail-fast")
        if self.record:
            self._check_record()
        if self.yes and not self.update:
            raise UsageError("--yes accepts an update: use it with --update")
        if self.update and len(self.models) > 1:
            raise UsageError(f"--update writes the answers of one model, not {len(self.models)}: give one -m")
        if self.update and self.repeat > 1:
            raise UsageError("--update writes the answers of one run: leave out --repeat")

    def _check_record(self) -> None:
        if self.mode != "live" or self.update or self.start is not None or self.until is not None:
            raise UsageError("--record runs whole handwritten files: leave out --mode, --update, --from and --until")
        if len(self.models) > 1 or self.repeat > 1:
            raise UsageError("--record keeps the answers of one model and one run: give one -m, and no --repeat")

    def _check_live(self) -> None:
        if self.mode != "live":
            if self.models:
                raise UsageError("-m is the model to try: use it with --mode live")
            if self.repeat > 1 or self.min_pass != 1:
                raise UsageError("--repeat and --min-pass are for the answers of a model: use them with --mode live")
            if self.cassette is not None:
                raise UsageError("--cassette holds answers of a model: use it with --mode live")
        if self.refresh and self.cassette is None:
            raise UsageError("--refresh replaces the answers of a cassette: use it with --cassette FOLDER")

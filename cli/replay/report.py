"""What ``swarmchat replay`` prints: differences at once, tables of live replays, and a summary."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.replay.ci_reports import Failure, Outcome, as_json
from swarmchat.cli.replay.difference_report import LINE_WIDTH, DifferenceReport
from swarmchat.cli.replay.live_table import aligned, case_totals, comparison_rows, total_rows
from swarmchat.cli.replay.replayer import ReplayTask
from swarmchat.cli.replay.result import Case, total_dollars
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.printing import count_of, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.replay.compare import Difference

_CLEAR_LINE = "\r\x1b[K"


class Report:
    """Collects results, prints each difference at once, and sums up."""

    def __init__(self, *, level: str, verbose: bool, as_json: bool) -> None:
        self._verbose, self._as_json = verbose, as_json
        self._differences = DifferenceReport(level, colour=wants_colour(sys.stdout))
        self._errors = Renderer(colour=wants_colour(sys.stderr))
        self._started = time.monotonic()
        self._cases: list[Case] = []
        self._failures: list[Failure] = []
        self._updated: set[Path] = set()
        self._not_updated: set[Path] = set()

    @property
    def outcome(self) -> Outcome:
        """What was added until now."""
        return Outcome(self._cases, self._failures)

    @property
    def all_the_same(self) -> bool:
        """Whether nothing differs, or every difference is in an updated file now."""
        return not self._not_updated and all(
            case.path in self._updated and not any(result.remaining for result in case.results)
            for case in self.outcome.differing
        )

    @property
    def failed(self) -> bool:
        """Whether a conversation differs, or a file cannot be used."""
        return bool(self._failures or self.outcome.differing)

    def add(self, cases: Sequence[Case]) -> None:
        """Add and print the replays of one conversation: one, or in ``live`` one of each model."""
        self._cases += cases
        if self._as_json:
            return
        self.clear_progress()
        case = cases[0]
        for remark in case.results[0].remarks if self._verbose or not case.several else ():
            self._errors.remark(remark)
        where = one_line(case.where, LINE_WIDTH)
        if case.model:
            models = f"{where}, with {one_line(', '.join(each.model for each in cases), LINE_WIDTH)}"
            rows = comparison_rows(cases)
            shown = not case.several or self._verbose or len(rows) > 1 or not all(each.same for each in cases)
            _print(models if shown else f"{models}: the same")
            for line in aligned([*rows, *case_totals(cases)]) if shown else ():
                _print(line)
        for each in cases:
            label = f"{where} ({one_line(each.model, 60)})" if len(cases) > 1 else where
            self._differences.add(label, [diff for result in each.results for diff in result.replayed.differences])
        if self._verbose and case.same and not case.model:
            _print(f"{where}: the same ({count_of(case.turns, 'turn')})")

    def add_failure(self, path: Path, error: Exception, *, printed: bool) -> None:
        """Add that a file cannot be used, and print it unless somebody else does."""
        self.clear_progress()
        self._failures.append(Failure(path, str(error)))
        if printed:
            self._errors.error(str(error))

    def add_changes(self, path: Path, changes: Iterable[Difference]) -> None:
        """Print the kinds of changes that an update of a file accepts, and how many of each."""
        self.clear_progress()
        if self._as_json:
            return
        changes = list(changes)
        kinds = Counter(change.kind for change in changes if not change.follows)
        _print(one_line(f"{path}: {count_of(len(changes), 'change')} to accept", LINE_WIDTH))
        for kind, count in kinds.most_common():
            _print(f"{count:>8,}  {one_line(kind, LINE_WIDTH)}")
        if rest := len(changes) - kinds.total():
            _print(f"{rest:>8,}  that {'follows' if rest == 1 else 'follow'} from these")

    def add_refusal(self, path: Path, reason: str) -> None:
        """Add and print that a file was not updated."""
        self._not_updated.add(path)
        self._errors.error(f"{path} was not updated: {reason}")

    def add_update(self, path: Path, changed: int, total: int) -> None:
        """Add and print that a file was updated: ``changed`` of its ``total`` lines."""
        if changed:
            self._updated.add(path)
        self.clear_progress()
        if not self._as_json:
            outcome = f"updated, {changed} of {total} lines changed" if changed else "nothing to update"
            _print(one_line(f"{path}: {outcome}", LINE_WIDTH))

    def add_recording(self, path: Path, turns: int) -> None:
        """Print that the answers and results of ``turns`` turns were written into a file."""
        self.clear_progress()
        if not self._as_json:
            _print(one_line(f"{path}: recorded {count_of(turns, 'turn')}", LINE_WIDTH))

    def summary(self) -> str:
        """Return one line about all results."""
        count, differing = len(self._cases), len(self.outcome.differing)
        # Not the sum of the cases: with several processes, they overlap.
        turns, seconds = sum(case.turns for case in self._cases), time.monotonic() - self._started
        duration = f"({count_of(turns, 'turn')}, {seconds:.1f} s)"
        if self._cases and self._cases[0].model:
            text = self._live_summary()
        elif not count:
            text = "nothing was replayed"
        elif count == 1:
            text = f"the conversation {'differs' if differing else 'is the same'} {duration}"
        elif differing:
            verb = "differs" if differing == 1 else "differ"
            text = f"{count - differing:,} of {count:,} conversations are the same {duration}; {differing:,} {verb}"
        else:
            text = f"all {count:,} conversations are the same {duration}"
        text += f"; {count_of(len(self._updated), 'file')} updated" if self._updated else ""
        text += f"; {count_of(len(self._not_updated), 'file')} not updated" if self._not_updated else ""
        return text + (f"; {count_of(len(self._failures), 'file')} cannot be used" if self._failures else "")

    def _live_summary(self) -> str:
        runs = sum(len(case.results) for case in self._cases)
        passed = sum(case.passed for case in self._cases)
        uses = [use for case in self._cases for use in case.uses]
        answers, asked = sum(use.answers for use in uses), sum(use.asked for use in uses)
        text = f"{passed:,} of {count_of(runs, 'replay')} passed"
        if failed := self.outcome.differing:
            least = f", each must pass {failed[0].min_pass:.0%} of its replays" if runs > len(self._cases) else ""
            text += f"; {count_of(len(failed), 'conversation')} failed{least}"
        cost = total_dollars(uses)
        text += "" if cost is None else f"; ${cost:.4f}"
        return text + f"; {count_of(answers, 'answer')}, {answers - asked:,} from the cassette" * (asked < answers)

    def end(self) -> None:
        """Print the JSON, or the changes with their counts, or only a summary if nothing changed.

        The summary is an error if a file cannot be used.
        """
        if self._as_json:
            print_json(as_json(self.outcome))
        else:
            if self._cases and self._cases[0].model and len({case.where for case in self._cases}) > 1:
                for line in aligned(total_rows(self._cases)):
                    _print(line)
            if self.all_the_same and not self._failures:
                _print(self.summary())
            elif len(self._cases) > 1:
                for line in self._differences.summary():
                    _print(line)
        if unjudged := sum(result.unjudged for case in self._cases for result in case.results):
            verb = "was" if unjudged == 1 else "were"
            self._errors.remark(f"{count_of(unjudged, 'requirement')} {verb} not judged: --record asks a model")
        if self._failures:
            self._errors.error(self.summary())

    def clear_progress(self) -> None:
        """Remove the progress line."""
        if can_move(sys.stderr):
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)

    def show_progress(self, task: ReplayTask) -> None:
        """Show on a terminal how many conversations are done, and which replay of how many is next."""
        if can_move(sys.stderr) and not self._as_json:
            turns = sum(case.turns for case in self._cases)
            text = f"  {count_of(len(self._cases), 'conversation')}, {count_of(turns, 'turn')} …"
            if task.model_name or task.run > 1:
                text += " " + one_line(f"{task.conversation.name}, {task.model_name or 'model'}: replay {task.run}", 60)
            styled = paint("remark", text) if wants_colour(sys.stderr) else text
            print(_CLEAR_LINE + styled, end="", file=sys.stderr, flush=True)


def _print(line: str, role: str = "") -> None:
    print(paint(role, line) if role and wants_colour(sys.stdout) else line, flush=True)

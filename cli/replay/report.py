"""The report of ``swarmchat replay``: lines on the terminal, JSON, JUnit XML, and the drift of another model."""

import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.replay.difference_report import DifferenceReport
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.printing import count_of, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.expectations import TurnOutcome
from swarmchat.swarm.replay.runner import Replayed

_SIMILAR = 0.6
"""Share of equal words from which two answers count as similar."""
_COMPARED = ("agent", "handoffs", "tools", "rescues", "tokens")
_CELL_WIDTH = 34

_CLEAR_LINE = "\r\x1b[K"
_LINE_WIDTH = 400

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, not even escaped."""


@dataclass(frozen=True)
class ReplayResult:
    """The result of replaying one conversation; ``model`` is empty unless one was asked."""

    path: Path
    replayed: Replayed
    seconds: float
    model: str
    remarks: Sequence[str]

    @property
    def name(self) -> str:
        """The name of the conversation."""
        return self.replayed.conversation.name

    @property
    def unmet(self) -> int:
        """How many expectations were not met."""
        return sum(difference.type == "expect" for difference in self.replayed.differences)

    @cached_property
    def drift(self) -> list[dict[str, Any]]:
        """The recorded and the new outcome of each turn, and whether the answers are the same, similar or different."""
        return [
            {
                "turn": comparison.then.turn,
                "recorded": _outcome_as_json(comparison.then),
                "now": _outcome_as_json(comparison.now),
                "answer": _likeness(comparison.then.answer, comparison.now.answer),
            }
            for comparison in self.replayed.turns
        ]


class Report:
    """Collects results, prints each difference at once, and sums up. ``drift`` adds how another model differs."""

    def __init__(self, *, level: str, verbose: bool, as_json: bool, drift: bool) -> None:
        self._verbose, self._as_json, self._drift = verbose, as_json, drift
        self._differences = DifferenceReport(level, colour=wants_colour(sys.stdout))
        self._errors = Renderer(colour=wants_colour(sys.stderr))
        self._results: list[ReplayResult] = []
        self._failures: list[tuple[Path, str]] = []
        self._updated: set[Path] = set()
        self._not_updated: set[Path] = set()

    @property
    def all_the_same(self) -> bool:
        """Whether nothing differs, or every difference is in an updated file now."""
        return not self._not_updated and all(
            result.replayed.same or (result.path in self._updated and not result.unmet) for result in self._results
        )

    @property
    def failed(self) -> bool:
        """Whether a conversation differs, or a file cannot be used."""
        return bool(self._failures) or self._differing > 0

    def add(self, result: ReplayResult, *, several: bool) -> None:
        """Add and print a result; ``several`` means that its file holds other conversations too."""
        self._results.append(result)
        if self._as_json:
            return
        self.clear_progress()
        for remark in result.remarks if self._verbose or not several else ():
            self._errors.remark(remark)
        where = one_line(f"{result.path}, {result.name}" if several else str(result.path), _LINE_WIDTH)
        if self._drift:
            _print(f"{where}, with {one_line(result.model, 60)}")
            for line in _drift_table(result.drift):
                _print(line)
        self._differences.add(where, result.replayed.differences)
        if self._verbose and result.replayed.same:
            _print(f"{where}: the same ({count_of(len(result.replayed.turns), 'turn')})")
        self._print_progress()

    def add_failure(self, path: Path, error: Exception) -> None:
        """Add and print that a file cannot be used."""
        self.clear_progress()
        self._failures.append((path, str(error)))
        self._errors.error(str(error))

    def add_changes(self, path: Path, changes: Iterable[Difference]) -> None:
        """Print what kinds of change an update of a file accepts, and how many of each."""
        self.clear_progress()
        kinds = Counter(change.kind for change in changes)
        if not self._as_json:
            _print(one_line(f"{path}: {count_of(kinds.total(), 'change')} to accept", _LINE_WIDTH))
            for kind, count in kinds.most_common():
                _print(f"{count:>8,}  {one_line(kind, _LINE_WIDTH)}")

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
            _print(one_line(f"{path}: {outcome}", _LINE_WIDTH))

    def summary(self) -> str:
        """Return one line about all results."""
        count = len(self._results)
        differing = self._differing
        duration = f"({count_of(self._turns, 'turn')}, {self._seconds:.1f} s)"
        if self._drift:
            unmet = sum(bool(result.unmet) for result in self._results)
            drift = list(chain.from_iterable(result.drift for result in self._results))
            text = f"{count_of(count, 'conversation')} {duration}; {_drift_summary(drift)}"
            text += f"; {count_of(unmet, 'conversation')} not as expected" if unmet else ""
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

    def end(self) -> None:
        """Print the JSON, or what changed in how many conversations, or the summary if all is well.

        The summary is an error if a file cannot be used.
        """
        if self._as_json:
            failures = [{"file": str(path), "error": reason} for path, reason in self._failures]
            count = len(self._results)
            counts = {"conversations": count, "same": count - self._differing, "turns": self._turns}
            summary = {**counts, "seconds": round(self._seconds, 3), "files_not_usable": len(failures)}
            rows = [self._result_as_json(result) for result in self._results]
            print_json({"summary": summary, "conversations": rows, "errors": failures})
        elif self.all_the_same and not self._failures:
            _print(self.summary())
        elif len(self._results) > 1 and not self._as_json:
            for line in self._differences.summary():
                _print(line)
        if self._failures:
            self._errors.error(self.summary())

    def as_junit(self) -> bytes:
        """Return JUnit XML: a failure for each result that differs, an error for each file that cannot be used."""
        counts = {"tests": str(len(self._results) + len(self._failures)), "failures": str(self._differing)}
        counts |= {"errors": str(len(self._failures)), "skipped": "0", "time": f"{self._seconds:.3f}"}
        root = Element("testsuites", counts)
        suite = SubElement(root, "testsuite", {"name": "swarmchat replay", **counts})
        for result in self._results:
            name = result.name + (f" ({result.model})" if result.model else "")
            case = _junit_case(suite, result.path, name, result.seconds)
            if differences := result.replayed.differences:
                failure = SubElement(case, "failure", message=_valid_xml(str(differences[0])))
                failure.text = _valid_xml("\n".join(line for each in differences for line in (str(each), *each.diff())))
        for path, reason in self._failures:
            SubElement(_junit_case(suite, path, path.name, 0), "error", message=_valid_xml(reason))
        report: bytes = tostring(root, "utf-8", xml_declaration=True)
        return report

    def clear_progress(self) -> None:
        """Remove the progress line."""
        if can_move(sys.stderr):
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)

    @property
    def _differing(self) -> int:
        """The number of conversations that differ."""
        return sum(not result.replayed.same for result in self._results)

    @property
    def _turns(self) -> int:
        return sum(len(result.replayed.turns) for result in self._results)

    @property
    def _seconds(self) -> float:
        return sum(result.seconds for result in self._results)

    def _print_progress(self) -> None:
        if can_move(sys.stderr):
            text = f"  {count_of(len(self._results), 'conversation')}, {count_of(self._turns, 'turn')} …"
            styled = paint("remark", text) if wants_colour(sys.stderr) else text
            print(_CLEAR_LINE + styled, end="", file=sys.stderr, flush=True)

    def _result_as_json(self, result: ReplayResult) -> dict[str, Any]:
        replayed = result.replayed
        row = {
            "file": str(result.path),
            "name": result.name,
            "same": replayed.same,
            "turns": len(replayed.turns),
            "seconds": round(result.seconds, 3),
            "differences": [{**asdict(each), "text": str(each)} for each in replayed.differences],
            "unmet": result.unmet,
        }
        return row | ({"model": result.model, "drift": result.drift} if self._drift else {})


def _junit_case(suite: Element, path: Path, name: str, seconds: float) -> Element:
    file = _valid_xml(str(path))
    return SubElement(suite, "testcase", classname=file, name=_valid_xml(name), file=file, time=f"{seconds:.3f}")


def _valid_xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def _print(line: str, role: str = "") -> None:
    print(paint(role, line) if role and wants_colour(sys.stdout) else line, flush=True)


def _drift_table(drift: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a table with one turn a line; a cell that changed shows both values."""
    rows = [("turn", *_COMPARED, "answer"), *map(_cells, drift)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _drift_summary(drift: Sequence[Mapping[str, Any]]) -> str:
    """Return one line that says how many turns went as recorded."""
    agents, tools = (sum(row["recorded"][name] == row["now"][name] for row in drift) for name in ("agent", "tools"))
    answers = Counter(row["answer"] for row in drift)
    counts = ", ".join(f"{answers[kind]} {kind}" for kind in ("same", "similar", "different") if answers[kind])
    before, after = (sum(row[when]["tokens"] for row in drift) for when in ("recorded", "now"))
    return (
        f"the same agent in {agents} of {len(drift)}, the same tools in {tools}; "
        f"answers: {counts or 'none'}; tokens {before:,} -> {after:,}"
    )


def _outcome_as_json(outcome: TurnOutcome) -> dict[str, Any]:
    return {
        "agent": outcome.agent,
        "handoffs": outcome.handoffs,
        "tools": [name for name, _ in outcome.calls],
        "rescues": len(outcome.rescues),
        "tokens": outcome.tokens,
        "answer": outcome.answer,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    pairs = [(_cell(row["recorded"][name]), _cell(row["now"][name])) for name in _COMPARED]
    cells = [one_line(then if then == now else f"{then} -> {now}", _CELL_WIDTH) for then, now in pairs]
    return (str(row["turn"]), *cells, row["answer"])


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value or "-")


def _likeness(then: str, now: str) -> str:
    old, new = then.split(), now.split()
    if old == new:
        return "same"
    return "similar" if SequenceMatcher(None, old, new, autojunk=False).ratio() >= _SIMILAR else "different"

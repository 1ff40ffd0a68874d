"""What ``swarmchat replay`` prints."""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from swarmchat.cli.render.renderer import Renderer
from swarmchat.cli.replay.drift import drift_lines, drift_rows, drift_summary
from swarmchat.cli.terminal.capabilities import can_move, wants_colour
from swarmchat.cli.terminal.printing import print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.cli.terminal.themes import paint
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.files import RecordedConversation
from swarmchat.swarm.replay.runner import Replayed

_CLEAR_LINE = "\r\x1b[K"

_WIDTH = 400


class Report:
    """Takes what came of conversations, prints what differs, and sums it up."""

    def __init__(self, *, every: bool, verbose: bool, as_json: bool, drift: bool) -> None:
        self._every = every
        self._verbose = verbose
        self._as_json = as_json
        self._drift = drift
        self._colour = wants_colour(sys.stdout)
        self._errors = Renderer(colour=wants_colour(sys.stderr))
        self._rows: list[dict[str, Any]] = []
        self._updated: set[str] = set()
        self._same = self._turns = 0
        self._seconds = 0.0
        self.failures: list[tuple[Path, str]] = []
        """The files that cannot be used, and why."""

    @property
    def all_the_same(self) -> bool:
        """Whether nothing differs, or nothing does any more."""
        return all(row["same"] or (row["file"] in self._updated and not row["unmet"]) for row in self._rows)

    def replayed(self, path: Path, done: "ReplayResult", *, several: bool) -> None:
        """Take a conversation of the file at ``path``; ``several``: it is not the only one in it."""
        replayed, name = done.replayed, done.conversation.name
        self._same += replayed.same
        self._turns += len(replayed.turns)
        self._seconds += done.seconds
        row: dict[str, Any] = {"file": str(path), "name": name, "same": replayed.same, "turns": len(replayed.turns)}
        row |= {"seconds": round(done.seconds, 3), "differences": [_as_json(each) for each in replayed.differences]}
        row["unmet"] = sum(each.type == "expect" for each in replayed.differences)
        if self._drift:
            row |= {"model": done.model, "drift": drift_rows(replayed.turns)}
        self._rows.append(row)
        if self._as_json:
            return
        self.clear()
        for remark in done.remarks if self._verbose or not several else ():
            self._errors.remark(remark)
        where = one_line(f"{path}, {name}" if several else str(path), _WIDTH)
        if self._drift:
            _print(f"{where}, with {one_line(done.model, 60)}")
            for line in drift_lines(replayed.turns):
                _print(line)
        shown = replayed.differences if self._every else replayed.differences[:1]
        for difference in shown:
            self._print_difference(where, difference)
        if left := len(replayed.differences) - len(shown):
            self._dim(f"  and {left:,} more: --all-differences shows them")
        if self._verbose and replayed.same:
            _print(f"{where}: the same ({_count(len(replayed.turns), 'turn')})")
        self._show_progress()

    def failed(self, path: Path, error: Exception) -> None:
        """Take that a file cannot be used."""
        self.clear()
        self.failures.append((path, str(error)))
        self._errors.error(str(error))

    def say(self, text: str) -> None:
        """Say what became of a file."""
        self.clear()
        if not self._as_json:
            _print(one_line(text, _WIDTH))

    def updated(self, path: Path, text: str) -> None:
        """Take that a file holds now what came out."""
        self._updated.add(str(path))
        self.say(text)

    def summary(self) -> str:
        """Return one line about all of it."""
        count, unlike = len(self._rows), len(self._rows) - self._same
        took = f"({_count(self._turns, 'turn')}, {self._seconds:.1f} s)"
        if self._drift:
            unmet = sum(bool(row["unmet"]) for row in self._rows)
            told = f"{_count(count, 'conversation')} {took}; {drift_summary([row['drift'] for row in self._rows])}"
            told += f"; {_count(unmet, 'conversation')} not as expected" if unmet else ""
        elif count == 1:
            told = f"the conversation is {'not ' if unlike else ''}the same {took}"
        elif unlike:
            differ = "differs" if unlike == 1 else "differ"
            told = f"{self._same:,} of {count:,} conversations are the same {took}; {unlike:,} {differ}"
        else:
            told = f"all {count:,} conversations are the same {took}"
        told += f"; {_count(len(self._updated), 'file')} updated" if self._updated else ""
        return told + (f"; {_count(len(self.failures), 'file')} cannot be used" if self.failures else "")

    def end(self) -> None:
        """Print the sum of it where all is well; what is not is an error, and told as one."""
        if self._as_json:
            failures = [{"file": str(path), "error": why} for path, why in self.failures]
            about: dict[str, Any] = {"conversations": len(self._rows), "same": self._same, "turns": self._turns}
            about |= {"seconds": round(self._seconds, 3), "files_not_usable": len(failures)}
            print_json({"summary": about, "conversations": self._rows, "errors": failures})
        elif self.all_the_same and not self.failures:
            _print(self.summary())

    def complain(self) -> None:
        """Print the sum of it as an error."""
        self._errors.error(self.summary())

    def clear(self) -> None:
        """Take the line that tells how far it is away."""
        if can_move(sys.stderr):
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)

    def _show_progress(self) -> None:
        if can_move(sys.stderr):
            told = f"  {_count(len(self._rows), 'conversation')}, {_count(self._turns, 'turn')} …"
            shown = paint("remark", told) if wants_colour(sys.stderr) else told
            print(_CLEAR_LINE + shown, end="", file=sys.stderr, flush=True)

    def _print_difference(self, where: str, difference: Difference) -> None:
        _print(f"{where}: {one_line(str(difference), _WIDTH)}")
        for line in difference.diff():
            role = "deleted" if line.startswith("-") else "inserted"
            shown = f"  {one_line(line, _WIDTH)}"
            _print(paint(role, shown) if self._colour else shown)

    def _dim(self, text: str) -> None:
        _print(paint("remark", text) if self._colour else text)


def told_of(differences: list[Difference]) -> Iterator[str]:
    """Yield the lines that tell of ``differences``."""
    for difference in differences:
        yield str(difference)
        yield from difference.diff()


def _print(line: str) -> None:
    print(line, flush=True)


def _as_json(difference: Difference) -> dict[str, Any]:
    about = {"turn": difference.turn, "record": difference.record, "type": difference.type}
    about |= {"field": difference.field, "expected": difference.expected, "actual": difference.actual}
    return {**about, "text": str(difference)}


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


@dataclass
class ReplayResult:
    """What came of one conversation."""

    path: Path
    conversation: RecordedConversation
    replayed: Replayed
    seconds: float
    model: str = ""
    remarks: list[str] = field(default_factory=list)


# What XML 1.0 cannot hold, not even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(done: "Sequence[ReplayResult]", failures: Sequence[tuple[Path, str]]) -> bytes:
    """Return the report: a failure where something differs, an error for each file that cannot be used."""

    cases = []
    for each in done:
        name = each.conversation.name + (f" ({each.model})" if each.model else "")
        differences = each.replayed.differences
        told = ""
        if differences:
            text = "\n".join(told_of(differences))
            told = f"<failure message={_quoted(str(differences[0]))}>{escape(_clean(text))}</failure>"
        cases.append(_case(each.path, name, each.seconds, told))
    cases += [_case(path, path.name, 0, f"<error message={_quoted(why)}/>") for path, why in failures]
    failed = sum(not each.replayed.same for each in done)
    seconds = sum(each.seconds for each in done)
    counts = f'tests="{len(cases)}" failures="{failed}" errors="{len(failures)}" skipped="0" time="{seconds:.3f}"'
    suite = f'<testsuite name="swarmchat replay" {counts}>'
    lines = [f"<testsuites {counts}>", suite, *cases, "</testsuite>", "</testsuites>", ""]
    return ('<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(lines)).encode("utf-8")


def _case(path: Path, name: str, seconds: float, inside: str) -> str:
    about = f"classname={_quoted(str(path))} name={_quoted(name)} file={_quoted(str(path))}"
    return f'<testcase {about} time="{seconds:.3f}">{inside}</testcase>'


def _quoted(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)

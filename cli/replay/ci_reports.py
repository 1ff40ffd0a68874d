"""Reports of replays for CI: JSON, JUnit XML, GitHub annotations, and a Markdown summary."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from swarmchat.cli.environment import environment
from swarmchat.cli.replay.live_table import as_markdown, case_totals, comparison_rows, inline_markdown, total_rows
from swarmchat.cli.replay.result import Case, ReplayResult, total_dollars
from swarmchat.cli.terminal.printing import count_of
from swarmchat.swarm.replay.compare import Difference
from swarmchat.swarm.replay.consequences import cause_lines, grouped_causes

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, not even escaped."""
_LINE = re.compile(r", line (\d+)")
_MOST_ANNOTATIONS = 10
"""GitHub shows no more of one step."""
_MOST_DETAILS = 50
_FIELDS = ("turn", "record", "line", "type", "subject", "field", "expected", "actual", "follows")
"""The fields of a difference in the JSON document."""
_VERSION = 1
"""The version of the JSON document: it changes if a field is removed or gets another meaning."""


@dataclass(frozen=True)
class Failure:
    """A file that cannot be used."""

    path: Path
    reason: str

    @property
    def line(self) -> int:
        """The line of the file that the reason names."""
        match = _LINE.search(self.reason)
        return 1 if match is None else int(match[1])


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command: the replays in their order, and the files that cannot be used."""

    cases: Sequence[Case]
    failures: Sequence[Failure]

    @property
    def differing(self) -> list[Case]:
        """The conversations that differ, or of which too few replays pass."""
        return [case for case in self.cases if not case.same]

    @property
    def groups(self) -> list[list[Case]]:
        """The conversations that differ, grouped by their first difference."""
        groups: dict[tuple[str, ...], list[Case]] = {}
        for case in self.differing:
            first = case.differences[0]
            groups.setdefault((case.model, str(first).removeprefix(first.place), *first.diff()), []).append(case)
        return list(groups.values())


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return the document of ``--json``; docs/replay.md describes it."""
    cases, failures = outcome.cases, outcome.failures
    summary = {
        "conversations": len(cases),
        "same": len(cases) - len(outcome.differing),
        "turns": sum(case.turns for case in cases),
        "seconds": round(sum(case.seconds for case in cases), 3),
        "files_not_usable": len(failures),
    }
    errors = [{"file": str(each.path), "line": each.line, "error": each.reason} for each in failures]
    return {"version": _VERSION, "summary": summary, "conversations": list(map(_case_as_json, cases)), "errors": errors}


def _case_as_json(case: Case) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": str(case.path),
        "name": case.conversation.name,
        "line": case.conversation.line,
        "tags": list(case.conversation.tags),
        "same": case.same,
        "turns": case.turns,
        "seconds": round(case.seconds, 3),
        "differences": _differences_as_json(case.differences),
        "unmet": max(result.unmet for result in case.results),
    }
    if case.model:
        row |= {"model": case.model, "passed": case.passed, "cost": total_dollars(case.uses)}
        row["runs"] = list(map(_run_as_json, case.results))
    return row


def _run_as_json(result: ReplayResult) -> dict[str, Any]:
    row: dict[str, Any] = {"passed": result.replayed.same, "drift": result.drift}
    row["differences"] = _differences_as_json(result.replayed.differences)
    if (use := result.use) is not None:
        row |= {"tokens": use.tokens, "cost": use.dollars, "seconds": round(use.seconds, 3)}
        row |= {"answers": use.answers, "asked": use.asked}
    return row


def _differences_as_json(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    return [{"text": str(each), **{name: getattr(each, name) for name in _FIELDS}} for each in differences]


def as_junit(outcome: Outcome) -> bytes:
    """Return JUnit XML: a failure for each conversation that differs, an error for each file that cannot be used."""
    cases, failures = outcome.cases, outcome.failures
    seconds = sum(case.seconds for case in cases)
    counts = {"tests": str(len(cases) + len(failures)), "failures": str(len(outcome.differing))}
    counts |= {"errors": str(len(failures)), "time": f"{seconds:.3f}"}
    root = Element("testsuites", counts)
    suite = SubElement(root, "testsuite", {"name": "swarmchat replay", **counts})
    for case in cases:
        name = case.conversation.name + (f" ({case.model})" if case.model else "")
        row = _junit_case(suite, case.path, name, case.seconds)
        if not case.same:
            failure = SubElement(row, "failure", message=_valid_xml(_headline(case)))
            failure.text = _valid_xml("\n".join(_lines(case)))
    for each in failures:
        SubElement(_junit_case(suite, each.path, each.path.name, 0), "error", message=_valid_xml(each.reason))
    report: bytes = tostring(root, "utf-8", xml_declaration=True)
    return report


def _junit_case(suite: Element, path: Path, name: str, seconds: float) -> Element:
    # No attribute ``file``: the schema of Jenkins has none, and it refuses the whole report.
    about = {"classname": _valid_xml(str(path)), "name": _valid_xml(name), "time": f"{seconds:.3f}"}
    return SubElement(suite, "testcase", about)


def _valid_xml(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)


def github_annotations(outcome: Outcome) -> Iterator[str]:
    """Yield commands for the log of GitHub Actions, which mark the lines of files: one for each kind of difference."""
    lines = [_annotation(each.path, each.line, each.path.name, each.reason) for each in outcome.failures]
    for group in outcome.groups:
        first = group[0]
        more = [f"The same in {count_of(len(group) - 1, 'other conversation')}."] if len(group) > 1 else []
        text = "\n".join([_headline(first), *first.differences[0].diff(), *more])
        lines.append(_annotation(first.path, first.line, first.conversation.name, text))
    yield from lines[:_MOST_ANNOTATIONS]


def _annotation(path: Path, line: int, title: str, text: str) -> str:
    # GitHub needs a path from the root of the repository.
    root = environment().get("GITHUB_WORKSPACE") or Path.cwd()
    file = Path(os.path.relpath(path.resolve(), root)).as_posix()
    properties = {"file": file, "line": str(line), "title": f"replay: {title}"}
    joined = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::error {joined}::{_escaped(text)}"


def _escaped(text: str, more: str = "") -> str:
    text = text.replace("%", "%25")
    for character in ("\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def as_markdown_summary(outcome: Outcome, summary: str) -> str:
    """Return a Markdown text: the ``summary``, the differences, and for a live replay the tables."""
    failed = bool(outcome.differing or outcome.failures)
    lines = [f"### {'❌' if failed else '✅'} swarmchat replay", "", inline_markdown(summary), ""]
    for failure in outcome.failures:
        lines += [f"- {_as_code(str(failure.path))}: {inline_markdown(failure.reason)}"]
    lines += [""] if outcome.failures else []
    for group in outcome.groups[:_MOST_DETAILS]:
        first = group[0]
        diff = [line.replace("```", "ˋˋˋ") for line in first.differences[0].diff()]
        count = f"{count_of(len(group), 'conversation')}: " if len(group) > 1 else ""
        places = ", ".join(_as_code(case.where) for case in group[:_MOST_DETAILS])
        title = f"{count}{inline_markdown(_headline(first))}"
        lines += [f"<details><summary>{title}</summary>", "", places, ""]
        lines += ["```diff", *diff, "```", ""] if diff else []
        lines += ["</details>", ""]
    lines += _live_tables(outcome.cases)
    return "\n".join(lines) + "\n"


def _live_tables(cases: Sequence[Case]) -> Iterator[str]:
    by_place: dict[str, list[Case]] = {}
    for case in cases:
        if case.model:
            by_place.setdefault(case.where, []).append(case)
    for where, same_place in by_place.items():
        rows = [*comparison_rows(same_place), *case_totals(same_place)]
        yield from (f"**{inline_markdown(where)}**", "", *as_markdown(rows), "")
    if len(by_place) > 1:
        yield from (*as_markdown(total_rows(cases)), "")


def _headline(case: Case) -> str:
    return ": ".join(filter(None, (case.model, case.outcome, str(case.differences[0]))))


def _lines(case: Case) -> list[str]:
    groups = list(grouped_causes(case.differences).values()) or [list(case.differences)]
    lines = [line for same in groups for line in cause_lines(same)]
    follows = len(case.differences) - sum(map(len, groups))
    return [*lines, f"and {follows:,} that {'follows' if follows == 1 else 'follow'} from it"] if follows else lines


def _as_code(text: str) -> str:
    return f"`{' '.join(text.replace('`', 'ˋ').split())}`"

"""Parameters of hand-written conversations: one conversation for each row of a table, with ``${name}`` replaced.

A step with ``when`` belongs only to the rows with these values.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.importers.lines import Line
from swarmchat.swarm.replay.handwritten import Part
from swarmchat.swarm.replay.matchers import shown
from swarmchat.swarm.replay.places import LocatedObject, Place

MOST_ROWS = 1000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"(\$?)\$\{([^{}]*)\}")
_LONGEST_TITLE = 60


def with_parameters(part: Part, title: str, file: str) -> Iterator[tuple[str, Part, Mapping[str, Any]]]:
    """Yield the conversations that the lines of one stand for. Raises TranscriptError.

    Each has a name, lines, and the values of its row. Without parameters, it is the conversation itself.
    """
    line, first = part[0]
    if first["type"] != "session" or "parameters" not in first:
        for each, value in part:
            if "when" in value:
                problem = "'when' selects rows of 'parameters', but the conversation has none: leave it out"
                raise TranscriptError(f"{Place(file, each.number).of(value, 'when')}: {problem}")
        yield title, part, {}
        return
    where = Place(file, line.number).of(first, "parameters")
    rows = _rows(first["parameters"], where)
    for each, value in part:
        _check_when(value, rows, Place(file, each.number))
    titles: dict[str, int] = {}
    for row in rows:
        label = "-".join(value if isinstance(value, str) else json.dumps(value) for value in row.values())
        name = f"{title}[{' '.join(label.split())[:_LONGEST_TITLE]}]"
        titles[name] = titles.get(name, 0) + 1
        name += f"-{titles[name]}" if titles[name] > 1 else ""
        yield name, [_filled_line(each, value, row, file) for each, value in part if is_in_row(value, row)], row


def is_in_row(step: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a step belongs to a row."""
    return all(row[name] == value for name, value in step.get("when", {}).items())


def literal(value: Any) -> Any:
    """Return a value in a form that stays as it is when parameters are filled in."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [literal(each) for each in value]
    return {literal(name): literal(each) for name, each in value.items()} if isinstance(value, dict) else value


def distinctive(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the first values of a row that no other row has; ``None`` if another row is the same."""
    values: dict[str, Any] = {}
    others = list(rows)
    for name, value in row.items():
        values[name] = value
        others = [each for each in others if each[name] == value]
        if len(others) == 1:
            return values
    return None


def _check_when(step: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], where: Place) -> None:
    if "when" not in step:
        return
    when, where = step["when"], where.of(step, "when")
    if step["type"] in ("session", "user", "go"):
        problem = "all rows of 'parameters' have the same questions: write a separate conversation"
        raise TranscriptError(f"{where}: a {step['type']!r} line has no 'when'; {problem}")
    if not isinstance(when, dict) or not when:
        raise TranscriptError(f"{where}: 'when' is {shown(when)}, expected values of a row: {{NAME: VALUE}}")
    for name in when:
        if name not in rows[0]:
            raise TranscriptError(f"{where}: unknown parameter {name!r}; {nearest(name, rows[0])}")
    if not any(is_in_row(step, row) for row in rows):
        raise TranscriptError(f"{where}: 'when' is {shown(when)}, but no row of 'parameters' has these values")


def _rows(table: Any, where: Place) -> list[Mapping[str, Any]]:
    if not isinstance(table, list) or not table or not all(isinstance(row, dict) and row for row in table):
        raise TranscriptError(f"{where}: 'parameters' is {shown(table)}, expected a list of objects, one for each run")
    if len(table) > MOST_ROWS:
        raise TranscriptError(f"{where}: 'parameters' has {len(table):,} rows, expected {MOST_ROWS:,} at most")
    names = table[0].keys()
    for row in table:
        if row.keys() != names:
            different = ", ".join(sorted(names ^ row.keys()))
            raise TranscriptError(f"{where}: the rows of 'parameters' differ in {different}, expected the same names")
    for name in names:
        if not _NAME.fullmatch(name):
            raise TranscriptError(f"{where}: the parameter {name!r} is not a name, expected letters, digits and '_'")
    return table


def _filled_line(line: Line, value: dict[str, Any], row: Mapping[str, Any], file: str) -> tuple[Line, dict[str, Any]]:
    where = Place(file, line.number)
    fields = {name: each for name, each in value.items() if name != "when"}
    filled = {name: each if name == "parameters" else _filled(each, row, where) for name, each in fields.items()}
    return line, LocatedObject.of(filled, value)


def _filled(value: Any, row: Mapping[str, Any], where: Place) -> Any:
    if isinstance(value, str):
        return _filled_text(value, row, where)
    if isinstance(value, list):
        return [_filled(each, row, where) for each in value]
    if isinstance(value, dict):
        filled = {str(_filled_text(name, row, where)): _filled(each, row, where) for name, each in value.items()}
        return LocatedObject.of(filled, value)
    return value


def _filled_text(text: str, row: Mapping[str, Any], where: Place) -> Any:
    """Replace ``${name}`` in a text; one that is nothing else becomes the value itself. ``$${`` is a literal ``${``."""

    def value_of(name: str) -> Any:
        if name not in row:
            problem = f"unknown parameter {name!r}; {nearest(name, row)}; write $${{{name}}} if it is meant literally"
            raise TranscriptError(f"{where}: {problem}")
        return row[name]

    def replaced(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        value = value_of(match[2])
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    whole = _REFERENCE.fullmatch(text)
    if whole and not whole[1]:
        return value_of(whole[2])
    return _REFERENCE.sub(replaced, text)

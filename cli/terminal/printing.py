"""Print values, rows and JSON for the commands that only read."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from swarmchat.cli.terminal.sanitize import sanitize, show_hidden


def print_values(values: Mapping[str, Any], as_json: bool) -> None:
    """Print named values, one per line or as JSON."""
    if as_json:
        print_json(values)
    else:
        for name, value in values.items():
            print(f"{as_line(name)}: {as_line(value)}")


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, line: str) -> None:
    """Print each row as the format string ``line`` with its fields filled in, or all rows as JSON."""
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print(line.format_map({name: as_line(value) for name, value in row.items()}))


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON; on a terminal only in ASCII, so that nothing in it controls the terminal."""
    print(json.dumps(value, ensure_ascii=sys.stdout.isatty(), indent=2))


def count_of(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Return a length of time in its largest unit, rounded down: ``45 s``, ``30 min``, ``23 h``, ``6 days``."""
    for unit, length in (("day", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return count_of(count, unit) if unit == "day" else f"{count:,} {unit}"
    return f"{max(0, int(seconds))} s"


def as_line(value: Any) -> str:
    """Return a text, or any other value as JSON, as one line that is safe to print."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(sanitize(show_hidden(text)).splitlines())

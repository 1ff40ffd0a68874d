"""How the commands that look at what is kept begin, and how they print it."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_values(values: Mapping[str, Any], as_json: bool) -> None:
    """Print named values, one a line or as JSON."""
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        print(f"{as_line(name)}: {as_line(value)}")


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool, line: str) -> None:
    """Print each row as ``line`` with its fields filled in, or all as JSON."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(line.format_map({name: as_line(value) for name, value in row.items()}))


def print_json(value: Any) -> None:
    """Print ``value`` as JSON for people and programs; on a terminal, nothing in it can control that."""
    print(json.dumps(value, ensure_ascii=sys.stdout.isatty(), indent=2))


def as_line(value: Any) -> str:
    """Return ``value``, a text or what is JSON, as one line that cannot control a terminal."""
    from swarmchat.cli.terminal.sanitize import sanitize

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(sanitize(text).splitlines())

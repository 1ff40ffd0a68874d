"""Read the lines of a file one by one, with the errors of a file that cannot be imported."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from swarmchat.swarm.common.encoding import NestingError, decode_json
from swarmchat.swarm.errors import TranscriptError

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes. Only files that are no conversations have longer lines."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, without its end."""

    number: int
    start: int
    """Its offset in the file, in bytes."""
    data: bytes
    complete: bool
    """Whether it has a line end."""


def read_lines(file: BinaryIO, name: str, start: int = 0, number: int = 1) -> Iterator[Line]:
    """Yield the lines of ``file`` that are not blank, from the offset ``start`` on, which is the line ``number``.

    Raises TranscriptError for a line that is too long or not UTF-8.
    """
    file.seek(start)
    while data := file.readline(LONGEST_LINE + 1):
        length = len(data)
        if length > LONGEST_LINE and not data.endswith(b"\n"):
            raise at_line(name, number, f"has more than {LONGEST_LINE // 1024 // 1024} MB, expected a shorter one")
        text = data.removesuffix(b"\n").removesuffix(b"\r")
        text = text.removeprefix(codecs.BOM_UTF8) if start == 0 else text
        if text.strip():
            try:
                text.decode("utf-8")
            except UnicodeDecodeError as error:
                problem = f"byte {error.start + 1} is {text[error.start]:#04x}, expected UTF-8"
                raise at_line(name, number, problem) from error
            yield Line(number, start, text, data.endswith(b"\n"))
        start += length
        number += 1


def parse_json(line: Line, name: str) -> Any:
    """Return the JSON value in a line. Raises TranscriptError."""
    try:
        return decode_json(line.data)
    except ValueError as error:
        raise at_line(name, line.number, not_json(line, error)) from error


def not_json(line: Line, error: Exception) -> str:
    """Return the fault of a line that is not JSON."""
    if not line.complete:
        return f"it is the last line and ends after {len(line.data):,} bytes, expected a complete JSON object"
    if isinstance(error, NestingError):
        return f"it is {error}"
    return f"it is not JSON ({error}), expected a JSON object"


def at_line(name: str, number: int, what: str) -> TranscriptError:
    """Return the error that names the problem ``what`` of a line of the file ``name``."""
    return TranscriptError(f"{name}, line {number}: {what}; nothing of it was imported")


def short_repr(value: object) -> str:
    """Return ``value`` as error messages show it."""
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"

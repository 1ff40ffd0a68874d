"""Read the items of a storage from a file: JSON, JSON lines, CSV, or lines of text."""

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

from swarmchat.cli.attachments.reading import too_large
from swarmchat.cli.errors import NotFoundError, UsageError
from swarmchat.swarm.common.encoding import decode_json, decode_text
from swarmchat.swarm.errors import StorageError

FORMATS = ("json", "jsonl", "csv", "text")
_BY_SUFFIX = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "text",
    ".md": "text",
}
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class FileItem:
    """An item of a file, and where it is there."""

    where: str
    item: Any
    id: str | None = None


@dataclass(frozen=True)
class ItemReader:
    """Reads files for one storage."""

    is_item: Callable[[Any], bool]
    """Whether a value is an item of the storage: an object may be one, or contain several by their ids."""
    field: str | None
    """The field that a text becomes, such as a line of a file; ``None``: the text itself is the item."""
    convert: Callable[[dict[str, str]], dict[str, Any]]
    """Makes an item of the texts in a row of a CSV file."""

    def read(self, path: Path, form: str | None, limit: int) -> list[FileItem]:
        """Return the items of the file ``path``, ``-`` for standard input, of at most ``limit`` bytes.

        Raises NotFoundError for a file that cannot be read, UsageError and StorageError.
        """
        name = "standard input" if str(path) == "-" else str(path)
        text = _read_text(path, name, limit)
        form = form or _BY_SUFFIX.get(path.suffix.lower()) or _guess(text)
        items: Iterator[FileItem] = getattr(self, f"_{form}")(text, name)
        if self.field is None:
            return list(items)
        return [replace(each, item={self.field: each.item}) if isinstance(each.item, str) else each for each in items]

    def _json(self, text: str, name: str) -> Iterator[FileItem]:
        content = _decoded(text, name)
        if isinstance(content, dict) and not self.is_item(content):
            for item_id, item in content.items():
                yield FileItem(f"{name}, item {item_id!r}", item, item_id)
            return
        for number, item in enumerate(content if isinstance(content, list) else [content], 1):
            yield FileItem(f"{name}, item {number}", item)

    def _jsonl(self, text: str, name: str) -> Iterator[FileItem]:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield FileItem(f"{name}, line {number}", _decoded(line, f"{name}, line {number}"))

    def _csv(self, text: str, name: str) -> Iterator[FileItem]:
        head = text.split("\n", 1)[0]
        rows = csv.DictReader(StringIO(text), delimiter=max(_DELIMITERS, key=head.count), strict=True)
        try:
            for row in rows:
                where = f"{name}, line {rows.line_num}"
                if None in row or None in row.values():
                    raise StorageError(f"{where}: expected as many columns as in the first line; nothing was imported")
                yield FileItem(where, self.convert(row))
        except csv.Error as error:
            raise StorageError(
                f"{name}, after line {rows.line_num}: invalid CSV ({error}); nothing was imported"
            ) from error

    def _text(self, text: str, name: str) -> Iterator[FileItem]:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield FileItem(f"{name}, line {number}", line.strip())


def as_numbers(row: dict[str, str], texts: frozenset[str]) -> dict[str, Any]:
    """Return ``row`` with numbers for the values that are written as JSON writes them, but in the fields ``texts``."""
    return {name: value if name in texts else _number(value) for name, value in row.items()}


def _number(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            # Not "007", "1e5" or "nan", which would come back in another form.
            if text.isascii() and str(kind(text)) == text and text[-1].isdigit():
                return kind(text)
        except ValueError:
            continue
    return text


def _read_text(path: Path, name: str, limit: int) -> str:
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise too_large(name, limit)
        return decode_text(content).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise NotFoundError(f"{name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not text: {error}") from error


def _decoded(text: str, where: str) -> Any:
    try:
        return decode_json(text)
    except ValueError as error:
        raise StorageError(f"{where}: invalid JSON ({error}); nothing was imported") from error


def _guess(text: str) -> str:
    """Return the format of a text without a file name that says it."""
    try:
        json.loads(text)
    except ValueError:
        return "jsonl" if text.lstrip().startswith("{") else "text"
    return "json"

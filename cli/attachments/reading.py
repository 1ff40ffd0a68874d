"""Read text and images from files and from standard input, within a limit."""

import sys
from pathlib import Path
from typing import BinaryIO

from swarmchat.cli.errors import UsageError
from swarmchat.swarm.common.encoding import decode_text

STDIN = "standard input"
"""The name of standard input in errors and in messages."""


def read_text(path: Path, limit: int, *, expected: str) -> tuple[str, str]:
    """Return the text of a file, or of standard input for ``-``, and its name. Raises UsageError.

    ``expected`` says what to type if standard input is a terminal.
    """
    data, name = read_file(path, limit, expected=expected)
    return decode(data, name), name


def read_file(path: Path, limit: int, *, expected: str) -> tuple[bytes, str]:
    """Return the content of a file, or of standard input for ``-``, and its name. Raises UsageError.

    ``limit`` is the most bytes of a text; an image may be larger.
    """
    name = STDIN if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            data = read_stdin(expected, limit)
        else:
            with path.expanduser().open("rb") as file:
                data = _read_bounded(file, name, limit)
        return data, name
    except (OSError, RuntimeError, ValueError) as error:
        # Path raises RuntimeError for the home of an unknown user, and ValueError for a NUL.
        raise UsageError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def read_stdin(expected: str, limit: int) -> bytes:
    """Return all of standard input, up to ``limit`` bytes; at a terminal, ask for ``expected``.

    Raises OSError and UsageError.
    """
    if sys.stdin.isatty() and sys.stderr is not None:
        print(f"type {expected}, and Ctrl-D at the beginning of a line to send it", file=sys.stderr, flush=True)
    return _read_bounded(sys.stdin.buffer, STDIN, limit)


def decode(data: bytes, name: str) -> str:
    """Return ``data``, which is from ``name``, as text. Raises UsageError."""
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = f"{name}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8 text"
        raise UsageError(f"{problem}: convert it to UTF-8, or leave it out") from error


def decode_typed(text: str) -> str:
    """Return ``text`` of the command line, in which Python holds what it could not decode as surrogates (PEP 383).

    UTF-8 is read in any locale. Raises UsageError for other bytes.
    """
    try:
        return decode(text.encode("utf-8", "surrogateescape"), "the question")
    except UnicodeEncodeError:
        # Other surrogates: a program has passed them.
        return text


def decode_attached(data: bytes, name: str) -> str:
    """Return ``data``, an attached file that is no image, as text. Raises UsageError."""
    try:
        return decode(data, name)
    except UsageError as error:
        from swarmchat.swarm.images.header import ACCEPTED, kind_of

        problem = f"{name} is {kind}" if (kind := kind_of(data)) else str(error).partition(": convert")[0]
        raise UsageError(
            f"{problem}, and only text and images ({ACCEPTED}) can be attached: convert it, or leave it out"
        ) from error


def check_size(size: int, name: str, limit: int) -> None:
    """Raise UsageError if ``size`` bytes from ``name`` are more than ``limit``."""
    if size > limit:
        raise UsageError(
            f"{name} has more than the {limit:,} bytes that max_input allows: send less, or raise max_input"
        )


def too_large(name: str, limit: int) -> UsageError:
    """Return the error for an import from ``name`` that has more than ``limit`` bytes."""
    return UsageError(
        f"{name} has more than the {limit:,} bytes (100 × max_input) that an import may have: import it in parts, or "
        "raise max_input"
    )


def _read_bounded(file: BinaryIO, name: str, limit: int) -> bytes:
    """Return what is left of ``file``. Raises UsageError if it is more than ``limit`` bytes, and no image."""
    # Loaded with the first file.
    from swarmchat.swarm.images.files import MAX_FILE
    from swarmchat.swarm.images.header import is_image

    # In one read: at a terminal, each read to the end needs another Ctrl-D.
    data = file.read(limit + 1)
    if is_image(data):
        # A larger one is refused with the others that cannot be sent.
        return data if len(data) <= limit else data + file.read(MAX_FILE)
    check_size(len(data), name, limit)
    return data

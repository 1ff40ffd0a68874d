"""Scripts: messages and commands from a command line, a pipe or a file, all checked before the first one is sent."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.builtin import is_command, parse_command
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import decode_json, decode_text
from swarmchat.swarm.errors import DefinitionError, SwarmError

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType

_QUOTES = '"""'
_ESCAPED = ("\\#", "\\/", '\\"', "\\\\")


@dataclass(frozen=True)
class Step:
    """A message or a command. ``line`` is its first line in the script; ``None`` if it is from the command line."""

    text: str
    line: int | None = None
    command: bool = False


@dataclass(frozen=True)
class Script:
    """Steps in order, and the name of their source for errors."""

    steps: list[Step]
    name: str = ""

    def check(self, swarm: Swarm) -> None:
        """Raise UsageError for the first command that is unknown, or that can never be valid in ``swarm``."""
        for step in filter(lambda step: step.command, self.steps):
            try:
                command, argument = parse_command(step.text)
                if command.at_prompt_only:
                    raise UsageError(f"/{command.name} needs a prompt, and a script has none")
                if command.check is not None:
                    command.check(swarm, argument)
            except (UsageError, SwarmError) as error:
                raise UsageError(f"{self.name}, line {step.line}: {error}") from error


def ask_once(words: list[str], limit: int) -> Script:
    """Return one question: ``words``, then what is piped in, up to ``limit`` bytes. Raises UsageError."""
    parts = [" ".join(words)]
    if not words or not sys.stdin.isatty():
        # A standard input that cannot be read, such as a folder, adds nothing.
        with suppress(OSError):
            parts.append(_decoded(_read_stdin("a question", limit), "standard input"))
    question = "\n\n".join(part.strip() for part in parts if part.strip())
    if not question:
        raise UsageError("nothing to ask: give a PROMPT, or pipe one in")
    return Script([Step(question)])


def find_script(words: list[str], path: Path | None, limit: int) -> Script:
    """Return the message ``words`` or the script in ``path``, up to ``limit`` bytes; ``-`` is standard input.

    Raises UsageError.
    """
    if bool(words) == (path is not None):
        problem = "a PROMPT and --script together" if words else "nothing to send"
        raise UsageError(f"{problem}: give a PROMPT, - to read it from standard input, or --script FILE; one of them")
    if path is not None:
        return read_script(*_read_text(path, limit))
    text = _read_text(Path("-"), limit)[0] if words == ["-"] else " ".join(words)
    if not text.strip():
        raise UsageError("nothing to send: the message is empty")
    return Script([Step(text.strip())])


def read_schema(path: Path, limit: int) -> "OutputType":
    """Return the type of answers that the JSON schema in ``path`` describes. Raises UsageError."""
    from swarmchat.swarm.tools.output import output_type

    text, name = _read_text(path, limit)
    try:
        schema = decode_json(text)
    except ValueError as error:
        raise UsageError(f"{name} is not JSON ({error}): expected a JSON schema") from error
    if not isinstance(schema, dict):
        raise UsageError(f'{name} holds {text.strip()[:60]}: expected a JSON schema, such as {{"type": "object"}}')
    try:
        return output_type(schema)
    except DefinitionError as error:
        raise UsageError(f"{name}: {error}") from error


def read_script(text: str, name: str) -> Script:
    """Parse a script; ``name`` is its name in errors. Raises UsageError.

    Each line is a message. One that begins with a slash is a command; with two, a message that begins with a slash.
    Three quotation marks begin and end a message of several lines. Empty lines and those that begin with ``#`` are
    skipped. A backslash at the start of a line makes the sign after it plain text.
    """
    steps = list(_steps(text, name))
    if not steps:
        raise UsageError(f"{name}: it contains no message and no command")
    return Script(steps, name)


def _steps(text: str, name: str) -> Iterator[Step]:
    lines = enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)
    for number, line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.startswith(_QUOTES):
            message = "\n".join(_quoted_lines(stripped.removeprefix(_QUOTES), number, lines, name))
            if not message.strip():
                raise UsageError(f"{name}, line {number}: the message is empty")
            yield Step(message, number)
        elif stripped.startswith(_ESCAPED):
            yield Step(stripped[1:], number)
        elif is_command(stripped):
            yield Step(stripped, number, command=True)
        else:
            yield Step(stripped.removeprefix("/") if stripped.startswith("//") else stripped, number)


def _quoted_lines(first: str, number: int, lines: Iterator[tuple[int, str]], name: str) -> list[str]:
    """Return the lines of a message up to the closing marks; ``first`` follows the opening ones."""
    if first.endswith(_QUOTES):
        return [first.removesuffix(_QUOTES)]
    message = [first] if first else []
    for _, line in lines:
        if line.rstrip().endswith(_QUOTES):
            last = line.rstrip().removesuffix(_QUOTES)
            return [*message, last] if last else message
        message.append(line)
    raise UsageError(f"{name}, line {number}: the message that begins here has no {_QUOTES} at its end")


def _read_text(path: Path, limit: int) -> tuple[str, str]:
    """Return the text of a file or of standard input, and its name for errors. Raises UsageError."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            data = _read_stdin("a message or a script", limit)
        else:
            with path.open("rb") as file:
                data = _read_bounded(file, name, limit)
        return _decoded(data, name), name
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror or error}") from error


def _decoded(data: bytes, name: str) -> str:
    """Return ``data``, which is from ``name``, as text. Raises UsageError."""
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        problem = f"{name}, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8 text"
        raise UsageError(f"{problem}: convert it to UTF-8, or leave it out") from error


def _read_stdin(expected: str, limit: int) -> bytes:
    """Return all of standard input, up to ``limit`` bytes; at a terminal, ask for ``expected``.

    Raises OSError and UsageError.
    """
    if sys.stdin.isatty() and sys.stderr is not None:
        print(f"type {expected}, and Ctrl-D at the beginning of a line to send it", file=sys.stderr, flush=True)
    return _read_bounded(sys.stdin.buffer, "standard input", limit)


def _read_bounded(file: BinaryIO, name: str, limit: int) -> bytes:
    """Return what is left of ``file``. Raises UsageError if it is more than ``limit`` bytes."""
    data = file.read(limit + 1)
    if len(data) > limit:
        raise UsageError(
            f"{name} has more than the {limit:,} bytes that max_input allows: send less, or raise max_input"
        )
    return data

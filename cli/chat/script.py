"""Scripts: messages and commands from a command line, a pipe or a file, all checked before the first one is sent."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmchat.cli.attachments.message import text_in, with_files, with_images
from swarmchat.cli.attachments.paths import expand
from swarmchat.cli.attachments.reading import STDIN, decode, decode_typed, read_stdin, read_text
from swarmchat.cli.errors import UsageError
from swarmchat.cli.slash.registry import COMMANDS, is_command, split_command
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.errors import DefinitionError, SwarmError
from swarmchat.swarm.turn.question import Asked

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType

_QUOTES = '"""'
_EXPECTED = "a message or a script"
_ESCAPED = ("\\#", "\\/", '\\"', "\\\\")


@dataclass(frozen=True)
class Step:
    """A message or a command. ``line`` is its first line in the script; ``None`` if it is from the command line."""

    message: Asked
    line: int | None = None
    command: bool = False

    @property
    def text(self) -> str:
        """The command, or the text of the message."""
        return text_in(self.message)


@dataclass(frozen=True)
class Script:
    """Steps in order, and the name of their source for errors."""

    steps: list[Step]
    name: str = ""

    def check(self, swarm: Swarm) -> None:
        """Raise UsageError for the first command that is unknown, or that can never be valid in ``swarm``."""
        for step in filter(lambda step: step.command, self.steps):
            from swarmchat.cli.slash.builtin import parse_command

            try:
                command, argument = parse_command(step.text)
                if command.at_prompt_only:
                    raise UsageError(f"/{command.name} needs a prompt, and a script has none")
                if command.check is not None:
                    command.check(swarm, argument)
            except (UsageError, SwarmError) as error:
                raise UsageError(f"{self.name}, line {step.line}: {error}") from error


def ask_once(words: list[str], files: list[str], limit: int) -> Script:
    """Return one question: ``words``, then piped input, then ``files``; up to ``limit`` bytes. Raises UsageError.

    ``files`` are paths or patterns; with ``-`` among them, what is piped in is one of the files.
    """
    parts = [decode_typed(" ".join(words))]
    _check_no_command(parts[0])
    piped = b""
    if "-" not in files and (not (words or files) or not sys.stdin.isatty()):
        # A standard input that cannot be read, such as a folder, adds nothing.
        with suppress(OSError):
            piped = read_stdin("a question", limit)
    images = _images(piped)
    if not images:
        parts.append(decode(piped, STDIN))
    text = "\n\n".join(part.strip() for part in parts if part.strip())
    question = _attach(words, text, files, limit, images)
    if not question:
        raise UsageError("nothing to ask: give a PROMPT, or pipe one in")
    return Script([Step(question)])


def _check_no_command(question: str) -> None:
    """Raise UsageError if ``question`` is a command of the chat: a model cannot carry it out."""
    if not is_command(question):
        return
    import swarmchat.cli.slash.builtin  # noqa: F401 - it registers the commands

    name = split_command(question)[0]
    if name in COMMANDS:
        raise UsageError(
            f"/{name} is a command of the chat: enter it there, or put it into a script for swarmchat run --script. "
            "To send it as a message, put a space before it"
        )


def _images(piped: bytes) -> list[dict[str, Any]]:
    """Return piped input as an image, if it is one."""
    if not piped:
        return []
    from swarmchat.swarm.images.files import image_part
    from swarmchat.swarm.images.header import is_image

    return [image_part(piped, STDIN)] if is_image(piped) else []


def find_script(words: list[str], path: Path | None, files: list[str], limit: int) -> Script:
    """Return the message ``words`` with ``files``, or the script in ``path``, up to ``limit`` bytes.

    ``files`` are paths or patterns; ``-`` is standard input. Raises UsageError.
    """
    if path is not None and files:
        raise UsageError("--file and --script together: in a script, /file PATH QUESTION sends a file")
    if bool(words or files) == (path is not None):
        problem = "a PROMPT and --script together" if words else "nothing to send"
        raise UsageError(f"{problem}: give a PROMPT, - to read it from standard input, or --script FILE; one of them")
    if path is not None:
        return read_script(*read_text(path, limit, expected=_EXPECTED))
    text = read_text(Path("-"), limit, expected=_EXPECTED)[0] if words == ["-"] else decode_typed(" ".join(words))
    message = _attach(words, text.strip(), files, limit)
    if not message:
        raise UsageError("nothing to send: the message is empty")
    return Script([Step(message)])


def _attach(
    words: list[str], text: str, files: list[str], limit: int, images: Sequence[Mapping[str, Any]] = ()
) -> Asked:
    """Return ``text`` with ``images`` and ``files``.

    Raises ImageError, and UsageError, also if one of ``words`` was meant to be a file.
    A shell makes ``-f a.md b.md`` of ``-f *.md``.
    """
    if not files:
        return with_images(text, images)
    paths = expand(files)
    if stray := next((word for word in words if Path(word).suffix and Path(word).is_file()), None):
        raise UsageError(f"{stray!r} is a file: give each file its own -f, or quote a pattern, as in -f '*.md'")
    return with_files(text, paths, limit, images)[0]


def read_schema(path: Path, limit: int) -> "OutputType":
    """Return the type of answers that the JSON schema in ``path`` describes. Raises UsageError."""
    from swarmchat.swarm.tools.output import output_type

    text, name = read_text(path, limit, expected="a JSON schema")
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

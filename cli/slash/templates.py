"""The user's own slash commands: prompts in files, ``commands/NAME.md`` beside the user's settings file.

Files in the current folder are never read: their author would speak in the user's name.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from swarmchat.cli.errors import UsageError
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.files import read_text_file

_NAME = re.compile(r"[a-zA-Z0-9][\w-]{0,40}")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(r"\$(?:(\$)|ARGUMENTS\b|([1-9])(?!\d))")
_MOST = 200
"""How many files are read."""
_LARGEST = 200_000
"""Bytes of a file."""


@dataclass(frozen=True)
class Template:
    """A prompt in a file. ``arguments`` is shown after the name in ``/help``."""

    path: Path
    description: str = ""
    arguments: str = ""
    text: str = ""
    problem: str = ""
    """Why the file cannot be used; empty if it can."""

    @property
    def name(self) -> str:
        """The name of the command."""
        return self.path.stem

    def fill(self, argument: str) -> str:
        """Return the prompt for a command with ``argument``. Raises UsageError if the file cannot be used.

        ``$ARGUMENTS`` stands for all of it, ``$1`` to ``$9`` for its words, of which quotation marks make one, and
        ``$$`` for a dollar sign. An argument that no place takes follows the prompt.
        """
        if self.problem:
            raise UsageError(f"/{self.name}: {self.path} {self.problem}")
        words, takes = _words(argument), False

        def fill(match: re.Match[str]) -> str:
            nonlocal takes
            if match[1]:
                return "$"
            takes = True
            if match[2] is None:
                return argument
            return words[int(match[2]) - 1] if int(match[2]) <= len(words) else ""

        text = _PLACE.sub(fill, self.text).strip()
        if argument and not takes:
            text += f"\n\n{argument}"
        if not text:
            raise UsageError(f"/{self.name}: {self.path} is empty: write the prompt into it")
        return text


def read_templates(folder: Path | None) -> dict[str, Template]:
    """Return the templates in ``folder`` by name. A file that cannot be used has a ``problem``.

    Of the files that are too many, the first stands for all.
    """
    try:
        paths = sorted(folder.glob("*.md")) if folder is not None else []
    except OSError:
        return {}
    paths = [path for path in paths if _NAME.fullmatch(path.stem)]
    templates = {path.stem: _read(path) for path in paths[:_MOST]}
    for path in paths[_MOST : _MOST + 1]:
        problem = f"is not read: only the first {_MOST} of {len(paths):,} files are"
        templates[path.stem] = Template(path, problem=problem)
    return templates


def _read(path: Path) -> Template:
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return Template(path, problem=f"is not a file of at most {_LARGEST:,} bytes")
        content = read_text_file(path).replace("\r\n", "\n")
    except (OSError, ValueError) as error:
        return Template(path, problem=f"cannot be read: {getattr(error, 'strerror', None) or error}")
    match = _FRONT_MATTER.match(content)
    about = dict(map(_field, match[1].splitlines())) if match else {}
    text = content[match.end() :] if match else content
    first = next((line.strip("# \t") for line in text.splitlines() if line.strip("# \t")), "")
    description = about.get("description") or first or "an empty file"
    return Template(path, one_line(description, 100), one_line(about.get("argument-hint", ""), 40), text)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip().strip("\"'")


def _words(argument: str) -> list[str]:
    try:
        return shlex.split(argument)
    except ValueError:
        # A quotation mark that is not closed, such as an apostrophe.
        return argument.split()

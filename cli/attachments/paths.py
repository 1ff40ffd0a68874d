"""Find the files to attach: by ``@PATH`` in a message, by a pattern, by a path that was pasted; and complete paths."""

import glob
import os
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from swarmchat.cli.errors import UsageError
from swarmchat.swarm.common.patterns import lazy_pattern

MENTION_START = lazy_pattern(r'(?<!\S)@("[^"\n]*|[^\s"]*)$')
"""The mention that the text before the cursor ends in."""
_MENTION = lazy_pattern(r'(?<!\S)@(?:"([^"\n]+)"|(\S+))')
RESOURCE_MENTION = lazy_pattern(r'(?<!\S)@"?([A-Za-z0-9_.-]{1,40}):(?=\S)')
"""The beginning of a mention of a resource of an MCP server, ``@SERVER:URI``."""
_PATH = lazy_pattern(r"/|\w\.[A-Za-z0-9]{1,5}$")
_PUNCTUATION = ".,;:!?)]}'\""
"""Signs that may follow a path in a sentence."""
_MAX_ENTRIES = 500
"""Maximum number of entries of a folder to offer."""


def mentioned(text: str) -> list[Path]:
    """Return the files that ``text`` names as ``@PATH`` or ``@"PATH"``, each once.

    What is no regular file, such as an address or a folder, is no mention.
    """
    names = (next(filter(is_file, readings), "") for readings in mentions(text))
    return list(dict.fromkeys(Path(name) for name in names if name))


def misspelled(text: str) -> list[str]:
    """Return what ``text`` names after ``@`` as a path, with a folder or a suffix, and is no file."""
    names = [readings[-1] for readings in mentions(text) if not any(map(is_file, readings))]
    return [name for name in names if _PATH.search(name) and not RESOURCE_MENTION.match(f"@{name}")]


def mentions(text: str) -> Iterator[list[str]]:
    """Yield the names after ``@`` in ``text``, each in all readings: punctuation at its end may not belong to it."""
    for quoted, word in _MENTION.findall(text):
        yield [quoted] if quoted else list(_without_punctuation(word))


def expand(patterns: list[str]) -> list[Path]:
    """Return the files that match ``patterns``, in order: paths, or patterns such as ``src/*.py``.

    Raises UsageError for a path that does not exist, for a folder, and for a pattern that matches no file.
    """
    paths: dict[Path, None] = {}
    for pattern in patterns:
        if _holds(Path.is_dir, pattern):
            raise UsageError(f"{pattern} is a folder: name the files in it, as in '{os.path.join(pattern, '*')}'")
        if pattern == "-" or _holds(Path.exists, pattern):
            paths[Path(pattern)] = None
            continue
        matches = sorted(glob.glob(os.path.expanduser(pattern), recursive=True)) if glob.has_magic(pattern) else []
        files = [Path(match) for match in matches if os.path.isfile(match)]
        if not files:
            problem = "no file matches" if glob.has_magic(pattern) else "no such file:"
            raise UsageError(f"{problem} {pattern!r}; expected a path or a pattern such as 'notes/*.md'")
        paths |= dict.fromkeys(files)
    return list(paths)


def pasted_file(text: str) -> Path | None:
    """Return the file whose absolute path ``text`` is, as terminals paste a file that is dropped on them.

    The path is relative if the file lies in the current folder.
    """
    text = text.strip()
    if "\n" in text or not text.startswith(("/", "~/", "'", '"', "file://")):
        return None
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    elif not is_file(text):
        try:
            words = shlex.split(text)
        except ValueError:
            return None
        text = words[0] if len(words) == 1 else ""
    if not text.startswith(("/", "~/")) or not is_file(text):
        return None
    return Path(text).relative_to(Path.cwd()) if Path(text).is_relative_to(Path.cwd()) else Path(text)


def mention(path: str) -> str:
    """Return ``path`` as it is mentioned in a message."""
    return f'@"{path}"' if re.search(r"\s", path) else f"@{path}"


def folder_entries(typed: str) -> list[str]:
    """Return the paths that the path ``typed`` may become, folders with a slash; hidden ones only after a dot.

    Raises OSError if there is no such folder.
    """
    folder, start = os.path.split(typed)
    entries: list[str] = []
    with os.scandir(Path(folder or ".").expanduser()) as scan:
        for entry in scan:
            if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                entries.append(os.path.join(folder, entry.name) + ("/" if entry.is_dir() else ""))
            if len(entries) == _MAX_ENTRIES:
                break
    return sorted(entries)


def _without_punctuation(word: str) -> Iterator[str]:
    """Yield ``word``, then without its last sign, as long as that may belong to the sentence."""
    yield word
    while len(word) > 1 and word[-1] in _PUNCTUATION:
        word = word[:-1]
        yield word


def is_file(name: str) -> bool:
    """Whether the path ``name`` is that of a regular file."""
    return _holds(Path.is_file, name)


def _holds(test: Callable[[Path], bool], name: str) -> bool:
    try:
        return test(Path(name).expanduser())
    except (OSError, RuntimeError, ValueError):
        # A name that is too long, the home of an unknown user, a NUL.
        return False

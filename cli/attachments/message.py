"""Write files into a message, each as a block with its name."""

import re
from collections.abc import Iterable
from pathlib import Path

from swarmchat.cli.attachments.reading import check_size, read_text
from swarmchat.cli.terminal.sanitize import one_line

_TICKS = re.compile("`{3,}")


def with_files(text: str, paths: Iterable[Path], limit: int) -> tuple[str, str]:
    """Return ``text`` with the content of the files, and a line that says which ones; empty if none was added.

    A file that is in ``text`` already, as after ``/edit``, is left out. ``limit`` is the most bytes of the whole
    message. Raises UsageError for a file that cannot be read, or that is no text.
    """
    parts = [text.strip()] if text.strip() else []
    added: list[str] = []
    size = len(text.encode("utf-8", "replace"))
    for path in paths:
        if _heading(f"File {_name(path)}") in text:
            continue
        content, name = read_text(path, limit, expected="the text of a file")
        size += len(content.encode())
        check_size(size, "the message with its files" if added else name, limit)
        parts.append(_block(f"File {_name(path)}", content))
        added.append(f"{one_line(Path(name).name, 60)} ({_size(content)})")
    return "\n\n".join(parts), f"attached: {', '.join(added)}" if added else ""


def with_content(text: str, name: str, content: str, limit: int) -> tuple[str, str]:
    """Return ``text`` with a block of ``content`` called ``name``, and a line that says so; as ``with_files``."""
    if _heading(name) in text:
        return text, ""
    message = "\n\n".join(filter(None, (text.strip(), _block(name, content))))
    check_size(len(message.encode("utf-8", "replace")), f"the message with {name}", limit)
    return message, f"attached: {one_line(name, 120)} ({_size(content)})"


def _name(path: Path) -> str:
    return "standard input" if str(path) == "-" else " ".join(str(path).split())


def _heading(name: str) -> str:
    return f"{name}:\n```"


def _block(name: str, content: str) -> str:
    """Return ``content`` as a block of code, fenced by more marks than any line of it."""
    longest = max(map(len, _TICKS.findall(content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{name}:\n{fence}\n{content.removesuffix(chr(10))}\n{fence}"


def _size(content: str) -> str:
    if not content:
        return "empty"
    lines = content.count("\n") + (not content.endswith("\n"))
    return "1 line" if lines == 1 else f"{lines:,} lines"

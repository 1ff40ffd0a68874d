"""Put files into a message: texts as blocks with their names, images as content parts."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmchat.cli.attachments.paths import mention, mentioned
from swarmchat.cli.attachments.reading import check_size, decode_attached, read_file
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.common.messages import describe_part, texts_of

if TYPE_CHECKING:
    from swarmchat.swarm.turn.question import Asked

_TICKS = re.compile("`{3,}")


def with_files(
    text: str, paths: Iterable[Path], limit: int, images: Sequence[Mapping[str, Any]] = ()
) -> "tuple[Asked, str]":
    """Return ``text`` with the content of the files, and a line that says which ones; empty if none was added.

    Images follow the text and those in ``images`` as content parts; a path that the text does not mention is added to
    it. A file of text that is in ``text`` already, as after ``/edit``, is left out. ``limit`` is the most bytes of all
    texts. Raises UsageError for a file that cannot be read, or that is neither text nor an image, and ImageError for an
    image that cannot be sent.
    """
    # Loaded with the first file.
    from swarmchat.swarm.images.files import image_part
    from swarmchat.swarm.images.header import is_image

    parts = [text.strip()] if text.strip() else []
    images = [*images]
    unnamed: list[str] = []
    added: list[str] = []
    size = len(text.encode("utf-8", "replace"))
    mentions = mentioned(text)
    for path in paths:
        if _heading(f"File {_name(path)}") in text:
            continue
        data, name = read_file(path, limit, expected="the text of a file")
        if is_image(data):
            images.append(image_part(data, Path(name).name))
            unnamed += [] if path in mentions or str(path) == "-" else [mention(str(path))]
            added.append(describe_part(images[-1]).removeprefix("[image: ").removesuffix("]"))
            continue
        content = decode_attached(data, name)
        size += len(content.encode())
        check_size(size, "the message with its files" if added else name, limit)
        parts.append(_block(f"File {_name(path)}", content))
        added.append(f"{one_line(Path(name).name, 60)} ({_size(content)})")
    remark = f"attached: {'; '.join(added) if images else ', '.join(added)}" if added else ""
    message = "\n\n".join([*parts, *(["\n".join(unnamed)] if unnamed else [])])
    return with_images(message, images), one_line(remark, len(remark))


def with_images(text: str, images: Sequence[Mapping[str, Any]]) -> "Asked":
    """Return ``text`` with ``images``, which are content parts: itself if there are none."""
    if not images:
        return text
    return [*([{"type": "text", "text": text}] if text else []), *images]


def text_in(message: "Asked") -> str:
    """Return the text of a message, as its user typed it."""
    return message if isinstance(message, str) else "\n".join(texts_of({"content": message}))


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

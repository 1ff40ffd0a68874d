"""Export a session for readers and other programs: JSON lines, messages of the chat API, Markdown, HTML."""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from swarmchat.swarm.archive.dialogue import DialogueEntry, dialogue
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import describe_part, others_of, texts_of
from swarmchat.swarm.context.groups import GroupBuilder, Part
from swarmchat.swarm.persistence.log import hidden_turns
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.session_index import SessionInfo


def as_messages(records: Iterable[Record]) -> list[Mapping[str, Any]]:
    """Return the conversation as the chat API accepts it: every call directly followed by its results.

    Call ids are those of the log; within a message each is unique. Undone turns, and everything before a reset, are
    omitted; messages that do not fit into a context window are included. All agents are the assistant.
    """
    records = list(records)
    hidden = hidden_turns(records)
    builder = GroupBuilder()
    for record in records:
        # A reset that one agent was given in need hides the conversation from that agent only.
        if record.turn not in hidden and not (record.type == "reset" and record.agent is not None):
            builder.feed(record)
    return [message for group in builder.groups for message in _sendable(group.with_ids(set()).parts())]


def _sendable(parts: Iterable[Part]) -> Iterator[Mapping[str, Any]]:
    """Yield the messages of a group as the API takes them; results with the tool's name, if it was recorded.

    Images in results follow in a message of the user. Of an image whose data is not in its record, a text tells.
    """
    images: list[Any] = []
    for part in parts:
        message = part.message
        if isinstance(message.get("content"), list):
            # Loaded with the first image.
            from swarmchat.swarm.images.parts import to_send

            message = to_send(message, lambda digest: None)
        if message["role"] == "tool":
            if others := others_of(message):
                images += others
                message = {**message, "content": "\n".join(texts_of(message))}
            name = None if part.record is None else part.record.message.get("name")
            message = {**message, "name": name} if isinstance(name, str) and name else message
        yield message
    if images:
        yield {"role": "user", "content": images}


def as_openai(records: Iterable[Record]) -> bytes:
    """Return ``{"messages": […]}`` as one line of JSON."""
    return encode_json({"messages": as_messages(records)}) + b"\n"


def as_jsonl(records: Iterable[Record]) -> Iterator[bytes]:
    """Yield the lines of ``records``, with line ends."""
    for record in records:
        yield record.line + b"\n"


def pretty(value: str) -> str:
    """Return a JSON object or list with line breaks, and any other text unchanged."""
    if value[:1] not in ("{", "["):
        return value
    try:
        return json.dumps(json.loads(value), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return value


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ACTIVE = re.compile(r"(<(?=[A-Za-z/!?])|!(?=\[))")
"""The beginning of HTML, of a link in angle brackets, or of an image, which a viewer would load from anywhere."""
_FENCE = re.compile(r"(`{3,}|~{3,})(.*)")
_UNCLEAR_FENCE = re.compile(r"^(?:[ \t>*+.)0-9-]+(?:```|~~~)|(?:```|~~~).*\|)", re.MULTILINE)
"""A fence that is indented, in a list or in a quote, or that could be the head of a table."""

_EMBEDDED = 20_000_000
"""How many characters of images a page in HTML may have."""
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
header p, .note, .error, time { color: #777; font-size: .85rem; }
section { margin: 1rem 0; padding: .5rem 1rem; border-left: .25rem solid #ccc; }
.user { border-color: #36c; } .assistant { border-color: #393; } .error { border-color: #c33; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; } h2 { font-size: .9rem; margin: 0; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: .5rem; }
img { max-width: 100%; max-height: 24rem; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } pre { background: #2a2a2a; } }
"""


def as_markdown(info: SessionInfo, records: Iterable[Record]) -> Iterator[str]:
    """Yield the pieces of a Markdown page. HTML in messages becomes text, images become links."""
    yield f"# {_plain(info.title or info.name)}\n\n{_plain(_about(info))}\n"
    turn = 0
    for entry in dialogue(records):
        if entry.turn != turn:
            turn = entry.turn
            yield f"\n## Turn {turn}\n"
        yield f"\n{_markdown(entry)}\n"


def as_html(info: SessionInfo, records: Iterable[Record]) -> Iterator[str]:
    """Yield the pieces of an HTML page, without scripts and external resources.

    Images whose data is in ``records`` are part of the page, up to 20 MB together.
    """
    title = _safe(info.title or info.name)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    yield f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
    yield f'<meta name="viewport" content="width=device-width">\n<style>{_STYLE}</style>\n</head>\n<body>\n'
    yield f"<header>\n<h1>{title}</h1>\n<p>{_safe(_about(info))}</p>\n</header>\n<main>\n"
    room = _EMBEDDED
    for entry in dialogue(records):
        images, room = _images(entry, room)
        yield _section(entry, images)
    yield "</main>\n</body>\n</html>\n"


def _images(entry: DialogueEntry, room: int) -> tuple[str, int]:
    """Return the images of ``entry`` that fit into ``room`` bytes as HTML, and the room that is left."""
    tags = ""
    for part in entry.others:
        # Loaded with the first image.
        from swarmchat.swarm.images.parts import as_data_url

        url = as_data_url(part)
        if url is not None and len(url) <= room:
            room -= len(url)
            tags += f'<img src="{url}" alt="{_safe(describe_part(part))}">\n'
    return tags, room


def _about(info: SessionInfo) -> str:
    parts = [f"session {info.name}", info.swarm and f"swarm {info.swarm}", info.model and f"model {info.model}"]
    turns = "1 turn" if info.turns == 1 else f"{info.turns} turns"
    return ", ".join([*(part for part in parts if part), turns, info.updated[:16].replace("T", " ")])


def _markdown(entry: DialogueEntry) -> str:
    if entry.kind == "call":
        call = f"{_code(f'{entry.name}({entry.arguments})')} {entry.status}".strip()
        return f"**{_plain(entry.who)}** {call}\n\n{_fenced(pretty(entry.text))}" if entry.text else call
    if entry.kind in ("note", "error"):
        return f"*{_plain(entry.text)}*"
    return f"**{_plain(entry.who)}**\n\n{_message(entry.text)}"


def _section(entry: DialogueEntry, images: str) -> str:
    head = f'<section class="{entry.kind}">\n'
    if entry.kind in ("note", "error"):
        return f"{head}{_safe(entry.text)}\n</section>\n"
    head += f'<h2>{_safe(entry.who)} <time datetime="{_safe(entry.ts)}">turn {entry.turn}</time></h2>\n'
    if entry.kind == "call":
        body = f"<pre>{_safe(pretty(entry.text))}</pre>\n" if entry.text else ""
        call = f"<code>{_safe(f'{entry.name}({entry.arguments})')}</code> {_safe(entry.status)}"
        return f"{head}<p>{call}</p>\n{body}{images}</section>\n"
    return f'{head}<div class="text">{_safe(entry.text.strip())}</div>\n{images}</section>\n'


def _safe(text: str) -> str:
    return html.escape(_CONTROL.sub("\ufffd", text.replace("\r\n", "\n")))


def _plain(text: str) -> str:
    """Return ``text`` on one line, without the effect of Markdown in it."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(_CONTROL.sub("\ufffd", text).split()))


def _code(text: str) -> str:
    line = " ".join(text.split())
    ticks = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _message(text: str) -> str:
    """Return Markdown that loads nothing: outside of code blocks, tags are escaped, and images are links.

    An open code block is closed.

    Only a fence at the start of a line surely begins a code block; for others, it depends on the viewer and on what is
    around them. A message with such a fence is quoted, so that it cannot change how later messages are read. If it also
    has tags or images, all of it becomes a code block.
    """
    text = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n")).strip()
    if _UNCLEAR_FENCE.search(text):
        return _fenced(text) if _ACTIVE.search(text) else "\n".join(f"> {line}" for line in text.split("\n"))
    fence, lines = "", []
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence:
            lines.append(line)
            if match and match[1].startswith(fence) and not match[2].strip():
                fence = ""
            continue
        lines.append(_escaped(line))
        # A line such as ```code``` is text.
        fence = match[1] if match and not (match[1][0] == "`" and "`" in match[2]) else ""
    return "\n".join([*lines, fence] if fence else lines)


def _escaped(line: str) -> str:
    """Return ``line`` with a backslash before each tag and image, unless it has one that is not escaped itself."""
    parts = _ACTIVE.split(line)
    for index in range(1, len(parts), 2):
        before = parts[index - 1]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            parts[index] = "\\" + parts[index]
    return "".join(parts)


def _fenced(text: str) -> str:
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}\n{text.rstrip()}\n{fence}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)

"""Rewrite damaged calls whose meaning is clear, as JSON or in another form that the parser reads.

Only for complete calls: in a call that is cut off, the missing part is unknown.
"""

import json
import re
from collections.abc import Iterator

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.parsing.call_values import ARGUMENT_KEYS, NAME_KEYS

_LONGEST = 4000
_PIECE = lazy_pattern(
    r"\s*(\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\\n])*'|`[^`\n]*`|=>|[{}\[\],:=]|[^\s\"'`{}\[\],:=]+)", re.DOTALL
)
_LITERAL = lazy_pattern(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")
_WORDS = {"True": "true", "False": "false", "None": "null", "undefined": "null"}
_NAME_FIRST = lazy_pattern(r"[`(\[]?[\"']?([A-Za-z_][\w.-]{0,99})[\"']?[ \t]*[:=,]\s*(?=[{\w])")


def rewritten(text: str) -> Iterator[str]:
    """Return other spellings of the whole call ``text``, the most likely first."""
    text = text.strip()
    if not text or len(text) > _LONGEST:
        return
    if text[0] == text[-1] == "`":
        yield text.strip("`")
    if text.startswith(('{\\"', '"{')):
        text = text.strip('"').replace('\\"', '"')
        yield text
    first = _NAME_FIRST.match(text)
    if first and first[1] not in NAME_KEYS:
        yield f"{first[1]} {text[first.end() :].rstrip('`')}"
    if valid := _as_json(text):
        yield valid


def _as_json(text: str) -> str | None:
    """Return ``text`` as valid JSON: with all its commas, quotes and colons, and braces around the arguments."""
    pieces = _pieces(text)
    if len(pieces) < 4 or not (pieces[0] == "{" or pieces[1] == ":"):
        return None
    output, opened, added = list[str](), list[str](), 0
    if pieces[0] != "{":
        output, opened, added = ["{"], ["{"], 1
    for position, piece in enumerate(pieces):
        before, after = output[-1] if output else "", pieces[position + 1] if position + 1 < len(pieces) else ""
        is_key = after == ":" and piece not in "{}[],:"
        if is_key and before == ":" and output[-2].strip('"') in ARGUMENT_KEYS:
            output.append("{")
            opened.append("{")
            added += 1
        elif is_key and before and before not in "{,":
            output.append(",")
        if piece in "}]":
            if not opened:
                continue
            if output[-1] == ",":
                output.pop()
            opened.pop()
        elif piece in "{[":
            opened.append(piece)
        output.append(piece)
    if len(opened) > added:
        return None
    output += ["}" if bracket == "{" else "]" for bracket in reversed(opened)]
    valid = "".join(output)
    try:
        json.loads(valid)
    except (ValueError, RecursionError):
        return None
    return valid


def _pieces(text: str) -> list[str]:
    """Return the pieces of damaged JSON, each string in JSON's quotes; an empty list if something is no piece."""
    pieces, words, position = list[str](), list[str](), 0
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            return [] if text[position:].strip() else _with_words(pieces, words)
        piece, position = match[1], match.end()
        if piece in ("=", "=>"):
            piece = ":"
        if piece[0] in "'`":
            piece = json.dumps(piece[1:-1].replace("\\'", "'"), ensure_ascii=False)
        if piece[0] == '"' or piece in "{}[],:":
            pieces = [*_with_words(pieces, words), piece]
            words = []
        else:
            words.append(piece)
    return _with_words(pieces, words)


def _with_words(pieces: list[str], words: list[str]) -> list[str]:
    """Return the pieces with a value that was written without quotes."""
    if not words:
        return pieces
    text = " ".join(words)
    text = _WORDS.get(text, text)
    return [*pieces, text if _LITERAL.fullmatch(text) else json.dumps(text, ensure_ascii=False)]

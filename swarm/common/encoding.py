"""Compact JSON, limited nesting and valid Unicode."""

import codecs
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_NESTING = 100
"""The levels of lists and objects in a JSON or TOML text of others. Python itself fails at some 950."""

SHORT_DIGEST = 12
"""The characters of a digest that are enough to tell two texts apart."""

# Created once: json.dumps creates an encoder at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class NestingError(ValueError):
    """A value has more levels of lists and objects than ``MAX_NESTING``."""


def decode_json(text: str | bytes) -> Any:
    """Return the value of a JSON ``text``. Raises ValueError if it is invalid, and NestingError if it is too deep."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    # With fewer brackets than levels allowed, nothing can be too deep.
    brackets = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if brackets > MAX_NESTING:
        check_nesting(value)
    return value


def decode_toml(text: str) -> dict[str, Any]:
    """Return the content of a TOML ``text``. Raises ValueError as ``decode_json`` does, and for huge numbers."""
    import tomllib

    try:
        content = tomllib.loads(text)
    except RecursionError:
        raise _too_deep() from None
    check_nesting(content)
    _check_integers(content)
    return content


def _check_integers(value: object) -> None:
    """Raise ValueError for a whole number above 64 bits, which TOML does not have and Python may refuse to print."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _check_integers(each)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("a number has more than 64 bits")


def check_nesting(value: object) -> None:
    """Raise NestingError if ``value`` has more than ``MAX_NESTING`` levels of lists and objects."""
    level = [value]
    for _ in range(MAX_NESTING + 1):
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return
        level = [each for outer in inner for each in (outer.values() if isinstance(outer, dict) else outer)]
    raise _too_deep()


def _too_deep() -> NestingError:
    return NestingError(f"nested more than {MAX_NESTING} levels deep")


def encode_json(value: object) -> bytes:
    """Encode ``value`` as compact UTF-8 JSON.

    Lone surrogates, which UTF-8 cannot hold, become ``?``. NaN and infinite numbers become null: Python reads them, but
    JSON does not have them.
    """
    try:
        text = _encode(value)
    except ValueError:
        text = _encode(_finite(value))
    return text.encode("utf-8", "replace")


def _finite(value: object) -> object:
    """Return ``value`` with ``None`` for each number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value


def decode_text(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 that begins with a byte order mark; a mark is left out.

    Raises UnicodeDecodeError, also for a NUL, which binary data has and text does not.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = data.decode("utf-16")
        # Where each character takes two bytes, which is what a NUL here nearly always means: UTF-32.
        position = 2 * text.find("\0") + 2
    else:
        data = data.removeprefix(codecs.BOM_UTF8)
        text, position = data.decode("utf-8"), data.find(0)
    if "\0" in text:
        raise UnicodeDecodeError("utf-8", data, position, position + 1, "a NUL is not text")
    return text


def clean_text(text: str) -> str:
    """Return ``text`` as valid Unicode: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    Python reads invalid UTF-8 from a terminal as lone surrogates (PEP 383), which no model API accepts.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_PIECE = re.compile(r"[\s\S]{1,128}(?=[\x00-\x7f])|[\s\S]{1,128}")
"""A part of a text that is normalized by itself: Python's work is quadratic in a run of combining marks."""
_INVISIBLE = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0}
"""Characters besides those of the categories Cf and Cc that show nothing, without the variation selectors."""


class _Visible(dict[int, int | None]):
    """A table for ``str.translate`` that removes invisible characters, except white space."""

    def __missing__(self, code: int) -> int | None:
        char = chr(code)
        is_selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
        is_hidden = unicodedata.category(char) in ("Cf", "Cc") and not char.isspace()
        self[code] = None if is_selector or is_hidden or code in _INVISIBLE else code
        return self[code]


_VISIBLE = _Visible()


def short_digest(text: str) -> str:
    """Return the first digits of the sha256 of ``text``: enough to tell two texts apart."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:SHORT_DIGEST]


def folded_text(text: str) -> str:
    """Return ``text`` for comparisons: without invisible characters, NFKC, case folded."""
    pieces = _PIECE.findall(text.translate(_VISIBLE))
    return "".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", each).casefold()) for each in pieces)

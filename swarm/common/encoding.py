"""Compact JSON and valid Unicode."""

import codecs
import json
import math
from collections.abc import Mapping

# Created once: json.dumps creates an encoder at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


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
        return data.decode("utf-16")
    data = data.removeprefix(codecs.BOM_UTF8)
    text = data.decode("utf-8")
    if (position := data.find(0)) >= 0:
        raise UnicodeDecodeError("utf-8", data, position, position + 1, "a NUL is not text")
    return text


def clean_text(text: str) -> str:
    """Return ``text`` as valid Unicode: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    Python reads invalid UTF-8 from a terminal as lone surrogates (PEP 383), which no model API accepts.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

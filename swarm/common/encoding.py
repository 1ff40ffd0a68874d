"""Compact JSON and valid Unicode."""

import json

# Created once: json.dumps creates an encoder at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_json(value: object) -> bytes:
    """Encode ``value`` as compact UTF-8 JSON. Lone surrogates, which UTF-8 cannot hold, become ``?``."""
    return _encode(value).encode("utf-8", "replace")


def clean_text(text: str) -> str:
    """Return ``text`` as valid Unicode: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    Python reads invalid UTF-8 from a terminal as lone surrogates (PEP 383), which no model API accepts.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

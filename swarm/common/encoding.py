"""Compact JSON and valid Unicode."""

import json

# Made once: json.dumps makes one at each call.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def encode_json(value: object) -> bytes:
    """Encode ``value`` as compact UTF-8 JSON. Lone surrogates, which UTF-8 cannot hold, become ``?``."""
    return _encode(value).encode("utf-8", "replace")


def clean_text(text: str) -> str:
    """Return ``text`` as valid Unicode: surrogate pairs joined, lone surrogates replaced by U+FFFD.

    A terminal hands over bytes that are no UTF-8 as lone surrogates (PEP 383); no model API takes those.
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

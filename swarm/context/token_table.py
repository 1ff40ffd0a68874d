"""A vocabulary in a memory-mapped file, which counts the tokens of short texts without tiktoken's encoder.

The encoder takes 0.3 s and 60 MB, more than the rest of a short answer. The file holds the tokens in the order of their
ranks, and a hash table that leads to them; only the pages that a text needs are read.
"""

import mmap
import re
import struct
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.common.patterns import lazy_pattern

_MAGIC = b"swarmchat tokens 1\n"
_HEADER = struct.Struct(f"<{len(_MAGIC)}s64sxII")
_EMPTY = 0xFFFFFFFF

SIMPLE = (
    r"[\t\n\r -~\u00a1-\u024f\u0370-\u052f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf\u2190-\u23ff\u2500-\u27bf"
    r"\U0001f300-\U0001f64f]*"
)
"""Texts that this module splits as tiktoken does, whatever versions of Unicode the two know."""
_SIMPLE_ASCII = lazy_pattern(r"[\t\n\r -~]*")
_LONGEST = 200
"""Bytes of a piece: merging takes quadratic time here."""


class TokenTable:
    """A vocabulary that counts tokens; see ``open_table``."""

    def __init__(self, content: mmap.mmap, pattern: str) -> None:
        _, _, size, count = _HEADER.unpack_from(content)
        view, start = memoryview(content), _HEADER.size
        self._mask = size - 1
        self._slots = view[start : start + 4 * size].cast("I")
        start += 4 * size
        self._ends = view[start : start + 4 * count].cast("I")
        self._tokens = view[start + 4 * count :]
        self._pattern, self._ascii_pattern = pattern, _for_ascii(pattern)
        self._length = lru_cache(maxsize=5000)(self._count)

    def length(self, text: str) -> int | None:
        """Return the tokens of ``text``; ``None`` if only tiktoken itself can tell."""
        pieces = self._split(text)
        if pieces is None:
            return None
        total = 0
        for piece in pieces:
            tokens = self._length(piece)
            if tokens is None:
                return None
            total += tokens
        return total

    def _split(self, text: str) -> list[str] | None:
        """Return the pieces of ``text``; ``None`` if only tiktoken itself can tell them."""
        if self._ascii_pattern and text.isascii():
            return self._ascii_pattern.findall(text) if _SIMPLE_ASCII.fullmatch(text) else None
        simple, pieces = self._unicode
        return pieces.findall(text) if simple.fullmatch(text) else None

    @cached_property
    def _unicode(self) -> tuple[Any, Any]:
        """The patterns of simple texts and of pieces. The package takes longer to import than most texts to count."""
        import regex

        return regex.compile(SIMPLE), regex.compile(self._pattern)

    def rank(self, token: bytes) -> int | None:
        """Return the rank of ``token``; ``None`` if it is not in the vocabulary."""
        rank: int
        slot = crc32(token) & self._mask
        while (rank := self._slots[slot]) != _EMPTY:
            start = self._ends[rank - 1] if rank else 0
            if self._tokens[start : self._ends[rank]] == token:
                return rank
            slot = (slot + 1) & self._mask
        return None

    def _count(self, piece: str) -> int | None:
        """Return the tokens of a piece of text: neighbours are merged, the pair with the lowest rank first."""
        content = piece.encode()
        if self.rank(content) is not None:
            return 1
        if len(content) > _LONGEST:
            return None
        parts = [content[index : index + 1] for index in range(len(content))]
        ranks = [self.rank(first + second) for first, second in pairwise(parts)]
        while (lowest := min((rank for rank in ranks if rank is not None), default=None)) is not None:
            index = ranks.index(lowest)
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
            del ranks[index]
            for pair in (index - 1, index):
                if 0 <= pair < len(ranks):
                    ranks[pair] = self.rank(parts[pair] + parts[pair + 1])
        return len(parts)


def _for_ascii(pattern: str) -> "re.Pattern[str] | None":
    """Return the form of tiktoken's ``pattern`` in which ``re`` splits ASCII; ``None`` if it has possessive repeats.

    Those are wrong in Python before 3.11.5.
    """
    if "++" in pattern:
        return None
    pattern = pattern.replace(r"|\p{N}{", "|[0-9]{")
    for name, letters in (("Ll", "a-z"), ("Lu", "A-Z"), ("L", "A-Za-z"), ("N", "0-9")):
        pattern = pattern.replace(rf"\p{{{name}}}", letters)
    return lazy_pattern(re.sub(r"\\p\{\w+\}", "", pattern), re.ASCII)


def open_table(path: Path, sha256: str, pattern: str) -> TokenTable | None:
    """Return the table in ``path``; ``None`` if it is missing or not that of the vocabulary with this ``sha256``."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        return None
    if len(content) < _HEADER.size or content[: len(_MAGIC) + 64] != _MAGIC + sha256.encode():
        return None
    _, _, size, count = _HEADER.unpack_from(content)
    ends = _HEADER.size + 4 * (size + count)
    if len(content) < ends or not count or len(content) != ends + struct.unpack_from("=I", content, ends - 4)[0]:
        return None
    return TokenTable(content, pattern)


def write_table(path: Path, sha256: str, tokens: Iterable[bytes]) -> None:
    """Write the table of ``tokens``, which are in the order of their ranks. Raises OSError."""
    tokens = list(tokens)
    size = 1 << (2 * len(tokens)).bit_length()
    slots, ends, end = [_EMPTY] * size, [], 0
    for rank, token in enumerate(tokens):
        slot = crc32(token) & (size - 1)
        while slots[slot] != _EMPTY:
            slot = (slot + 1) & (size - 1)
        slots[slot] = rank
        end += len(token)
        ends.append(end)
    header = _HEADER.pack(_MAGIC, sha256.encode(), size, len(tokens))
    numbers = struct.pack(f"={size + len(tokens)}I", *slots, *ends)
    write_atomically(path, header + numbers + b"".join(tokens))

"""The built-in embedder, which needs no model: it hashes words and parts of words.

Texts that share words, stems or compounds get similar vectors; synonyms do not. The method is feature hashing with
signs (Weinberger and others, 2009, https://arxiv.org/abs/0902.2206) over words, pairs of words, and the pieces of
each word between its ends (Bojanowski and others, 2016, https://arxiv.org/abs/1607.04606).
The measurements are in docs/decisions/0009.
"""

import asyncio
import math
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from swarmchat.swarm.common.patterns import lazy_pattern

if TYPE_CHECKING:
    from swarmchat.swarm.storage.embeddings import Matrix

_VERSION = 1
"""Part of the name: vectors of another version of the method must not be compared with these."""

# Scripts that put no spaces between words, and Hangul, whose syllables say as much as short words do elsewhere.
_DENSE = lazy_pattern(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+)"
)
_ACCENTS = dict.fromkeys(range(0x300, 0x370))
_PIECES = (3, 4, 5)
_PAIR, _PIECE, _SINGLE = 0.3, 2.0, 0.5
"""Weights of a pair of words, all pieces of a word, and one letter of a dense script; a whole word weighs 1."""


class NgramEmbedder:
    """The embedder that swarms use by default. ``dimension`` is the length of its vectors."""

    default_score = 0.2

    def __init__(self, dimension: int = 512) -> None:
        if dimension < 1:
            raise ValueError(f"dimension {dimension}: expected 1 or more")
        self._dimension = dimension
        self.name = f"ngram-{_VERSION}-{dimension}"

    async def embed(self, texts: Sequence[str]) -> "Matrix":
        """Return a row for each text (n x dimension, float32), of length 1, or zeros where a text has no letters.

        Takes some 0.3 ms for a sentence, in a thread.
        """
        return await asyncio.to_thread(ngram_vectors, list(texts), self._dimension)


def ngram_vectors(texts: Sequence[str], dimension: int) -> "Matrix":
    """Return a row of length 1 for each text, or of zeros where it has no letters (n x dimension, float32)."""
    import numpy as np

    rows = np.zeros((len(texts), dimension), np.float64)
    for row, text in zip(rows, texts, strict=True):
        for feature, weight in features(text).items():
            digest = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
            row[(digest >> 1) % dimension] += weight if digest & 1 else -weight
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths, lengths, 1)).astype(np.float32)


def features(text: str) -> dict[str, float]:
    """Return the features of ``text`` with their weights. Case, accents and forms of letters are folded."""
    weights: dict[str, float] = {}
    words = list(_words(text))
    for word, times in Counter(words).items():
        frequency = 1 + math.log(times)
        for feature, weight in _word_features(word):
            weights[feature] = weights.get(feature, 0.0) + weight * frequency
    for pair, times in Counter(pairwise(words)).items():
        weight = _PAIR * math.sqrt(_weight(pair[0]) * _weight(pair[1]))
        weights[f"2{pair[0]} {pair[1]}"] = weight * (1 + math.log(times))
    return weights


def _word_features(word: str) -> Iterator[tuple[str, float]]:
    """Yield the word itself and its pieces; all pieces together weigh as much as one word."""
    weight = _weight(word)
    yield f"1{word}", weight
    if _DENSE.match(word):
        return
    padded = f"<{word}>"
    pieces = [padded[at : at + size] for size in _PIECES for at in range(len(padded) - size + 1)]
    share = weight * _PIECE / math.sqrt(len(pieces) or 1)
    for piece in pieces:
        yield f"3{piece}", share


def _weight(word: str) -> float:
    """Return the weight of ``word``: long words and numbers tell more about a text than short words."""
    if _DENSE.match(word):
        return _SINGLE
    return 1.0 if word.isdigit() else min(1.0, len(word) / 6) ** 2


def _words(text: str) -> Iterator[str]:
    """Yield the words of ``text`` in order, in folded form; letters of dense scripts one by one."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).translate(_ACCENTS)
    for part in unicodedata.normalize("NFC", folded).translate(_BLANKS).split():
        for piece in _DENSE.split(part):
            if _DENSE.match(piece):
                yield from piece
            elif piece:
                yield piece


class _Blanks(dict[int, str]):
    """A table for ``str.translate`` that replaces everything but letters, digits and marks by a blank."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        self[code] = letter if unicodedata.category(letter)[0] in "LNM" else " "
        return self[code]


_BLANKS = _Blanks()

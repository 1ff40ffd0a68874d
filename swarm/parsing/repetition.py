"""Detect a model that is stuck and repeats the same text until it reaches its token limit."""

_LEAST = 2000
"""Characters of one repeated piece before it counts: rulers, tables and songs stay below."""
_COPIES = 4
_LONGEST = 2000
"""Characters of the longest piece that is looked for."""
_PROBE = 200
_EVERY = 512
"""Characters between two looks: at fixed places, so that the pieces that a text comes in make no difference."""
_CANDIDATES = 4


class RepetitionGuard:
    """Follows a text as it comes. ``stuck`` is true once its end is one piece, repeated, and nothing else."""

    def __init__(self) -> None:
        self.stuck = False
        self._end = ""
        self._length = 0

    def add(self, text: str) -> bool:
        """Take the next piece of the text; return whether the model is stuck."""
        while text and not self.stuck:
            step = _EVERY - self._length % _EVERY
            piece, text = text[:step], text[step:]
            self._length += len(piece)
            self._end = (self._end + piece)[-_COPIES * _LONGEST :]
            if self._length % _EVERY == 0:
                self.stuck = repeated_piece(self._end) is not None
        return self.stuck


def repeated_piece(text: str) -> int | None:
    """Return the length of the piece that fills the end of ``text``, ``None`` if there is no such piece."""
    if len(text) < _LEAST:
        return None
    probe, end = text[-_PROBE:], len(text) - 1
    for _ in range(_CANDIDATES):
        start = text.rfind(probe, max(0, len(text) - _LONGEST - _PROBE), end)
        if start < 0:
            return None
        length = len(text) - _PROBE - start
        needed = max(_LEAST, _COPIES * length)
        if len(text) >= needed and text[-needed + length :] == text[-needed:-length]:
            return length
        end = start + _PROBE - 1
    return None


def cut_repetition(text: str) -> tuple[str, str]:
    """Return ``text`` without the repeated piece at its end, and with it once."""
    length = repeated_piece(text)
    if length is None:
        return text, text
    start = len(text) - length
    while start > 0 and text[start - 1] == text[start - 1 + length]:
        start -= 1
    return text[:start], text[: start + length]

"""Compute the cost of a model's answer."""

from collections.abc import Sequence

_MILLION = 1_000_000


def dollars(usage: object, prices: Sequence[float] | None) -> float | None:
    """Return the cost of an answer with this ``usage``; ``None`` without prices or without counts of the server.

    ``prices`` are those of a million tokens of input and of output.
    """
    if not prices or not isinstance(usage, dict):
        return None
    sent, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(sent, int) or not isinstance(answered, int):
        return None
    return (sent * prices[0] + answered * prices[1]) / _MILLION

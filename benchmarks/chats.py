"""Chats with tool calls, as message lists of the chat API, for the benchmarks that cut them."""

import random
from typing import Any

SYSTEM = {"role": "system", "content": "You are the desk of a small archive. Be brief, and say where you looked."}
_WORDS = (
    "the letter of a ship from Bergen that was lost in spring and found again by two fishers who kept its bell for "
    "years before anyone asked what became of it so they told us when and where they saw how it lay under cold water "
    "with all its ropes still coiled: 41 crates, 7 barrels (empty), a map of Skye, and nothing else to be sold there"
).split()
_QUESTION, _ANSWER, _RESULT, _ARGUMENT = (10, 60), (30, 160), (40, 300), (2, 8)
_WITH_TOOLS = 0.36
"""The share of turns that call tools: makes 16 % of the messages results."""
_PARALLEL = 0.3


def chat(length: int, seed: int, *, loop: int = 0) -> list[dict[str, Any]]:
    """Return a chat of ``length`` messages or a few more, the system message first.

    With ``loop`` it ends within a turn: a question, about so many messages of calls and their results, and no answer.
    The same arguments give the same chat.
    """
    rng = random.Random(seed)
    messages: list[dict[str, Any]] = [SYSTEM]
    while len(messages) < length - loop:
        messages.append(_message("user", rng, _QUESTION))
        if rng.random() < _WITH_TOOLS:
            messages += _step(rng, len(messages))
        messages.append(_message("assistant", rng, _ANSWER))
    if loop:
        messages.append(_message("user", rng, _QUESTION))
        end = len(messages) + loop
        while len(messages) < end:
            messages += _step(rng, len(messages))
    return messages


def _step(rng: random.Random, place: int) -> list[dict[str, Any]]:
    """Return a message with a call or two, and their results."""
    ids = [f"call_{place}_{number}" for number in range(2 if rng.random() < _PARALLEL else 1)]
    calls = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": "look_up", "arguments": f'{{"words": "{_text(rng, _ARGUMENT)}"}}'},
        }
        for call_id in ids
    ]
    results = [{"role": "tool", "tool_call_id": call_id, "content": _text(rng, _RESULT)} for call_id in ids]
    return [{"role": "assistant", "content": None, "tool_calls": calls}, *results]


def _message(role: str, rng: random.Random, words: tuple[int, int]) -> dict[str, Any]:
    return {"role": role, "content": _text(rng, words)}


def _text(rng: random.Random, words: tuple[int, int]) -> str:
    """Return a text that no other message has: nothing is to gain from having counted the same before."""
    start, number = rng.randrange(10**9), rng.randint(*words)
    pieces = [_WORDS[(start + place * 7) % len(_WORDS)] for place in range(number)]
    return f"{start}: {' '.join(pieces)}"

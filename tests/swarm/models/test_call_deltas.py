"""The work for tool calls grows as their length, however they are cut, and a repeat is told from a next piece."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import assert_linear
from swarmchat.swarm.models.call_deltas import ToolCallDeltas

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('{}[]"\\a ', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{}"\\', max_size=3), inner, max_size=3),
    max_leaves=10,
)


def delta(arguments: str, index: int | None = 0, **more: Any) -> list[Any]:
    return [{"function": {"arguments": arguments}, **more} | ({} if index is None else {"index": index})]


@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3), st.lists(st.integers(0, 40), max_size=5), st.data())
def test_a_whole_object_is_not_a_part_wherever_it_is_cut(value: dict[str, Any], cuts: list[int], data: Any):
    text = json.dumps(value) + data.draw(st.sampled_from(["", " ", "\n"]))
    calls = ToolCallDeltas()
    calls.add([{"index": 0, "id": "a", "function": {"name": "f"}}])
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    for start, end in pairwise(places):
        calls.add(delta(text[start:end]))
    calls.add(delta(text))
    assert [call.arguments for call in calls.finish()] == [text], "all of it sent again counts once"


PIECES = {
    "a long text": lambda n: ['{"x":"', *["abcd"] * n, '"}'],
    "brackets": lambda n: ['{"x":[', *["[],"] * n, "1]}"],
    "a second value": lambda n: ["{}"] + ["{}"] * n,
    "escapes": lambda n: ['{"x":"', *["\\\\"] * n, '"}'],
    "spaces after the end": lambda n: ["{}", *[" "] * n],
    "spaces before the start": lambda n: [" "] * n,
    "no object": lambda n: ["1"] * n,
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_many_small_deltas_take_linear_work(pieces: Any):
    def work(size: int) -> None:
        calls = ToolCallDeltas()
        for piece in pieces(size):
            calls.add(delta(piece))
        calls.finish()

    assert_linear(work, 400)


@pytest.mark.parametrize("index", [None, 0, "own"])
def test_many_calls_take_linear_work(index: Any):
    def work(size: int) -> None:
        calls = ToolCallDeltas()
        for number in range(size):
            place = number if index == "own" else index
            calls.add([{"index": place, "id": f"c{number}", "function": {"name": "f", "arguments": "{}"}}])
        assert len(calls.finish()) == size

    assert_linear(work, 200)

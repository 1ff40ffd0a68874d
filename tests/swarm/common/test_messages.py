"""Text and calls are read from every form that a chat message has, and from messages that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.common.messages import calls_of, text_of, texts_of

PARTS = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}, "b", 3]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["function", "text", "type", "name", "id"]), inner),
)


@pytest.mark.parametrize(
    ("message", "text", "texts"),
    [
        ({"content": "hello"}, "hello", ["hello"]),
        ({"content": ""}, "", [""]),
        ({"content": None}, "", []),
        ({}, "", []),
        ({"content": 7}, "", []),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", []),
        ({"content": PARTS}, "a\n[image]\nb\n[part]", ["a"]),
        ({"content": [{"text": None}]}, "[part]", []),
    ],
)
def test_text(message: dict[str, Any], text: str, texts: list[str]) -> None:
    assert text_of(message) == text
    assert list(texts_of(message)) == texts


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({}, []),
        ({"tool_calls": None}, []),
        ({"tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{bad"}}]}, [("c1", "f", "{bad")]),
        ({"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}, [("", "f", "")]),
        ({"tool_calls": [{"id": "c1", "function": {"name": "f"}}]}, [("c1", "f", "{}")]),
        ({"tool_calls": [{"id": "c1", "function": {"arguments": {"x": "ä"}}}]}, [("c1", "", '{"x": "ä"}')]),
        ({"tool_calls": [None, {"id": "c1"}, {"function": "f"}]}, []),
        ({"function_call": {"name": "f", "arguments": "{}"}}, [("f", "f", "{}")]),
        ({"function_call": "auto"}, []),
    ],
)
def test_calls(message: dict[str, Any], calls: list[tuple[str, str, str]]) -> None:
    assert list(calls_of(message)) == calls


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("content", "refusal", "tool_calls", "function_call"), values)))
def test_no_message_is_too_odd(message: dict[str, Any]) -> None:
    assert isinstance(text_of(message), str)
    assert all(isinstance(text, str) for text in texts_of(message))
    assert all(isinstance(field, str) for call in calls_of(message) for field in call)

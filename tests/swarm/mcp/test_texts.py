"""What a server says is harmless to a terminal, and holds nothing that only a model can see."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.mcp.texts import MAX_DESCRIPTION, is_tool_name, safe_schema, visible


@given(st.text(), st.integers(1, 50))
def test_only_what_can_be_seen_is_left(text, limit):
    shown = visible(text, limit)
    assert len(shown) <= limit
    assert all(char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co") for char in shown)
    assert visible(shown, limit) == shown


def test_plain_text_stays():
    text = "Liest Dateien – 文件 🙂\n\tund mehr"
    assert visible(text) == text
    assert visible("x" * 5000) == "x" * (MAX_DESCRIPTION - 1) + "…"
    assert visible("ig\u200bnore\u202e \U000e0041all\x1b[2J") == "ignore all[2J"


def test_a_schema_is_bounded_and_its_texts_are_visible():
    schema = {"type": "object", "properties": {"a\u200b": {"description": "x\u202ey", "enum": ["\x1b"], "minimum": 1}}}
    assert safe_schema(schema)["properties"] == {"a": {"description": "xy", "enum": [""], "minimum": 1}}
    deep: dict = {}
    for _ in range(200):
        deep = {"items": deep}
    with pytest.raises(ValueError, match="nested more than 100 levels deep"):
        safe_schema(deep)
    with pytest.raises(ValueError, match=r"its schema has 70,0.. characters, more than 64,000"):
        safe_schema({"description": "x" * 70_000})
    assert json.dumps(safe_schema({})) == "{}"


def test_names():
    assert is_tool_name("read_file-2.x")
    assert not is_tool_name("read file")
    assert not is_tool_name("x" * 129)
    assert not is_tool_name("")

"""JSON that any reader takes, texts of any editor, and a limit of nesting for what others wrote."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.common.encoding import (
    MAX_NESTING,
    NestingError,
    decode_json,
    decode_text,
    decode_toml,
    encode_json,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list) else value


@given(VALUES)
def test_everything_is_json(value: Any) -> None:
    assert json.loads(encode_json(value), parse_constant=no_constant) == finite(value)


def test_what_is_not_finite_is_null() -> None:
    usage = {"prompt_tokens": math.nan, "cost": math.inf, "details": [{"cached": -math.inf, "audio": 1.5}]}
    assert encode_json(usage) == b'{"prompt_tokens":null,"cost":null,"details":[{"cached":null,"audio":1.5}]}'


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff")),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_a_text_is_decoded_with_and_without_a_byte_order_mark(text, encoding):
    assert decode_text(text.encode(encoding)) == text


@given(st.binary(), st.binary())
def test_binary_data_is_no_text(before, after):
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"\x89PNG" + before + b"\0" + after)
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"text\0" + after)
    with pytest.raises(UnicodeDecodeError):
        decode_text("text".encode("utf-32") + after)


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
@pytest.mark.parametrize("levels", [MAX_NESTING, MAX_NESTING + 2, 5_000, 200_000])
def test_nesting_has_one_limit(opening: str, levels: int):
    count = levels // sum(opening.count(mark) for mark in "[{")
    closing = "".join({"[": "]", "{": "}"}[mark] for mark in reversed(opening) if mark in "[{")
    text = opening * count + "1" + closing * count
    for form in (text, text.encode()):
        if levels <= MAX_NESTING:
            assert json.loads(form) == decode_json(form)
        else:
            with pytest.raises(NestingError, match="100 levels"):
                decode_json(form)


def test_brackets_in_strings_and_in_a_row_are_no_nesting():
    text = json.dumps({"text": "[{" * 500, "row": [[], {}] * 500})
    assert decode_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ["a = " + "[" * 5_000, "a = " + "[" * 101 + "]" * 101, ".".join("a" * 102) + " = 1"])
def test_nesting_of_toml_has_the_same_limit(text: str):
    with pytest.raises(NestingError, match="100 levels"):
        decode_toml(text)
    assert decode_toml("a = [[1]]") == {"a": [[1]]}

"""JSON that any reader takes."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.common.encoding import encode_json

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

"""Read a structured answer: find the JSON in the model's text, and check it against the requested type."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic_core import from_json
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.names import OUTPUT_TOOL
from swarmchat.swarm.models.base import Answer
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall, parse_loose
from swarmchat.swarm.providers.structured import ONLY_JSON
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.output import OutputType

_MOST_PLACES = 20
"""Places in a text at which a value is looked for."""
_OPENING = re.compile(r"[{\[]")


def read_output(kind: OutputType, answer: Answer, *, repair: bool) -> tuple[Answer, Any]:
    """Return ``answer`` with the JSON alone as its text, and the value in it.

    With ``repair``, the JSON may stand in other text and be damaged. Raises ArgumentsError if no value fits.
    """
    try:
        return answer, kind.parse(answer.text)
    except ArgumentsError as error:
        problem = error
    best: ArgumentsError | None = None
    for value in json_values(answer.text) if repair else ():
        text = json.dumps(value, ensure_ascii=False)
        try:
            return replace(answer, text=text), kind.parse(text)
        except ArgumentsError as error:
            best = best or error
    # What is wrong with a value says more than that there is text around it.
    problem = best or problem
    raise problem


def instruction(kind: OutputType) -> str:
    """Return how to answer, for a model that did not."""
    return f"{ONLY_JSON}{json.dumps(kind.schema, ensure_ascii=False)}"


def partial_value(text: str) -> Any:
    """Return the JSON value that ``text`` is the beginning of, also in a fence; ``None`` if it is none."""
    if text.lstrip().startswith("```"):
        text = text.partition("\n")[2]
    with suppress(ValueError):
        return from_json(text, allow_partial="trailing-strings")
    return None


def json_values(text: str) -> Iterator[Any]:
    """Yield the JSON values in ``text``, the outermost ones only, and of a call that is written out its arguments."""
    position = 0
    for _ in range(_MOST_PLACES):
        match = _OPENING.search(text, position)
        if match is None:
            return
        position = match.end()
        with suppress(NotACall, NeedMore):
            parsed = parse_loose(text, match.start())
            if not parsed.broken:
                yield _arguments(parsed.value)
                position = parsed.end


def _arguments(value: Any) -> Any:
    """Return the arguments of a call of the answer's tool, which small models write as text; else ``value``."""
    if not isinstance(value, dict) or value.get("name") != OUTPUT_TOOL:
        return value
    arguments = value.get("arguments", value.get("parameters", value))
    if isinstance(arguments, str):
        with suppress(ValueError):
            return decode_json(arguments)
    return arguments

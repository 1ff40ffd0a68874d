"""The type of answers that a recorded turn asked for: its schema, and the verdict on each answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from swarmchat.swarm.common.encoding import decode_json, encode_json
from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.replay.script import Action
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.output import OutputType, output_type
from swarmchat.swarm.turn.output import json_values

_REFUSED = re.compile(r"\(bad_output: (.*)\): ask again", re.DOTALL)
"""What an OutputError says of the answer."""


def recorded_output(action: Action, *, check: bool) -> OutputType | None:
    """Return the type that was asked for with the message of ``action``; ``None`` for the agent's own.

    The log holds its schema, but not the checks of a Python type: without ``check``, an answer is refused if the
    recording says so.
    """
    asked, request = action.records[0], next((record for record in action.records if record.type == "request"), None)
    if "output" not in asked.data:
        return None
    if request is None:
        # The turn ended before a request that would have the schema.
        return OutputType(asked.text("output"), {}, decode_json)
    demanded = _mapping(_mapping(request.data.get("parameters")).get("response_format"))
    about = _mapping(demanded.get("json_schema"))
    schema = _mapping(about.get("schema"))
    if check:
        return output_type({**schema, "title": about.get("name", "")})
    rejected = {
        encode_json(value): problem for text, problem in _rejected(action.records) for value in json_values(text)
    }

    def verdict(text: str) -> Any:
        value = decode_json(text)
        if (problem := rejected.get(encode_json(value))) is not None:
            raise ArgumentsError(problem)
        return value

    return OutputType(str(about.get("name", "")), schema, verdict)


def _rejected(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Yield the answers that were refused, and what was wrong with each."""
    answer = ""
    for record in records:
        if record.type == "rescue" and record.data.get("cause") == "bad_output" and record.data["step"] != "repair":
            yield text_of(_mapping(record.data.get("bad"))), str(record.data.get("detail", ""))
        elif record.type == "assistant":
            answer = text_of(record.message)
        elif record.type == "error":
            # The last one was refused with an error in place of a step.
            match = _REFUSED.search(str(_mapping(record.data.get("error")).get("message")))
            if match:
                yield answer, match[1]


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

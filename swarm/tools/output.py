"""The type of a structured answer: its JSON schema for the model, and the check of the model's answer."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import to_json
from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.mistakes import described, shown
from swarmchat.swarm.common.names import OUTPUT_TOOL
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.providers.structured import closed_schema, is_strict
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.json_schema import check_schema, problems
from swarmchat.swarm.tools.schema import described_errors, plain_schema

WRAPPER = "answer"
"""The property that holds an answer that is not an object: servers and tools take objects only."""


@dataclass(frozen=True, eq=False)
class OutputType:
    """The type of an answer. Made by ``output_type``."""

    name: str
    schema: Mapping[str, Any]
    """The JSON schema of the text that the model writes: always that of an object."""
    check: Callable[[str], Any]
    """Returns the value in a JSON text. Raises ArgumentsError, with the problems, if it does not fit."""
    wrapped: bool = False
    """Whether the value stands in the property ``answer`` of that object."""

    @cached_property
    def response_format(self) -> Mapping[str, Any]:
        """The field ``response_format`` of a request."""
        about = {"name": self.name, "schema": self.schema, "strict": is_strict(self.schema)}
        return {"type": "json_schema", "json_schema": about}

    @cached_property
    def definition(self) -> Mapping[str, Any]:
        """The type as a tool that the model answers with."""
        text = "Give the final answer."
        return {"type": "function", "function": {"name": OUTPUT_TOOL, "description": text, "parameters": self.schema}}

    def parse(self, text: str) -> Any:
        """Return the value in ``text``. Raises ArgumentsError, with the problems, if it does not fit."""
        try:
            value = decode_json(text)
        except ValueError as error:
            raise ArgumentsError(f"it is not JSON ({error})") from error
        if self.wrapped and isinstance(value, dict) and set(value) == {WRAPPER}:
            text = to_json(value[WRAPPER]).decode()
        return self.check(text)


def output_type(kind: Any) -> OutputType:
    """Return the type of answers that ``kind`` describes: a type that pydantic knows, or a JSON schema as a mapping.

    Raises DefinitionError if it cannot be described as JSON schema.
    """
    if isinstance(kind, OutputType):
        return kind
    if isinstance(kind, Mapping):
        return _of_schema(kind)
    if isinstance(kind, str):
        raise DefinitionError(f"output is {kind!r}, expected a type: write output={kind}")
    name = getattr(kind, "__name__", "") or str(kind)
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
        schema = plain_schema(adapter.json_schema())
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"output is {shown(kind)}, which cannot be described to a model ({described(error)}): "
            "use a type that pydantic knows, such as a BaseModel, or a JSON schema"
        ) from error

    def check(text: str) -> Any:
        try:
            return adapter.validate_json(text)
        except ValidationError as error:
            raise ArgumentsError(described_errors(error, "the value")) from error

    return _made(name, schema, check)


def _of_schema(schema: Mapping[str, Any]) -> OutputType:
    check_schema(schema)

    def check(text: str) -> Any:
        value = decode_json(text)
        if messages := list(problems(value, schema, schema)):
            raise ArgumentsError("; ".join(messages[:10]))
        return value

    return _made(str(schema.get("title", "")), schema, check)


def _made(name: str, schema: Mapping[str, Any], check: Callable[[str], Any]) -> OutputType:
    # The characters and the length that servers allow for names.
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64] or WRAPPER
    schema = closed_schema(schema)
    if schema.get("type") == "object":
        return OutputType(name, schema, check)
    definitions = {key: value for key, value in schema.items() if key in ("$defs", "definitions")}
    inner = {key: value for key, value in schema.items() if key not in definitions}
    whole = {"type": "object", "properties": {WRAPPER: inner}, "required": [WRAPPER], **definitions}
    return OutputType(name, closed_schema(whole), check, wrapped=True)

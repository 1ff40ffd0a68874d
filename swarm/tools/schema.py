"""From a function's signature and docstring to what a model is told of it, and to what its arguments are checked by."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from swarmchat.swarm.errors import DefinitionError

_SECTION = re.compile(r"(args|arguments|parameters|params)\s*:?\s*$", re.IGNORECASE)
_AFTER = re.compile(r":?(?:returns?|raises|yields?)\s*:|(?:examples?|notes?)\s*:\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """What a tool takes."""

    description: str
    parameters: Mapping[str, Any]
    """A JSON schema without references, where it is not recursive: not every server follows those."""
    arguments: type[BaseModel]
    """Checks and coerces arguments."""
    context: str | None
    """The name of the parameter that gets the tool's Context, if there is one."""


def read_signature(function: Callable[..., Any], name: str, context_type: type) -> Signature:
    """Read ``function``. A parameter called ``ctx``, or annotated with ``context_type``, is left to the program.

    Raises DefinitionError for a signature that a model cannot be told of.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise DefinitionError(f"tool {name!r}: its annotations cannot be read ({error})") from error
    description, told = _read_docstring(inspect.getdoc(function) or "", inspect.signature(function).parameters)
    fields: dict[str, Any] = {}
    context = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, Any)
        if hint is context_type or (parameter.name == "ctx" and hint is Any):
            context = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(f"tool {name!r}: a model cannot be told of the parameter {parameter}: name it")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, Field(default, description=told.get(parameter.name)))
    try:
        arguments = create_model(
            name, __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True, protected_namespaces=()), **fields
        )
        schema = arguments.model_json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DefinitionError(f"tool {name!r}: a model cannot be told of its parameters ({reason})") from error
    return Signature(description, _plain(schema), arguments, context)


def _read_docstring(text: str, parameters: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """Return the description, and what is said of each parameter.

    A line ``name: …`` or ``:param name: …`` that names a parameter begins what is said of it, and the indented lines
    below it go on; sections such as "Returns:" are not for the model.
    """
    description: list[str] = []
    told: dict[str, str] = {}
    current: str | None = None
    skipping = False
    for line in text.splitlines():
        bare = line.strip()
        match = re.match(r"(?::param\s+)?\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)", bare)
        if _SECTION.match(bare) or _AFTER.match(bare):
            current, skipping = None, bool(_AFTER.match(bare))
        elif match and match[1] in parameters:
            current, skipping = match[1], False
            told[current] = match[2]
        elif current and bare and line[:1].isspace():
            told[current] = f"{told[current]} {bare}".strip()
        elif not skipping and (not bare or current is None or not line[:1].isspace()):
            current = None
            description.append(bare)
    return re.sub(r"\n{2,}", "\n\n", "\n".join(description)).strip(), told


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema without titles, with references put in place unless they are recursive."""
    definitions = schema.get("$defs", {})
    recursive: set[str] = set()

    def walk(node: Any, inside: tuple[str, ...]) -> Any:
        if isinstance(node, list):
            return [walk(item, inside) for item in node]
        if not isinstance(node, dict):
            return node
        reference = node.get("$ref", "").removeprefix("#/$defs/")
        if reference in inside:
            recursive.add(reference)
            return dict(node)
        if reference in definitions:
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return {**walk(definitions[reference], (*inside, reference)), **walk(beside, inside)}
        # A property may be called "title" too: what is under "properties" are names, not keywords.
        return {
            key: {name: walk(item, inside) for name, item in value.items()}
            if key == "properties"
            else walk(value, inside)
            for key, value in node.items()
            if key not in ("$defs", "title") or (key == "title" and not isinstance(value, str))
        }

    plain: dict[str, Any] = walk(schema, ())
    if recursive:
        plain["$defs"] = {name: walk(definitions[name], (name,)) for name in sorted(recursive)}
    plain.setdefault("properties", {})
    return plain

"""Read a function's signature and docstring: the description for the model, and the check of arguments."""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from swarmchat.swarm.common.mistakes import described, shown
from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.errors import DefinitionError

_SECTION = lazy_pattern(r"(args|arguments|parameters|params)\s*:?\s*$", re.IGNORECASE)
_AFTER = lazy_pattern(r":?(?:returns?|raises|yields?)\s*:|(?:examples?|notes?)\s*:\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """The description and the parameters of a tool."""

    description: str
    parameters: Mapping[str, Any]
    """A JSON schema, without references unless it is recursive: not every server resolves them."""
    arguments: type[BaseModel]
    """The pydantic model that checks and coerces arguments."""
    context: str | None
    """The name of the parameter that gets the tool's Context, if any."""


def read_signature(function: Callable[..., Any], name: str, context_type: type) -> Signature:
    """Return the signature of ``function``. A parameter ``ctx``, or one of type ``context_type``, is not for the model.

    Raises DefinitionError for a signature that cannot be described as JSON schema.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise DefinitionError(f"tool {name!r}: its annotations cannot be resolved ({error})") from error
    description, descriptions = _read_docstring(inspect.getdoc(function) or "", inspect.signature(function).parameters)
    fields: dict[str, Any] = {}
    context = None
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name, Any)
        if context_type in (hint, typing.get_origin(hint)) or (parameter.name == "ctx" and hint is Any):
            context = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise DefinitionError(
                f"tool {name!r}: the parameter {parameter} cannot be described to a model: use parameters with names"
            )
        if parameter.name not in hints and parameter.default is parameter.empty:
            raise DefinitionError(
                f"tool {name!r}: the parameter {parameter.name} has no annotation: write {parameter.name}: str, or "
                "another type, so that the model knows what to pass"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, Field(default, description=descriptions.get(parameter.name)))
    try:
        arguments = create_model(
            name, __config__=ConfigDict(extra="forbid", coerce_numbers_to_str=True, protected_namespaces=()), **fields
        )
        schema = arguments.model_json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"tool {name!r}: its parameters cannot be described to a model ({described(error)}): "
            "use types that pydantic knows"
        ) from error
    for field, (_, about) in fields.items():
        _check_default(name, field, about.default, arguments)
    return Signature(description, {"properties": {}, **plain_schema(schema)}, arguments, context)


def _check_default(tool: str, name: str, default: object, arguments: type[BaseModel]) -> None:
    """Raise DefinitionError for a default that does not fit the annotation. ``None`` is one that Python allows."""
    if default is None or default is ... or default is PydanticUndefined or isinstance(default, FieldInfo):
        return
    try:
        arguments.__pydantic_validator__.validate_assignment(arguments.model_construct(), name, default)
    except ValidationError as error:
        problem = f"the default of {name} is {shown(default)}, which does not fit its annotation"
        raise DefinitionError(f"tool {tool!r}: {problem} ({error.errors()[0]['msg']})") from error


def described_errors(error: ValidationError, whole: str) -> str:
    """Return what pydantic found, for the model; ``whole`` names the value itself."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}" for problem in found)


def _read_docstring(text: str, parameters: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """Return the description of the function, and one of each parameter.

    A line ``name: …`` or ``:param name: …`` starts the description of that parameter, and the indented lines below it
    continue it; sections such as "Returns:" are not for the model.
    """
    description: list[str] = []
    descriptions: dict[str, str] = {}
    current: str | None = None
    skipping = False
    for line in text.splitlines():
        bare = line.strip()
        match = re.match(r"(?::param\s+)?\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)", bare)
        if _SECTION.match(bare) or _AFTER.match(bare):
            current, skipping = None, bool(_AFTER.match(bare))
        elif match and match[1] in parameters:
            current, skipping = match[1], False
            descriptions[current] = match[2]
        elif current and bare and line[:1].isspace():
            descriptions[current] = f"{descriptions[current]} {bare}".strip()
        elif not skipping and (not bare or current is None or not line[:1].isspace()):
            current = None
            description.append(bare)
    return re.sub(r"\n{2,}", "\n\n", "\n".join(description)).strip(), descriptions


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``schema`` without titles, and with references resolved unless they are recursive."""
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
            others = {key: value for key, value in node.items() if key != "$ref"}
            return {**walk(definitions[reference], (*inside, reference)), **walk(others, inside)}
        # A property may be called "title" too: the keys under "properties" are names, not keywords.
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
    return plain

"""Read a function's signature and docstring, which describe the tool to the model.

The JSON schema and the check of arguments need pydantic, whose import takes a third of the time until the first prompt
of a chat with tools. So both are built at their first use. A type that pydantic might not support is tried at once, so
that a mistake is reported where the tool is defined.
"""

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union

from swarmchat.swarm.common.patterns import lazy_pattern
from swarmchat.swarm.errors import DefinitionError

if TYPE_CHECKING:
    from swarmchat.swarm.tools.schema import ArgumentsSchema

_SECTION = lazy_pattern(r"(args|arguments|parameters|params)\s*:?\s*$", re.IGNORECASE)
_AFTER = lazy_pattern(r":?(?:returns?|raises|yields?)\s*:|(?:examples?|notes?)\s*:\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Signature:
    """The description and the parameters of a tool."""

    description: str
    context: str | None
    """The name of the parameter that gets the tool's Context, if any."""
    describe: "Callable[[], ArgumentsSchema]"
    """Makes ``schema``."""

    @cached_property
    def schema(self) -> "ArgumentsSchema":
        """The arguments: for the model, and to check what it wrote."""
        return self.describe()

    @property
    def parameters(self) -> Mapping[str, Any]:
        """A JSON schema of the arguments, without references unless it is recursive: not every server resolves them."""
        return self.schema.parameters


def read_signature(function: Callable[..., Any], name: str, context_type: type) -> Signature:
    """Return the signature of ``function``. A parameter ``ctx``, or one of type ``context_type``, is not for the model.

    Raises DefinitionError for a signature that cannot be described as JSON schema.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise DefinitionError(f"tool {name!r}: its annotations cannot be resolved ({error})") from error
    described = inspect.signature(function).parameters
    description, descriptions = _read_docstring(inspect.getdoc(function) or "", described)
    parameters: dict[str, tuple[Any, Any, str | None]] = {}
    context = None
    for parameter in described.values():
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
        parameters[parameter.name] = hint, default, descriptions.get(parameter.name)

    def describe() -> "ArgumentsSchema":
        from swarmchat.swarm.tools.schema import describe_parameters

        return describe_parameters(name, parameters)

    signature = Signature(description, context, describe)
    if not all(_is_plain(hint, default) for hint, default, _ in parameters.values()):
        _ = signature.schema
    return signature


def _is_plain(hint: Any, default: Any) -> bool:
    """Whether pydantic surely takes the type, and the default fits it."""
    return _is_plain_type(hint) and (default is ... or default is None or type(default) is hint)


def _is_plain_type(hint: Any) -> bool:
    if hint in (str, int, float, bool, NoneType):
        return True
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return all(isinstance(value, str) for value in inner)
    return origin in (list, Union, UnionType) and all(map(_is_plain_type, inner))


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

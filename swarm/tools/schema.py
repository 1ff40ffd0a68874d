"""The arguments of a tool: their JSON schema for the model, and the check of the model's values, with pydantic."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from swarmchat.swarm.common.mistakes import described, shown
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.tools.context import ArgumentsError


@dataclass(frozen=True)
class ArgumentsSchema:
    """The arguments of a tool."""

    parameters: Mapping[str, Any]
    """A JSON schema, without references unless it is recursive."""
    model: type[BaseModel]
    """The pydantic model that checks and coerces arguments. Its fields have the parameters as their aliases."""

    def checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``values`` in the types of the parameters, with defaults. Raises ArgumentsError."""
        try:
            checked = self.model.model_validate(values)
        except ValidationError as error:
            raise ArgumentsError(described_errors(error, "arguments")) from error
        return {str(field.alias): getattr(checked, name) for name, field in self.model.model_fields.items()}

    def fits(self, arguments: str) -> bool:
        """Whether the JSON ``arguments`` fit without a conversion to other types."""
        try:
            self.model.model_validate_json(arguments or "{}", strict=True)
        except ValueError:
            return False
        return True


def describe_parameters(tool: str, parameters: Mapping[str, tuple[Any, Any, str | None]]) -> ArgumentsSchema:
    """Return the arguments of ``tool``, by type, default (``...``: none) and description of each parameter.

    Raises DefinitionError for a type that JSON schema cannot describe, and for a default that does not fit.
    """
    # A parameter may have any name, also one that a pydantic model uses for itself, such as json or _id.
    fields: dict[str, Any] = {
        f"parameter_{number}": (hint, Field(default, alias=name, description=description))
        for number, (name, (hint, default, description)) in enumerate(parameters.items())
    }
    try:
        config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, protected_namespaces=())
        model = create_model(tool, __config__=config, **fields)
        schema = model.model_json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, NameError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"tool {tool!r}: its parameters cannot be described to a model ({described(error)}): "
            "use types that pydantic knows"
        ) from error
    for field, (name, (_, default, _)) in zip(fields, parameters.items(), strict=True):
        _check_default(tool, name, default, model, field)
    return ArgumentsSchema({"properties": {}, **plain_schema(schema)}, model)


def _check_default(tool: str, name: str, default: object, model: type[BaseModel], field: str) -> None:
    """Raise DefinitionError for a default that does not fit the annotation. ``None`` is one that Python allows."""
    if default is None or default is ... or default is PydanticUndefined or isinstance(default, FieldInfo):
        return
    try:
        model.__pydantic_validator__.validate_assignment(model.model_construct(), field, default)
    except ValidationError as error:
        problem = f"the default of {name} is {shown(default)}, which does not fit its annotation"
        raise DefinitionError(f"tool {tool!r}: {problem} ({error.errors()[0]['msg']})") from error


def described_errors(error: ValidationError, whole: str) -> str:
    """Return what pydantic found, for the model; ``whole`` names the value itself."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}" for problem in errors)


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

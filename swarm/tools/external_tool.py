"""Tools that another program describes by a JSON schema, such as those of an MCP server."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.tools.context import ArgumentsError, Context, ToolFailure
from swarmchat.swarm.tools.json_schema import inlined_root, problems
from swarmchat.swarm.tools.signature import Signature
from swarmchat.swarm.tools.tool import Tool

if TYPE_CHECKING:
    from swarmchat.swarm.tools.schema import ArgumentsSchema


@dataclass(frozen=True)
class ExternalTool(Tool):
    """A tool with a given description and schema. Its function gets the context, and the arguments as one mapping."""

    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The JSON schema of the arguments: that of an object."""
    hint: str = ""
    """What its owner says of it, for the user who is asked about a call; such as "read-only"."""

    def __post_init__(self) -> None:
        self._check_definition()
        object.__setattr__(self, "signature", Signature(self.description, "ctx", self._describe))

    def _describe(self) -> "ArgumentsSchema":
        from pydantic import ConfigDict, create_model
        from swarmchat.swarm.tools.schema import ArgumentsSchema

        model = create_model("Arguments", __config__=ConfigDict(extra="allow"))
        return ArgumentsSchema({"type": "object", "properties": {}, **inlined_root(self.parameters)}, model)

    def read_arguments(self, arguments: str) -> dict[str, Any]:
        """Parse and check the JSON ``arguments`` that a model wrote. Raises ArgumentsError."""
        try:
            values = decode_json(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ArgumentsError(f"the arguments are not valid JSON ({error})") from error
        if not isinstance(values, dict):
            raise ArgumentsError(f"the arguments are {json.dumps(values)[:80]}, expected a JSON object")
        values = {name: self._decoded(name, value) for name, value in values.items()}
        if problems := self._problems(values):
            raise ArgumentsError("; ".join(problems))
        return {"arguments": values}

    def _decoded(self, name: str, value: Any) -> Any:
        """Return ``value``, or what it is the JSON of if the schema wants no text: models write "5" for 5."""
        properties = self.signature.parameters.get("properties")
        schema = properties.get(name) if isinstance(properties, Mapping) else None
        if not isinstance(value, str) or not isinstance(schema, Mapping) or not self._misfits(value, schema):
            return value
        with suppress(ValueError):
            decoded = decode_json(value)
            return value if self._misfits(decoded, schema) else decoded
        return value

    def _misfits(self, value: Any, schema: Mapping[str, Any]) -> bool:
        try:
            return any(problems(value, schema, self.parameters, patterns=False))
        except Exception:
            return False

    def _problems(self, values: Mapping[str, Any]) -> list[str]:
        schema = self.signature.parameters
        try:
            return list(problems(values, schema, schema, patterns=False))
        except Exception:
            # The schema itself is wrong: its owner checks the arguments, too.
            return []

    def for_record(self) -> dict[str, Any]:
        """Return what a replay needs to offer the same tool."""
        about: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }
        if not self.effects:
            about["effects"] = False
        if self.approve != "auto":
            about["approve"] = self.approve
        return about


def recorded_tool(about: object) -> ExternalTool | None:
    """Return the tool that ``for_record`` has described, without a program behind it; ``None`` if it is damaged."""
    if not isinstance(about, Mapping) or not isinstance(about.get("parameters"), Mapping):
        return None
    with suppress(DefinitionError):
        return ExternalTool(
            str(about.get("name")),
            _unreachable,
            approve=about.get("approve", "auto"),
            effects=about.get("effects") is not False,
            description=str(about.get("description", "")),
            parameters=about["parameters"],
        )
    return None


async def _unreachable(ctx: Context, arguments: Mapping[str, Any]) -> str:
    raise ToolFailure("this tool belongs to an MCP server, and a replay starts none")

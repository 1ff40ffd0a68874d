"""The form in which a request asks for an answer that fits a JSON schema.

``format``: the field ``response_format``, if the server has it. ``tool``: a tool with the schema as parameters that the
model must call; if tools are offered, all servers except OpenAI's get this form, because they apply the format to the
whole answer, so no tool would ever be called (ollama/ollama#8095, ollama/ollama#13750). ``prompt``: a system message
with the schema, if the server supports neither.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.names import OUTPUT_TOOL

NO_FORMAT = "no-response-format"
"""The adaptation to servers without this format."""
TOOLS_OFF = "tools-off"
"""The adaptation to a missing switch: kept only while the process runs, because the server may be started again."""
WITHOUT_TOOLS = frozenset((TOOLS_OFF, "no-tools"))
"""The adaptations that leave the tools out."""

Form = Literal["format", "tool", "prompt"]

_COMBINES = ("api.openai.com", ".openai.azure.com")
"""The servers that call tools although there is a format for the answer."""
_STRICT = frozenset(
    "type properties required additionalProperties items enum const anyOf description $ref $defs".split()
)
"""The keywords that OpenAI's strict mode takes for every model."""


def demands_output(fields: Mapping[str, Any]) -> bool:
    """Whether ``fields`` of a request demand an answer that fits a schema."""
    demanded = fields.get("response_format")
    return isinstance(demanded, Mapping) and demanded.get("type") == "json_schema"


def output_form(adaptations: Collection[str], fields: Mapping[str, Any], address: str) -> Form | None:
    """Return the form for the server at ``address``; ``None`` if ``fields`` demand no such answer."""
    if not demands_output(fields):
        return None
    has_tools = "tools" in fields and WITHOUT_TOOLS.isdisjoint(adaptations)
    if NO_FORMAT not in adaptations and "without-response_format" not in adaptations:
        host = urlsplit(address).hostname or ""
        if not has_tools or host.endswith(_COMBINES):
            return "format"
    return "prompt" if {*WITHOUT_TOOLS, "without-tool_choice"}.intersection(adaptations) else "tool"


def with_output_form(form: Form | None, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` with the answer demanded in ``form``."""
    if form is None or form == "format":
        return dict(fields)
    changed = {name: value for name, value in fields.items() if name != "response_format"}
    if form == "tool":
        # Who must not call tools any more can still answer.
        others = [] if fields.get("tool_choice") == "none" else fields.get("tools", ())
        changed["tools"] = [*others, _definition(fields)]
        # Not the name of the tool: llama.cpp takes words only.
        changed["tool_choice"] = "required"
    return changed


def instruction(fields: Mapping[str, Any]) -> bytes:
    """Return the system message of the form ``prompt``."""
    schema = json.dumps(fields["response_format"]["json_schema"]["schema"], ensure_ascii=False)
    return encode_json({"role": "system", "content": f"{ONLY_JSON}{schema}"})


ONLY_JSON = "Answer with JSON alone, without any text before or after it, that fits this JSON schema: "


def _definition(fields: Mapping[str, Any]) -> dict[str, Any]:
    schema = fields["response_format"]["json_schema"]["schema"]
    function = {"name": OUTPUT_TOOL, "description": "Give the final answer.", "parameters": schema}
    return {"type": "function", "function": function}


def closed_schema(node: Any) -> Any:
    """Return the JSON schema ``node`` closed to unknown properties, unless it says itself whether it is."""
    if isinstance(node, list):
        return [closed_schema(each) for each in node]
    if not isinstance(node, Mapping):
        return node
    closed = {
        key: {name: closed_schema(each) for name, each in value.items()}
        if key in ("properties", "$defs") and isinstance(value, Mapping)
        else value
        if key in ("enum", "const", "default", "examples")
        else closed_schema(value)
        for key, value in node.items()
    }
    if "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


def is_strict(node: Any) -> bool:
    """Whether OpenAI's strict mode accepts a closed schema: all properties required, and no rare keywords."""
    if not isinstance(node, Mapping) or not _STRICT.issuperset(node):
        return False
    properties = node.get("properties", {})
    is_object = node.get("type") == "object"
    if is_object and (
        node.get("additionalProperties") is not False or set(node.get("required", ())) != set(properties)
    ):
        return False
    inner = [*properties.values(), *node.get("$defs", {}).values(), *node.get("anyOf", ())]
    return all(map(is_strict, [*inner, *([node["items"]] if "items" in node else [])]))

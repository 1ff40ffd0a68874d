"""Read a swarm from a TOML file, which needs no programming; its tools are in a Python file next to it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.agents.operator import Operator
from swarmchat.swarm.agents.python_file import load_module
from swarmchat.swarm.agents.replay_rules import ReplayRules
from swarmchat.swarm.agents.rescue_steps import STEPS, Step
from swarmchat.swarm.common.encoding import decode_toml
from swarmchat.swarm.common.files import read_text_file
from swarmchat.swarm.common.names import AGENT_TOOL, nearest
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.mcp.server import McpServer, read_server
from swarmchat.swarm.models.demo import DemoRule
from swarmchat.swarm.primitives.policy import Policy
from swarmchat.swarm.primitives.state import State
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.storage.items import FieldIndex
from swarmchat.swarm.tools.agent_tool import agent_tool
from swarmchat.swarm.tools.tool import Tool, as_tool

TOOLS = "tools.py"

_SWARM = {
    **dict.fromkeys(("name", "default", "tools", "placeholder", "namespace"), str),
    **dict.fromkeys(("agents", "operators", "policies", "states", "storages", "mcp", "replay"), dict),
    **dict.fromkeys(("demo", "rescue"), list),
}
_AGENT = {
    **dict.fromkeys(("prompt", "reminder", "description", "model", "validate"), str),
    **dict.fromkeys(("tools", "handoffs", "system"), list),
    "parameters": dict,
    "max_tool_calls": int,
    "output": (str, dict),
    "as_tool": dict,
}
_OPERATOR = {
    **dict.fromkeys(("description", "hours", "timezone"), str),
    "timeout": (int, float),
    "tools": list,
}
_AS_TOOL = {
    **dict.fromkeys(("description", "history"), str),
    **dict.fromkeys(("requests", "tokens"), int),
    "seconds": (int, float),
    "background": bool,
}
_POLICY = {
    **dict.fromkeys(("reject_input", "reject_output"), (str, list)),
    "ban": bool,
    "normalize": bool,
    "ban_for": (int, float),
    "message": str,
}
_STATE = {"default": object, "type": str, "shared": bool}
_STORAGE = {"items": list, "index": (str, list), "shared": bool}
_REPLAY = {"ignore": list, "normalize": list}
_DEMO = {"pattern": str, "call": str, "arguments": dict, "reply": str, "say": str, "leak": bool}


def read_toml(path: Path) -> Swarm:
    """Return the swarm that the file ``path`` describes.

    Tools are functions in ``tools.py`` next to it, or in the file that ``tools`` names. Raises DefinitionError, naming
    the file, the line or the key, and the most similar valid name.
    """
    try:
        content = decode_toml(read_text_file(path))
    except (OSError, ValueError) as error:
        raise DefinitionError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        return _Reader(path, content).swarm()
    except DefinitionError as error:
        message = str(error)
        raise DefinitionError(message if message.startswith(str(path.parent)) else f"{path}: {message}") from error


class _Reader:
    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path = path
        self._content = content
        self._tools: ModuleType | None = None

    def swarm(self) -> Swarm:
        content = _checked("", self._content, _SWARM)
        agents = self._section("agents", _AGENT)
        if not agents:
            raise DefinitionError("no agents defined: add one as [agents.NAME]")
        return Swarm(
            name=content.get("name", self._path.parent.resolve().name),
            default=content.get("default", ""),
            agents=[self._agent(name, fields) for name, fields in agents.items()],
            operators=[self._operator(name, fields) for name, fields in self._section("operators", _OPERATOR).items()],
            policies=[Policy(name, **fields) for name, fields in self._section("policies", _POLICY).items()],
            states=[self._state(name, fields) for name, fields in self._section("states", _STATE).items()],
            storages=[self._storage(name, fields) for name, fields in self._section("storages", _STORAGE).items()],
            mcp=[self._server(name, fields) for name, fields in self._content.get("mcp", {}).items()],
            rescue=self._steps(content.get("rescue")),
            placeholder=content.get("placeholder"),
            replay=ReplayRules(**_checked("replay", content["replay"], _REPLAY)) if "replay" in content else None,
            namespace=content.get("namespace", ""),
            demo=[self._demo(f"demo[{number}]", rule) for number, rule in enumerate(content.get("demo", ()))],
        )

    def _steps(self, names: Sequence[str] | None) -> Sequence[Step] | None:
        """Return the rescue steps: built-in names, and functions of the tools file."""
        if names is None:
            return None
        return [name if name in STEPS else self._named("rescue", name, callable) for name in names]

    def _demo(self, where: str, fields: object) -> DemoRule:
        rule = _checked(where, fields, _DEMO)
        if "pattern" not in rule:
            raise DefinitionError(f"{where} has no pattern: add a regular expression")
        return DemoRule(**rule)

    def _section(self, section: str, types: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        parts = self._content.get(section, {})
        return {name: _checked(f"{section}.{name}", fields, types) for name, fields in parts.items()}

    def _agent(self, name: str, fields: dict[str, Any]) -> Agent:
        tools = [self._tool(f"agents.{name}.tools", tool) for tool in fields.pop("tools", ())]
        _checked(f"agents.{name}.as_tool", fields.pop("as_tool", {}), _AS_TOOL)
        if "validate" in fields:
            fields["validate"] = self._named(f"agents.{name}.validate", fields["validate"], callable)
        if isinstance(fields.get("output"), str):
            fields["output"] = self._named(
                f"agents.{name}.output", fields["output"], lambda value: isinstance(value, type)
            )
        return Agent(name, tools=tools, **fields)

    def _operator(self, name: str, fields: dict[str, Any]) -> Operator:
        tools = [self._tool(f"operators.{name}.tools", tool) for tool in fields.pop("tools", ())]
        return Operator(name, tools=tools, **fields)

    def _tool(self, where: str, name: object) -> Tool | str:
        if str(name).startswith(AGENT_TOOL):
            agent = str(name).removeprefix(AGENT_TOOL)
            # Swarm says if it is unknown.
            fields = self._content["agents"].get(agent, {}).get("as_tool", {})
            return agent_tool(agent, **_checked(f"agents.{agent}.as_tool", fields, _AS_TOOL))
        if "/" in str(name):
            return str(name)
        return as_tool(self._named(where, name, lambda value: callable(value) or isinstance(value, Tool)))

    def _server(self, name: str, fields: object) -> McpServer:
        """Return an MCP server, which runs in the folder of the file unless it names another one."""
        server = read_server(name, fields)
        folder = self._path.parent.resolve()
        return replace(server, cwd=str(folder / server.cwd if server.cwd else folder)) if server.command else server

    def _state(self, name: str, fields: Mapping[str, Any]) -> State[Any]:
        shared = fields.get("shared", False)
        if "type" in fields:
            cls = self._named(f"states.{name}.type", fields["type"], lambda value: isinstance(value, type))
            default = fields.get("default")
            try:
                default = cls(**default) if isinstance(default, dict) else default
            except (TypeError, ValueError) as error:
                raise DefinitionError(f"states.{name}.default does not fit {fields['type']}: {error}") from error
            return State(name, default=cls if default is None else default, type=cls, shared=shared)
        if "default" not in fields:
            raise DefinitionError(f"states.{name} has no default: add one, or a type from {self._tools_path.name}")
        return State(name, default=fields["default"], shared=shared)

    def _storage(self, name: str, fields: Mapping[str, Any]) -> Storage[Any]:
        index = fields.get("index")
        if index is None:
            raise DefinitionError(f"storages.{name} has no index: name the field or fields to search")
        names = [index] if isinstance(index, str) else index
        items = fields.get("items", ())
        for position, item in enumerate(items):
            if missing := [field for field in names if not isinstance(item, dict) or field not in item]:
                raise DefinitionError(
                    f"storages.{name}.items[{position}] has no field {missing[0]!r}, which the index names"
                )
        shared = fields.get("shared", False)
        return Storage(name, index=FieldIndex(tuple(names)), items=items, type=dict, shared=shared)

    def _named(self, where: str, name: object, fits: Callable[[Any], bool]) -> Any:
        if self._tools is None:
            if not self._tools_path.is_file():
                raise DefinitionError(f"{where} names {name!r}, but {self._tools_path} does not exist")
            self._tools = load_module(self._tools_path)
        values = {key: value for key, value in vars(self._tools).items() if not key.startswith("_") and fits(value)}
        if name not in values:
            # Suggest only what the file defines, not what it imports.
            module = self._tools.__name__
            names = [key for key, value in values.items() if isinstance(value, Tool) or value.__module__ == module]
            raise DefinitionError(f"{where}: {self._tools_path.name} has no {name!r}; {nearest(str(name), names)}")
        return values[str(name)]

    @property
    def _tools_path(self) -> Path:
        return self._path.parent / str(self._content.get("tools", TOOLS))


def _checked(where: str, fields: object, types: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``fields`` if each name is in ``types`` and each value has its type."""
    if not isinstance(fields, dict):
        raise DefinitionError(f"{where} is {fields!r}, expected a table")
    for name, value in fields.items():
        key = f"{where}.{name}" if where else name
        if name not in types:
            raise DefinitionError(f"unknown key {key!r}; {nearest(name, types)}")
        kinds = types[name] if isinstance(types[name], tuple) else (types[name],)
        if isinstance(value, list) and name in _TEXT_LISTS and not all(isinstance(each, str) for each in value):
            raise DefinitionError(f"{key} is {value!r}, expected a list of strings")
        # A bool is an int too.
        wrong_bool = isinstance(value, bool) and not {bool, object}.intersection(kinds)
        if not isinstance(value, kinds) or wrong_bool:
            raise DefinitionError(f"{key} is {value!r}, expected {' or '.join(_KINDS[kind] for kind in kinds)}")
    return dict(fields)


_TEXT_LISTS = {"tools", "handoffs", "system", "reject_input", "reject_output", "index", "rescue"}

_KINDS = {
    str: "a string",
    list: "a list",
    dict: "a table",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    object: "a value",
}

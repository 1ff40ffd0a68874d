"""The names in a swarm, for Tab: read from its files, of which nothing is run.

What a file only makes when it runs, as in a loop, is not found. To load the swarm instead would run a program before
Enter was pressed, and take twice as long.
"""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

EXAMPLES = {"helpdesk": "comes with the program", "phone_shop": "comes with the program"}
"""The swarms that are found by their name, and what they are."""

_LARGEST = 1_000_000
"""Bytes of a file that is read."""
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}


@dataclass
class SwarmNames:
    """What a swarm has: names, each with a few words about it."""

    name: str = ""
    agents: dict[str, str] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    storages: dict[str, str] = field(default_factory=dict)
    policies: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The JSON schemas of what tools take, by their names, as far as it can be read."""


def swarm_names(swarm: str, folder: Path) -> SwarmNames:
    """Return what can be read of ``swarm``, which is what ``-S`` takes. Raises OSError and ValueError."""
    path = _file_of(swarm, folder)
    if path.is_dir():
        path /= "swarm.toml"
    if path.suffix == ".toml":
        return _in_toml(path)
    names = SwarmNames()
    _read_python(_text(path), names)
    return names


def _file_of(swarm: str, folder: Path) -> Path:
    if swarm in EXAMPLES:
        found = find_spec(f"swarmchat.examples.{swarm}")
        return Path(str(found and found.origin))
    path, _, attribute = swarm.rpartition(":")
    named = path if len(path) > 1 and attribute.isidentifier() else swarm
    there = (folder / named).expanduser()
    if there.exists():
        return there
    module = folder.joinpath(*named.split("."))
    return module / "__init__.py" if module.is_dir() else module.with_suffix(".py")


def _text(path: Path) -> str:
    # A pipe or a device would be waited for.
    if not path.is_file() or path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} is no file of a swarm")
    return path.read_text("utf-8")


def _in_toml(path: Path) -> SwarmNames:
    content = tomllib.loads(_text(path))
    names = SwarmNames(str(content.get("name", path.parent.resolve().name)))
    agents = content.get("agents", {})
    names.agents = {name: str(about.get("description", "")) for name, about in agents.items()}
    for section, found in (("states", names.states), ("storages", names.storages), ("policies", names.policies)):
        found.update(dict.fromkeys(content.get(section, {}), ""))
    beside, tools = path.parent / str(content.get("tools", "tools.py")), SwarmNames()
    if beside.is_file():
        _read_python(_text(beside), tools, every=True)
    for about in agents.values():
        names.tools |= {name: tools.tools.get(name, "") for name in about.get("tools", ())}
    names.parameters = tools.parameters
    return names


def _read_python(text: str, names: SwarmNames, *, every: bool = False) -> None:
    """Add what ``text`` makes to ``names``; with ``every``, each function counts as a tool."""
    tree = ast.parse(text)
    functions = [each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    texts = {
        target.id: each.value.value
        for each in tree.body
        if isinstance(each, ast.Assign) and isinstance(each.value, ast.Constant) and isinstance(each.value.value, str)
        for target in each.targets
        if isinstance(target, ast.Name)
    }
    calls = list(_calls(tree, texts))
    listed = {name for kind, _, given in calls if kind == "Agent" for name in _listed(given.get("tools"))}
    for function in functions:
        name = _tool_name(function, texts)
        if name is not None or every or function.name in listed:
            chosen = name or function.name
            names.tools[chosen] = (ast.get_docstring(function) or "").split("\n")[0]
            names.parameters[chosen] = _parameters(function)
    known = {function.name for function in functions}
    names.tools |= dict.fromkeys(sorted(listed - known), "")
    kinds = {"Agent": names.agents, "State": names.states, "Storage": names.storages, "Policy": names.policies}
    for kind, name, given in calls:
        if kind == "Swarm":
            names.name = name
        else:
            kinds[kind][name] = _constant(given.get("description"), texts) or ""
    if not names.name:
        # A single agent is a swarm of its own name.
        names.name = next(iter(names.agents), "")


def _calls(tree: ast.Module, texts: Mapping[str, str]) -> Iterator[tuple[str, str, dict[str | None, ast.expr]]]:
    """Yield what is made of our kinds: which kind, its name, and what else is said by name."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        made = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        kind = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        name = _constant(node.args[0] if node.args else given.get("name"), texts)
        if kind in ("Swarm", "Agent", "State", "Storage", "Policy") and name:
            yield kind, name, given


def _constant(value: ast.expr | None, texts: Mapping[str, str]) -> str | None:
    if isinstance(value, ast.Name):
        return texts.get(value.id)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def _listed(value: ast.expr | None) -> list[str]:
    elements = value.elts if isinstance(value, ast.List | ast.Tuple) else []
    return [each.id for each in elements if isinstance(each, ast.Name)]


def _tool_name(function: ast.FunctionDef | ast.AsyncFunctionDef, texts: Mapping[str, str]) -> str | None:
    """Return what the tool is called that a decorator makes of ``function``; ``None`` if none does."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) == "tool":
            keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
            named = next((keyword.value for keyword in keywords if keyword.arg == "name"), None)
            return _constant(named, texts) or function.name
    return None


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required = []
    positional = function.args.args
    optional = {each.arg for each in positional[len(positional) - len(function.args.defaults) :]}
    optional |= {
        each.arg for each, default in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if default
    }
    for each in [*positional, *function.args.kwonlyargs]:
        hint = ast.unparse(each.annotation) if each.annotation else ""
        if each.arg == "ctx" or hint.endswith("Context"):
            continue
        properties[each.arg] = {"type": _TYPES.get(hint.partition("[")[0], "")}
        if each.arg not in optional:
            required.append(each.arg)
    return {"properties": properties, "required": required}

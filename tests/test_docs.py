"""The documents are true: links, generated parts, tables, and the sessions that they show."""

import ast
import dataclasses
import importlib.util
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
import warm
from swarmchat.cli.main import app
from swarmchat.cli.settings.settings import Settings
from swarmchat.swarm import Agent
from swarmchat.swarm.agents import toml_file
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.context.builder import Budget, build_context
from swarmchat.swarm.context.groups import GroupBuilder
from swarmchat.swarm.context.tokens import counter_for
from swarmchat.swarm.mcp import server
from swarmchat.swarm.persistence.records import RecordType, parse_record
from swarmchat.swarm.replay import handwritten
from swarmchat.swarm.replay.assertions import ASSERTIONS
from swarmchat.swarm.replay.matchers import MATCHERS
from swarmchat.swarm.replay.runner import MODES
from swarmchat.swarm.testing import replay_transcript
from terminal import ENTER, Terminal, at_prompt, terminal
from typer.main import get_command
from typer.testing import CliRunner
from user_types import blocks, page_programs

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text("utf-8")
COLUMNS, LINES = 110, 60


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()


def _rows(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table below ``heading``, without its head."""
    _, separator, below = text.partition(f"\n{heading}\n")
    assert separator, heading
    table = re.search(r"(?:^\|.*\|\n)+", below, re.MULTILINE)
    assert table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:]]


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", GENERATOR.PARTS)
def test_generated_parts_are_up_to_date(page: str):
    expected: str = GENERATOR.generated(page)
    assert expected == (ROOT / "docs" / page).read_text("utf-8"), "run: make docs"


def test_the_page_of_benchmarks_shows_what_was_measured():
    from benchmarks.page import page

    measured = json.loads((ROOT / "docs" / "benchmarks.json").read_text("utf-8"))
    assert page(measured) == (ROOT / "docs" / "benchmarks.md").read_text("utf-8"), "run: make bench"


def test_links_lead_somewhere():
    assert {page.name: missing for page in PAGES if (missing := _dead_links(page))} == {}


def _dead_links(page: Path) -> list[str]:
    dead = []
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        if not linked.exists() or (anchor and anchor not in anchors):
            dead.append(target)
    return dead


INNER = {
    "benchmarks/corpus.py": {"swarm.persistence"},
    "benchmarks/long_run.py": {"swarm.persistence"},
    "benchmarks/rendering_variants.py": {"cli.render.renderer"},
    "benchmarks/sessions.py": {"swarm.persistence"},
    "benchmarks/storage.py": {
        "swarm.persistence",
        "swarm.persistence.store",
        "swarm.storage.embeddings",
        "swarm.storage.items",
    },
    "benchmarks/trimmers.py": {"swarm.common.encoding"},
    "docs/generate.py": {"cli.app.signals", "cli.errors", "cli.main", "cli.prompt.key_bindings", "cli.slash.builtin"},
}
"""Files that import modules which are not public: benchmarks of one part, which write its bytes themselves, and the
generator of the tables about the program."""


def _imported(code: str) -> set[str]:
    """The modules of the project that a piece of code imports from, without ``swarmchat.``."""
    modules = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
        elif isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    return {name.removeprefix("swarmchat.") for name in modules if name.startswith("swarmchat.")}


def _is_public(module: str) -> bool:
    return module in ("backends", "backends.testing", "swarm", "swarm.testing") or module.startswith("examples")


def test_pages_import_public_names_only():
    for page in PAGES:
        for block in blocks(page.read_text("utf-8"), "python"):
            assert {module for module in _imported(block) if not _is_public(module)} == set(), page.name


def test_pages_name_no_inner_module():
    for page in PAGES:
        if page.name != "ARCHITECTURE.md":
            named = set(re.findall(r"swarmchat\.((?:swarm|backends|cli)\.[a-z_.]*[a-z])", page.read_text("utf-8")))
            assert {module for module in named if not _is_public(module)} == set(), page.name


def test_examples_and_benchmarks_import_public_names():
    paths = [path for folder in ("examples", "benchmarks", "docs") for path in sorted((ROOT / folder).glob("*.py"))]
    inner = {path.relative_to(ROOT).as_posix(): _imported(path.read_text("utf-8")) for path in paths}
    inner = {place: {module for module in modules if not _is_public(module)} for place, modules in inner.items()}
    assert {place: modules for place, modules in inner.items() if modules} == INNER


def test_places_in_the_architecture_exist():
    page = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    prose = re.sub(r"<!-- begin modules -->.*<!-- end modules -->", "", page, flags=re.DOTALL)
    places = set(re.findall(r"\b(?:backends|swarm|cli|tests)/[\w/*]*(?:\.py)?", prose))
    missing = [place for place in places if not list(ROOT.glob(place)) and not list(ROOT.glob(f"{place}.py"))]
    assert missing == []


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text("utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} - {"README.md"}
    assert pages == set(re.findall(r"\]\(([\w/-]+\.md)\)", index))


def test_make_targets_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:`|^\$ )make ([a-z]+)", page.read_text("utf-8"), re.MULTILINE)) <= targets, page.name


def test_commands_exist():
    # The same command stands on many pages.
    for line in {line for page in PAGES for line in "".join(blocks(page.read_text("utf-8"), "console")).splitlines()}:
        command = re.search(r"(?:^\$ |\| )(swarmchat\b[^|]*)$", line)
        if command:
            words = shlex.split(command[1], comments=True)[1:]
            # Behind a --, it would be an argument, and the command would be carried out.
            end = words.index("--") if "--" in words else len(words)
            shown = CliRunner().invoke(app, [*words[:end], "--help", *words[end:]], prog_name="swarmchat")
            assert shown.exit_code == 0, f"{line}\n{shown.output}"


def test_the_settings_page_lists_every_setting():
    rows = _rows((ROOT / "docs" / "chat.md").read_text("utf-8"), "## Settings")
    documented = {_names(row[0])[0]: set(_names(row[1])) for row in rows}
    assert list(documented) == [field.name for field in dataclasses.fields(Settings) if field.metadata]
    chat = get_command(app).commands["chat"]
    options = {param.name: set(param.opts) for param in chat.params if param.name in documented}
    assert {name: flags for name, flags in documented.items() if flags} == options


def test_the_log_page_lists_every_record_type():
    page = (ROOT / "docs" / "log-format.md").read_text("utf-8")
    tables = ("## Types that are written", "## Types that are only read")
    documented = {name for table in tables for row in _rows(page, table) for name in _names(row[0])}
    assert documented == {*get_args(RecordType)}


def test_the_examples_of_a_log_are_valid():
    page = (ROOT / "docs" / "log-format.md").read_text("utf-8")
    documented = {row[0].strip("`"): row[1] for row in _rows(page, "## Types that are written")}
    for block in blocks(page, "jsonl"):
        records = [parse_record(line.encode("utf-8")) for line in block.splitlines()]
        assert [record.seq for record in records] == list(range(len(records)))
        for record in records:
            assert set(record.data) <= set(_names(documented[record.type])), record.type


def test_the_example_of_a_cut_is_right():
    page = (ROOT / "docs" / "log-format.md").read_text("utf-8")
    records = [parse_record(line.encode("utf-8")) for line in blocks(page, "jsonl")[0].splitlines()]
    (cut,) = [record for record in records if record.type == "rotate"]
    groups = GroupBuilder(records=records).groups
    context = build_context(
        groups, counter=counter_for("gpt-4o"), budget=Budget(140, 20), first_kept=cut.data["first_kept"]
    )
    seqs = ", ".join(str(group.seq) for group in context.groups[:-1]) + f" and {context.groups[-1].seq}"
    assert f"the records {seqs}, and the next question" in page


SWARMS = (ROOT / "docs" / "swarms.md").read_text("utf-8")
PIPES = [*blocks(README, "console"), *blocks(SWARMS, "console")]


@pytest.mark.parametrize("block", [block for block in PIPES if re.search(r"(?m)^[^$]", block)])
def test_pages_show_what_is_printed_in_a_pipe(block: str, tmp_path: Path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = _environment(tmp_path)
    shell = f'swarmchat() {{ {shlex.join(warm.line(*warm.COMMAND[1:], env=environment))} "$@"; }}\n'
    for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = shown.partition("\n")
        done = subprocess.run(
            ["bash", "-c", shell + command],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        assert _timeless(done.stdout) == _timeless(output)


def test_the_readme_shows_what_is_on_the_screen(tmp_path: Path):
    block = blocks(README, "text")[0]
    for shown in re.split(r"^\$ swarmchat", block, flags=re.MULTILINE)[1:]:
        arguments, _, expected = shown.partition("\n")
        typed = re.findall(r"^you ❯ (.+)$", expected, re.MULTILINE)
        screen = _talk(shlex.split(arguments), typed, tmp_path)
        assert _timeless("\n".join(screen)) == _timeless(expected)


def _timeless(shown: str) -> str:
    """Return what was shown without times, and without line breaks, which move with how long a tool took."""
    words = " ".join(shown.split())
    return re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", re.sub(r", \d+\.\d s: ", ": ", words))


def test_the_swarms_page_shows_valid_swarms(tmp_path: Path):
    python, toml = blocks(SWARMS, "python"), [block for block in blocks(SWARMS, "toml") if "[storages." in block]
    (tmp_path / "tools.py").write_text("\n".join(python), "utf-8")
    (tmp_path / "swarm.toml").write_text(toml[0], "utf-8")
    of_python, of_toml = load_swarm("tools.py", tmp_path), load_swarm(".", tmp_path)
    assert of_toml.name == of_python.name
    assert of_toml.names == of_python.names
    assert [state.name for state in of_toml.states] == [state.name for state in of_python.states]
    for name in of_python.names:
        ours, theirs = of_python.agent(name), of_toml.agent(name)
        assert [tool.name for tool in ours.own_tools] == [tool.name for tool in theirs.own_tools]
        assert (ours.prompt, list(ours.handoffs)) == (theirs.prompt, list(theirs.handoffs))
        assert ours.description == theirs.description


def test_the_swarms_page_names_every_key():
    page = (ROOT / "docs" / "swarms.md").read_text("utf-8")

    def first(heading: str) -> list[str]:
        return [_names(row[0])[0] for row in _rows(page, heading) if _names(row[0])]

    assert set(first("## Agents")) == {field.name for field in dataclasses.fields(Agent)} | {"as_tool"}
    assert set(first("## Agents")) - {"name"} == set(toml_file._AGENT)
    assert set(first("## Policies")) - {"name"} == set(toml_file._POLICY)
    keys: dict[str, set[str]] = {}
    for table, key, _ in _rows(page, "### Other keys"):
        keys.setdefault(table.strip("`"), set()).update(_names(key))
    sections = {"agents", "operators", "policies", "states", "storages", "mcp", "demo", "replay"}
    assert keys == {
        "top": set(toml_file._SWARM) - sections,
        "[operators.NAME]": set(toml_file._OPERATOR),
        "[states.NAME]": set(toml_file._STATE),
        "[storages.NAME]": set(toml_file._STORAGE),
        "[mcp.NAME]": set(server._FIELDS),
        "[replay]": set(toml_file._REPLAY),
        "[[demo]]": set(toml_file._DEMO),
    }


def test_the_library_page_shows_what_a_swarm_prints(tmp_path: Path):
    page = (ROOT / "docs" / "library.md").read_text("utf-8")
    _, _, below = page.partition("\n## With a swarm\n")
    done = warm.run_python("-c", blocks(below, "python")[0], env=_environment(tmp_path), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == blocks(below, "text")[0]


_RUN = """
import json, pathlib, sys, types

for name, code in json.loads(pathlib.Path("examples.json").read_text("utf-8")).items():
    module = sys.modules[name] = types.ModuleType(name)
    print(name, file=sys.stderr)
    exec(code, vars(module))
    # The tests of other pages need transcripts, or a driver.
    for test in [value for key, value in vars(module).items() if key.startswith("test_") and "library" in name]:
        test()
"""


def test_the_examples_run(tmp_path: Path):
    examples = page_programs()
    (tmp_path / "examples.json").write_text(json.dumps(examples), "utf-8")
    (tmp_path / "lists.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n', "utf-8")
    call = '{"tool": "send_mail", "arguments": {"to": "ann@example.com"}}'
    done = warm.run_python("-W", "error", "-c", _RUN, env=_environment(tmp_path), cwd=tmp_path, piped=call)
    assert (done.returncode, done.stderr.splitlines()) == (0, list(examples)), done.stderr


def test_the_small_program_and_its_test_are_small():
    assert len((ROOT / "examples" / "small_shop.py").read_text("utf-8").splitlines()) <= 35
    assert len((ROOT / "tests" / "test_small_shop.py").read_text("utf-8").splitlines()) <= 20


def _environment(home: Path) -> dict[str, str]:
    # The token table is made once, in a folder that the tests of a run share.
    ours = {"HOME": str(home), "XDG_CACHE_HOME": str(home.parent / "cache"), "SWARMCHAT_DISCOVER": "false"}
    inherited = {name: value for name, value in os.environ.items() if name.startswith(("COVERAGE", "PYTHONPATH"))}
    return {**inherited, **ours, "PATH": os.environ["PATH"], "LANG": warm.LOCALE, "TERM": "xterm", "NO_COLOR": "1"}


def _prompts(screen: Terminal) -> int:
    return sum(line.startswith("you ❯") for line in screen.lines)


def _talk(arguments: list[str], typed: list[str], home: Path) -> list[str]:
    """Chat at a real terminal; return the lines that are on its screen when the program has ended."""
    command = [*warm.COMMAND, *arguments]
    with terminal(command, env=_environment(home), columns=COLUMNS, rows=LINES, cwd=home) as screen:
        for number, line in enumerate(typed, 1):
            screen.wait_for(lambda screen, number=number: _prompts(screen) == number and at_prompt(screen))
            screen.send(line + ENTER)
        assert screen.wait_for_end() == 0, screen.text
        return [line for line in screen.screen_lines if line]


REPLAY = (ROOT / "docs" / "replay.md").read_text("utf-8")


def test_the_replay_page_names_every_field():
    assert [_names(row[0])[0] for row in _rows(REPLAY, "## Expectations")] == list(ASSERTIONS)
    (fields,) = re.findall(r"<!-- begin settings -->(.*?)<!-- end settings -->", REPLAY)
    assert _names(fields) == [*handwritten.SETTINGS, *handwritten.WINDOWS]
    assert [_names(row[0])[0] for row in _rows(REPLAY, "## Modes")] == [*MODES, "show"]
    documented = {_names(row[0])[0]: row[1] for row in _rows(REPLAY, "## Written by hand")}
    for kind, names in handwritten.TYPES.items():
        assert set(names) - {"message", "id", "text"} <= set(_names(documented[kind])), kind


def test_every_example_of_an_expectation_holds(tmp_path: Path):
    (example,) = re.findall(r"begin yaml example -->\n\n```yaml\n(.*?)^```$", REPLAY, re.MULTILINE | re.DOTALL)
    matchers = REPLAY.split("Wherever a value is expected")[1]
    assert sorted(name for row in _rows(f"\n## M\n{matchers}", "## M") for name in _names(row[0])) == list(MATCHERS)
    rows = [*_rows(REPLAY, "## Expectations"), *_rows(f"\n## M\n{matchers}", "## M")]
    anchor = "      - expect: {agent: sales, handoffs: [sales]}\n"
    assert anchor in example
    lines = [f"      - expect: {{{_names(row[2])[0]}}}\n" for row in rows]
    (tmp_path / "examples.yaml").write_text(example.replace(anchor, "".join(lines)), "utf-8")
    replays = replay_transcript(tmp_path / "examples.yaml")
    assert [replayed.conversation.name for replayed in replays] == [
        "berries[bananas-a banana is a berry]",
        "berries[tomatoes-a tomato is a berry]",
        "an order",
    ]
    assert len(replays[2].conversation.expectations) == len(rows) + 1


def test_the_transcripts_of_the_pages_replay(tmp_path: Path):
    (tmp_path / "by hand.jsonl").write_text(blocks(REPLAY, "jsonl")[0], "utf-8")
    (replayed,) = replay_transcript(tmp_path / "by hand.jsonl")
    assert len(replayed.turns) == 3
    page = (ROOT / "docs" / "log-format.md").read_text("utf-8")
    fruit, tea = blocks(page, "jsonl")
    (tmp_path / "fruit.jsonl").write_text(fruit, "utf-8")
    (tmp_path / "tea.jsonl").write_text(tea, "utf-8")
    assert len(replay_transcript(tmp_path / "fruit.jsonl")[0].turns) == 3
    assert len(replay_transcript(tmp_path / "tea.jsonl", GENERATOR.example_shop(), mode="tools")[0].turns) == 2

"""Generate the parts of the documents that come from the program: ``make docs``.

They are between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. A test fails while one of them is out of date.
"""

import ast
import asyncio
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from swarmchat.backends import BackendError, open_backend
from swarmchat.cli.app.signals import EXIT_CODES
from swarmchat.cli.errors import CliError
from swarmchat.cli.main import app
from swarmchat.cli.prompt.key_bindings import KEYS
from swarmchat.cli.slash.builtin import COMMANDS
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    ModelUnavailable,
    Policy,
    ScriptedModel,
    Session,
    SessionSettings,
    State,
    Swarm,
    SwarmError,
    ToolCall,
    read_lines,
    tool,
)
from typer.main import get_command
from typer.testing import CliRunner

DOCS = Path(__file__).parent
WIDTH = 100
ROOMS = ("backends", "swarm", "cli")

MEANINGS = {
    0: "success",
    1: "another error",
    2: "the command line is wrong",
    3: "a replay differs, or an expectation failed",
    4: "with `--strict`: the model gave no usable answer",
    5: "the context window or another limit was reached",
    65: "stored data or a file cannot be read, or is of a newer version",
    66: "no such session, model, address, tool, state or ban",
    69: "a server or a store cannot be reached, or is full",
    75: "open in another process, changed by one, or rate limited: try again later",
    77: "the API key is missing or not accepted, or the client is banned",
    78: "a setting is invalid, or the installation is damaged",
    129: "ended by SIGHUP, for example when the terminal is closed",
    130: "ended by SIGINT (Ctrl-C)",
    143: "ended by SIGTERM",
}
"""Meanings of the exit codes: those of BSD's sysexits.h where one fits, and 128 plus the number of a signal."""


def help_pages() -> str:
    """Return the ``--help`` pages of the program and of each command."""
    pages = []
    for path in _commands():
        shown = CliRunner().invoke(app, [*path, "--help"], prog_name="swarmchat", terminal_width=WIDTH)
        assert shown.exit_code == 0, shown.output
        pages.append(f"### {' '.join(['swarmchat', *path])}\n\n```text\n{shown.output.rstrip()}\n```")
    return "\n\n".join(pages)


def _commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of each command, first those of the program itself: none."""
    waiting = [((), get_command(app))]
    while waiting:
        path, command = waiting.pop(0)
        yield path
        waiting += [((*path, name), inner) for name, inner in getattr(command, "commands", {}).items()]


def slash_commands() -> str:
    """Return the table of slash commands."""
    rows = [f"| `/{command.name}` | {command.help} |" for command in COMMANDS.values()]
    return "\n".join(["| command | shows or does |", "| --- | --- |", *rows])


def key_table() -> str:
    """Return the table of the keys at the prompt."""
    return "\n".join(["| key | does |", "| --- | --- |", *(f"| {key} | {does} |" for key, does in KEYS.items())])


def example_log() -> str:
    """Return the log of a short, eventful session, as stored."""
    return _as_block(asyncio.run(_example_session()))


def _as_block(lines: list[bytes]) -> str:
    # Only the duration of an answer differs from run to run.
    log = "\n".join(re.sub(r'"ms":\d+', '"ms":0', line.decode("utf-8")) for line in lines)
    return f"```jsonl\n{log}\n```"


async def _example_session() -> list[bytes]:
    call = ToolCall("call_1", "find_fact", '{"about":"bananas"}')
    steps = [
        Answer(tool_calls=(call,)),
        Answer("Yes: botanically, a banana is a berry.", usage={"prompt_tokens": 73, "completion_tokens": 10}),
        Answer("No, it is an aggregate fruit."),
        ["A tomato is", ModelUnavailable("the answer of http://localhost:11434/v1 was cut off")],
    ]
    questions = ("Are bananas berries?", "And is a strawberry one, although its name says so?", "And a tomato?")
    settings = SessionSettings(context_window=140, reserve=20)
    return await _log_of(ScriptedModel(steps, name="gpt-4o"), questions, "fruit", settings=settings)


def example_swarm_log() -> str:
    """Return the log of a session in which tools change things, as ``example_log`` does."""
    return _as_block(asyncio.run(_example_swarm_session()))


def example_shop() -> Swarm:
    """Return the swarm of the second example."""

    @tool
    async def order(ctx: Context, item: str, name: str) -> str:
        """Note an order."""
        await ctx.memory.set("name", name)
        return ", ".join(await ctx.state("order").update(lambda items: [*items, item]))

    agents = [Agent("desk", "Take orders.", tools=[order], handoffs=["till"]), Agent("till", "Take the money.")]
    policies = [Policy("no-swearing", reject_input=["damn"], message="Please stay polite.")]
    return Swarm("shop", agents, policies=policies, states=[State("order", default=list)])


async def _example_swarm_session() -> list[bytes]:
    steps = [
        Answer(
            tool_calls=(
                ToolCall("call_1", "order", '{"item":"tea","name":"Ann"}'),
                ToolCall("call_2", "transfer_to_till", "{}"),
            )
        ),
        Answer("That is 3.50."),
    ]
    questions = ("I am Ann. A tea, please, and then I want to pay.", "Damn, no money!")
    return await _log_of(ScriptedModel(steps, name="gpt-4o"), questions, "tea", swarm=example_shop())


async def _log_of(model: ScriptedModel, questions: Sequence[str], name: str, **options: Any) -> list[bytes]:
    """Ask the questions in a session in memory, whose clock advances a second with each reading; return its log."""
    start, ticks = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), count()
    options["clock"] = lambda: start + timedelta(seconds=next(ticks))
    backend = open_backend("memory:")
    async with await Session.open(backend, model, client="ann", name=name, **options) as session:
        for question in questions:
            with suppress(SwarmError):
                async for _ in session.run_turn(question):
                    pass
        lines = [line async for line in read_lines(backend, session.info)]
    await backend.close()
    return lines


def hello() -> str:
    """Return the smallest example, without its docstring."""
    code = (DOCS.parent / "examples" / "hello.py").read_text("utf-8")
    return f"```python\n{code.partition('import asyncio')[1]}{code.partition('import asyncio')[2].rstrip()}\n```"


def library_desk() -> str:
    """Return the smallest swarm, without its docstring."""
    code = (DOCS.parent / "examples" / "library_desk.py").read_text("utf-8")
    _, first, rest = code.partition("from swarmchat.swarm import")
    return f"```python\n{first}{rest.rstrip()}\n```"


def exit_codes() -> str:
    """Return the table of exit codes, with the errors that lead to each."""
    for path in _modules():
        if "testing" not in path.parts:
            import_module(".".join(["swarmchat", *path.relative_to(DOCS.parent).with_suffix("").parts]))
    errors: dict[int, list[str]] = {code: [] for code in MEANINGS}
    for base in (BackendError, SwarmError, CliError):
        for error in _with_subclasses(base):
            errors[error.exit_code].append(error.__name__)
    for code in EXIT_CODES.values():
        errors[code].append("Interrupted")
    rows = [
        f"| {code} | {', '.join(f'`{name}`' for name in sorted(names))} | {MEANINGS[code]} |"
        for code, names in errors.items()
    ]
    return "\n".join(["| code | errors | meaning |", "| --- | --- | --- |", *rows])


def corpus() -> str:
    """Return a table: how much of the tests' corpora the parser gets right, as whole texts and as streams."""
    sys.path[:0] = [str(DOCS.parent / "tests" / folder) for folder in ("helpers", "swarm/parsing")]
    tests = import_module("test_corpus")
    rows = ["| corpus | outputs | right, as one text | right, as it streams |", "| --- | --- | --- | --- |"]
    for name, entries, problem in (
        ("calls written as text", tests.LEAKED, tests.leak_problem),
        ("ordinary answers, not to be touched", tests.ORDINARY, tests.ordinary_problem),
        ("held out: calls", tests.HELD_OUT, tests.leak_problem),
        ("held out: ordinary answers", tests.HELD_OUT_ORDINARY, tests.ordinary_problem),
    ):
        right = [
            sum(not any(problem(entry, outcome) for outcome in outcomes(entry)) for entry in entries)
            for outcomes in (tests.whole, tests.streamed)
        ]
        shares = (f"{count} ({count / len(entries):.0%})" for count in right)
        rows.append(f"| {name} | {len(entries)} | {' | '.join(shares)} |")
    return "\n".join(rows)


def raw_answers() -> str:
    """Return a table: the raw answers by form. That all turns are sane is up to the tests."""
    sys.path[:0] = [str(DOCS.parent / "tests" / folder) for folder in ("helpers", "swarm/turn")]
    answers = Counter(entry["form"] for entry in import_module("test_raw_answers").ENTRIES)
    rows = [f"| {form} | {number} |" for form, number in answers.items()]
    return "\n".join(["| form | answers |", "| --- | --- |", *rows, f"| **all** | {answers.total()} |"])


def _helper(name: str) -> Any:
    """Return a module of the tests' helpers."""
    sys.path.insert(0, str(DOCS.parent / "tests" / "helpers"))
    return import_module(name)


def dialects() -> str:
    """Return the table of what providers demand, from the strict stand-ins that the tests talk to."""
    rows = ["| servers | require | swarmchat sends | when | reported in |", "| --- | --- | --- | --- | --- |"]
    for each in _helper("dialects").STAND_INS:
        since = f"after a rejection: `{each.adaptation}`" if each.adaptation else "always"
        rows.append(f"| {each.servers} | {each.demand} | {each.form} | {since} | {each.source} |")
    return "\n".join(rows)


def adaptations() -> str:
    """Return the table of what is learned from refusals."""
    rows = [f"| `{each.name}` | {each.effect} |" for each in _helper("dialects").ADAPTATIONS]
    rows.append("| `without-NAME` | the parameter NAME is not sent |")
    rows.append("| `version-path` | `/v1` is added to the base URL |")
    return "\n".join(["| name | effect |", "| --- | --- |", *rows])


def mutations() -> str:
    """Return the table of changes of a swarm, and which replays notice them."""
    table: str = _helper("mutations").table()
    return table


def _with_subclasses(error: Any) -> Iterator[Any]:
    if error.__module__.startswith("swarmchat."):
        yield error
    for subclass in error.__subclasses__():
        yield from _with_subclasses(subclass)


def _modules() -> list[Path]:
    paths = [path for room in ROOMS for path in sorted((DOCS.parent / room).rglob("*.py"))]
    return [path for path in paths if not path.stem.startswith("__")]


def modules() -> str:
    """Return a table for each package: its modules, with the first sentence of each docstring."""
    tables: dict[Path, list[str]] = {}
    for path in sorted(_modules(), key=lambda path: (ROOMS.index(path.relative_to(DOCS.parent).parts[0]), path.parent)):
        if path.parent not in tables:
            place = path.parent.relative_to(DOCS.parent).as_posix()
            tables[path.parent] = [f"| {place}/ | {_about(path.parent / '__init__.py')} |", "| --- | --- |"]
        tables[path.parent].append(f"| `{path.stem}` | {_about(path)} |")
    return "\n\n".join("\n".join(rows) for rows in tables.values())


def layers() -> str:
    """Return the layers of each room, from the table that the architecture test checks imports with."""
    tree = ast.parse((DOCS.parent / "tests" / "test_architecture.py").read_text("utf-8"))
    (table,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    )
    return "\n\n".join(
        "\n".join([f"```text\n{room}/", *(f"  {line}" for line in table[room]), "```"]) for room in table
    )


def _about(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0].replace("``", "`").removesuffix(".")


PARTS: dict[str, dict[str, Callable[[], str]]] = {
    "chat.md": {"keys": key_table, "exit codes": exit_codes},
    "cli.md": {"help": help_pages, "slash commands": slash_commands},
    "library.md": {"hello": hello},
    "providers.md": {"dialects": dialects, "adaptations": adaptations},
    "rescue.md": {"corpus": corpus, "raw answers": raw_answers},
    "log-format.md": {"example": example_log, "example of a swarm": example_swarm_log},
    "swarms.md": {"library desk": library_desk},
    "../README.md": {"hello": hello},
    "../ARCHITECTURE.md": {"layers": layers, "modules": modules},
}
"""The generated parts of each page."""


SLOW_PARTS: dict[str, dict[str, Callable[[], str]]] = {"replay.md": {"mutations": mutations}}
"""Parts that take some 10 s: the tests check a sample of them."""


def generated(page: str) -> str:
    """Return the text of ``page`` with its generated parts up to date."""
    text = (DOCS / page).read_text("utf-8")
    for name, make in (PARTS | SLOW_PARTS)[page].items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
        before, _, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        assert closed, f"{page} has no part {name!r}"
        text = f"{before}{begin}\n{make()}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    for page in PARTS | SLOW_PARTS:
        (DOCS / page).write_text(generated(page), "utf-8")

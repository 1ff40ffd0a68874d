"""The command line, and what starting the program loads."""

import re
import subprocess
import sys
from typing import Any

import pytest
from swarmchat.cli.app.command_table import CommandTable
from swarmchat.cli.main import app
from terminal import terminal
from typer.core import TyperCommand
from typer.testing import CliRunner

OPTIONS = """
    -b --backend -m --model -s --session -c --continue --client --system --max-context --base-url --redis-url --data-dir
""".split()
HEAVY = """
    openai tiktoken redis diskcache numpy rich.markdown markdown_it pygments prompt_toolkit pydantic asyncio
    importlib.metadata
""".split()
AFTER_THE_PROMPT = """
    openai httpx httpx2 tiktoken numpy pydantic rich redis markdown_it pygments tomllib importlib.metadata
    swarmchat.cli.slash.builtin swarmchat.cli.render.live_tail swarmchat.cli.markdown.stream swarmchat.swarm.turn.loop
    swarmchat.swarm.tools.tool swarmchat.swarm.conversation.events
""".split()
"""What may be loaded while the user types, but not before there is a prompt to type at."""


def test_without_a_command_it_is_a_question(program):
    asked = program.run("hello", "there", "-b", "memory")
    assert (asked.out.startswith("Hello!"), asked.err, asked.code) == (True, "", 0)


def test_options_may_come_first(program):
    assert program.invoke("-b", "memory", "hello").out.startswith("Hello!")


@pytest.mark.parametrize("words", [("chat", "chatt"), ("--", "chat"), ("chat", "--", "--version")])
def test_a_question_can_be_any_word(words, program):
    asked = program.invoke(*words, env={"SWARMCHAT_BACKEND": "memory"})
    assert f'You said "{words[-1]}"' in asked.out
    assert asked.code == 0


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["chatt"], "chat"),
        (["relpay", "x.jsonl"], "replay"),
        (["test", "."], "replay"),
        (["session", "list", "--json"], "sessions"),
        (["model", "test", "-m", "demo"], "models"),
        (["export"], "sessions export"),
        (["version"], "--version"),
        (["REPLAY", "x.jsonl"], "replay"),
    ],
)
def test_a_first_word_that_is_nearly_a_command_is_a_typo(words, near):
    typo = CliRunner().invoke(app, words)
    assert typo.exit_code == 2
    assert f"did you mean {near!r}? To send it as a message, put -- before it" in " ".join(typo.output.split())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["-b", "disk", "sessions", "list", "--all"], "options come after the command: swarmchat sessions list --all"),
        (["-m", "demo", "relpay", "x"], "options come after the command: swarmchat replay x -m demo."),
        (["help", "sessions"], "did you mean swarmchat sessions --help?"),
    ],
)
def test_what_is_meant_as_a_command_is_not_sent(words, hint):
    typo = CliRunner().invoke(app, words)
    assert typo.exit_code == 2
    assert hint in " ".join(typo.output.split())


@pytest.mark.parametrize(
    "words", [["serve"], ["serve", "--port", "8000"], ["hello", "-b", "memory"], ["Übersicht"], ["shop.jsonl"]]
)
def test_a_single_word_is_not_sent(words):
    typo = CliRunner().invoke(app, words)
    assert typo.exit_code == 2
    assert f"unknown command {words[0]!r}; swarmchat --help lists the commands. To send it" in " ".join(
        typo.output.split()
    )


@pytest.mark.parametrize(
    "words", [["--", "serve"], ["-m", "demo", "--", "relpay"], ["serve?"], ["今日は"], ["run chat"]]
)
def test_what_is_hardly_a_command_is_sent(words, program):
    asked = program.invoke(*words, env={"SWARMCHAT_BACKEND": "memory"})
    assert (asked.code, f'You said "{words[-1]}"' in asked.out) == (0, True)


def test_a_quoted_sentence_is_no_typo(program):
    asked = program.invoke("session list please", env={"SWARMCHAT_BACKEND": "memory"})
    assert (asked.code, 'You said "session list please"' in asked.out) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [("--bogus",), ("chat", "--bogus"), ("--max-context", "many", "hi"), ("--max-context", "0", "hi"), ("-m",)],
)
def test_a_wrong_command_line_exits_2(arguments):
    wrong = CliRunner().invoke(app, arguments)
    assert wrong.exit_code == 2
    assert "Error: " in wrong.output


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_names_every_option_and_what_it_does(flag):
    page = CliRunner().invoke(app, ["chat", flag])
    assert page.exit_code == 0
    described = [line for line in page.output.splitlines() if re.match(r"  -.*\S  +\S", line)]
    assert all(any(re.search(rf"(^|\s){option}\b", line) for line in described) for option in OPTIONS)
    assert re.search(r"chat +Chat with a model", CliRunner().invoke(app, [flag]).output)


def test_nothing_is_imported_from_the_current_folder(tmp_path):
    """An editable install of setuptools adds a relative path, which a repository can have as a folder."""
    run = "import sys; sys.path.append('hook'); from swarmchat.cli.main import main; main()"
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "theirs.py").write_text("print('theirs')")
    (tmp_path / "shop.py").write_text("import theirs")
    command = [sys.executable, "-P", "-c", run, "check", "-S", "./shop.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "No module named 'theirs'" in done.stderr
    assert "theirs" not in done.stdout


def test_version():
    shown = CliRunner().invoke(app, ["--version"])
    assert shown.exit_code == 0
    assert shown.output.startswith("swarmchat ")


@pytest.mark.parametrize(
    "start",
    [
        "import swarmchat.cli.main",
        *(
            f"import sys\nsys.argv = ['swarmchat', *{arguments!r}]\nfrom swarmchat.cli.main import main\n"
            "try: main()\nexcept SystemExit as end: assert not end.code"
            for arguments in (["--help"], ["chat", "--help"], ["--version"])
        ),
    ],
)
def test_nothing_heavy_is_loaded_to_start(start, program):
    code = f"{start}\nimport sys\nprint('loaded:', *[name for name in {HEAVY!r} if name in sys.modules])"
    assert _run(code, program).splitlines()[-1] == "loaded:"


def test_nothing_that_only_an_answer_needs_is_loaded_before_the_prompt(program):
    # What is imported is told on the terminal too, in its place among what is drawn.
    command = [
        sys.executable,
        "-X",
        "importtime",
        *program.command[1:],
        "-m",
        "m",
        "--base-url",
        "http://localhost:1/v1",
    ]
    with terminal(command, env=program.env, columns=200, cwd=program.folder) as screen:
        screen.wait_for("❯")
        loaded = _loaded(screen.raw.partition("❯".encode())[0])
        assert {"prompt_toolkit", "diskcache", "swarmchat.cli.chat.repl"} <= loaded
        assert sorted(loaded.intersection(AFTER_THE_PROMPT)) == []
        screen.wait_for(lambda screen: "openai" in _loaded(screen.raw))


def _loaded(output: bytes) -> set[str]:
    return {name.decode() for name in re.findall(rb"import time: +\d+ \| +\d+ \| +([\w.]+)\r", output)}


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["hello", "there"],
        ["-m", "demo", "--backend=memory", "-c", "what", "-s", "now"],
        ["--", "-m", "--plain"],
        ["--strict", "--plain", "--system", "", "-Shelpdesk"],
        ["--max-context", "500", "--data-dir", "x/../y//", "hi"],
    ],
)
def test_arguments_are_read_as_typer_reads_them(arguments):
    command = CommandTable()["chat"]
    context = command.make_context("chat", list(arguments), help_option_names=["-h", "--help"])
    theirs = command.make_context("chat", [], help_option_names=["-h", "--help"])
    theirs.params.clear()
    TyperCommand.parse_args(command, theirs, list(arguments))
    assert _values(context) == _values(theirs)


def _values(context: Any) -> dict[str, object]:
    """Return what was read; whether several words are a tuple or a list does not matter to a command."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in context.params.items()}


@pytest.mark.parametrize(("backend", "driver"), [("memory", ""), ("disk", "diskcache"), ("redis", "redis")])
def test_a_backend_loads_its_own_driver_only(backend, driver, program):
    code = (
        "import sys\nfrom swarmchat.cli.chat import chat, repl\n"
        "from swarmchat.cli.settings import models, wiring\nfrom swarmchat.cli.settings.settings import Settings\n"
        f"settings = Settings(backend={backend!r}, model='m', base_url='http://localhost:1/v1')\n"
        "wiring.make_backend(settings), models.make_model(settings, interactive=True)\n"
        "heavy = ['openai', 'tiktoken', 'redis', 'diskcache', 'numpy', 'rich.markdown']\n"
        "print(*[name for name in heavy if name in sys.modules])"
    )
    assert _run(code, program).strip() == driver


def _run(code: str, program) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=program.env, capture_output=True, encoding="utf-8", timeout=60, check=True)
    return done.stdout


def test_unprintable_output_is_reported_once():
    for flag in ("--help", "--version"):
        with open("/dev/full", "w") as full:
            command = [sys.executable, "-m", "swarmchat.cli", flag]
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, encoding="utf-8", timeout=60)
        assert done.stderr == "error: standard output cannot be written: No space left on device\n"
        assert done.returncode == 1

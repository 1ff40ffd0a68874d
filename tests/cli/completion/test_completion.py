"""Tab: in real shells, and what the program offers them."""

import json
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from model_server import model_server
from swarmchat.cli.completion.command_line import PartialCommandLine, is_option, takes_value
from swarmchat.cli.completion.shells import SHELLS, ShellLine, script, split_line
from swarmchat.cli.completion.swarm_scan import swarm_names
from swarmchat.cli.completion.values import SETTING_VALUES, finder_of
from swarmchat.cli.main import app
from swarmchat.cli.settings.loading import read_value
from swarmchat.swarm.agents.loader import EXAMPLES, load_swarm
from terminal import terminal
from typer.main import get_command

BREAKS = " \t\n\"'><=;|&(:"


@pytest.fixture
def shell(program):
    """Start a shell with the program on its path and its completion loaded."""
    folder = program.folder.parent / "bin"
    folder.mkdir()
    shim = folder / "swarmchat"
    shim.write_text(f'#!/bin/sh\nexec {shlex.join(warm.line(*program.command[1:], env=program.env))} "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    environment = {**program.env, "PATH": f"{folder}:{program.env['PATH']}"}

    def start(*command):
        return terminal(command, env=environment, columns=100, rows=40, cwd=program.folder)

    return start


def complete(program, *words: str, shell: str = "fish") -> list[str]:
    """Return what is offered; nothing where the shell offers files, one empty text where it is to offer nothing."""
    done = program.invoke("completion", "candidates", shell, "--", *words)
    assert (done.err, done.code) == ("", 0)
    return [line.partition("\t")[0] for line in done.out.splitlines()]


def each_value() -> Iterator[tuple[str, Any]]:
    """Yield what takes a value: the words of its command and its name, and the option or argument."""

    def walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*path, name))
        if not getattr(command, "commands", None):
            for param in command.params:
                if not is_option(param) or takes_value(param):
                    yield " ".join((*path, param.name)), param

    return walk(get_command(app), ())


# In shells


def test_bash(program, shell):
    for name in ("my trip", "a:b$c"):
        program.invoke("-s", name, "hi")
    (program.folder / "file.txt").touch()
    lines = {
        "swarmchat sess": "swarmchat sessions",
        "swarmchat --vers": "swarmchat --version",
        "swarmchat -s my": r"swarmchat -s my\ trip",
        "swarmchat -s 'my": "swarmchat -s 'my trip'",
        "swarmchat -s a:": r"swarmchat -s a:b\$c",
        "X=1 swarmchat --backend=mem": "X=1 swarmchat --backend=memory",
        "true | swarmchat -S he": "true | swarmchat -S helpdesk",
        "swarmchat --data-dir fil": "swarmchat --data-dir file.txt",
        "swarmchat agents show -S helpdesk tr": "swarmchat agents show -S helpdesk triage",
        "swarmchat tools call -S helpdesk play ": "swarmchat tools call -S helpdesk play '{\"square\": 0}'",
    }
    with shell("bash", "--norc", "--noprofile", "-i") as screen:
        screen.send(" PS1='> '; eval \"$(swarmchat completion bash)\"; echo rea''dy\r")
        screen.wait_for(lambda screen: screen.lines[-2:] == ["ready", ">"])
        for typed, shown in lines.items():
            screen.send(f"{typed}\t")
            screen.wait_for(lambda screen, shown=shown: screen.lines[-1:] == [f"> {shown}"])
            # Ctrl-U takes the line away.
            screen.send("\x15")
            screen.wait_for(lambda screen: screen.lines[-1:] == [">"])
        # Where no file can stand, the shell offers none: what is typed next follows at once.
        screen.send("swarmchat state fil\tX")
        screen.wait_for("> swarmchat state filX")


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells(name, program, shell):
    binary = shutil.which(name, path=program.env["PATH"])
    if binary is None:
        pytest.skip(f"{name} is not installed")
    program.invoke("-s", "my trip", "hi")
    (program.folder / "file.txt").touch()
    start = [binary, "-f"] if name == "zsh" else [binary, "--no-config"]
    load = "autoload -Uz compinit; compinit -u; " if name == "zsh" else ""
    source = 'eval "$(swarmchat completion zsh)"' if name == "zsh" else "swarmchat completion fish | source"
    with shell(*start) as screen:
        screen.send(f"{load}{source}; echo rea''dy\r")
        screen.wait_for("ready")
        for typed, shown in (
            ("-s my", r"-s my\\? trip"),
            ("-m de", "-m demo"),
            ("--approve=au", "--approve=auto"),
            ("agents show -S helpdesk tr", "agents show -S helpdesk triage"),
            ("--data-dir fil", "--data-dir file.txt"),
        ):
            screen.send(f"swarmchat {typed}\t")
            screen.wait_for(lambda screen, shown=shown: re.search(f"swarmchat {shown}", screen.words))
            screen.send("\x15")
        # Where no file can stand, the shell offers none: what is typed next follows at once.
        screen.send("swarmchat state fil\tX")
        screen.wait_for("swarmchat state filX")


@pytest.mark.parametrize("name", SHELLS)
def test_a_script_is_what_its_shell_takes(name, program):
    done = program.invoke("completion", name)
    assert (done.out, done.err, done.code) == (script(name), "", 0)
    if path := shutil.which(name):
        assert subprocess.run([path, "-n"], input=done.out, text=True, capture_output=True).stderr == ""


def test_another_shell_is_a_usage_error(program):
    for words in (["tcsh"], ["bash", "more"], []):
        done = program.invoke("completion", *words)
        assert (done.out, done.code) == ("", 2)


def test_the_doctor_sees_whether_it_is_installed(program):
    def status() -> str:
        document = json.loads(program.invoke("doctor", "--json", "--offline", env={"SHELL": "/bin/bash"}).out)
        return next(check["status"] for check in document["checks"] if check["name"] == "completion")

    assert status() == "skipped"
    (program.home / ".bashrc").write_text('eval "$(swarmchat completion bash)"\n')
    assert status() == "ok"


# What is offered


def test_commands_and_options(program):
    assert {"chat", "sessions", "doctor", "config"} <= set(complete(program, ""))
    assert complete(program, "sessions", "re") == ["rename", "repair"]
    assert {"--version", "--backend", "--help"} <= set(complete(program, "-"))
    assert "--version" not in complete(program, "chat", "-")
    assert "--backend" in complete(program, "a", "question", "--b")
    assert complete(program, "--", "--b") == []
    assert complete(program, "bogus", "more", "x") == []


def test_whatever_has_values_that_can_be_known_completes():
    of_no_kind = {
        name.split()[-1] for name, param in each_value() if finder_of(tuple(name.split()[:-1]), param) is None
    }
    numbers = {"max_context", "limit", "total", "keep", "start", "until", "speed", "seconds", "timeout"}
    numbers |= {"callback_port", "jobs", "repeat", "min_pass"}
    texts = {
        "prompt",
        "system",
        "text",
        "search",
        "value",
        "why",
        "new",
        "as_name",
        "redact",
        "field",
        "id_field",
        "sender",
    }
    texts |= {
        "person",
        "client_id",
        "client_secret",
        "name",
        "command",
        "url",
        "env",
        "header",
        "expression",
        "tag",
        "ignore",
    }
    files = {"script", "data_dir", "file", "files", "folder", "junit", "summary", "cassette", "output", "schema"}
    assert of_no_kind == numbers | texts | files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-b", "d"), ["disk", "disk:"]),
        (("--backend=d",), ["--backend=disk", "--backend=disk:"]),
        (("--strict", "--approve", ""), ["auto", "ask", "deny"]),
        (("sessions", "list", "-b", "me"), ["memory"]),
        (("-S", "h"), ["helpdesk"]),
        (("completion", "b"), ["bash"]),
        (("config", "set", "ret"), ["retries"]),
        (("config", "set", "editing", ""), ["emacs", "vi"]),
        (("replay", "--mode", "l"), ["live"]),
        (("run", "--output", "jsonl"), ["jsonl"]),
        (("sessions", "export", "--format", "m"), ["markdown"]),
        (("sessions", "copy", "--to", "r"), ["redis", "redis://"]),
        (("agents", "show", ""), ["assistant"]),
        (("agents", "show", "-S", "helpdesk", ""), ["triage", "sales", "refunds", "support", "researcher"]),
        (("tools", "call", "-S", "phone_shop", "put"), ["put_in_basket"]),
        (("tools", "call", "-S", "phone_shop", "put_in_basket", ""), ['{"description": ""}']),
        (("bans", "list", "-S", "helpdesk", "--policy", ""), ["no-politics"]),
        (("storage", "-S", "helpdesk", ""), ["facts"]),
        (("operator", "-S", "helpdesk", "--operator", ""), ["support"]),
        # A file may stand here, or nothing may.
        (("sessions", "export", "--output", ""), []),
        (("-bmemory", "-s", ""), [""]),
        (("--max-context", ""), [""]),
        (("sessions", "list", ""), [""]),
    ],
)
def test_values(words, expected, program):
    assert complete(program, *words) == expected


def test_sessions_are_those_of_the_client_and_the_store(program, redis_url):
    program.invoke("-s", "on disk", "hi")
    program.invoke("-s", "of-redis", "-b", "redis", "--redis-url", redis_url, "hi")
    assert complete(program, "-s", "") == ["on disk"]
    assert complete(program, "sessions", "show", "on") == ["on disk"]
    assert complete(program, "-b", "redis", "--redis-url", redis_url, "-s", "") == ["of-redis"]
    assert complete(program, "--client", "bob", "-s", "") == [""]
    program.invoke("-s", "more", "hi")
    assert complete(program, "sessions", "delete", "more", "") == ["on disk"]


def test_what_is_kept_completes(program):
    program.invoke("-S", "helpdesk", "-s", "s", "my name is Ann")
    program.invoke("-S", "helpdesk", "-s", "s", "play a game with me")
    program.invoke("bans", "add", "-S", "helpdesk", "mallory")
    assert complete(program, "memory", "") == ["name"]
    assert complete(program, "state", "") == complete(program, "state", "-s", "s", "") == ["game"]
    assert complete(program, "sessions", "fork", "s", "--turn", "") == ["2", "1"]
    assert complete(program, "bans", "lift", "-S", "helpdesk", "") == ["mallory"]
    program.invoke("storage", "-S", "helpdesk", "facts")
    assert complete(program, "storage", "--shared", "") == ["facts"]


def test_models_and_profiles_are_those_that_are_known(program):
    own = program.home / ".config/swarmchat/config.toml"
    own.parent.mkdir(parents=True)
    own.write_text('model = "mine"\n[profiles.local]\nmodel = "theirs"\n', "utf-8")
    with model_server(models=["served:8b"]) as server:
        words = ("--base-url", server.base_url, "-m", "")
        assert complete(program, *words) == ["demo", "mine", "theirs", "served:8b"]
        line = f"swarmchat --base-url {server.base_url} -m served:"
        assert complete(program, "swarmchat", line, BREAKS, shell="bash") == ["8b"]
    assert complete(program, "--profile", "") == ["local"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_names_of_the_swarms_that_come_with_the_program(name, tmp_path):
    # A folder of the same name is the user's, and is not looked into.
    (tmp_path / name).mkdir()
    names, swarm = swarm_names(name, tmp_path), load_swarm(name, Path())
    assert names.name == swarm.name
    for kind in ("agents", "storages", "policies"):
        assert list(getattr(names, kind)) == [each.name for each in getattr(swarm, kind)]
    tools = {tool.name: tool.signature.parameters for agent in swarm.agents for tool in agent.own_tools}
    assert names.parameters == tools
    assert list(names.tools) == list(tools)


def test_a_swarm_is_read_and_not_run(program):
    (program.folder / "shop.py").write_text('open("ran", "w").close()\n', "utf-8")
    (program.folder / "desk").mkdir()
    (program.folder / "desk/tools.py").write_text('open("ran", "w").close()\ndef look(where: str): ...\n', "utf-8")
    (program.folder / "desk/swarm.toml").write_text(
        '[agents.clerk]\ndescription = "sells"\ntools = ["look"]\n[states.order]\ndefault = 0\n'
        '[storages.goods]\nindex = "name"\n[policies.polite]\nreject_input = "rude"\n',
        "utf-8",
    )
    for swarm in ("desk", "desk/swarm.toml"):
        assert complete(program, "agents", "show", "-S", swarm, "") == ["clerk"]
    assert complete(program, "tools", "call", "-S", "desk", "") == ["look"]
    assert complete(program, "tools", "call", "-S", "desk", "look", "") == [""]
    assert complete(program, "bans", "list", "-S", "desk", "--policy", "") == ["polite"]
    assert complete(program, "storage", "-S", "desk", "") == ["goods"]
    for swarm in ("shop.py", "shop:swarm", "./shop.py:swarm", "missing"):
        assert complete(program, "agents", "show", "-S", swarm, "") == [""]
    assert complete(program, "-S", "") == ["desk", "helpdesk", "phone_shop", "shop.py"]
    # A swarm that only a folder's settings file names is not trusted.
    (program.folder / "swarmchat.toml").write_text('swarm = "desk"\n', "utf-8")
    assert complete(program, "agents", "show", "") == ["assistant"]
    (program.folder / "desk/swarm.toml").write_text("this is no TOML", "utf-8")
    assert complete(program, "agents", "show", "-S", "desk", "") == [""]
    assert not (program.folder / "ran").exists()


def test_what_a_setting_is_offered_it_takes(program, monkeypatch):
    for name, value in program.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(program.folder)
    for name, find in SETTING_VALUES.items():
        for value, _ in find(PartialCommandLine(None)):
            read_value("Tab", name, value)


def test_errors_create_nothing_and_print_nothing(program):
    assert complete(program, "-s", "") == [""]
    assert not (program.home / ".local").exists()
    (program.folder / "swarmchat.toml").write_text("this is no toml", "utf-8")
    assert complete(program, "-s", "") == [""]
    for words in (("-s",), ("state",), ("memory",), ("storage",), ("bans", "lift", "-S", "helpdesk")):
        assert complete(program, "-b", "redis://127.0.0.1:1/0", *words, "") in ([""], [])
    assert complete(program, "-b", "bogus:x", "-s", "") == [""]
    done = program.invoke("completion", "candidates", "bash", "--", "one")
    assert (done.out, done.err, done.code) == ("", "", 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a b", ShellLine(["a", "b"], "")),
        ("a b ", ShellLine(["a", "b", ""], "")),
        (r"a b\ c 'd \e' \"f", ShellLine(["a", "b c", r"d \e", '"f'], "")),
        ("a 'b c", ShellLine(["a", "b c"], "'")),
        ('a "b\\"', ShellLine(["a", 'b"'], '"')),
        ("a '' b", ShellLine(["a", "", "b"], "")),
        ("a b\\", ShellLine(["a", "b"], "")),
    ],
)
def test_lines_are_split_as_bash_does(text, line):
    assert split_line(text) == line


def test_it_loads_little(program):
    code = (
        "import sys\nsys.argv = ['swarmchat', 'completion', 'candidates', 'fish', '--', '-m', '']\n"
        "from swarmchat.cli.main import main\ntry: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(*[name for name in ('openai', 'tiktoken', 'redis', 'diskcache', 'numpy', 'prompt_toolkit', 'pydantic')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], env=program.env, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""

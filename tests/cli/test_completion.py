"""Tab: in real shells, and what the program offers them."""

import json
import re
import shutil
import stat
import subprocess
import sys

import pytest
from model_server import model_server
from swarmchat.cli.completion_lines import Line, split_line
from swarmchat.cli.completion_scripts import SCRIPTS, SHELLS
from terminal import terminal

BREAKS = " \t\n\"'><=;|&(:"


@pytest.fixture
def shell(program):
    """Start a shell with the program on its path and its completion loaded."""
    folder = program.folder.parent / "bin"
    folder.mkdir()
    shim = folder / "swarmchat"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m swarmchat.cli "$@"\n')
    shim.chmod(shim.stat().st_mode | stat.S_IXUSR)
    environment = {**program.env, "PATH": f"{folder}:{program.env['PATH']}"}

    def start(*command):
        return terminal(command, env=environment, columns=100, rows=40, cwd=program.folder)

    return start


def complete(program, *words: str, shell: str = "fish") -> list[str]:
    done = program.invoke("completion", "candidates", shell, "--", *words)
    assert (done.err, done.code) == ("", 0)
    return [line.partition("\t")[0] for line in done.out.splitlines()]


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
    }
    with shell("bash", "--norc", "--noprofile", "-i") as screen:
        screen.send(" PS1='> '; eval \"$(swarmchat completion bash)\"; echo rea''dy\r")
        screen.wait_for("ready")
        for typed, shown in lines.items():
            screen.send(f"{typed}\t")
            screen.wait_for(lambda screen, shown=shown: screen.lines[-1:] == [f"> {shown}"])
            # Ctrl-U takes the line away.
            screen.send("\x15")
            screen.wait_for(lambda screen: screen.lines[-1:] == [">"])


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_other_shells(name, program, shell):
    found = shutil.which(name, path=program.env["PATH"])
    if found is None:
        pytest.skip(f"{name} is not installed")
    program.invoke("-s", "my trip", "hi")
    start = [found, "-f"] if name == "zsh" else [found, "--no-config"]
    load = "autoload -Uz compinit; compinit -u; " if name == "zsh" else ""
    source = 'eval "$(swarmchat completion zsh)"' if name == "zsh" else "swarmchat completion fish | source"
    with shell(*start) as screen:
        screen.send(f"{load}{source}; echo rea''dy\r")
        screen.wait_for("ready")
        screen.send("swarmchat -s my\t")
        screen.wait_for(lambda screen: re.search(r"swarmchat -s my\\? trip", screen.words))


@pytest.mark.parametrize("name", SHELLS)
def test_a_script_is_what_its_shell_takes(name, program):
    done = program.invoke("completion", name)
    assert (done.out, done.err, done.code) == (SCRIPTS[name], "", 0)
    if path := shutil.which(name):
        assert subprocess.run([path, "-n"], input=done.out, text=True, capture_output=True).stderr == ""


def test_another_shell_is_a_usage_error(program):
    for words in (["tcsh"], ["bash", "more"], []):
        done = program.invoke("completion", *words)
        assert (done.out, done.code) == ("", 2)


def test_the_doctor_sees_whether_it_is_installed(program):
    def found() -> str:
        document = json.loads(program.invoke("doctor", "--json", "--offline", env={"SHELL": "/bin/bash"}).out)
        return next(check["status"] for check in document["checks"] if check["name"] == "completion")

    assert found() == "skipped"
    (program.home / ".bashrc").write_text('eval "$(swarmchat completion bash)"\n')
    assert found() == "ok"


# What is offered


def test_commands_and_options(program):
    assert {"chat", "sessions", "doctor", "config"} <= set(complete(program, ""))
    assert complete(program, "sessions", "re") == ["rename", "repair"]
    assert {"--version", "--backend", "--help"} <= set(complete(program, "-"))
    assert "--version" not in complete(program, "chat", "-")
    assert "--backend" in complete(program, "a", "question", "--b")
    assert complete(program, "--", "--b") == []
    assert complete(program, "bogus", "more", "x") == []


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
        (("-bmemory", "-s", ""), []),
        (("--max-context", ""), []),
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
    assert complete(program, "--client", "bob", "-s", "") == []


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


def test_nothing_is_made_and_nothing_is_said_when_it_goes_wrong(program):
    assert complete(program, "-s", "") == []
    assert not (program.home / ".local").exists()
    (program.folder / "swarmchat.toml").write_text("this is no toml", "utf-8")
    assert complete(program, "-s", "") == []
    assert complete(program, "-b", "redis://127.0.0.1:1/0", "-s", "") == []
    assert complete(program, "-b", "bogus:x", "-s", "") == []
    done = program.invoke("completion", "candidates", "bash", "--", "one")
    assert (done.out, done.err, done.code) == ("", "", 0)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a b", Line(["a", "b"], "")),
        ("a b ", Line(["a", "b", ""], "")),
        (r"a b\ c 'd \e' \"f", Line(["a", "b c", r"d \e", '"f'], "")),
        ("a 'b c", Line(["a", "b c"], "'")),
        ('a "b\\"', Line(["a", 'b"'], '"')),
        ("a '' b", Line(["a", "", "b"], "")),
        ("a b\\", Line(["a", "b"], "")),
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

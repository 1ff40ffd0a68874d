"""Who finds the user's keys in the environment: the program, and nobody that it starts."""

import json

import pytest

SWARM = '''\
import os, subprocess, sys
from swarmchat.swarm import Agent, DemoRule, Swarm, tool

NAMES = ("OPENAI_API_KEY", "SWARMCHAT_API_KEY", "MY_KEY", "SWARMCHAT_REDIS_URL", "PLAIN")
AT_IMPORT = sorted(name for name in NAMES if name in os.environ)

@tool
def look() -> list[str]:
    """List the variables that a program finds."""
    code = "import os; print(*os.environ)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    return sorted(set(NAMES) & set(found)) + AT_IMPORT

swarm = Swarm("s", [Agent("a", tools=[look])], demo=[DemoRule("look", "look", reply="{result}")])
'''


@pytest.mark.parametrize(
    ("given", "found"), [({}, ["PLAIN"]), ({"SWARMCHAT_PASS_KEYS": "true"}, ["MY_KEY", "OPENAI_API_KEY", "PLAIN"])]
)
def test_tools_and_their_programs_do_not_find_the_keys(given, found, program):
    (program.folder / "s.py").write_text(SWARM, "utf-8")
    keys = {"OPENAI_API_KEY": "sk-1", "MY_KEY": "sk-2", "SWARMCHAT_API_KEY_ENV": "MY_KEY", "PLAIN": "1"}
    done = program.run("-S", "s.py", "-m", "demo", "please look", env={**keys, **given})
    assert (json.loads(done.out), done.err.count("error")) == (found * 2, 0)


def test_the_program_still_has_them(program, server):
    keys = {"SWARMCHAT_API_KEY_ENV": "MY_KEY", "MY_KEY": "sk-2"}
    assert program.run("how are you?", env=keys).code == 0
    assert server.requests[-1].headers["authorization"] == "Bearer sk-2"


def test_an_editor_does_not_find_them(program):
    editor = program.folder / "editor"
    editor.write_text(f"#!/bin/sh\nenv > {program.folder}/env\n", "utf-8")
    editor.chmod(0o700)
    with program.chat("-m", "demo", env={"EDITOR": str(editor), "OPENAI_API_KEY": "sk-1", "PLAIN": "1"}) as screen:
        screen.wait_for("you ❯")
        screen.send("draft\x18\x05")
        screen.wait_for(lambda screen: (program.folder / "env").exists())
        screen.wait_for("you ❯ draft")
    found = (program.folder / "env").read_text("utf-8")
    assert ("PLAIN=1" in found, "sk-1" in found) == (True, False)

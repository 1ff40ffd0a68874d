"""Lines above the prompt: what is typed while they are printed is for the prompt."""

import os
import sys

import pytest
from terminal import CTRL_D, TAB, terminal

PROGRAM = """
import sys
from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings
from swarmchat.cli.prompt.above import print_above

keys = KeyBindings()

@keys.add("tab")
def show(event):
    def write():
        print("printing", flush=True)
        print("above", open(sys.argv[1]).readline())

    print_above(event.app, write)

try:
    print(repr(PromptSession(key_bindings=keys).prompt("prompt> ")))
except EOFError:
    print("left")
"""


@pytest.mark.parametrize(("typed", "outcome"), [(CTRL_D, "left"), ("ac\x1b[Db\r", "'abc'")])
def test_keys_that_are_pressed_meanwhile(tmp_path, typed, outcome):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with terminal([sys.executable, "-c", PROGRAM, str(gate)]) as screen, open(os.open(gate, os.O_RDWR), "w") as pipe:
        screen.wait_for("prompt>")
        screen.send(TAB)
        screen.wait_for("printing")
        screen.send(typed)
        print("all", file=pipe, flush=True)
        assert screen.wait_for_end() == 0
        assert screen.lines[:2] == ["printing", "above all"]
        assert screen.lines[-1] == outcome
        assert "^" not in screen.text

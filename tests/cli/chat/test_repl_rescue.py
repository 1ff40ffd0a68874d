"""A model that misbehaves in one way after the other, as its user sees it: on a real terminal, over a real server."""

import itertools

import pytest
from misbehaving import SCRIPT, Output
from model_server import Reply, text, tool_calls
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER
from terminal import ENTER, Terminal, at_prompt

MARKUP = ["<tool_call", "<toolcall", "TOOL_", "<function", "<|", "|>", '"arguments"', "im_end"]
ASKED_IN_VAIN = {"silence for ever": 3, "unknown tools, for ever": 4}
"""How many requests the rescue makes before it gives up."""


def replies(outputs: "list[Output]", ids: "itertools.count[int]") -> list[Reply]:
    scripted = []
    for output in outputs:
        if isinstance(output, str):
            scripted.append(text(*(output[start : start + 5] for start in range(0, len(output), 5))))
        else:
            calls = [
                {"index": index, "id": f"call_{next(ids)}", "function": {"name": name, "arguments": arguments}}
                for index, (name, arguments) in enumerate(output)
            ]
            scripted.append(tool_calls(calls))
    return scripted


def turn_is_over(turn: int):
    return lambda screen: at_prompt(screen) and screen.text.count("you ❯") > turn


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (40, 10)])
def test_every_turn_ends_and_no_markup_is_seen(columns, rows, program, server):
    ids = itertools.count()
    with program.chat("-S", "helpdesk", columns=columns, rows=rows) as screen:
        assert isinstance(screen, Terminal)
        screen.wait_for(at_prompt)
        for turn, question in enumerate(SCRIPT, 1):
            wanted = ASKED_IN_VAIN.get(question.fault)
            outputs = list(question.outputs) if wanted is None else [question.outputs[-1]] * wanted
            server.reply(*replies(outputs, ids))
            screen.send(question.text + ENTER)
            screen.wait_for(turn_is_over(turn))
            expected = PLACEHOLDER if wanted else question.outputs[-1].split("<|")[0]
            # Wherever the terminal broke a line.
            assert "".join(expected.split()) in "".join(screen.text.split()), question.fault
        for sign in MARKUP:
            assert sign not in screen.text, screen.text
        assert screen.words.count("rescue: ") == 21
        screen.send("/context" + ENTER)
        screen.wait_for("rescue steps in this session: 21")

"""What a tool returns is cut at a limit, and the model is told."""

import asyncio
import json

import pytest
from chats import open_session, say
from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.conversation.events import ToolFinished
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.tools.tool import tool

LIMIT = 5_000


@tool
def repeat(count: int) -> str:
    """Return a text of that length."""
    return "x" * count


@tool
def fail(count: int) -> str:
    """Fail with a message of that length."""
    raise ValueError("x" * count)


@tool
def nest(count: int) -> list[object]:
    """Return a list that deep."""
    value: list[object] = []
    for _ in range(count):
        value = [value]
    return value


class Odd(BaseException):
    """No Exception."""


EXITS: dict[str, BaseException] = {
    "it called sys.exit(3)": SystemExit(3),
    "it raised KeyboardInterrupt()": KeyboardInterrupt(),
    "it raised CancelledError()": asyncio.CancelledError(),
    "it raised GeneratorExit()": GeneratorExit(),
    "it raised Odd('no')": Odd("no"),
}


@tool
async def leave(message: str) -> None:
    """Do what would end the program."""
    raise EXITS[message]


@tool
def leave_in_thread(message: str) -> None:
    """Do so in a thread."""
    raise EXITS[message]


SWARM = Swarm("s", [Agent("a", "Hi.", [repeat, fail, nest, leave, leave_in_thread])])


def call(name: str, arguments: str) -> ToolFinished:
    steps = [Answer("", (ToolCall("c", name, arguments),), "tool_calls"), "done"]

    async def scenario() -> ToolFinished:
        model = ScriptedModel(steps)
        async with await open_session(open_backend("memory:"), model, swarm=SWARM, max_result=LIMIT) as session:
            return next(event for event in await say(session, "go") if isinstance(event, ToolFinished))

    return asyncio.run(scenario())


@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1, 10 * LIMIT])
def test_a_long_result_is_cut_with_a_line_that_names_max_result(count: int):
    done = call("repeat", f'{{"count": {count}}}')
    text, _, line = done.result.partition("\n")
    assert (done.status, text) == ("ok", "x" * LIMIT)
    assert line == ("" if count == LIMIT else f"[cut: {count:,} characters, max_result allows 5,000; ask for less]")


@pytest.mark.parametrize("name", ["leave", "leave_in_thread"])
@pytest.mark.parametrize("message", EXITS)
def test_a_tool_that_would_end_the_program_fails(name: str, message: str):
    done = call(name, json.dumps({"message": message}))
    assert (done.status, done.result) == ("error", f"Error: RuntimeError: {message}")


def test_a_long_error_is_cut_as_well():
    done = call("fail", f'{{"count": {10 * LIMIT}}}')
    assert done.status == "error"
    assert len(done.result) < LIMIT + 100
    assert "max_result" in done.result


def test_a_result_that_is_nested_too_deep_is_an_error_of_the_tool():
    assert call("nest", '{"count": 5000}').status == "error"


def test_arguments_that_are_nested_too_deep_are_refused():
    done = call("repeat", '{"count": ' + "[" * 101 + "]" * 101 + "}")
    assert done.status == "error"
    assert "nested more than 100 levels" in done.result

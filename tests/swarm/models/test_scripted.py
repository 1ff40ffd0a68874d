"""The scripted model: every kind of step, and complaints about too many and too few requests."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.errors import ModelBusy, ScriptError
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, ReasoningChunk, Retry, TextChunk, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel, Step, word_pieces

ASK = ModelRequest("m", (b'{"role":"user","content":"Hi"}',))
CALL = ToolCall("a", "find", "{}")


def collect(
    model: ScriptedModel, request: ModelRequest = ASK, events: list[ModelEvent] | None = None
) -> list[ModelEvent]:
    chunks = [] if events is None else events

    async def run() -> None:
        async for event in model.stream(request):
            chunks.append(event)

    asyncio.run(run())
    return chunks


def test_a_text_is_streamed_by_words():
    assert collect(ScriptedModel(["One  two\n\nthree "])) == [
        TextChunk("One"),
        TextChunk("  two"),
        TextChunk("\n\nthree "),
        Answer("One  two\n\nthree ", model="scripted"),
    ]


def test_an_answer_is_streamed_with_its_calls():
    answer = Answer("Look ing", (CALL,), reasoning="hm", usage={"prompt_tokens": 1})
    events = collect(ScriptedModel([answer]))
    assert events == [
        ReasoningChunk("hm"),
        TextChunk("Look"),
        TextChunk(" ing"),
        Answer("Look ing", (CALL,), "tool_calls", {"prompt_tokens": 1}, "scripted", "hm"),
    ]


def test_an_error_is_raised_and_the_script_continues():
    model = ScriptedModel([ModelBusy("later"), "yes"])
    with pytest.raises(ModelBusy, match="later"):
        collect(model)
    assert collect(model)[-1] == Answer("yes", model="scripted")
    model.assert_finished()


def test_events_are_streamed_as_they_are():
    retry = Retry(2, 0.0, "busy")
    assert collect(ScriptedModel([[retry, "a b", ReasoningChunk("hm"), TextChunk("c")]])) == [
        retry,
        TextChunk("a b"),
        ReasoningChunk("hm"),
        TextChunk("c"),
        Answer("a bc", model="scripted", reasoning="hm"),
    ]
    whole = Answer("x", finish="length")
    assert collect(ScriptedModel([[TextChunk("x"), whole]])) == [TextChunk("x"), whole]


def test_an_error_may_come_after_text():
    events: list[ModelEvent] = []
    with pytest.raises(ModelBusy):
        collect(ScriptedModel([["Hel", ModelBusy("later")]]), events=events)
    assert events == [TextChunk("Hel")]


def test_a_function_sees_the_request():
    async def later(request: ModelRequest) -> Step:
        return lambda again: f"{again.model} {len(request.messages)}"

    assert collect(ScriptedModel([lambda request: request.model, later]))[-1] == Answer("m", model="scripted")
    assert collect(ScriptedModel([later]))[-1] == Answer("m 1", model="scripted")


def test_requests_are_kept():
    model = ScriptedModel(["one", "two"])
    other = ModelRequest("n", ())
    collect(model)
    collect(model, other)
    assert model.requests == [ASK, other]


def test_a_request_too_many_is_reported():
    model = ScriptedModel(["one"])
    collect(model)
    with pytest.raises(ScriptError, match=r"was asked 2 times, its script has 1 steps"):
        collect(model)


def test_unused_steps_are_reported():
    def special(request: ModelRequest) -> str:
        return "x"

    model = ScriptedModel(["one", "two", special, "long " * 100], name="script")
    collect(model)
    with pytest.raises(ScriptError, match=r"'script' was not asked for 3 of its steps: 'two', special, 'long .*…$"):
        model.assert_finished()


def test_an_invalid_step_is_reported():
    model = ScriptedModel([lambda request: 3])  # type: ignore[list-item, return-value]  # the mistake that is tested
    with pytest.raises(ScriptError, match="3 is not a step"):
        collect(model)


def test_name_window_and_close():
    model = ScriptedModel(name="x", context_window=9)
    assert (model.name, model.context_window) == ("x", 9)
    asyncio.run(model.close())
    model.assert_finished()


@given(st.text())
def test_pieces_are_the_text_again(text: str):
    pieces: list[Any] = word_pieces(text)
    assert "".join(pieces) == text
    assert all(pieces)

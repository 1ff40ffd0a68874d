"""Calls among words and signs, in programs and in the JSON of other APIs: carried out if whole, else not shown."""

import json
from collections.abc import Iterator

import pytest
from corpus_tools import TOOLSET
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.models.base import TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.embedded_calls import shows_call

A = '{"city": "Paris"}'
F = 'get_weather(city="Paris")'
C = f'{{"name": "get_weather", "arguments": {A}}}'
U = f'{{"type": "tool_use", "id": "t1", "name": "get_weather", "input": {A}}}'
W = f'{{"toolUse": {{"toolUseId": "t1", "name": "get_weather", "input": {A}}}}}'
ITEM = '{"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": %s, "status": "completed"}'
RESPONSES_CALL = ITEM % json.dumps(A)
G = f'{{"functionCall": {{"name": "get_weather", "args": {A}}}}}'
RUNS = [("get_weather", {"city": "Paris"}, "")]

# In the middle of a line, too, and with text behind them.
NARRATED = [
    *(f"(calling {F})", f"*calls {F}*", f"[calling {F}]", f"_calls {F}_", f"**calls {F}**", f"*I call {F}*"),
    f"(tool call: {F})",
    f"*uses get_weather with {A}*",
    f"[Calls get_weather with {A}]",
    f"(using tool get_weather with {A})",
]
WHOLE = [
    # Functions that the model invents
    f'call_tool("get_weather", {A})',
    f'tool_call(name="get_weather", arguments={A})',
    f'functions.call("get_weather", {A})',
    f"FunctionCall(name='get_weather', arguments='{A}')",
    'run_tool("get_weather", city="Paris")',
    f'await session.call_tool("get_weather", arguments={A})',
    f"tool_call({C})",
    f'callTool("get_weather", {A});',
    'self.get_weather(city="Paris")',
    # Programs
    f"result = {F}",
    f"result = await {F}\nprint(result)",
    f"return {F}",
    f"print({F})",
    f"final_answer({F})",
    'const weather = await get_weather({city: "Paris"});',
    f"<code>result = {F}</code>",
    f"<code>\nresult = {F}\nprint(result)\n</code>",
    # Signs and labels
    "<get_weather>Paris</get_weather>",
    '<<get_weather city="Paris">>',
    "(get_weather city=Paris)",
    f"({F})",
    f"**{F}**",
    f"-> {F}",
    f"$ {F}",
    f"Step 1: {F}",
    f"Next action: {F}",
    f"I will call the function: {F}",
    f"`{F}`",
    f"<fn>{F}</fn>",
    f"<output>{C}</output>",
    f"Response: {C}",
    f"- {C}",
    f"({C})",
    f"{C}.",
    f"get_weather -> {A}",
    f"**get_weather**\n{A}",
    f"get_weather with arguments {A}",
    f"Invoking: `get_weather` with `{A}`",
    '[get_weather("Paris") -> ]',
    # Frameworks
    f"***** Suggested tool call (call_1): get_weather *****\nArguments: \n{A}\n**********************************",
    f"Thought: I look it up.\nAction: get_weather\nAction Input: {A}",
    f"Question: What?\nThought: I look.\n\nAction:\n```json\n{C}\n```",
    f"Thought: I look.\nCode:\n```py\nresult = {F}\nprint(result)\n```<end_code>",
    f"[[ ## next_thought ## ]]\nI look.\n\n[[ ## next_tool_name ## ]]\nget_weather\n\n"
    f"[[ ## next_tool_args ## ]]\n{A}\n\n[[ ## completed ## ]]",
    f"tool▁calls▁begin\ntool▁call▁begin\nfunction tool▁sep get_weather\n```json\n{A}\n```tool▁call▁end",
    f"channel>commentary to=functions.get_weather json{A}",
    # JSON of other APIs, and JSON that has lost its braces
    f'"tool_calls": [{C}]',
    f'"name": "get_weather",\n"arguments": {A}',
    f'[{{"type": "text", "text": "I look."}}, {U}]',
    f'{{"role": "assistant", "content": [{U}], "stop_reason": "tool_use"}}',
    f'[{{"type": "reasoning", "id": "r", "summary": []}}, {RESPONSES_CALL}]',
    f'{{"candidates": [{{"content": {{"parts": [{G}], "role": "model"}}}}]}}',
    f'{{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {{"name": "get_weather", "arguments": {A}}}}}',
    f'{{"output": {{"message": {{"role": "assistant", "content": [{W}]}}}}, "stopReason": "tool_use"}}',
    f'{{"message": "I look it up.", "tool_calls": [{C}]}}',
    f'{{"next_action": "get_weather", "arguments": {A}}}',
]
# Not carried out, and not shown: the beginning of what the model is told.
REFUSED = [
    ("get_weather city=Paris", "the call of get_weather cannot be read"),
    ("get_weather --city Paris", "the call of get_weather cannot be read"),
    ("get_weather:\n  city: Paris", "the call of get_weather cannot be read"),
    ("Command: get_weather city=Paris", "the call of get_weather cannot be read"),
    ("get_weather(city=Paris)", "the call of get_weather cannot be read"),
    ("get_weather(cit='Paris')", "city: "),
    ('call_tool("get_weather", {"cit": "Paris"})', "city: "),
    ("*calls get_weather(cit='Paris')*", "city: "),
    (f'call_tool("get_wether", {A})', "unknown tool 'get_wether'; did you mean 'get_weather'?"),
    ("Action: get_weather\nAction Input: Par", "the call of get_weather cannot be read"),
    (f"(calling {F}", "the call of get_weather is cut off"),
    (f"print({F}", "the call of get_weather is cut off"),
    ('result = get_weather(city="Par', "the call of get_weather is cut off"),
    ('{"name": ', "the call of a tool is cut off"),
    ("[get_weather", "the call of get_weather is cut off"),
    ("So:\n*calls get_wea", "the call of a tool is cut off"),
    ("*calls get_wether()*", "unknown tool 'get_wether'; did you mean 'get_weather'?"),
    ("(calling get_weather(city='string'))", "the call of get_weather looks like an example"),
]
ORDINARY = [
    "I call this a success (using the tool of my trade).\nUse it well.",
    "*calls the dog* Come here! (Calling for help)",
    "[Call me](https://example.com) when ready.\nRun: 5 km. Next step: call the bank.",
    "Thought: this is nice.\nAnother line.\n\nThe end.",
    "Question: What is 2 + 2?\nAnswer: 4",
    "x = 5\ny = f(x)\nprint(x + y)",
    '{"status": "ok", "message": "done", "data": {"id": 5}}',
    '[{"type": "text", "text": "hello"}]',
    '{"tools": ["get_weather", "list_orders"]}',
    '"name": "Ann", "age": 3',
    "- list_orders()\n- get_weather(city)",
    "You can do this:\n\n1. list_orders()",
    "| call |\n| --- |\n| get_weather(city='Paris') |",
    f"> {F}\n\nis what he wrote.",
    f"Let me explain: {F} tells the weather.",
    f"You would write (calling {F}) there.",
    f"The log says:\n`{F}`\nand then nothing.",
    f"weather = {F}\nif weather > 10:\n    go()",
    "get_weather: I could not reach it.",
    "The [list_orders] tool",
    "[tools.get_weather]\napprove = true",
    "*get_weather* is a tool, and so is **list_orders** here",
    "#get_weather is a tag",
    "***Important***: *use* the **tool** _now_.",
    "I will now call the function. One moment.",
    f"It returned {C} which is wrong.",
    "### list_orders()\nLists the orders.",
    "[[wiki]] and {{name}}",
]


def read(text: str, size: int, question: str = "") -> tuple[str, list[tuple[str, object, str]]]:
    """Return the shown text, and the calls with their problems, of ``text`` in pieces of ``size`` characters."""
    output = AnswerFilter(TOOLSET, question)
    pieces = [piece for start in range(0, len(text), size) for piece in output.feed(text[start : start + size])]
    pieces += output.finish()
    shown = "".join(piece.text for piece in pieces if isinstance(piece, TextChunk))
    calls = [call for piece in pieces if isinstance(piece, Leak) for call in piece.calls]
    return shown, [
        (call.name, json.loads(call.arguments) if not call.problem else None, call.problem or "") for call in calls
    ]


def outcomes(text: str, question: str = "") -> list[tuple[str, list[tuple[str, object, str]]]]:
    """Return the different outcomes of ``text``, whole and in small pieces."""
    whole, *streamed = [read(text, size, question) for size in (len(text), 1, 4)]
    return [whole, *(each for each in streamed if each != whole)]


def cuts(text: str) -> Iterator[str]:
    """Return beginnings of ``text``: every third, from a place that depends on the text."""
    return (text[:length] for length in range(1 + len(text) % 3, len(text), 3))


@pytest.mark.parametrize("text", [*NARRATED, *WHOLE])
def test_a_whole_call_runs_and_is_not_shown(text: str) -> None:
    assert outcomes(text) == [("", RUNS)]
    assert [shown.strip() for shown, _ in outcomes(f"I will look it up.\n\n{text}")] == ["I will look it up."]


@pytest.mark.parametrize("text", NARRATED)
def test_a_narrated_call_runs_in_the_middle_of_a_line(text: str) -> None:
    assert outcomes(f"Sure! {text}") == [("Sure!", RUNS)]
    ((shown, calls),) = outcomes(f"Sure! {text} One moment.")
    assert (shown.split(), calls) == (["Sure!", "One", "moment."], RUNS)


@pytest.mark.parametrize("text", [f"Sure! {C}", f"Let me see: {F}", f"I look → {F}"])
def test_a_call_ends_a_line_of_prose(text: str) -> None:
    ((shown, calls),) = outcomes(text)
    assert (shown in text[:12], calls) == (True, RUNS)
    assert outcomes(f"{text}\nThat is how.") == [(f"{text}\nThat is how.", [])]


@pytest.mark.parametrize("text", [*NARRATED, *WHOLE])
def test_of_what_is_cut_off_nothing_but_a_whole_call_runs(text: str) -> None:
    for beginning in cuts(text):
        shown, calls = read(beginning, 9999)
        assert all(call in RUNS or call[2] for call in calls), beginning
        assert not shown or not shows_call(shown, ["get_weather"]), beginning


@pytest.mark.parametrize(("text", "problem"), REFUSED)
def test_what_is_not_whole_or_does_not_fit_is_fed_back(text: str, problem: str) -> None:
    ((shown, ((_, _, told),)),) = outcomes(text)
    assert (shown.strip(), told.startswith(problem)) == ("So:" if text.startswith("So") else "", True), told


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert outcomes(text) == [(text, [])]


def test_a_program_that_was_asked_for_stays_as_it_is() -> None:
    for question in ("Write a script that gets the weather.", "How do I call it in JS?"):
        assert outcomes(f"result = {F}\nprint(result)", question) == [(f"result = {F}\nprint(result)", [])]


@given(
    st.lists(
        st.sampled_from(["(", "*", "call ", "tool", "x = ", "print(", "->", "\n", ": ", "`", "Thought: ", "I "]),
        max_size=6,
    ),
    st.sampled_from([F, C, f"get_weather {A}", U, "get_weather", "list_orders()", "Paris"]),
    st.lists(st.sampled_from([")", "*", "\n", " now", ".", "`", ";", F, "print(x)"]), max_size=4),
    st.integers(1, 7),
)
def test_how_the_text_is_cut_into_pieces_makes_no_difference(
    before: list[str], call: str, behind: list[str], size: int
) -> None:
    text = "".join([*before, call, *behind])
    assert read(text, size) == read(text, len(text))


def test_a_call_in_a_text_is_seen() -> None:
    names = ["get_weather"]
    for text in (
        F,
        f"Sure: {C}",
        f"<tool_call>{C}",
        f"get_weather {A}",
        "[TOOL_CALLS]get_weather",
        f'f("get_weather", {A})',
    ):
        assert shows_call(text, names), text
    for text in ("", "get_weather() tells it.", f"Write `{F}`.", f"```\n{F}\n```", "The tag <tool_call> is one."):
        assert not shows_call(text, names), text

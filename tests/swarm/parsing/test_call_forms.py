"""The forms in which small models write calls: what runs, what is fed back, and what the user gets to see."""

import json
from collections.abc import Iterator

import pytest
from corpus_tools import TOOLSET
from filtering import MeasuredFilter, filter_text
from swarmchat.swarm.models.base import TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_values import Leak

ARGUMENTS = '{"city": "Paris"}'
CALL = f'{{"name": "get_weather", "arguments": {ARGUMENTS}}}'
SCHEMA = '{"type": "object", "properties": {"city": {"type": "string"}}}'
DEFINITION = f'{{"name": "get_weather", "description": "Tell the weather.", "parameters": {SCHEMA}}}'
RUNS = [("get_weather", {"city": "Paris"}, "")]

# Each is one whole call of get_weather for Paris.
WHOLE = [
    "<toolcall> get_weather city=Paris </toolcall>",
    '<toolcall> get_weather city="Paris" </toolcall>',
    "<toolcall>\nget_weather\ncity: Paris\n</toolcall>",
    '<toolcall name="get_weather" city="Paris"/>',
    '<toolcall name="get_weather" city="Paris"></toolcall>',
    f"<tool_call name='get_weather'>{ARGUMENTS}</tool_call>",
    f"<tool_call name=\"get_weather\" arguments='{ARGUMENTS}'/>",
    f'<toolcall type="function">{CALL}</toolcall>',
    "<toolcall><name>get_weather</name><city>Paris</city></toolcall>",
    "<toolcall><name>get_weather</name><arguments><city>Paris</city></arguments></toolcall>",
    f"<toolcall><name>get_weather</name><arguments>{ARGUMENTS}</arguments></toolcall>",
    "<toolcall><get_weather><city>Paris</city></get_weather></toolcall>",
    "<toolcall><tool>get_weather</tool><city>Paris</city></toolcall>",
    '<function_call name="get_weather"><arg name="city">Paris</arg></function_call>',
    '<function_call name="get_weather"><argument name="city">Paris</argument></function_call>',
    "<function_call name='get_weather'><city>Paris</city></function_call>",
    f"<function_call name='get_weather'>{ARGUMENTS}</function_call>",
    f"<tool>get_weather</tool><args>{ARGUMENTS}</args>",
    f"<tool>get_weather</tool>\n<args>\n{ARGUMENTS}\n</args>",
    "<tool>get_weather</tool><args><city>Paris</city></args>",
    "<tool>get_weather</tool><args>city=Paris</args>",
    '<tool name="get_weather"><city>Paris</city></tool>',
    f'<toolcall> {{"type": "function", "arguments": {CALL}}} </toolcall>',
    f'{{"type": "function", "arguments": {CALL}}}',
    f"{{{CALL}",
    f"{{{CALL}}}",
    f"<tool_call>{{{CALL}</tool_call>",
    f"<tool_call>{{{CALL}}}</tool_call>",
    '{{"name": "get_weather", "arguments": {{"city": "Paris"}}}',
    "<tools><function><name>get_weather</name><arguments><city>Paris</city></arguments></function></tools>",
    "<tools>\n<function>\n<name>get_weather</name>\n<arguments>\n<city>Paris</city>\n</arguments>\n</function>\n</tools>",
    f"<tools>\n{CALL}\n</tools>",
    f"{CALL[:-1]})",
    f"{CALL})",
    f"<tool_call>{CALL[:-1]})</tool_call>",
    f"<tool_call>{CALL}",
    f"<tool_call>{CALL}\n</tool",
    f"```json\n{CALL}",
    f"&lt;tool_call&gt;{CALL}&lt;/tool_call&gt;",
    f"&lt;tool_call&gt;\n{CALL.replace(chr(34), '&quot;')}\n&lt;/tool_call&gt;",
    "&lt;function=get_weather&gt;&lt;parameter=city&gt;Paris&lt;/parameter&gt;&lt;/function&gt;",
    f"&#60;tool_call&#62;{CALL}&#60;/tool_call&#62;",
    f"\\<tool_call\\>{CALL}\\</tool_call\\>",
    f"＜tool_call＞{CALL}＜／tool_call＞",
    f"【TOOL_CALLS】[{CALL}]",
    f"＜｜tool▁calls▁begin｜＞＜｜tool▁call▁begin｜＞function＜｜tool▁sep｜＞get_weather\njson\n{ARGUMENTS}",
    f"[tool_call]{CALL}[/tool_call]",
    f"[TOOL CALL] {CALL}",
    f"<Tool-Call>{CALL}</Tool-Call>",
    '{"name": "get_weather", "arguments": "city": "Paris"}',
    '{"name": "get_weather" "arguments": {"city": "Paris"}}',
    '{"name": "get_weather", "arguments": {"city": Paris}}',
    '{"name": "get_weather", "city": "Paris"}',
    '<tool_call>"name": "get_weather", "arguments": {"city": "Paris"}</tool_call>',
    '<tool_call>{"name" => "get_weather", "arguments" => {"city" => "Paris"}}</tool_call>',
    '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris"}, "reason": "asked"}</tool_call>',
    '<tool_call>{"call": {"name": "get_weather", "arguments": {"city": "Paris"}}}</tool_call>',
    f"<tool_call>{json.dumps(CALL)}</tool_call>",
    "<tool_call>\nname: get_weather\narguments:\n  city: Paris\n</tool_call>",
    "<tool_call>\n- tool: get_weather\n  city: 'Paris'\n</tool_call>",
    "<tool_call>`get_weather(city='Paris')`</tool_call>",
    f"<tool_call>get_weather: {ARGUMENTS}</tool_call>",
    '<get_weather city="Paris"/>',
    f"<tool_invocation>{CALL}</tool_invocation>",
    "<execute_tool>get_weather(city='Paris')</execute_tool>",
    f"TOOL: get_weather\nARGS: {ARGUMENTS}",
    "CALL get_weather(city='Paris')",
    f"Tool call: {CALL}",
    f"**Function:** `get_weather`\n**Parameters:** {ARGUMENTS}",
    f"Calling get_weather with the arguments {ARGUMENTS}",
    "Action: get_weather[Paris]",
    f"Action: get_weather\nAction Input: {ARGUMENTS}\nObservation: sunny\nFinal Answer: It is sunny.",
    "<call>get_weather(city='Paris')</call>",
    f"<action>get_weather</action>\n<action_input>{ARGUMENTS}</action_input>",
    f"<function>get_weather</function>\n{ARGUMENTS}",
    f"<function/get_weather>{ARGUMENTS}</function>",
    f"<function=get_weather [{ARGUMENTS}]</function>",
    f"<tool_call>get_weather</tool_call>\n<tool_args>{ARGUMENTS}</tool_args>",
    f"[Calling tool: get_weather with arguments {ARGUMENTS}]",
    f"[Calling tool: get_weather({ARGUMENTS})]",
    "[Tool: get_weather city=Paris]",
    "{{tool_call: get_weather(city='Paris')}}",
    f"{{{{tool_call}}}}{CALL}{{{{/tool_call}}}}",
    f"<<<TOOL_CALL>>>{CALL}<<<END_TOOL_CALL>>>",
    "<<function>>get_weather(city='Paris')",
    f"\\[TOOL_CALLS\\][{CALL}]",
    f"<|tool|>get_weather<|args|>{ARGUMENTS}<|end|>",
    f"<|tool_call:begin|>a1<|tool_call:name|>get_weather<|tool_call:args|>{ARGUMENTS}<|tool_call:end|>",
    '<|open|>call tool="get_weather"<|sep|><|open|>argument key="city" type="string"<|sep|>Paris'
    "<|close|>argument<|sep|><|close|>call<|sep|>",
    "<use_mcp_tool>\n<server_name>sky</server_name>\n<tool_name>get_weather</tool_name>\n"
    f"<arguments>\n{ARGUMENTS}\n</arguments>\n</use_mcp_tool>",
    "```yaml\ntool: get_weather\narguments:\n  city: Paris\n```",
    "tool_calls:\n  - name: get_weather\n    arguments: {city: Paris}\n\n",
    f"🔧 Calling get_weather with {ARGUMENTS}",
    f"### Tool Call\n```json\n{CALL}\n```",
    f"TOOL_CALLS = [{CALL}]",
    "Action: get_weather: Paris\nPAUSE",
    f'{{"thoughts": {{"text": "I look."}}, "command": {{"name": "get_weather", "args": {ARGUMENTS}}}}}',
    "<get_weather(city='Paris')>",
    "```tool_code\nget_weather(city='Paris')\n```\n```tool_outputs\n18\n```",
    # Only the bracket around whole arguments is missing, and the model has closed its frame.
    f"<tool_call>{CALL[:-1]}\n</tool_call>",
]

# Each is refused, and none of it is shown: the name, and words of what the model is told.
REFUSED = [
    ("<toolcall> get_weather city=Paris", "get_weather", "cut off"),
    ('<toolcall name="get_weather" city="Paris">', "get_weather", "cut off"),
    ("<toolcall><name>get_weather</name><city>Par", "get_weather", "cut off"),
    ('<function_call name="get_weather"><arg name="city">Par', "get_weather", "cut off"),
    ('<function_call name="get_weather"><arg name="city">Paris</arg>', "get_weather", "cut off"),
    ("<toolcall>get_weather Par", "get_weather", "cut off"),
    (CALL[:-1], "get_weather", "cut off"),
    (CALL[:-2], "get_weather", "cut off"),
    (f"<tool_call>{CALL[:-1]}", "get_weather", "cut off"),
    (f"<tool_call>{CALL[:-2]}</tool_call>", "get_weather", "cut off"),
    (f"[TOOL_CALLS][{CALL}", "get_weather", "cut off"),
    ('[TOOL_CALLS]get_weather{"city": "Paris"', "get_weather", "cut off"),
    ('{"name": "get_weather", "arguments": {"city" Paris}}', "get_weather", "cannot be read"),
    ('```json\n{"name": "get_weather", "arguments": {"city" Paris}}\n```', "get_weather", "cannot be read"),
    ("get_weather(city='Paris'", "get_weather", "cut off"),
    ('&lt;tool_call&gt;{"name": "get_weather", "argu', "get_weather", "cut off"),
    ("Action: get_weather\nAction Inp", "get_weather", "cut off"),
    ("TOOL: get_weather", "get_weather", "cut off"),
    ('<get_weather city="Par', "get_weather", "cut off"),
    ("<tool_call>\nname: get_weather\narguments:\n  city: Par", "get_weather", "cut off"),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": 10:30}}</tool_call>', "get_weather", "cannot be read"),
    ("<tool_call>{'name': 'get_weather', 'arguments': {'city': 'L'Aquila'}}</tool_call>", "get_weather", "cannot"),
    ("Action: get_wether\nAction Input: Paris", "get_wether", "did you mean 'get_weather'?"),
    ("get_weather(city='Paris', unit=", "get_weather", "cut off"),
    ("[get_weather(city='Paris')", "get_weather", "cut off"),
    ("```python\nget_weather(city='Paris'", "get_weather", "cut off"),
    ("get_weather(", "get_weather", "cut off"),
    ("<get_weather>", "get_weather", "cut off"),
    ("<tool>get_weather</tool>", "get_weather", "cut off"),
    ("<tool>set_alarm</tool>\n<ar", "set_alarm", "cut off"),
    ("<toolcall>get_weather Paris</toolcall>", "get_weather", "cannot be read"),
    ("<toolcall> nothing of the kind </toolcall>", "", "cannot be read"),
    (f"<tool_call>{ARGUMENTS}</tool_call>", "", "does not name a tool"),
    ('{"name": "get_wether", "arguments": {"city": "Paris"}}', "get_wether", "did you mean 'get_weather'?"),
    ('```json\n{"name": "get_wether", "parameters": {"city": "Paris"}}\n```', "get_wether", "did you mean"),
    ("<toolcall> get_wether city=Paris </toolcall>", "get_wether", "did you mean 'get_weather'?"),
    ('<toolcall name="get_wether" city="Paris"/>', "get_wether", "did you mean 'get_weather'?"),
    (f"<tool>get_wether</tool><args>{ARGUMENTS}</args>", "get_wether", "did you mean 'get_weather'?"),
    ("<call>get_wether()</call>", "get_wether", "did you mean 'get_weather'?"),
    (f"[Calling tool: get_wether with {ARGUMENTS}]", "get_wether", "did you mean 'get_weather'?"),
    ("[Calling tool: get_weather]", "get_weather", "cut off"),
    ("{{tool_call}}", "", "cut off"),
    ("tool: get_weather\narguments:\n  city: Par", "get_weather", "as valid JSON"),
    ("Action: get_weather: Par", "get_weather", "as valid JSON"),
    ("Action: get_weather\nAction Input: Par", "get_weather", "as valid JSON"),
    ("```tool_code\nw = get_weather(city='Paris')\nprint(w)\n```", "get_weather", "cannot be read"),
    ("```tool_code\nget_wether(city='Paris')\n```", "get_wether", "did you mean 'get_weather'?"),
    ("[Calling to", "", "cut off"),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": "string"}}</tool_call>', "get_weather", "example"),
    ('<tool_call>{"name": "get_weather", "arguments": {"city": "<name>"}}</tool_call>', "get_weather", "example"),
    ('{"name": "get_weather", "arguments": {"city": "string"}}', "get_weather", "example"),
    ('{"name": "get_weather", "arguments": {"city": "[city name]"}}', "get_weather", "example"),
    (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "Your city"}}</tool_call>',
        "get_weather",
        "example",
    ),
]

# What the user sees of it; nothing in it is a call.
NO_CALL = [
    ('<tool_response>\n{"temperature": 18}\n</tool_response>', ""),
    ('<tool_response>\n{"temperature": 18}', ""),
    ('It is 18.\n<tool_response>{"temperature": 18}</tool_response>\nFine.', "It is 18.\nFine."),
    ("[TOOL_RESULTS] 18 [/TOOL_RESULTS]\nIt is 18.", "It is 18."),
    ("<｜tool▁outputs▁begin｜>18<｜tool▁outputs▁end｜>It is 18.", "It is 18."),
    ("It is 18.\n</tool_call>", "It is 18."),
    ("<tool_call>\nI will look.", "I will look."),
    (DEFINITION, ""),
    (f'{{"type": "function", "function": {DEFINITION}}}', ""),
    (f"<tool_call>{DEFINITION}</tool_call>", ""),
    (f"<tools>\n[{DEFINITION}]\n</tools>", ""),
    ("Hello.<|im_end|>\nuser\nAnd now?", "Hello."),
    ("Hello.<|im_end|>\nassistant\nHello.", "Hello."),
    ("Hello.<|im_end|>user:\nAnd now?", "Hello."),
    ("Hello.<|im_end|>\n<|im_start|>user\nAnd now?", "Hello."),
]

EXAMPLES = [
    '{"name": "get_weather", "arguments": {"city": "string"}}\nThat is all that I need.',
    f"For example:\n{CALL}",
    f"The format is this:\n```json\n{CALL}\n```",
    f"You would call it like this:\n\nget_weather(city='Paris')\n\nAnd so on:\n{CALL[:-3]}",
    f"Once you confirm, I will look it up:\n{CALL}",
    f"If you want that, I do this:\n{CALL}",
    f"I'd call the tool:\n{CALL}",
    f"So sähe der Aufruf aus:\n{CALL}",
    f"One writes:\n{CALL}\nor, to begin with, this:\n{CALL}",
]


MENTIONS = [
    "In HTML, write &lt;b&gt; for bold, and &lt;tool_call&gt; for <tool_call>.",
    f"&lt;tool_call&gt;{CALL}&lt;/tool_call&gt; is how it looks in the source of the page.",
    f"The entities of a tag:\n\n&lt;tool_call&gt;{CALL}&lt;/tool_call&gt;",
    "A [tool call] is a request; see 【1】 and ＜b＞.",
    "CALL us today!",
    "Action: drink more water.\nInput: 2 litres.",
    "Tool: hammer\nInput: steel",
    "<call>555-1234</call>",
    "<action>waves</action>",
    "name: get_weather\ncolour: red",
    "tools:\n  - name: get_weather\n    arguments:\n      city: string",
    "# Action\nDrink water.",
    "<function>main()</function>",
    "Assistant: [calls get_weather(city='Paris')]\nTool: 12 degrees",
    "{{ now }} is filled in; so is {{call}}.",
]


def splits(text: str) -> Iterator[list[str]]:
    yield list(text)
    for middle in range(len(text) + 1):
        yield [text[:middle], text[middle:]]


def outcomes(text: str, question: str = "") -> list[tuple[str, list[tuple[str, object, str]]]]:
    """Return the shown text, and the calls with their problems, for each way of streaming ``text``, without repeats."""
    results = []
    for chunks in splits(text):
        output = AnswerFilter(TOOLSET, question)
        pieces = [piece for chunk in chunks for piece in output.feed(chunk)]
        pieces += output.finish()
        shown = "".join(piece.text for piece in pieces if isinstance(piece, TextChunk))
        calls = [call for piece in pieces if isinstance(piece, Leak) for call in piece.calls]
        read = [
            (call.name, json.loads(call.arguments) if not call.problem else None, call.problem or "") for call in calls
        ]
        if (shown, read) not in results:
            results.append((shown, read))
    return results


@pytest.mark.parametrize("text", WHOLE)
def test_a_whole_call_runs_however_it_is_streamed(text: str) -> None:
    assert outcomes(text) == [("", RUNS)]


@pytest.mark.parametrize(("text", "name", "expected"), REFUSED)
def test_what_can_only_be_a_call_is_refused_and_not_shown(text: str, name: str, expected: str) -> None:
    ((shown, ((called, _, problem),)),) = outcomes(text)
    assert (shown, called) == ("", name)
    assert expected in problem


@pytest.mark.parametrize(("text", "expected"), NO_CALL)
def test_echoes_and_the_turns_of_others_are_cut(text: str, expected: str) -> None:
    ((shown, calls),) = outcomes(text)
    assert (shown.strip(), calls) == (expected, [])


@pytest.mark.parametrize("before", ["I'll check if you have one:", "It would be a pleasure!", "You'd like rain."])
def test_an_announced_call_is_carried_out(before: str) -> None:
    assert outcomes(f"{before}\n{CALL}") == [(before, RUNS)]


@pytest.mark.parametrize("text", [*EXAMPLES, *MENTIONS])
def test_a_text_that_explains_stays_as_it_is(text: str) -> None:
    assert outcomes(text) == [(text, [])]


def test_markup_in_a_text_that_explains_is_neither_shown_nor_carried_out() -> None:
    ((shown, ((name, _, problem),)),) = outcomes(f"You would write:\n<tool_call>{CALL}</tool_call>")
    assert (shown.strip(), name) == ("You would write:", "get_weather")
    assert "example" in problem


@pytest.mark.parametrize(
    "question",
    [
        "What arguments does get_weather take?",
        "How do your tool calls look?",
        "what would the call be?",
        "What's the call for Paris?",
        "What would you call to get the weather?",
        "which tool would you use",
        "Print the exact call.",
        "Wie sieht der Aufruf aus?",
    ],
)
def test_an_answer_to_a_question_about_calls_holds_examples(question: str) -> None:
    assert outcomes(CALL, question) == [(CALL, [])]
    ((shown, ((_, _, problem),)),) = outcomes(f"<tool_call>{CALL}</tool_call>", question)
    assert shown == ""
    assert "example" in problem


@pytest.mark.parametrize("text", [CALL, f"<tool_call>{CALL}</tool_call>", f"```json\n{CALL}\n```"])
def test_a_call_in_answer_to_a_hypothetical_question_is_neither_carried_out_nor_shown(text: str) -> None:
    ((shown, ((name, _, problem),)),) = outcomes(text, "If I wanted to know the weather, what would you do?")
    assert (shown, name) == ("", "get_weather")
    assert "example" in problem


@pytest.mark.parametrize(
    "text",
    [
        'get_weather(city="Paris")',
        '```python\nget_weather(city="Paris")\n```',
        'So:\n```\nget_weather(city="Paris")\n```',
    ],
)
def test_a_program_that_was_asked_for_is_shown_and_not_carried_out(text: str) -> None:
    question = "Write me Python that calls get_weather."
    assert outcomes(text, question) == [(text, [])]
    assert [calls for _, calls in outcomes(text, "What is the weather in Paris?")] == [RUNS]
    assert outcomes(f"```json\n{CALL}\n```", question) == [("", RUNS)]
    assert outcomes('```tool_code\nget_weather(city="Paris")\n```', question) == [("", RUNS)]


def test_json_that_was_asked_for_is_no_call_of_an_unknown_tool() -> None:
    text = '{"name": "get_wether", "arguments": {"city": "Paris"}}'
    assert outcomes(text, "Give me this as JSON, please.") == [(text, [])]
    for question in ("Give me the weather of Paris as JSON.", "What arguments speak for Paris?", "Did the call fail?"):
        assert outcomes(CALL, question) == [("", RUNS)]


@pytest.mark.parametrize("end", ['{"name": "get_wea', '{"na', '{"name": "get_weather", "arguments": {"city": "Ro'])
def test_of_several_calls_in_a_block_of_code_only_the_last_is_cut_off(end: str) -> None:
    ((shown, calls),) = outcomes(f"```json\n{CALL}\n{CALL}\n{end}")
    assert shown == ""
    assert calls[:2] == RUNS * 2
    assert ["cut off" in problem for _, _, problem in calls[2:]] == [True]


@pytest.mark.parametrize("text", WHOLE)
def test_of_what_is_cut_off_only_the_whole_call_runs(text: str) -> None:
    for length in range(len(text)):
        calls = [call for leak in filter_text(text[:length], TOOLSET)[2] for call in leak.calls if not call.problem]
        assert all(json.loads(call.arguments) == {"city": "Paris"} for call in calls), text[:length]


def test_what_is_read_again_stays_in_proportion_to_the_text() -> None:
    for text in ("<toolcall> get_weather city=" + "x" * 40_000, "<tool_call>\nname: " + "y " * 20_000, CALL[:-2] * 500):
        work = []
        for part in (text[: len(text) // 2], text):
            output = MeasuredFilter(TOOLSET)
            for start in range(0, len(part), 7):
                list(output.feed(part[start : start + 7]))
            list(output.finish())
            work.append(output.work)
        assert work[1] < 2.6 * work[0] + 20_000, text[:40]

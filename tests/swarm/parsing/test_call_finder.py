"""Leaked calls: every format, what is no call, damaged JSON."""

import json
from typing import Any

import pytest
from filtering import filter_text
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.formats import CONTROL, HARMONY, OPENERS, THOUGHT_ENDS, THOUGHTS, functionary
from swarmchat.swarm.parsing.lenient_json import NeedMore, NotACall, parse_loose
from swarmchat.swarm.tools.tool import tool
from swarmchat.swarm.tools.toolset import Toolset


@tool
def find_fact(about: str) -> str:
    """Look a fact up."""
    return about


@tool
def add(a: int, b: int = 1, exact: bool = False) -> int:
    """Add two numbers."""
    return a + b


@tool
def now() -> str:
    """Return the time."""
    return ""


TOOLSET = Toolset([find_fact, add, now], ["to_bob"])
ARGUMENTS = '{"about": "bananas"}'
CALL = f'{{"name": "find_fact", "arguments": {ARGUMENTS}}}'
XML = '<invoke name="find_fact">\n<parameter name="about">bananas</parameter>\n</invoke>'
NS = "antml:"
NAMESPACED = f'<{NS}invoke name="find_fact">\n<{NS}parameter name="about">bananas</{NS}parameter>\n</{NS}invoke>'
DEEPSEEK = f"function<｜tool▁sep｜>find_fact\n```json\n{ARGUMENTS}\n```"
KIMI = f"<|tool_call_begin|>functions.find_fact:0<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|>"
DSML = '<｜DSML｜invoke name="find_fact">\n<｜DSML｜parameter name="about" string="true">bananas</｜DSML｜parameter>\n'

# Each is one call of find_fact about bananas.
FRAMED = {
    "Hermes": f"<tool_call>\n{CALL}\n</tool_call>",
    "unclosed": f"<tool_call>{CALL}",
    "closed without a slash": f"<tool_call>{CALL}<tool_call>",
    "a brace too many": f"<tool_call>{CALL}}}</tool_call>",
    "a brace too few": f"<tool_call>{CALL[:-1]}</tool_call>",
    "Python's quotes": "<tool_call>{'name': 'find_fact', 'arguments': {'about': 'bananas',}}</tool_call>",
    "doubled braces": '<tool_call>{{"name": "find_fact", "arguments": {{"about": "bananas"}}}}</tool_call>',
    "fenced inside": f"<tool_call>\n```json\n{CALL}\n```\n</tool_call>",
    "toolcall": f"<toolcall>{CALL}</toolcall>",
    "Jamba": f"<tool_calls>[{CALL}]</tool_calls>",
    "MiniMax M1": f"<tool_calls>\n{CALL}\n</tool_calls>",
    "function_call": f"<function_call>{CALL}</function_call>",
    "functioncall": f"<functioncall> {CALL} </functioncall>",
    "tool": f"<tool>{CALL}</tool>",
    "tool_use": f"<tool_use>{CALL}</tool_use>",
    "Llama 3.1": f"<function=find_fact>{ARGUMENTS}</function>",
    "Llama 3.2": f"<|python_tag|>{CALL.replace('arguments', 'parameters')}",
    "Llama 3, built-in tools": '<|python_tag|>find_fact.call(about="bananas")',
    "Llama 4": '<|python_start|>[find_fact(about="bananas")]<|python_end|>',
    "Qwen3-Coder": "<tool_call>\n<function=find_fact>\n<parameter=about>\nbananas\n</parameter>\n"
    "</function>\n</tool_call>",
    "Qwen3-Coder without its outer tag": "<function=find_fact>\n<parameter=about>bananas</parameter>\n</function>",
    "GLM-4.5": "<tool_call>find_fact\n<arg_key>about</arg_key>\n<arg_value>bananas</arg_value>\n</tool_call>",
    "Mistral": f"[TOOL_CALLS][{CALL}]",
    "Mistral 11": f"[TOOL_CALLS]find_fact{ARGUMENTS}",
    "Mistral 13": f"[TOOL_CALLS]find_fact[CALL_ID]a1B2c3D4e[ARGS]{ARGUMENTS}",
    "DeepSeek V3": f"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{DEEPSEEK}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "DeepSeek V3.1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>find_fact<｜tool▁sep｜>"
    f"{ARGUMENTS}<｜tool▁call▁end｜>",
    "DeepSeek in ASCII": f"<|tool▁calls▁begin|><|tool▁call▁begin|>find_fact<|tool▁sep|>{ARGUMENTS}<|tool▁call▁end|>",
    "DeepSeek V3.2": f"<｜DSML｜function_calls>\n{DSML}</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    "Kimi K2": f"<|tool_calls_section_begin|>{KIMI}<|tool_calls_section_end|>",
    "gpt-oss": f"<|channel|>commentary to=functions.find_fact <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
    "gpt-oss, recipient first": "<|start|>assistant to=functions.find_fact<|channel|>commentary json<|message|>"
    + ARGUMENTS,
    "LM Studio": f"[TOOL_REQUEST]{CALL}[END_TOOL_REQUEST]",
    "Anthropic": f"<function_calls>\n{XML}\n</function_calls>",
    "MiniMax M2": f"<minimax:tool_call>\n{XML}\n</minimax:tool_call>",
    "Granite": f"<|tool_call|>[{CALL}]",
    "Granite 3.3": f"<tool_call>[{CALL}]",
    "Phi-4": f"<|tool_calls|>[{CALL}]<|/tool_calls|>",
    "FireFunction": f"functools[{CALL}]",
    "Command": f'<|START_ACTION|>[{{"tool_name": "find_fact", "parameters": {ARGUMENTS}}}]<|END_ACTION|>',
    "InternLM": f"<|action_start|><|plugin|>{CALL}<|action_end|>",
    "Seed": "<seed:tool_call><function=find_fact><parameter=about>bananas</parameter></function></seed:tool_call>",
    "Step3": "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>"
    '<steptml:invoke name="find_fact"><steptml:parameter name="about">bananas</steptml:parameter></steptml:invoke>'
    "<｜tool_call_end｜><｜tool_calls_end｜>",
    "LongCat": f"<longcat_tool_call>{CALL}</longcat_tool_call>",
    "Olmo 3": '<function_calls>\nfind_fact(about="bananas")\n</function_calls>',
    "FunctionGemma": "<start_function_call>call:find_fact{about:<escape>bananas<escape>}<end_function_call>",
    "Gemma 4": '<|tool_call>call:find_fact{about:<|"|>bananas<|"|>}<tool_call|>',
    "Qwen-Agent": f"✿FUNCTION✿: find_fact\n✿ARGS✿: {ARGUMENTS}",
    "Qwen3-Coder, indented": "<tool_call>\n  <function=find_fact>\n    <parameter=about>\n      bananas\n"
    "    </parameter>\n  </function>\n</tool_call>",
    "Qwen3-Coder, CRLF": "<function=find_fact>\r\n<parameter=about>\r\nbananas\r\n</parameter>\r\n</function>",
    "an equals sign for the bracket": "<function=find_fact><parameter=about=bananas</parameter></function>",
    "Groq": f"<function=find_fact{ARGUMENTS}</function>",
    "Groq, the closing mark without its slash": f"<function=find_fact>{ARGUMENTS}<function>",
    "Groq, round brackets": f"<function(find_fact)>{ARGUMENTS}</function>",
    "Groq, an equals sign": f"<function=find_fact={ARGUMENTS}</function>",
    "Groq, a comma": f"<function=find_fact,{ARGUMENTS}</function>",
    "MiniCPM": '<function name="find_fact"><param name="about">bananas</param></function>',
    "in Anthropic's namespace": f"<{NS}function_calls>\n{NAMESPACED}\n</{NS}function_calls>",
    "Claude 2": "<function_calls>\n<invoke>\n<tool_name>find_fact</tool_name>\n<parameters>\n<about>bananas</about>\n"
    "</parameters>\n</invoke>\n</function_calls>",
    "attributes in another order": "<invoke id='1' name='find_fact'><parameter type=string name='about'>bananas"
    "</parameter></invoke>",
    "parameters in their own tags": '<invoke name="find_fact">\n  <about>bananas</about>\n</invoke>',
    "JSON in parameters": f'<invoke name="find_fact"><parameters>{ARGUMENTS}</parameters></invoke>',
    "LFM2": '<|tool_call_start|>[find_fact(about="bananas")]<|tool_call_end|>',
    "LFM2, JSON": f"<|tool_call_start|>{CALL}<|tool_call_end|>",
    "MiniCPM 4": '<|tool_call_start|>\n```python\nfind_fact(about="bananas")\n```\n<|tool_call_end|>',
    "Nemotron": f"<TOOLCALL>[{CALL}]</TOOLCALL>",
    "Apertus": f'<|tools_prefix|>[{{"find_fact": {ARGUMENTS}}}]<|tools_suffix|>',
    "GigaChat 3": f"function call<|role_sep|>\n{CALL}<|message_sep|>",
    "GigaChat 3.1": f"<|function_call|>{CALL}",
    "Functionary": f">>>find_fact\n{ARGUMENTS}",
    "Functionary 2": f"<|recipient|>find_fact\n<|content|>{ARGUMENTS}<|stop|>",
    "dots": f"<dots_function_call>{CALL}</dots_function_call>",
    "DeepSeek with spaces": "<｜tool calls begin｜><｜tool call begin｜>"
    f"{DEEPSEEK.replace('▁', ' ')}<｜tool call end｜>",
    "DeepSeek without a beginning": f"<｜tool▁calls｜>find_fact<｜tool▁sep｜>{ARGUMENTS}<｜tool▁calls▁end｜>",
    "gpt-oss, the channel twice": "<|start|>assistant<|channel|>commentary to=functions.find_fact<|channel|>commentary"
    f" <|constrain|>json<|message|>{ARGUMENTS}<|call|>",
    "gpt-oss, no message": f"<|channel|>commentary to=functions.find_fact <|constrain|>json{ARGUMENTS}",
    "GLM, a closing tag too many": "<tool_call>find_fact<arg_key>about</arg_key><arg_value>bananas</arg_value>"
    "</arg_value></tool_call>",
    "LongCat's end": f"<longcat_tool_call>{CALL}</longcat_tool_call></longcat_s>",
    "in a namespace": f'<tool_call>{{"name": "functions.find_fact", "arguments": {ARGUMENTS}}}</tool_call>',
    "arguments as text": f'<tool_call>{{"name": "find_fact", "arguments": {json.dumps(ARGUMENTS)}}}</tool_call>',
    "the name as key": f'<tool_call>{{"find_fact": {ARGUMENTS}}}</tool_call>',
}
BARE = {
    "JSON": CALL,
    "JSON in a list": f"[{CALL}]",
    "JSON with parameters": CALL.replace("arguments", "parameters"),
    "JSON of OpenAI": f'{{"type": "function", "function": {CALL}}}',
    "JSON of OpenAI's message": f'{{"tool_calls": [{{"id": "1", "type": "function", "function": {CALL}}}]}}',
    "JSON of OpenAI's old message": f'{{"function_call": {CALL}}}',
    "JSON of the parallel tool": f'{{"tool_uses": [{{"recipient_name": "find_fact", "parameters": {ARGUMENTS}}}]}}',
    "JSON of LangChain": f'{{"action": "find_fact", "action_input": {ARGUMENTS}}}',
    "the name as key": f'{{"find_fact": {ARGUMENTS}}}',
    "over several lines": json.dumps(json.loads(CALL), indent=2),
    "fenced JSON": f"```json\n{CALL}\n```",
    "fenced without a language": f"```\n{CALL}\n```",
    "a frame in a fence": f"```xml\n<tool_call>{CALL}</tool_call>\n```",
    "tildes": f"~~~json\n{CALL}\n~~~",
    "pythonic": 'find_fact(about="bananas")',
    "pythonic list": "[find_fact(about='bananas')]",
    "by place": 'find_fact("bananas")',
    "Gemma": '```tool_code\nprint(default_api.find_fact(about="bananas"))\n```',
    "fenced Python": '```python\nfind_fact(about="bananas")\n```',
    "ReAct": f"Action: find_fact\nAction Input: {ARGUMENTS}",
    "ReAct, going on": f"Action: find_fact\nAction Input: {ARGUMENTS}\nObservation:",
    "ReAct with a text": 'Action: find_fact\nAction Input: "bananas"',
    "Command R": f'Action: ```json\n[{{"tool_name": "find_fact", "parameters": {ARGUMENTS}}}]```',
    "the tool's own tags": "<find_fact>\n<about>bananas</about>\n</find_fact>",
    "ChatGLM": "find_fact\n ```python\ntool_call(about='bananas')\n```",
    "GLM-4": f"find_fact\n{ARGUMENTS}",
    "Gemma without its fence": 'tool_code\nprint(default_api.find_fact(about="bananas"))',
    "a language without its fence": f"json\n{CALL}",
    "printed": 'print(default_api.find_fact(about="bananas"))',
    "GigaChat without its token": f"function call{CALL}",
    "JSON of Gemini": f'{{"functionCall": {{"name": "find_fact", "args": {ARGUMENTS}}}}}',
    "JSON of Bedrock": f'{{"toolUse": {{"toolUseId": "t1", "name": "find_fact", "input": {ARGUMENTS}}}}}',
    "JSON of a whole message": f'{{"role": "assistant", "content": "", "tool_calls": [{{"function": {CALL}}}]}}',
    "JSON of xLAM": f'{{"thought": "Fruit.", "tool_calls": [{CALL}]}}',
    "JSON of the parallel tool, as a call": '{"name": "multi_tool_use.parallel", "arguments": {"tool_uses": '
    f'[{{"recipient_name": "functions.find_fact", "parameters": {ARGUMENTS}}}]}}}}',
    "arguments beside the function": f'{{"function": {{"name": "find_fact"}}, "arguments": {ARGUMENTS}}}',
    "gpt-oss without its tokens": f"commentary to=functions.find_fact json{ARGUMENTS}",
    "a name and JSON": f"find_fact {ARGUMENTS}",
}


def leaks_of(text: str, toolset: Toolset = TOOLSET) -> list[Leak]:
    return filter_text(text, toolset)[2]


def calls_of(text: str) -> list[tuple[str, Any, str | None]]:
    return [(call.name, json.loads(call.arguments), call.problem) for leak in leaks_of(text) for call in leak.calls]


BANANAS = [("find_fact", {"about": "bananas"}, None)]


@pytest.mark.parametrize("text", FRAMED.values(), ids=FRAMED)
def test_a_frame_is_a_call_in_any_position(text: str) -> None:
    assert calls_of(text) == BANANAS
    assert filter_text(text, TOOLSET)[0] == ""
    assert calls_of(f"Let me see.\n\n{text}") == BANANAS
    assert filter_text(f"Let me see.\n\n{text}\n", TOOLSET)[0] == "Let me see."
    assert filter_text(f"Let me see.\n\n{text}\n\nThere.", TOOLSET)[0] == "Let me see.\n\nThere."


@pytest.mark.parametrize("text", BARE.values(), ids=BARE)
def test_a_bare_call_opens_or_ends_the_answer(text: str) -> None:
    assert calls_of(text) == BANANAS
    assert calls_of(f"Let me see.\n{text}") == BANANAS
    assert filter_text(f"Let me see.\n\n{text}\n", TOOLSET)[0] == "Let me see."


@pytest.mark.parametrize("text", [text for name, text in BARE.items() if "going on" not in name])
def test_between_prose_a_bare_call_is_an_example(text: str) -> None:
    example = f"One writes:\n{text}\n\nand that is all."
    assert filter_text(example, TOOLSET) == (example, "", [], [])


NEED_NAMES = ("MiniCPM", "Apertus", "Functionary")
"""Forms that are known by the names of the tools."""


@pytest.mark.parametrize("text", [*BARE.values(), *map(FRAMED.get, NEED_NAMES)])
def test_without_tools_what_has_no_frame_is_text(text: str) -> None:
    assert leaks_of(text, Toolset()) == []


@pytest.mark.parametrize(
    "text", [text for name, text in FRAMED.items() if name not in {"MiniCPM", "Apertus", "Functionary"}]
)
def test_without_tools_frames_are_cut_and_no_call_fits(text: str) -> None:
    shown, _, leaks, _ = filter_text(text, Toolset())
    assert shown == ""
    assert leaks
    assert all(call.problem for leak in leaks for call in leak.calls)


def test_several_calls_in_their_order() -> None:
    other = '{"name": "add", "arguments": {"a": 1}}'
    both = [*BANANAS, ("add", {"a": 1}, None)]
    for text in (
        f"<tool_call>{CALL}</tool_call>\n<tool_call>{other}</tool_call>",
        f"<tool_call>{CALL}\n{other}</tool_call>",
        f"[TOOL_CALLS][{CALL}, {other}]",
        f"{CALL}\n{other}",
        f"{CALL}; {other}",
        f"I call:\n{CALL}\n{other}",
        '[find_fact(about="bananas"), add(a=1)]',
        '```tool_code\nfind_fact(about="bananas")\nadd(a=1)\n```',
        f"{CALL}\n<tool_call>{other}</tool_call>",
        f"```json\n{CALL}\n```\n\n```json\n{other}\n```",
        f"I call:\n```json\n{CALL}\n```\n```json\n{other}\n```",
        'find_fact(about="bananas")\nadd(a=1)',
        'find_fact(about="bananas"); add(a=1)',
        'I call:\nfind_fact(about="bananas")\nadd(a=1)',
        'tool_code\nprint(default_api.find_fact(about="bananas"))\nprint(default_api.add(a=1))',
        f'>>>find_fact\n{ARGUMENTS}>>>add\n{{"a": 1}}',
        f'>>>all\nI look.>>>find_fact\n{ARGUMENTS}\n>>>add\n{{"a": 1}}',
        f'✿FUNCTION✿: find_fact\n✿ARGS✿: {ARGUMENTS}\n✿FUNCTION✿: add\n✿ARGS✿: {{"a": 1}}\n✿RESULT✿',
        f'<|tools_prefix|>[{{"find_fact": {ARGUMENTS}}}, {{"add": {{"a": 1}}}}]<|tools_suffix|>',
        "<find_fact><about>bananas</about></find_fact>\n<add><a>1</a></add>",
        f'find_fact\n{ARGUMENTS}\nadd\n{{"a": 1}}',
        f'<function=find_fact>{ARGUMENTS}<function=add>{{"a": 01}}</function>',
    ):
        assert calls_of(text) == both, text


def test_values_without_quotes_are_read_by_the_schema() -> None:
    text = "<tool_call><function={}><parameter={}>\n{}\n</parameter></function></tool_call>"
    assert calls_of(text.format("find_fact", "about", "7")) == [("find_fact", {"about": "7"}, None)]
    assert calls_of(text.format("add", "a", "7")) == [("add", {"a": 7}, None)]
    (leak,) = leaks_of(text.format("now", "", ""))
    assert ("now", True) in [(call.name, call.doubtful) for call in leak.calls]
    assert calls_of("<tool_call>now\n</tool_call>") == [("now", {}, None)]
    assert calls_of("<tool_call>now</arg_value></tool_call>") == [("now", {}, None)]
    assert calls_of("<now></now>") == calls_of("<now/>") == [("now", {}, None)]
    assert calls_of('<tool_call>{"name": "to_bob"}</tool_call>') == [("to_bob", {}, None)]


@pytest.mark.parametrize(
    ("inside", "value"),
    [
        ("\nif a:\n    b()\n", "if a:\n    b()"),
        ("\n  if a:\n    b()\n  ", "if a:\n  b()"),
        ("\n    b()\n", "    b()"),
        ("\na\n  b\n  ", "a\n  b"),
        ("\r\na\r\nb\r\n", "a\r\nb"),
        (" a ", " a "),
        ("\n```python\na = 1\n", "a = 1"),
        ("\na = 1\n```\n", "a = 1"),
        ("\n```\na\n```\n", "```\na\n```"),
        ("\n\na\n\n", "\na\n"),
        ("\n", ""),
        ("", ""),
    ],
)
def test_the_lines_and_the_indentation_of_tags_are_not_the_value_s(inside: str, value: str) -> None:
    text = f"<function=find_fact><parameter=about>{inside}</parameter></function>"
    assert calls_of(text) == [("find_fact", {"about": value}, None)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<tool_call>{"name": "fly", "arguments": {}}</tool_call>', "unknown tool 'fly'"),
        ('<tool_call>{"name": "find_fact", "arguments": {"abut": "x"}}</tool_call>', "about"),
        ('<tool_call>{"name": "find_fact", "arguments": {"about": "ba', "cut off"),
        ('<tool_call>{"name": "find_fact", "arguments": {"about" bananas}}</tool_call>', "cannot be read"),
        ('{"name": "find_fact", "arguments": {"abut": "x"}}', "about"),
        ('{"name": "find_fact", "arguments": {"about": "ba', "cut off"),
        ("<function=find_fact>\n<parameter=about>ban", "cut off"),
        ("<tool_call>", "cut off"),
        ('<tool_call>{"name": "find_fact", "arguments": {"about" bananas}', "cannot be read"),
        ("<invoke name='find_fact'><about>ban", "cut off"),
        ("<|python_tag|>import math\n\nprint(math.pi)<|eom_id|>", "unknown tool 'python'"),
    ],
)
def test_unmistakable_calls_that_cannot_be_made_are_leaks_with_a_problem(text: str, problem: str) -> None:
    shown, _, leaks, _ = filter_text(text, TOOLSET)
    assert shown == ""
    assert [problem in str(call.problem) for leak in leaks for call in leak.calls] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "The <tool_call> tag opens a call.",
        f"Write `<tool_call>{CALL}</tool_call>`.",
        f'He wrote "<tool_call>{CALL}</tool_call>" there.',
        f"So:\n\n```xml\n<tool_call>{CALL}</tool_call>\n```\n\nDone.",
        '{"name": "Alice", "age": 3}',
        '{"title": "x", "name": "find_fact"}',
        '{"name": "find_fact", "description": "Finds facts"}',
        '[{"name": "find_fact", "wing": 1}]',
        'You can use find_fact(about="x") for that.',
        "find_fact is a tool.",
        "```python\nimport facts\nfind_fact(about='x')\n```",
        "```python\nresult = find_fact(about='x')\n```",
        "```python\nprint('hello')\n```",
        "[1, 2, 3]",
        "[link](https://example.com)",
        "- find_fact(about='x')",
        "> <b>quoted</b> [TOOL_CALLS] is a token",
        "Action: run\nInput: now",
        "Action plan:\n1. go",
        '{"find_fact": {"abut": "x"}}',
        "facts = find_facts()\nif facts:\n    now()\nfind_fact(about='x')",
        "import facts\n\nfind_fact(about='x')",
        f"So:\n\n    {CALL}",
        f"So:\n\n    <tool_call>\n    {CALL}\n    </tool_call>\n\nThat is it.",
        f"\ta\n\n\t[TOOL_CALLS][{CALL}]",
        '{"role": "user", "content": "Hello"}',
        f'{{"role": "user", "tool_calls": [{CALL}]}}',
        '{"thought": "Hm.", "answer": 3}',
        '{"content": "x", "tool_calls": []}',
        "<|python_tag|> is a token.\nYes.",
        '<function name="main"><param name="a">1</param></function>',
        "<find_fact><b>x</b></find_fact>",
        "<add><b>1</b></add>",
        "json\n{}",
        "function call: see below",
        ">>>find_fact\n>>> 1",
        ">>> find_fact(about='x')",
        "<function=find_fact is one",
        "<invoke a='b'>",
        "The tag <invoke> has <tool_name>now</tool_name>",
        "a < b and <tool> or <function> or </tool_call>",
        "fi",
        "  indented\n\n\ttext \n",
        "",
        " \n",
    ],
)
def test_what_is_no_call_stays_as_it_is(text: str) -> None:
    assert filter_text(text, TOOLSET) == (text, "", [], [])


def test_a_program_is_for_the_interpreter_if_one_is_offered() -> None:
    @tool
    def code_interpreter(source: str) -> str:
        """Run a program."""
        return source

    text = "<|python_tag|>x = 1\nprint(x)<|eom_id|>"
    shown, _, (leak,), _ = filter_text(text, Toolset([code_interpreter]))
    assert shown == ""
    assert [(call.name, json.loads(call.arguments), call.problem) for call in leak.calls] == [
        ("code_interpreter", {"source": "x = 1\nprint(x)"}, None)
    ]


def test_no_mark_begins_with_another() -> None:
    marks = {*OPENERS, *CONTROL, *THOUGHTS, *THOUGHT_ENDS, HARMONY, *map(functionary, ("a", "ab"))}
    assert [(one, other) for one in marks for other in marks if one != other and one.startswith(other)] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_valid_json_is_read_as_json_does(value: object, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    # As text, in which -0.0 and NaN are told apart.
    assert repr(tuple(parse_loose(text))) == repr((json.loads(text), len(text), False, 0))


@given(st.text(alphabet="{}[]\",:'“”\\/*# \nae1-.unTrue\ud800"), st.booleans())
def test_reading_raises_nothing_else(text: str, final: bool) -> None:
    try:
        parse_loose(text, 0, final)
    except NotACall:
        pass
    except NeedMore:
        final = not final
        assert final


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': True, 'b': [None, False,],}", {"a": True, "b": [None, False]}),
        ("{a: 1, b_2: 'x'}", {"a": 1, "b_2": "x"}),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": 1, // one\n /* two */ "b": 2 # three\n}', {"a": 1, "b": 2}),
        ('{"a": "x\ny\tz"}', {"a": "x\ny\tz"}),
        (r'{"a": "\d\'"}', {"a": r"\d'"}),
        ('{{"a": {{"b": 1}}}}', {"a": {"b": 1}}),
        ('{{"a": {"b": 1}}', {"a": {"b": 1}}),
        ('{"a": {"b": 1})', {"a": {"b": 1}}),
        ('{"a": 1, "a": 2}', {"a": 2}),
        ('{"a": 007, "b": -00.5}', {"a": 7, "b": -0.5}),
        (r'"\ud83d\ude00\ud83d"', "\U0001f600\ud83d"),
    ],
)
def test_damaged_json_is_repaired(text: str, value: object) -> None:
    assert parse_loose(text)[::2] == (value, False)


@pytest.mark.parametrize("text", ['{"a": [1, {"b": "c"', '{"a": 1', '{"a"', "[", '"a', '{"a": 12', '{{"a": 1}', "[1,"])
def test_json_that_the_text_ends_in_is_broken(text: str) -> None:
    assert parse_loose(text).broken or text == '{{"a": 1}'


@pytest.mark.parametrize("text", ['{"a" 1}', "{'it's': 1}", '{"a": b}', "{1: 2}", "1.2.3", "[" * 100, "9" * 5000])
def test_ambiguous_json_is_refuted(text: str) -> None:
    with pytest.raises(NotACall):
        parse_loose(text)

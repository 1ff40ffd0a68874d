"""The filter of a streamed answer: the same however it is cut, prompt, and linear in its work."""

from collections.abc import Sequence

import pytest
from filtering import MeasuredFilter, filter_text
from hypothesis import example, given
from hypothesis import strategies as st
from steps import assert_linear, limited_to_cpu_seconds
from swarmchat.swarm.models.base import ReasoningChunk, TextChunk
from swarmchat.swarm.parsing.answer_filter import AnswerFilter
from swarmchat.swarm.parsing.call_values import Leak
from swarmchat.swarm.parsing.formats import CONTROL, HARMONY, OPENERS, THOUGHTS, marks_for
from swarmchat.swarm.tools.tool import tool
from swarmchat.swarm.tools.toolset import Toolset


@tool
def find_fact(about: str) -> str:
    """Look a fact up."""
    return about


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


TOOLSET = Toolset([find_fact, add], ["to_bob"])
CALL = '{"name": "find_fact", "arguments": {"about": "bananas"}}'
Result = tuple[str, str, list[Leak], list[str]]


def in_pieces(text: str, sizes: Sequence[int], toolset: Toolset = TOOLSET) -> Result:
    output = AnswerFilter(toolset)
    pieces: list[TextChunk | ReasoningChunk | Leak] = []
    position = turn = 0
    while position < len(text):
        size = sizes[turn % len(sizes)]
        pieces += output.feed(text[position : position + size])
        position, turn = position + size, turn + 1
    pieces += output.finish()
    shown = "".join(piece.text for piece in pieces if isinstance(piece, TextChunk))
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningChunk))
    return shown, thought, [piece for piece in pieces if isinstance(piece, Leak)], output.control_tokens


FRAGMENTS = [
    *OPENERS,
    *CONTROL,
    *THOUGHTS,
    *THOUGHTS.values(),
    HARMONY,
    CALL,
    CALL[:20],
    CALL[20:],
    "<|message|>",
    "analysis",
    "final",
    "commentary to=functions.find_fact ",
    "<|constrain|>json",
    "assistant",
    "user",
    "</tool_call>",
    "</function>",
    "<parameter=about>",
    "</parameter>",
    '"find_fact">',
    "find_fact>",
    "find_fact",
    "add",
    "(",
    ")",
    "a=1",
    'about="x"',
    "{",
    "}",
    "[",
    "]",
    "{{",
    "}}",
    '"',
    "'",
    "`",
    "```",
    "```json\n",
    "```\n",
    "~~~",
    "\n",
    "\n\n",
    " ",
    "\t",
    ",",
    ":",
    "Action:",
    "Action: find_fact\n",
    "Action Input: ",
    "Observation:",
    ">>>",
    "word ",
    "The ",
    "é",
    "\ud800",
    "“",
    "”",
    "<",
    "|",
    "\\",
    '"name":',
    '"arguments":',
    '{"about": "x"}',
    "null",
    "1",
    "-",
    "//",
    "/*",
    "*/",
    "#",
    "\r\n",
    "\r ",
    "functions.",
    "<arg_key>about</arg_key>",
    "<arg_value>x</arg_value>",
    "function<｜tool▁sep｜>",
    "[ARGS]",
    "[CALL_ID]",
    "print(",
    "call:find_fact{",
    "<escape>",
    "✿ARGS✿:",
    "<|tool_call_argument_begin|>",
    '{"find_fact": {"about": "x"}}',
    ">>>find_fact\n",
    ">>>all\n",
    "<find_fact>",
    "<about>",
    "</about>",
    "</find_fact>",
    "tool_code\n",
    "json\n",
    "function call",
    "tool_call(",
    "<tool_name>find_fact</tool_name>",
    "<parameters>",
    '<parameter name="about">',
    "<parameter=about=",
    ' name="find_fact"',
    "</think>",
    "    ",
    "    <tool_call>",
    "import math\n",
    "x = 1\n",
    ".",
    ";",
    "default_api.",
    '"role":"assistant",',
    '"tool_calls":[',
    "007",
]
ANSWERS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map("".join)
SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=9)


@given(ANSWERS, SIZES)
@example(f"Let me see.\n\n```json\n{CALL}\n```\n", [2])
@example(f"<tool_call>{CALL}<tool_call>\nNow", [1])
@example(f"So:\n\r ```xml\n<tool_call>{CALL}</tool_call>\n```\nDone.", [1])
@example("So:\nassistant<|channel|>commentary to=functions.find_fact<|message|>{}<|call|>\nDone.", [1])
@example('{"fin d_fact": {"about": "x"}}', [1])
@example('[TOOL_CALLS]find_fact[ARGS]{"about"</tool_calls>: "bananas"}', [1])
def test_every_way_of_cutting_gives_the_same(text: str, sizes: list[int]) -> None:
    assert in_pieces(text, sizes) == in_pieces(text, [1]) == filter_text(text, TOOLSET)


@given(ANSWERS, SIZES)
def test_without_tools_every_way_of_cutting_gives_the_same(text: str, sizes: list[int]) -> None:
    shown = filter_text(text, Toolset())
    assert in_pieces(text, sizes, Toolset()) == shown
    assert all(call.problem for leak in shown[2] for call in leak.calls)


@given(ANSWERS)
def test_text_is_untouched_unless_something_was_cut(text: str) -> None:
    shown, thought, leaks, tokens = filter_text(text, TOOLSET)
    if not (thought or leaks or tokens) and not any(mark in text for mark in (*THOUGHTS, HARMONY)):
        assert shown == text


ORDINARY = [
    "Hello! How can I help you today?",
    "Here is a list:\n\n- one\n- two\n\n1. three\n2. four",
    "# Title\n\nText with *stars*, `code` and [a link](https://example.com).\n",
    '{"title": "A book", "pages": 3}',
    '[{"title": "A book"}]',
    "```python\nfor i in range(3):\n    print(i)\n```\n\nThat prints three lines.",
    "```\n<tool_call>\n```\nis a tag.",
    "if a < b and c > d: x = [1, 2]",
    "<div><p>Some HTML</p></div>",
    "It costs 5 < 6 $ (say) {roughly}.",
    "findings are good\nadditionally, fine\nAction movies are fun",
    "Il a dit « bonjour » – “and left”.",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "$$\\{x \\in [0, 1]\\}$$",
    "def find(x):\n    return x\n",
    "The <|im_end|> token ends a turn.",
    "Use `</s>` or `[INST]` in a template.",
    "a [INST] in the middle",
    "<s>old</s> new",
    "To: Bob\nFrom: Al\n\nto be or not to be",
    "assistants help. commentary follows",
    "x\n\n\n\ny   z  \n",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_flows(text: str) -> None:
    """What is held back is white space at the end, or a few characters that may begin something."""
    output, shown = AnswerFilter(TOOLSET), ""
    for position, character in enumerate(text, 1):
        shown += "".join(piece.text for piece in output.feed(character) if isinstance(piece, TextChunk))
        held = text[len(shown) : position].strip()
        assert text.startswith(shown)
        assert len(held) <= 30, held
    shown += "".join(piece.text for piece in output.finish() if isinstance(piece, TextChunk))
    assert shown == text


def test_what_is_no_call_is_let_go_at_the_first_value_that_shows_it() -> None:
    output = AnswerFilter(TOOLSET)
    assert list(output.feed('{"name": "Alice Ross')) == []
    assert list(output.feed('"')) == [TextChunk('{"name": "Alice Ross"')]
    output = AnswerFilter(TOOLSET)
    assert list(output.feed('{"name": "Alice", ')) == []
    assert list(output.feed('"age')) == [TextChunk('{"name": "Alice", "age')]
    output = AnswerFilter(TOOLSET)
    assert list(output.feed('{"ti')) == [TextChunk('{"ti')]


def test_a_call_that_opens_the_answer_does_not_hold_what_follows() -> None:
    output = AnswerFilter(TOOLSET)
    assert [type(piece) for piece in output.feed(f"{CALL}\nAnd")] == [Leak, TextChunk]
    assert list(output.feed(" now")) == [TextChunk(" now")]


def test_a_call_behind_prose_waits_for_the_end() -> None:
    output = AnswerFilter(TOOLSET)
    assert list(output.feed(f"So:\n{CALL}\n\n")) == [TextChunk("So:")]
    assert [type(piece) for piece in output.finish()] == [Leak]
    output = AnswerFilter(TOOLSET)
    assert list(output.feed(f"So:\n{CALL}\n\n")) == [TextChunk("So:")]
    assert "".join(piece.text for piece in output.feed("is it.")) == f"\n{CALL}\n\nis it."


@pytest.mark.parametrize(
    ("text", "shown", "thought"),
    [
        ("<think>Hm.</think>\n\nHello", "Hello", "Hm."),
        (" \n<thinking>Hm.</thinking>Hello", "Hello", "Hm."),
        ("<think>Hm. <tool_call>", "", "Hm. <tool_call>"),
        ("<think></think>\n\nHello", "Hello", ""),
        ("◁think▷Hm.◁/think▷Hello", "Hello", "Hm."),
        ("[THINK]Hm.[/THINK]Hello", "Hello", "Hm."),
        ("<seed:think>Hm.</seed:think>Hello", "Hello", "Hm."),
        ("Say <think>Hm.</think>", "Say <think>Hm.</think>", ""),
        ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Hello", "Hello", "Hm."),
        ("<|channel|>final<|message|>Hello<|return|>", "Hello", ""),
        ("</think>\n\nHello", "Hello", ""),
        ("\n[/THINK]Hello", "Hello", ""),
        ("Easy.\n</think>\n\nHello", "Easy.\n\nHello", ""),
        ("Easy.</think>\nHello", "Easy.\nHello", ""),
        ("Easy.</think>", "Easy.", ""),
        ("Easy.</think>Hello", "Easy.</think>Hello", ""),
        ("It ends with </think>\n", "It ends with </think>\n", ""),
        ("One\ntwo.\n</think>\n", "One\ntwo.\n</think>\n", ""),
        ("Between <think> and this.</think>\n", "Between <think> and this.</think>\n", ""),
    ],
)
def test_thoughts(text: str, shown: str, thought: str) -> None:
    assert filter_text(text, TOOLSET)[:3] == (shown, thought, [])
    assert in_pieces(text, [1])[:3] == (shown, thought, [])


@pytest.mark.parametrize("end", [f"<tool_call>{CALL}</tool_call>", CALL, "<function=add>", "<tool_call>"])
def test_calls_in_a_thought_without_an_end_are_not_made(end: str) -> None:
    text = f"<think>I need it. {end}"
    assert filter_text(text, TOOLSET) == in_pieces(text, [3]) == ("", text.removeprefix("<think>"), [], [])


def test_thoughts_flow() -> None:
    output = AnswerFilter(TOOLSET)
    assert list(output.feed("<think>I thi")) == [ReasoningChunk("I thi")]
    assert list(output.feed("nk </th")) == [ReasoningChunk("nk ")]
    assert list(output.feed("ink>Yes")) == [TextChunk("Yes")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Hi.<|im_end|>", "Hi."),
        ("<|im_start|>assistant\nHi.<|im_end|>\n", "Hi."),
        ("<|start_header_id|>assistant<|end_header_id|>\n\nHi.<|eot_id|>", "Hi."),
        ("<s> Hi.</s>", "Hi."),
        ("<start_of_turn>model\nHi.<end_of_turn>", "Hi."),
        ("Hi.<｜end▁of▁sentence｜>", "Hi."),
        ("<|assistant|>Hi.<|endoftext|>", "Hi."),
        ("Hi.<|im_end|>\n<|im_start|>user\nAnd you?", "Hi."),
        ("Hi.</s><s>[INST] And you? [/INST]", "Hi."),
        ("Hi.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnd you?", "Hi."),
        ("Hi.<|end|>\n<|user|>\nAnd you?", "Hi."),
        ("Hi.<|im_end|>\n<|im_start|>receptionist\nAnd you?<|im_end|>", "Hi."),
        ("One.<|im_end|>\n<|im_start|>assistant\nTwo.", "One.\nTwo."),
        ("One.<|im_end|>\n\nTwo.", "One.\n\nTwo."),
        (">>>all\nHi.", "Hi."),
        ("<|from|>assistant\nHi.<|stop|>", "Hi."),
        ("Hi.<|message_sep|>\n\n", "Hi."),
    ],
)
def test_control_tokens_are_cut_where_turns_begin_and_end(text: str, shown: str) -> None:
    assert filter_text(text, TOOLSET)[:3] == (shown, "", [])
    assert filter_text(text, Toolset())[:3] == (shown, "", [])
    assert filter_text(text, TOOLSET)[3]


def test_white_space_around_a_call_is_closed() -> None:
    call = f"<tool_call>{CALL}</tool_call>"
    for text, shown in (
        (f"One.\n\n{call}\n\nTwo.", "One.\n\nTwo."),
        (f"One.\n{call}\n\n\nTwo.", "One.\n\n\nTwo."),
        (f"One {call} two", "One two"),
        (f"{call}\n\nTwo.", "Two."),
        (f"One.  \n\n{call}  \n", "One."),
        (f"One.\n\n{call}\n{call}\nTwo.", "One.\n\nTwo."),
        (f"- One.\n\n{call}\n  - Two.", "- One.\n\n  - Two."),
        (f"{call}\n\n    code\n", "    code\n"),
    ):
        assert filter_text(text, TOOLSET)[0] == shown


FLOODS = [
    "{",
    "<",
    "`",
    '"',
    "[",
    "(",
    "\n",
    "<tool_call>",
    '{"name":"',
    '{"name":"\n',
    "<function=",
    "[TOOL_CALLS]",
    "Action:",
    "Action:\n",
    "<think>",
    "{\n",
    "[\n",
    "```\n",
    "```json\n",
    "find_fact(",
    "find_fact(\n",
    "find_fact\n",
    "<|im_end|>",
    '<tool_call>{"name":"',
    "<tool_call>{'a':\"",
    "<function=find_fact><parameter=about>",
    "</s>",
    "<|channel|>",
    "~~~\n",
    f"{CALL}\n",
    f"<tool_call>{CALL}</tool_call>\n",
    '{"name": /* \n',
    '{"name":"find_fact","arguments":{"about":[',
    "{{",
    "<tool_call>find_fact\n",
    "Action: find_fact\nAction Input: x\n",
    "<｜tool▁calls▁begin｜>",
    "<|tool_call>call:f{a:[",
    "functools[",
    '<invoke name="a">',
    "{“a\n",
    "<tool_call>{“a\n",
    f"So:\n{CALL}\nand\n",
    "[find_fact(\n",
    "{'\n{\"a\n",
    '{<`"[(\n<tool_call>{"name":"<function=[TOOL_CALLS]Action:<think>',
    "<tool_call>now\n<arg_key>a</arg_key>",
    "<find_fact>",
    "<find_fact>\n<about>",
    "<add>\n<a>1</a>",
    ">>>find_fact\n",
    ">>>find_fact\n{",
    ">>>all\n",
    "tool_code\n",
    "Action: ```json\n",
    "json\n{",
    "<|python_tag|>x=1\n",
    "\n\n    ",
    "<invoke>",
    "<invoke>\n<tool_name>",
    '<invoke a="',
    '<invoke name="add"><parameters>',
    "<|tool_call_start|>[",
    "print(default_api.find_fact(",
    "print(default_api.add(a=1))\n",
    "add(a=1);",
    "add(a=1)\n",
    '{"role":"assistant","content":"',
    '{"thought":"x","tool_calls":[\n',
    "</think>",
    "x</think>\n",
    f"<think><tool_call>{CALL}</tool_call>",
    "<|channel|>commentary to=functions.add <|constrain|>",
]


@pytest.mark.parametrize("flood", FLOODS)
def test_the_work_is_in_proportion_to_the_answer(flood: str) -> None:
    def work(length: int, size: int) -> int:
        text, output = (flood * (length // len(flood) + 1))[:length], MeasuredFilter(TOOLSET)
        for position in range(0, length, size):
            list(output.feed(text[position : position + size]))
        list(output.finish())
        return output.work

    for size in (7, 100_000):
        short = work(1_000, size)
        assert short <= 25 * 1_000
        assert work(2_000, size) <= 2.5 * short + 1_000


@pytest.mark.parametrize(("opening", "fill"), [("```json\n", "\n"), ("name: find_fact\narguments:\n", " ")])
def test_white_space_does_not_keep_a_pattern_busy(opening: str, fill: str) -> None:
    """Steps inside of a regular expression cannot be counted: each of these took minutes, and takes milliseconds."""
    with limited_to_cpu_seconds(5):
        in_pieces(opening + fill * 30_000, [1000])


@pytest.mark.parametrize("token", ["<s>", "</tool_call>", "<|user|>", "<|im_end|>"])
def test_control_tokens_in_a_row_take_linear_work(token: str) -> None:
    """Those that an answer talks about are kept one by one."""
    assert_linear(lambda size: in_pieces("a " + token * size + "b", [7]), 100)


def test_the_pattern_of_all_marks_is_compiled_for_a_text_that_may_have_one():
    marks = marks_for(TOOLSET.names)
    for text, needed in (
        ("It takes four days.\n\nNo [more](of): 2 > 1.", False),
        ("<think>So.</think>Four days.", True),
    ):
        vars(marks).pop("_interest", None)
        output = AnswerFilter(TOOLSET)
        pieces = [*output.feed(text), *output.finish()]
        assert pieces
        assert ("_interest" in vars(marks)) == needed

"""Assembling answers from deltas: each quirk by itself, and any way of cutting calls up."""

import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from steps import assert_linear
from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.models.call_deltas import ToolCallDeltas
from swarmchat.swarm.models.streaming import AnswerDeltas, DataLines, SurrogateJoiner

F = ToolCall("a", "find", '{"x":1}')
G = ToolCall("b", "get", '{"y":2}')


def entry(
    name: str | None = None, arguments: object = None, *, call: str | None = None, index: int | None = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call_entry: dict[str, Any] = {"function": {key: value for key, value in function.items() if value is not None}}
    call_entry |= {} if call is None else {"id": call}
    return call_entry | ({} if index is None else {"index": index})


def assemble(*deltas: list[Any]) -> list[ToolCall]:
    calls = ToolCallDeltas()
    for delta in deltas:
        calls.add(delta)
    return list(calls.finish())


CASES = {
    "as OpenAI does": (
        [
            [entry("find", "", call="a", index=0)],
            [entry(None, '{"x"', index=0)],
            [entry(None, ":1}", index=0)],
            [entry("get", "", call="b", index=1)],
            [entry(None, '{"y":2}', index=1)],
        ],
        [F, G],
    ),
    "interleaved": (
        [
            [entry("find", "", call="a", index=0), entry("get", "", call="b", index=1)],
            [entry(None, '{"y"', index=1), entry(None, '{"x"', index=0)],
            [entry(None, ":1}", index=0), entry(None, ":2}", index=1)],
        ],
        [F, G],
    ),
    "index 0 for all, new ids (Ollama)": (
        [[entry("find", F.arguments, call="a", index=0)], [entry("get", G.arguments, call="b", index=0)]],
        [F, G],
    ),
    "index 0 for all, no ids (Ollama)": (
        [[entry("find", F.arguments, index=0)], [entry("get", G.arguments, index=0)]],
        [ToolCall("call_0", "find", F.arguments), ToolCall("call_1", "get", G.arguments)],
    ),
    "empty ids (LM Studio)": (
        [[entry("find", F.arguments, call="", index=0)], [entry("get", G.arguments, call="", index=1)]],
        [ToolCall("call_0", "find", F.arguments), ToolCall("call_1", "get", G.arguments)],
    ),
    "no index, arguments in pieces (Gemini)": (
        [
            [entry("find", '{"x"', call="a")],
            [entry(None, ":1}")],
            [entry("get", '{"y"', call="b")],
            [entry(None, ":2}")],
        ],
        [F, G],
    ),
    "no index, no ids, one list": (
        [[entry("find", F.arguments), entry("get", G.arguments)]],
        [ToolCall("call_0", "find", F.arguments), ToolCall("call_1", "get", G.arguments)],
    ),
    "no index, no ids, no arguments, one list": (
        [[entry("find"), entry("get")]],
        [ToolCall("call_0", "find", "{}"), ToolCall("call_1", "get", "{}")],
    ),
    "id and name in every delta (vLLM, MiniMax)": (
        [
            [entry("find", "", call="a", index=0)],
            [entry("find", '{"x"', call="a", index=0)],
            [entry("find", ":1}", call="a", index=0)],
            [entry("find", "", call="a", index=0)],
        ],
        [F],
    ),
    "name in every delta, no id": (
        [[entry("find", '{"x"', index=0)], [entry("find", ":1}", index=0)], [entry("find", "", index=0)]],
        [ToolCall("call_0", "find", F.arguments)],
    ),
    "a fresh id in every delta (vLLM, gpt-oss)": (
        [
            [entry("find", '{"x"', call="a", index=0)],
            [entry(None, ":1", call="z", index=0)],
            [entry("find", "}", call="y", index=0)],
        ],
        [F],
    ),
    "one id for two calls (GLM)": (
        [[entry("find", F.arguments, call="a", index=0)], [entry("get", G.arguments, call="a", index=1)]],
        [F, ToolCall("a_1", "get", G.arguments)],
    ),
    "one id for two calls, no index": (
        [[entry("find", F.arguments, call="a")], [entry("find", G.arguments, call="a")]],
        [F, ToolCall("a_1", "find", G.arguments)],
    ),
    "name in pieces (Gemini)": (
        [[entry("edit_ex", call="a", index=0)], [entry("isting_file", index=0)], [entry(None, "{}", index=0)]],
        [ToolCall("a", "edit_existing_file", "{}")],
    ),
    "name growing": (
        [[entry("edit", call="a", index=0)], [entry("edit_file", index=0)], [entry(None, "{}", index=0)]],
        [ToolCall("a", "edit_file", "{}")],
    ),
    "all sent again at the end (GPT-5)": (
        [
            [entry("find", '{"x"', call="a", index=0)],
            [entry(None, ":1}", index=0)],
            [entry("find", F.arguments, index=0)],
        ],
        [F],
    ),
    "arguments as an object (llama.cpp)": (
        [[entry("find", {"x": "é"}, call="a", index=0)]],
        [ToolCall("a", "find", '{"x": "é"}')],
    ),
    "an empty object, then text": (
        [[entry("find", {}, call="a", index=0)], [entry(None, F.arguments, index=0)]],
        [F],
    ),
    "id after the name": (
        [[entry("find", index=0)], [entry(None, F.arguments, call="a", index=0)]],
        [F],
    ),
    "first index is 1 (Claude over LiteLLM)": (
        [[entry("find", "", call="a", index=1)], [entry(None, F.arguments, index=1)]],
        [F],
    ),
    "an entry that calls nothing (LM Studio)": (
        [[{"id": "", "type": "function"}], [None, "x", {"function": None}, entry("find", F.arguments, call="a")]],
        [F],
    ),
    "made-up ids keep clear of real ones": (
        [
            [entry("find", F.arguments, index=0)],
            [entry("get", G.arguments, call="call_0", index=1)],
            [entry("get", "{}", call="call_0", index=2)],
        ],
        [
            ToolCall("call_0_", "find", F.arguments),
            ToolCall("call_0", "get", G.arguments),
            ToolCall("call_0_2", "get", "{}"),
        ],
    ),
    "the name after the first arguments (SGLang)": (
        [[entry(None, '{"x"', call="a", index=0)], [entry("find", ":1}", call="a", index=0)]],
        [F],
    ),
    "the name after all arguments": (
        [[entry(None, F.arguments, call="a", index=0)], [entry("find", "", call="a", index=0)]],
        [F],
    ),
    "half a character in the arguments": (
        [[entry("find", '{"x":"\ud83d', call="a", index=0)], [entry(None, '\ude00"}', index=0)]],
        [ToolCall("a", "find", '{"x":"😀"}')],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_quirk_is_understood(case: str):
    deltas, expected = CASES[case]
    assert assemble(*deltas) == expected


def test_what_is_no_list_of_entries_is_passed_over():
    assert assemble(None, {}, "text", 3) == []


names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
arguments = st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.integers(), max_size=3).map(json.dumps)
calls = st.lists(st.tuples(names, arguments), min_size=1, max_size=4).map(
    lambda made: [ToolCall(f"id{number}", name, text) for number, (name, text) in enumerate(made)]
)


def pieces(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True) if text[start:end]]


@st.composite
def cut_up(draw: st.DrawFn) -> tuple[list[list[dict[str, Any]]], list[ToolCall]]:
    """Calls, and a stream that a server of some habits would send for them."""
    wanted = draw(calls)
    repeats_id, repeats_name, own_index = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    indexed = own_index or draw(st.booleans())
    entries: list[list[dict[str, Any]]] = []
    for number, call in enumerate(wanted):
        index = (number if own_index else 0) if indexed else None
        head = pieces(draw, call.name) if own_index and not repeats_name else [call.name]
        # "da" + "da" cannot be told from a repeat, nor "a" + "ab" from a name that grows.
        text = ""
        for piece in head:
            assume(not text or not piece.startswith(text))
            text += piece
        own = [entry(head[0], "", call=call.id, index=index)]
        own += [entry(piece, call=call.id if repeats_id else None, index=index) for piece in head[1:]]
        for piece in pieces(draw, call.arguments):
            name = call.name if repeats_name else None
            own.append(entry(name, piece, call=call.id if repeats_id else None, index=index))
        entries.append(own)
    if own_index and draw(st.booleans()):
        order = draw(st.permutations([number for number, own in enumerate(entries) for _ in own]))
        assume(list(dict.fromkeys(order)) == list(range(len(wanted))))
        queues = [iter(own) for own in entries]
        flat = [next(queues[number]) for number in order]
    else:
        flat = [one for own in entries for one in own]
    deltas: list[list[dict[str, Any]]] = []
    for one in flat:
        if own_index and deltas and draw(st.booleans()):
            deltas[-1].append(one)
        else:
            deltas.append([one])
    return deltas, wanted


@given(cut_up())
def test_any_cut_of_calls_assembles_to_the_calls(cut: tuple[list[list[dict[str, Any]]], list[ToolCall]]):
    deltas, wanted = cut
    assert assemble(*deltas) == wanted


@given(calls)
def test_whole_calls_without_ids_and_indexes_stay_apart(wanted: list[ToolCall]):
    assembled = assemble(*([entry(call.name, call.arguments)] for call in wanted))
    assert [(call.name, call.arguments) for call in assembled] == [(call.name, call.arguments) for call in wanted]
    assert [call.id for call in assembled] == [f"call_{number}" for number in range(len(wanted))]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "index", "function", "name", "arguments", "delta", "content"]), inner)
    ),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=5))
def test_no_event_breaks_the_assembly(values: list[Any]):
    answer = AnswerDeltas()
    for value in values:
        list(answer.add({"choices": value, "usage": value, "model": value}))
        list(answer.add({"choices": [value, {"delta": value, "finish_reason": value}]}))
        list(answer.add({"choices": [{"delta": {"content": value, "tool_calls": value, "function_call": value}}]}))
    ids = [call.id for call in answer.answer().tool_calls]
    assert len(ids) == len(set(ids))


@given(st.text(st.characters(exclude_categories=())), st.data())
def test_cut_characters_are_joined(text: str, data: st.DataObject):
    units = text.encode("utf-16-le", "surrogatepass")
    halves = [units[start : start + 2].decode("utf-16-le", "surrogatepass") for start in range(0, len(units), 2)]
    joiner, pieces = SurrogateJoiner(), []
    while halves:
        size = data.draw(st.integers(1, len(halves)))
        pieces.append(joiner.add("".join(halves[:size])))
        halves = halves[size:]
    pieces.append(joiner.finish())
    "".join(pieces).encode()
    assert "".join(pieces) == units.decode("utf-16-le", "replace")


def feed(*events: dict[str, Any]) -> tuple[list[Any], Answer]:
    answer = AnswerDeltas()
    chunks = [chunk for event in events for chunk in answer.add(event)]
    chunks += answer.rest()
    return chunks, answer.answer()


def event(delta: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def test_half_a_character_waits_for_the_other():
    chunks, answer = feed(event({"content": "a\ud83d"}), event({"content": "\ude00b"}), event({"content": "\ud83d"}))
    assert chunks == [TextChunk("a"), TextChunk("😀b"), TextChunk("\ufffd")]
    assert answer.text == "a😀b\ufffd"


def test_content_may_be_a_list_of_parts():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}, 3]
    chunks, answer = feed(event({"content": parts}, "stop"))
    assert chunks == [ReasoningChunk("hm"), TextChunk("yes")]
    assert (answer.text, answer.reasoning) == ("yes", "hm")


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_has_two_names(field: str):
    chunks, answer = feed(event({field: "hm"}), event({"content": "yes"}, "stop"))
    assert chunks == [ReasoningChunk("hm"), TextChunk("yes")]
    assert answer.reasoning == "hm"


def test_a_refusal_is_text():
    assert feed(event({"content": None, "refusal": "I will not."}, "stop"))[1].text == "I will not."


def test_only_the_first_choice_counts():
    other = {"choices": [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]}
    assert feed(other)[1].text == "yes"


def test_empty_and_broken_choices_add_nothing():
    chunks, answer = feed({"choices": []}, {"choices": None}, {"choices": [None, {"delta": None}]}, {})
    assert (chunks, answer) == ([], Answer())


def test_the_last_usage_and_the_first_model_count():
    _, answer = feed(
        event({}, usage={"prompt_tokens": 1}, model="m"), event({}, usage=None), {"usage": {"prompt_tokens": 2}}
    )
    assert (answer.usage, answer.model) == ({"prompt_tokens": 2}, "m")


@pytest.mark.parametrize(
    ("reported", "meant"), [("stop", "tool_calls"), ("function_call", "tool_calls"), ("length", "length")]
)
def test_the_finish_of_an_answer_with_calls(reported: str, meant: str):
    assert feed(event({"tool_calls": [entry("find", "{}", call="a")]}, reported))[1].finish == meant


def test_the_legacy_function_call_is_a_call():
    _, answer = feed(
        event({"function_call": {"name": "find", "arguments": ""}}),
        event({"function_call": {"arguments": '{"x":1}'}}, "function_call"),
    )
    assert answer.tool_calls == (ToolCall("call_0", "find", '{"x":1}'),)


LINES = {
    "as it should be": (b'data: {"a":1}\n\ndata: [DONE]\n\n', [b'{"a":1}']),
    "carriage returns": (b'data: {"a":1}\r\n\r\ndata:{"b":2}\r\n\r\ndata: [DONE]\r\n\r\n', [b'{"a":1}', b'{"b":2}']),
    "no blank lines": (b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n', [b'{"a":1}', b'{"b":2}']),
    "no space": (b'data:{"a":1}\n\ndata:[DONE]\n\n', [b'{"a":1}']),
    "comments and other fields": (
        b': ping\n\nevent: ping\n\nretry: 3\nid: 4\n\ndata:\n\nevent: x\ndata: {"a":1}\n\ndata: [DONE]\n\n',
        [b'{"a":1}'],
    ),
    "a comment as data": (b'data: : ping\n\ndata: {"a":1}\n\ndata: [DONE]\n\n', [b'{"a":1}']),
    "more after the end": (b'data: {"a":1}\n\ndata: [DONE]\n\ndata: {"b":2}\n\n', [b'{"a":1}']),
    "pretty-printed": (
        b'data: {\ndata:  "a": 1\ndata: }\n\n{\n "b": 2\n}\ndata: [DONE]\n\n',
        [b'{\n"a": 1\n}', b'{\n"b": 2\n}'],
    ),
    "a bare object": (b'{"error":1}\n\ndata: [DONE]\n\n', [b'{"error":1}']),
}


@pytest.mark.parametrize("case", LINES)
@given(size=st.integers(1, 30))
def test_data_is_found_however_the_bytes_come(case: str, size: int):
    received, expected = LINES[case]
    lines = DataLines()
    events = [data for start in range(0, len(received), size) for data in lines.add(received[start : start + size])]
    assert events == expected
    assert lines.done


STREAMS = {
    "no line end": (b"abcd", b"\n"),
    "comments": (b": hi\n\n", b""),
    "events": (b'data: {"a":1}\n\n', b""),
    "an object without end": (b"data: {\n", b"\n"),
    "cut events": (b"data: 1\ndata: ", b"1\n"),
}


@pytest.mark.parametrize(("piece", "end"), STREAMS.values(), ids=STREAMS)
def test_splitting_a_stream_takes_linear_work(piece: bytes, end: bytes):
    def work(size: int) -> None:
        lines = DataLines()
        for received in [*[piece] * size, end]:
            list(lines.add(received))

    assert_linear(work, 400)


DELTAS: dict[str, dict[str, Any]] = {
    "text": {"content": "abc"},
    "reasoning": {"reasoning": "abc"},
    "parts": {"content": [{"type": "text", "text": "abc"}]},
    "halves of characters": {"content": "\ud83d"},
    "details": {"reasoning_details": [{"type": "text", "text": "abc"}]},
    "details of their own": {"thinking_blocks": [{"type": "a"}, {"type": "b"}]},
}


@pytest.mark.parametrize("delta", DELTAS.values(), ids=DELTAS)
@pytest.mark.parametrize("finish", [None, "stop"])
def test_assembling_an_answer_takes_linear_work_and_counts_its_size(delta: dict[str, Any], finish: str | None):
    def work(size: int) -> None:
        answer = AnswerDeltas()
        for _ in range(size):
            list(answer.add({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
        assert answer.size >= size - 1
        answer.answer("call", "http://localhost")

    assert_linear(work, 300)


def test_only_plausible_figures_of_usage_are_taken():
    answer = AnswerDeltas()
    usage = {"prompt_tokens": 7, "cost": 0.5, "x": "7", "y": -1, "z": 10**30, "n": None, "b": True, "i": float("inf")}
    nested = {"details": {"cached": 3, "deep": {"deeper": {}}}, **{f"f{number}": 1 for number in range(100)}}
    list(answer.add({"choices": [], "usage": {**usage, **nested}}))
    figures = dict(answer.answer().usage or {})
    assert figures.pop("details") == {"cached": 3}
    assert {name: figures[name] for name in usage if name in figures} == {"prompt_tokens": 7, "cost": 0.5}
    assert len(figures) < 50

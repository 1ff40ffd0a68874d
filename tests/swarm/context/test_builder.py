"""Rotation, held to the cases on which other trimmers fail. Each names the report that it comes from."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from notation import WordCounter, context_of, records_of, sent
from swarmchat.swarm.context.builder import Budget, build_context
from swarmchat.swarm.context.groups import GroupBuilder
from swarmchat.swarm.context.truncation import shorten
from swarmchat.swarm.errors import OverBudget

KEPT = {
    "V01 nothing": ("", 10, ""),
    "V02 all fits": ("S U A", 10, "S U A"),
    "V03 exact fit": ("S U1 A1 U2", 4, "S U1 A1 U2"),
    "V03 one too many (langchain start_on)": ("S U1 A1 U2", 3, "S U2"),
    "V04 whole turns, oldest first": ("S U1 A1 U2 A2 U3", 4, "S U2 A2 U3"),
    "V06 several system messages (semantic-kernel keeps the first)": ("S1 S2 U1 A1 U2", 4, "S1 S2 U2"),
    "V07 a later system message": ("S U1 A1 S' U2 A2 U3", 5, "S S' U2 A2 U3"),
    "V07 goes with the turn that it precedes": ("S U1 A1 S' U2 A2 U3", 3, "S U3"),
    "V08 developer is system": ("D U1 A1 U2", 2, "D U2"),
    "V10 a system message inside the live turn": ("U1 A1 U2 S A2", 3, "U2 S A2"),
    "V11 no orphaned result (langchain 33245, litellm 4931)": ("S U1 A{a} T:a A1 U2", 4, "S U1 A1 U2"),
    "V12 (semantic-kernel 12708)": ("S UA A{123} T:123 UB A", 3, "S UB A"),
    "V14 a group is all or nothing": ("S U1 A{a,b,c} T:a T:b T:c A1 U2", 6, "S U1 A1 U2"),
    "V15 the question outlives the loop": ("S U A{a,b} T:a T:b A{c} T:c", 4, "S U A{c} T:c"),
    "V15 with one token to spare": ("S U A{a,b} T:a T:b A{c} T:c", 5, "S U A{c} T:c"),
    "V17 no user message at all": ("S A{a} T:a A{b} T:b A", 4, "S A{b} T:b A"),
    "V18 a turn starts with its question": ("U1 A{1} T:1 A U2 A2", 2, "U2 A2"),
    "V20 interrupted among parallel calls (hermes-agent 76460)": (
        "S U A{a,b} T:a U2",
        99,
        "S U A{a,b} T:a T:b! U2",
    ),
    "V21 interrupted before any result (dify 41846)": ("U A{a} U2", 99, "U A{a} T:a! U2"),
    "V23 an answer where a result was due": ("U A{a} A1", 99, "U A{a} T:a! A1"),
    "V24 a result without a call": ("U T:x A U2", 99, "U A U2"),
    "V25 a result before its call": ("U T:a A{a} U2", 99, "U A{a} T:a! U2"),
    "V26 a second result": ("U A{a} T:a T:a' A", 99, "U A{a} T:a A"),
    "V27 an id used again (hermes-agent 70724)": (
        "U A{x} T:x A U A{x} T:x A",
        99,
        "U A{x} T:x A U A{x-5000} T:x A",
    ),
    "V28 a call hidden by one of the same id": ("U A{x} A{x} T:x", 99, "U A{x} T:x! A{x-2000} T:x"),
    "V29 a result parked after a question (hermes-agent 79883)": ("U A{a} U2 T:a A", 99, "U A{a} T:a U2 A"),
    "V30 results in the order of the calls (vercel/ai 16578)": (
        "U A{a,b,c} T:c T:a T:b",
        99,
        "U A{a,b,c} T:a T:b T:c",
    ),
    "V31 one orphan among results (langchain 38352)": ("U A{b} T:orphan T:b", 99, "U A{b} T:b"),
    "V34 text beside a lost call stays": ("U Atext{a} U2 A2", 99, "U Atext{a} T:a! U2 A2"),
    "V35 an empty list of calls (openai-python 2061)": ("U A{} U2", 99, "U A U2"),
    "the same id twice in one message": ("U A{x,x} T:x T:x'", 99, "U A{x,x-1001} T:x T:x'"),
}


@pytest.mark.parametrize(("log", "budget", "expected"), KEPT.values(), ids=KEPT.keys())
def test_what_is_sent(log, budget, expected):
    assert sent(context_of(log, budget)) == expected


OVER = {
    "V05 a system prompt that is too long (litellm shortens it)": ("S[50] U", 10, 50, 10),
    "V09 room for the system message only (semantic-kernel: IndexError)": ("S U1 A1 U2 A2", 1, 3, 1),
    "V16 the newest group does not fit (langchain sends the system message alone)": (
        "S U A{a,b} T:a T:b A{c} T:c",
        3,
        4,
        3,
    ),
    "V19 a call with a foreign result": ("A{456} T:789", 1, 2, 1),
    "V44 a question that is too long": ("U[100]", 10, 100, 10),
}


@pytest.mark.parametrize(("log", "budget", "needed", "available"), OVER.values(), ids=OVER.keys())
def test_over_budget_says_how_much(log, budget, needed, available):
    with pytest.raises(OverBudget) as caught:
        context_of(log, budget)
    assert (caught.value.needed, caught.value.available) == (needed, available)


def test_v02_what_is_passed_in_is_not_touched():
    records = records_of("S U1 A{a} T:a A{} U2")
    before = [record.line for record in records], repr(records)
    context_of(records, 4)
    assert ([record.line for record in records], repr(records)) == before


def test_v13_never_begins_with_a_result_while_a_log_grows():
    # spring-ai 5940
    words = ["U1", "A{a}", "T:a", "A", "U2"]
    for end in range(1, len(words) + 1):
        context = context_of(" ".join(words[:end]), 3)
        assert json.loads(context.messages[0])["role"] != "tool"


def test_v16_a_long_newest_result_is_shortened():
    context = context_of("S U A{a,b} T:a T:b A{c} T:c[500]", 100)
    assert sent(context) == "S U A{c} T:c~"
    assert context.shortened
    assert context.tokens <= 100


def test_v22_arguments_cut_off_in_mid_stream_are_sent_as_json():
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"q": "x'}}
    messages = [{"role": "user", "content": "U"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    context = context_of(records_of(messages), 99)
    arguments = json.loads(context.messages[1])["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"invalid_json": '{"q": "x'}
    assert sent(context) == "U A{a} T:a!"


def test_v32_a_plain_text_result_counts_as_one():
    # semantic-kernel 13608
    assert sent(context_of("U A{a} T:a A", 99)) == "U A{a} T:a A"


def test_v33_a_result_without_an_id_is_left_out():
    messages = [
        {"role": "user", "content": "U"},
        {"role": "tool", "content": "T"},
        {"role": "assistant", "content": "A"},
    ]
    assert sent(context_of(records_of(messages), 99)) == "U A"


def test_v36_a_message_with_neither_text_nor_calls_is_left_out():
    messages = [
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": ""},
    ]
    assert sent(context_of(records_of(messages), 99)) == "U"


def test_v37_legacy_function_calls_become_tool_calls():
    call = {"name": "f", "arguments": "{}"}
    messages = [
        {"role": "user", "content": "U"},
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "function", "name": "f", "content": "T"},
        {"role": "assistant", "content": None, "function_call": call},
        {"role": "user", "content": "U2"},
    ]
    assert sent(context_of(records_of(messages), 99)) == ("U A{function_f} T A{function_f-3000} T:function_f-3000! U2")


@pytest.mark.parametrize("budget", range(1, 9))
def test_v38_an_orphan_behind_the_system_message(budget):
    # agno 9372: the system message at 0 hid the orphan at 1
    try:
        context = context_of("S T:a U A{b} T:b A", budget)
    except OverBudget:
        assert budget < 3
    else:
        assert "T:a" not in sent(context)


def test_v39_two_cuts_in_series_stay_valid():
    # Clawith 415
    records = records_of("S U1 A{a} T:a A1 U2 A{b} T:b A{c} T:c A2")
    assert sent(context_of(records[3:], 4)) == "U2 A{c} T:c A2"


@pytest.mark.parametrize("window", [0, -1, float("nan")])
def test_v41_an_invalid_budget(window):
    with pytest.raises(ValueError, match="window"):
        Budget(window)


def test_v42_a_long_result_at_the_end_is_counted_and_shortened():
    # litellm leaves it out of the count
    context = context_of("S U A{a} T:a[5000]", 1000)
    assert sent(context) == "S U A{a} T:a~"
    assert 900 < context.tokens <= 1000


def test_v43_shortening_twice_changes_nothing():
    counter = WordCounter()
    text = " ".join(f"word{number}" for number in range(5000))
    once = shorten(text, 300, counter)
    assert shorten(once, 300, counter) == once
    assert counter.text(once) <= 300
    assert once.startswith("word0 ")
    assert once.endswith("word4999")
    short = "x " * 300
    assert shorten(short, 300, counter) is short
    twice = shorten(once, 100, counter)
    assert twice.count("left out") == 1
    head, tail = twice.split("\nHere ")[0], twice.split(" left out.\n")[1]
    gone = int(twice.split("\nHere ")[1].split(" ")[0])
    assert len(head) + len(tail) + gone == len(text)


def test_v45_content_in_parts():
    # litellm 34482, 16567
    parts = [
        {"type": "text", "text": "S"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9999}},
    ]
    messages = [{"role": "system", "content": parts}, {"role": "user", "content": parts}]
    context = context_of(records_of(messages), 9999)
    assert [json.loads(message)["content"] for message in context.messages] == [parts, parts]


def test_v48_the_same_again_byte_for_byte():
    log = "S U1 A{a} T:a A1 U2 A{b} T:b A{c} T:c A2 U3"
    for budget in range(2, 14):
        first = context_of(log, budget)
        assert context_of(log, budget).messages == first.messages
        again = context_of(records_of([json.loads(message) for message in first.messages]), budget)
        assert again.messages == first.messages


def test_v49_a_larger_budget_keeps_no_less():
    log = "S U1 A{a} T:a A1 U2 A{b} T:b A{c} T:c A2 U3"
    smaller: set[bytes] = set()
    for budget in range(2, 14):
        messages = set(context_of(log, budget).messages)
        assert smaller <= messages
        smaller = messages


def test_v51_between_two_cuts_the_prefix_stays():
    # openclaw 115273: one message cut a turn, so no request hit the prompt cache
    records = records_of(" ".join(f"U{n} A{n}" for n in range(200)))
    first_kept, cuts, previous = 0, [], ()
    for end in range(1, len(records) + 1, 2):
        builder = GroupBuilder(records=records[:end])
        context = build_context(
            builder.groups, counter=WordCounter(), budget=Budget(100, high=1, low=0.7), first_kept=first_kept
        )
        if context.rotation:
            cuts.append(end)
            first_kept = context.rotation.first_kept
            assert 68 <= context.tokens <= 70
        else:
            assert context.messages[: len(previous)] == previous
        previous = context.messages
    assert all(30 <= later - earlier <= 32 for earlier, later in pairwise(cuts))
    assert len(cuts) > 5


def test_v51_a_cut_inside_the_live_turn_always_keeps_the_question():
    records = records_of("U1 A1 U2 A{a} T:a A{b} T:b A{c} T:c A2 U3 A3")
    builder = GroupBuilder(records=records[:9])
    context = build_context(builder.groups, counter=WordCounter(), budget=Budget(5, high=1, low=1))
    assert sent(context) == "U2 A{b} T:b A{c} T:c"
    assert context.rotation is not None
    later = build_context(
        GroupBuilder(records=records).groups,
        counter=WordCounter(),
        budget=Budget(99),
        first_kept=context.rotation.first_kept,
    )
    assert sent(later) == "U2 A{b} T:b A{c} T:c A2 U3 A3"


def test_v52_tools_and_the_answer_have_their_share():
    # promptflow 3809, nagobot 84
    builder = GroupBuilder(records=records_of("U1 A1 U2 A2 U3"))
    context = build_context(
        builder.groups,
        counter=WordCounter(),
        budget=Budget(10, reserve=4, high=1, low=1),
        system=[b'{"role":"system","content":"S"}'],
        tools=[{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}],
    )
    assert sent(context) == "S U2 A2 U3"
    assert context.tokens + 4 <= 10


def test_v54_what_belongs_to_a_message_goes_with_it():
    # openai-agents 3207
    records = records_of(
        [
            {"role": "user", "content": "U1"},
            {"role": "assistant", "content": "A1", "reasoning_content": "because"},
            {"role": "user", "content": "U2"},
        ]
    )
    assert b"because" not in b"".join(context_of(records, 1).messages)


def test_v58_one_agent_one_system_message():
    # langgraph-swarm-py 94
    records = [
        replace(record, agent=agent)
        for record, agent in zip(records_of("U A{transfer} T:transfer A2 U2"), "aaabb", strict=True)
    ]
    for agent, expected in (("b", "SB U A A2 U2"), ("a", "SB U A{transfer} T:transfer A2 U2")):
        context = build_context(
            GroupBuilder(agent, records).groups,
            counter=WordCounter(),
            budget=Budget(99),
            system=[b'{"role":"system","content":"SB"}'],
        )
        assert sent(context) == expected


def test_v60_only_new_messages_are_counted():
    counter = CountingCounter()
    records = records_of(" ".join(f"U{n} A{n}" for n in range(5000)))
    builder = GroupBuilder(records=records)
    context = build_context(builder.groups, counter=counter, budget=Budget(9000, high=1, low=1))
    # What is left out is counted for who asks how much it was.
    assert counter.calls == 9001
    assert context.rotation is not None
    assert context.rotation.tokens_before == 10000
    assert counter.calls == 10000
    for record in records_of("U A{a} T:a", start=10000):
        builder.feed(record)
    build_context(builder.groups, counter=counter, budget=Budget(9000, high=1, low=1))
    assert counter.calls == 10003


class CountingCounter(WordCounter):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def message(self, message, *, parallel=False):
        self.calls += 1
        return super().message(message, parallel=parallel)


@pytest.mark.parametrize(
    ("answer", "tokens", "sent"),
    [
        # The room is 100 words, the marks are 90 and 70.
        pytest.param(60, None, "UAU", id="the turn before fits into the room, not under the mark"),
        pytest.param(150, 100, "UAU", id="its answer is longer than the room"),
    ],
)
def test_the_turn_before_the_question_stays(answer: int, tokens: int | None, sent: str):
    """A small window and long answers: the model still knows what it was just asked and said."""
    messages = [
        {"role": "user", "content": "old"},
        {"role": "assistant", "content": "word " * 50},
        {"role": "user", "content": "first " * 10},
        {"role": "assistant", "content": "word " * answer},
        {"role": "user", "content": "second " * 20},
    ]
    groups = GroupBuilder(records=records_of(messages)).groups
    counter = WordCounter()
    context = build_context(groups, counter=counter, budget=Budget(100))
    assert "".join(group.role[0].upper() for group in context.groups) == sent
    assert context.rotation is not None
    assert context.rotation.dropped == (0, 1)
    assert context.tokens <= 100
    assert context.shortened == (tokens is not None)
    again = build_context(groups, counter=counter, budget=Budget(100), first_kept=context.rotation.first_kept)
    assert again.messages == context.messages
    assert again.rotation is None


def test_a_tail_gives_way_to_the_question():
    """What the rescue adds must not cost the user's message its place."""
    groups = GroupBuilder(records=records_of([{"role": "user", "content": "word " * 50}])).groups
    tail = [{"role": "assistant", "content": "bad " * 60}, {"role": "user", "content": "again " * 10}]
    context = build_context(groups, counter=WordCounter(), budget=Budget(100), tail=tail)
    assert [json.loads(message)["content"].split()[0] for message in context.messages] == ["word", "again"]
    assert context.tokens <= 100
    assert len(build_context(groups, counter=WordCounter(), budget=Budget(55), tail=tail).messages) == 1
    assert len(build_context(groups, counter=WordCounter(), budget=Budget(200), tail=tail).messages) == 3

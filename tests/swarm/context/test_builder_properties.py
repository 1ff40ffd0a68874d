"""Whatever the history, whatever the budget: what is sent is valid, complete where it must be, and fits."""

import json
from dataclasses import replace
from typing import Any

from chat_rules import check_messages
from hypothesis import example, given
from hypothesis import strategies as st
from notation import WordCounter, records_of
from swarmchat.swarm.context.builder import Budget, build_context
from swarmchat.swarm.context.groups import GroupBuilder, leading_system
from swarmchat.swarm.context.tokens import counter_for
from swarmchat.swarm.errors import OverBudget

IDS = st.sampled_from(["a", "b", "c", "call_1", ""])
TEXTS = st.one_of(
    st.sampled_from(["", "yes", "one two three", "x " * 40, "<|endoftext|>", "é🦦 ", "{}"]), st.text(max_size=12)
)
ARGUMENTS = st.sampled_from(["{}", '{"q": 1}', '{"q": "x', "", "[1]", "null"])
CALLS = st.lists(
    st.builds(
        lambda call_id, arguments: {
            "id": call_id,
            "type": "function",
            "function": {"name": "search", "arguments": arguments},
        },
        IDS,
        ARGUMENTS,
    ),
    max_size=3,
)


def valid_turn(question: str, steps: list[tuple[str, int, str]], answer: str | None) -> list[dict[str, Any]]:
    """A turn as a well-behaved program stores it: a question, tool steps with all results, perhaps an answer."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    for text, calls, result in steps:
        ids = [f"call_{len(messages)}_{number}" for number in range(calls)]
        tool_calls = [{"id": i, "type": "function", "function": {"name": "search", "arguments": "{}"}} for i in ids]
        messages.append({"role": "assistant", "content": text or None, "tool_calls": tool_calls})
        messages += [{"role": "tool", "tool_call_id": i, "content": result} for i in ids]
    return messages if answer is None else [*messages, {"role": "assistant", "content": answer}]


def renumbered(message: dict[str, Any], turn: int) -> dict[str, Any]:
    """Give the calls of each turn ids of their own."""
    if message["role"] == "tool":
        return {**message, "tool_call_id": f"{message['tool_call_id']}_{turn}"}
    if "tool_calls" in message:
        return {**message, "tool_calls": [{**call, "id": f"{call['id']}_{turn}"} for call in message["tool_calls"]]}
    return message


STEPS = st.lists(st.tuples(TEXTS, st.integers(1, 3), TEXTS), max_size=4)
VALID_HISTORIES = st.lists(st.builds(valid_turn, TEXTS, STEPS, st.none() | TEXTS), max_size=6).map(
    lambda turns: [renumbered(message, number) for number, turn in enumerate(turns) for message in turn]
)
PARTS = st.lists(
    st.sampled_from(
        [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "data:x"}}, {}, {"text": 1}]
    ),
    max_size=2,
)
CONTENT = st.one_of(TEXTS, st.none(), PARTS, st.just(17))
ANY_MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["user", "system", "developer", "what"]),
        CONTENT,
    ),
    st.builds(lambda content, calls: {"role": "assistant", "content": content, "tool_calls": calls}, CONTENT, CALLS),
    st.builds(
        lambda call_id, content: {"role": "tool", "tool_call_id": call_id, "content": content}, IDS | st.none(), CONTENT
    ),
    st.builds(
        lambda name: {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": "{"}}, IDS
    ),
    st.builds(lambda name, content: {"role": "function", "name": name, "content": content}, IDS, CONTENT),
    st.builds(lambda name: {"role": "user", "content": "hi", "name": name, "extra": 1}, TEXTS),
    st.sampled_from(
        [
            {
                "role": "assistant",
                "content": "x",
                "tool_calls": [
                    None,
                    {"id": 1, "function": {"name": "f"}},
                    {"id": "a", "function": {"name": "a b", "arguments": {"q": 1}}},
                ],
            }
        ]
    ),
)
CORRUPTED_HISTORIES = st.lists(ANY_MESSAGE, max_size=25)
HISTORIES = st.one_of(VALID_HISTORIES, CORRUPTED_HISTORIES)
SYSTEM = b'{"role":"system","content":"be brief"}'


def build(messages: list[dict[str, Any]], budget: Budget, counter=None, first_kept: int = 0):
    groups = GroupBuilder(records=records_of(messages)).groups
    context = build_context(
        groups, counter=counter or WordCounter(), budget=budget, system=[SYSTEM], first_kept=first_kept
    )
    return groups, context


def check(groups, context, budget: Budget) -> None:
    sent = [json.loads(message) for message in context.messages]
    assert check_messages(sent) is None
    assert sent[0] == json.loads(SYSTEM)
    assert context.tokens <= budget.available
    for group in leading_system(groups):
        assert group in context.groups
    questions = [group for group in groups if group.is_user]
    if questions:
        assert questions[-1] in context.groups
    if groups:
        assert context.groups[-1].seq == groups[-1].seq


@given(HISTORIES, st.integers(1, 400), st.sampled_from([(1.0, 1.0), (0.9, 0.7), (0.5, 0.1)]))
@example([{"role": "user", "content": "hi"}], 1, (1.0, 1.0))
@example([{"role": "assistant", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}], 9, (1.0, 1.0))
def test_every_context_is_valid_complete_and_fits(messages, window, marks):
    budget = Budget(window, high=marks[0], low=marks[1])
    try:
        groups, context = build(messages, budget)
    except OverBudget as caught:
        error = caught
    else:
        check(groups, context, budget)
        return
    assert error.needed > error.available == budget.available


@given(HISTORIES, st.integers(20, 600))
def test_with_real_tokens_too(messages, window):
    budget = Budget(window)
    counter = counter_for("gpt-4o")
    try:
        groups, context = build(messages, budget, counter)
    except OverBudget:
        return
    check(groups, context, budget)
    # What is claimed is what counting the very bytes anew gives, never less.
    sent = [json.loads(message) for message in context.messages]
    assert context.tokens >= counter.prompt(sent)


@given(VALID_HISTORIES)
def test_a_valid_history_that_fits_is_sent_as_it_is(messages):
    _, context = build(messages, Budget(100_000))
    sent = [json.loads(message) for message in context.messages][1:]
    assert sent == [m for m in messages if m["content"] or m["role"] in ("user", "tool") or m.get("tool_calls")]


@given(HISTORIES, st.integers(1, 200))
def test_the_same_again_byte_for_byte(messages, window):
    def attempt():
        try:
            return build(messages, Budget(window))[1].messages
        except OverBudget as error:
            return str(error)

    assert attempt() == attempt()


@given(HISTORIES, st.integers(1, 200))
def test_sending_what_was_sent_changes_nothing(messages, window):
    budget = Budget(window, high=1, low=1)
    try:
        _, once = build(messages, budget)
    except OverBudget:
        return
    again = [json.loads(message) for message in once.messages[1:]]
    assert build(again, budget)[1].messages == once.messages


@given(VALID_HISTORIES, st.integers(5, 100), st.integers(0, 100))
def test_a_larger_budget_keeps_no_less(messages, window, more):
    try:
        small = build(messages, Budget(window, high=1, low=1))[1]
    except OverBudget:
        return
    large = build(messages, Budget(window + more, high=1, low=1))[1]
    if not small.shortened:
        assert {group.seq for group in small.groups} <= {group.seq for group in large.groups}


@given(VALID_HISTORIES, st.integers(10, 120))
def test_after_a_cut_only_what_is_new_is_added(messages, window):
    """The prefix of a request is that of the one before it, unless it was cut: what prompt caches live on."""
    budget = Budget(window)
    first_kept, previous = 0, None
    for end in range(1, len(messages) + 1):
        if end < len(messages) and messages[end]["role"] == "tool":
            continue
        try:
            _, context = build(messages[:end], budget, first_kept=first_kept)
        except OverBudget:
            return
        if context.rotation:
            first_kept = context.rotation.first_kept
        elif previous is not None and not context.shortened and not previous.shortened:
            assert context.messages[: len(previous.messages) - 1] == previous.messages[:-1]
        previous = None if context.shortened else context


@given(CORRUPTED_HISTORIES | VALID_HISTORIES, st.lists(st.sampled_from(["a", "b", None]), min_size=25, max_size=25))
def test_whatever_the_agents_each_of_them_is_sent_what_is_valid(messages, agents):
    records = [replace(record, agent=agents[record.seq % 25]) for record in records_of(messages)]
    for agent in ("a", "b"):
        groups = GroupBuilder(agent, records).groups
        context = build_context(groups, counter=WordCounter(), budget=Budget(100_000), system=[SYSTEM])
        sent = [json.loads(message) for message in context.messages]
        assert check_messages(sent) is None
        others = {record.seq for record in records if record.agent not in (agent, None)}
        assert not any(group.calls and group.seq in others for group in groups)
        texts = [record.message.get("content") for record in records if record.type in ("user", "assistant")]
        shown = [message["content"] for message in sent]
        assert all(text in shown for text in texts if isinstance(text, str) and text)

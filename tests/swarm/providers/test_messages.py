"""The form of messages that every server accepts."""

import json
from typing import Any

import pytest
from chat_rules import check_messages
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.messages import REMINDER, text_of
from swarmchat.swarm.providers.messages import (
    CONTINUE,
    GREETING,
    INTERRUPTED,
    NO_OUTPUT,
    MessageAdapter,
    MessageForm,
    portable_id,
)

HERE = "http://here/v1"

USUAL = MessageForm()


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str | None, *ids: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if ids:
        function = {"name": "note", "arguments": "{}"}
        message["tool_calls"] = [{"id": each, "type": "function", "function": function} for each in ids]
    return message


def result(call_id: str, content: str = "noted") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content, "name": "note"}


def system(text: str, role: str = "system") -> dict[str, Any]:
    return {"role": role, "content": text}


def adapted(
    *messages: dict[str, Any],
    tools: bool = True,
    form: MessageForm = USUAL,
    echoes: dict[int, dict[str, Any]] | None = None,
    adapter: MessageAdapter | None = None,
) -> list[dict[str, Any]]:
    adapter = adapter or MessageAdapter(HERE)
    encoded = tuple(map(encode_json, messages))
    return [json.loads(each) for each in adapter.adapt(encoded, echoes or {}, tools=tools, form=form)]


NINE = portable_id("call_1")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([user("a"), assistant("b"), user("c")], None, id="nothing to do"),
        pytest.param([user("a"), user("b")], [user("a\n\nb")], id="questions in a row"),
        pytest.param(
            [user("a"), user([{"type": "text", "text": "b"}])],
            [user("a\n\nb")],
            id="text and parts",
        ),
        pytest.param(
            [user("a"), user([{"type": "image_url"}])],
            [user([{"type": "text", "text": "a"}, {"type": "image_url"}])],
            id="text and a picture",
        ),
        pytest.param(
            [user("a"), assistant("b")], [user("a"), assistant("b"), user(CONTINUE)], id="ends with assistant"
        ),
        pytest.param(
            [user("a"), assistant("b"), assistant("c"), user("d")],
            [user("a"), assistant("b"), user(CONTINUE), assistant("c"), user("d")],
            id="answers in a row",
        ),
        pytest.param(
            [assistant("Welcome."), user("a")], [user(GREETING), assistant("Welcome."), user("a")], id="greeting first"
        ),
        pytest.param(
            [user("a"), assistant(None, "123456789"), result("123456789"), user("b")],
            [
                user("a"),
                assistant(None, "123456789"),
                result("123456789"),
                assistant(INTERRUPTED),
                user("b"),
            ],
            id="interrupted after a result",
        ),
        pytest.param(
            [user("a"), assistant(" ", "call_1"), result("call_1", "")],
            [user("a"), assistant(None, NINE), result(NINE, NO_OUTPUT)],
            id="ids and blanks",
        ),
        pytest.param([user("a"), assistant(" \n"), user("b")], [user("a\n\nb")], id="blank answer"),
        pytest.param([user("a"), user("\u3000 ")], [user("a")], id="blank question"),
        pytest.param(
            [system("one"), system("two", "developer"), user("a")],
            [system("one\n\ntwo"), user("a")],
            id="several system messages",
        ),
        pytest.param(
            [system("one"), user("a"), assistant("b"), system("two"), user("c")],
            [system("one\n\ntwo"), user("a"), assistant("b"), user("c")],
            id="a later system message",
        ),
        pytest.param([system("one")], [system("one"), user(CONTINUE)], id="no question"),
    ],
)
def test_the_form_of_messages(messages: list[dict[str, Any]], expected: list[dict[str, Any]] | None):
    assert adapted(*messages) == (messages if expected is None else expected)


def test_without_tools_calls_become_text():
    history = [user("a"), assistant("One moment.", "call_1"), result("call_1"), assistant("Done."), user("b")]
    assert adapted(*history, tools=False) == [
        user("a"),
        assistant("One moment."),
        user("The result of note: noted"),
        assistant("Done."),
        user("b"),
    ]


def test_ids_of_the_same_server_stay_and_others_are_mapped_alike():
    history = [user("a"), assistant(None, "functions.note:0"), result("functions.note:0")]
    assert adapted(*history, echoes={1: {"server": HERE}}) == history
    mapped = adapted(*history, echoes={1: {"server": "http://elsewhere/v1"}})
    assert mapped[1]["tool_calls"][0]["id"] == mapped[2]["tool_call_id"] == portable_id("functions.note:0")
    own = [user("a"), assistant(None, "text_0123abcd_0"), result("text_0123abcd_0")]
    assert adapted(*own, echoes={1: {"server": HERE}})[2]["tool_call_id"] == portable_id("text_0123abcd_0")


def test_what_a_provider_attached_goes_back_to_it_alone():
    history = [user("a"), assistant(None, "call_1"), result("call_1")]
    echo = {
        "server": HERE,
        "reasoning_field": "reasoning_content",
        "reasoning": "I think.",
        "fields": {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]},
        "calls": {"call_1": {"extra_content": {"google": {"thought_signature": "S"}}}},
    }
    _, message, _ = adapted(*history, echoes={1: echo})
    assert message["reasoning_content"] == "I think."
    assert message["reasoning_details"] == [{"type": "reasoning.encrypted", "data": "x"}]
    assert message["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "S"}}
    _, other, _ = adapted(*history, echoes={1: echo | {"server": "http://elsewhere/v1"}})
    assert other == assistant(None, NINE)


def test_reasoning_goes_back_with_calls_only_unless_the_server_wants_all():
    echo = {"server": HERE, "reasoning_field": "reasoning", "reasoning": "I think."}
    history = [user("a"), assistant("b"), user("c")]
    assert adapted(*history, echoes={1: echo}) == history
    assert adapted(*history, echoes={1: echo}, form=MessageForm(reasoning=True))[1]["reasoning"] == "I think."


def test_forms_that_servers_ask_for():
    calls = [system("Be brief."), user("a"), assistant(None, "123456789"), result("123456789")]
    assert adapted(*calls, form=MessageForm(empty_content=True))[2]["content"] == ""
    assert adapted(*calls, form=MessageForm(system_in_user=True))[0] == user("Be brief.\n\na")
    assert adapted(*calls, form=MessageForm(reasoning=True))[2]["reasoning_content"]
    assert adapted(*calls, form=MessageForm(signatures=True))[2]["tool_calls"][0]["extra_content"]
    unnamed = {name: value for name, value in calls[3].items() if name != "name"}
    assert "name" not in adapted(*calls[:3], unnamed, form=MessageForm(names=False))[3]
    picture = user([{"type": "text", "text": "a"}, {"type": "image_url"}])
    unseen = "a\n\nThere was an attachment here (image_url). You cannot see it."
    assert adapted(picture, form=MessageForm(attachments=False)) == [user(unseen)]


def test_calls_at_once_stand_one_after_the_other_for_servers_that_take_one():
    sent = adapted(
        user("x"), assistant("Both.", "a", "b"), result("a", "1"), result("b", "2"), form=MessageForm(single_calls=True)
    )
    assert [message["role"] for message in sent[1:]] == ["assistant", "tool", "assistant", "tool"]
    assert [message["content"] for message in sent[1:]] == ["Both.", "1", None, "2"]
    assert [call["id"] for message in sent for call in message.get("tool_calls", ())] == [
        message["tool_call_id"] for message in sent if message["role"] == "tool"
    ]


def test_portable_ids_are_nine_letters_and_digits_and_stable():
    assert portable_id("a1B2c3D4e") == "a1B2c3D4e"
    assert portable_id("call_abc") == portable_id("call_abc")
    ids = {portable_id(f"call_{number}") for number in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(each) == 9 and each.isalnum() and each.isascii() for each in ids)


texts = st.sampled_from(["", " ", "a", "b\n", '"tool_calls":', "é", "\u2003"])


def test_a_reminder_goes_with_the_newest_question():
    """All that was sent before stands before it, unchanged."""
    sent = []
    history = [user("a"), assistant("A"), user("b"), assistant(None, "call_1"), result("call_1")]
    adapter = MessageAdapter(HERE)
    for number, length in enumerate((1, 3, 5)):
        reminder = {**system(f"It is {number}:00."), "name": REMINDER}
        sent.append(adapted(system("Be brief."), reminder, *history[:length], adapter=adapter))
    assert [[text_of(message) for message in each] for each in sent] == [
        ["Be brief.", "It is 0:00.\n\na"],
        ["Be brief.", "a", "A", "It is 1:00.\n\nb"],
        ["Be brief.", "a", "A", "It is 2:00.\n\nb", "", "noted"],
    ]


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Histories as the context builder makes them: each call has its result, in order."""
    messages: list[dict[str, Any]] = [system(draw(texts))] * draw(st.integers(0, 2))
    messages += [{**system(draw(texts)), "name": REMINDER}] * draw(st.integers(0, 1))
    for number in range(draw(st.integers(1, 8))):
        match draw(st.sampled_from(["user", "assistant", "calls", "system"])):
            case "user":
                messages.append(user(draw(texts)))
            case "assistant":
                messages.append(assistant(draw(texts)))
            case "system":
                messages.append(system(draw(texts)))
            case "calls":
                ids = [f"call_{number}_{index}" for index in range(draw(st.integers(1, 3)))]
                messages += [assistant(draw(st.none() | texts), *ids), *(result(each, draw(texts)) for each in ids)]
    return messages


def strictest_complaint(messages: list[dict[str, Any]], tools: bool) -> str | None:
    """What some server would say about ``messages``; see the rules in ``providers.rules``."""
    if complaint := check_messages(messages):
        return complaint
    if any(message["role"] in ("system", "developer") for message in messages[1:]):
        return "System message must be at the beginning"
    turn = messages[1:] if messages[0]["role"] == "system" else messages
    expected = "user"
    for index, message in enumerate(turn):
        blank = isinstance(message["content"], str) and not message["content"].strip()
        if blank:
            return f"message {index} is blank"
        if message["role"] == "tool" or message.get("tool_calls"):
            if not tools:
                return "tool calls without tools"
            expected = "assistant"
            if message["role"] == "assistant" and turn[index - 1]["role"] not in ("user", "tool"):
                return f"assistant after {turn[index - 1]['role']}"
            continue
        if message["role"] != expected:
            return f"roles must alternate at {index}"
        expected = "user" if expected == "assistant" else "assistant"
    return "ends with an assistant message" if turn[-1]["role"] == "assistant" else None


@given(histories(), st.booleans())
def test_the_strictest_server_accepts_every_history(messages: list[dict[str, Any]], tools: bool):
    assert strictest_complaint(adapted(*messages, tools=tools), tools) is None


@given(histories(), st.lists(st.integers(0, 30), max_size=4), st.booleans())
def test_what_was_adapted_before_changes_nothing(messages: list[dict[str, Any]], lengths: list[int], tools: bool):
    """Requests that share a beginning, in any order, get what a new adapter gives them."""
    adapter = MessageAdapter(HERE)
    for length in [*lengths, len(messages)]:
        part = messages[:length]
        assert adapted(*part, tools=tools, adapter=adapter) == adapted(*part, tools=tools)


@given(histories(), st.integers(0, 20))
def test_a_longer_request_begins_with_the_shorter_one(messages: list[dict[str, Any]], length: int):
    """So that the provider's prompt cache is hit: all but the last messages, which may be joined or completed."""
    questions = [message for message in messages if message["role"] != "system"]
    short, long = adapted(*questions[:length]), adapted(*questions)
    assert long[: max(0, len(short) - 2)] == short[: max(0, len(short) - 2)]

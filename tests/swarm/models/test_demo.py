"""The demo model: deterministic answers that let people try the program."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, TextChunk
from swarmchat.swarm.models.demo import DemoModel


def ask(*texts: str, model: DemoModel | None = None) -> tuple[list[ModelEvent], Answer]:
    """Say the messages one after the other, with the answers between them, and return the last answer's events."""
    messages = [{"role": "system", "content": "You are a helper."}]
    for number, text in enumerate(texts):
        messages += [{"role": "assistant", "content": "…"}] if number else []
        messages.append({"role": "user", "content": text})
    request = ModelRequest("demo", tuple(json.dumps(message).encode() for message in messages))

    async def run() -> list[ModelEvent]:
        demo = model or DemoModel()
        events = [event async for event in demo.stream(request)]
        await demo.close()
        return events

    events = asyncio.run(run())
    assert isinstance(events[-1], Answer)
    return events, events[-1]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("hello", "no AI"),
        ("Hi there!", "Hello!"),
        ("help", "OPENAI_API_KEY"),
        ("Who are you?", "demo model"),
        ("how do I connect a real model", "--base-url"),
        ("count to 5", "1 2 3 4 5"),
        ("please COUNT UP TO 3", "1 2 3"),
        ("count to 0", "10,000"),
        ("count to 99999999999999999999", "10,000"),
        ("show me markdown", "```python"),
        ("markdown", "| --- |"),
        ("What did I say?", "first message"),
        ("the weather", '"the weather"'),
        ("", "demo model"),
    ],
)
def test_each_rule_answers(question: str, answer: str):
    assert answer in ask(question)[1].text


def test_what_was_said_is_recalled():
    text = ask("my name is Ada", "I like tea", "what did I say?")[1].text
    assert "1. my name is Ada\n2. I like tea" in text


def test_a_second_greeting_knows_the_first():
    assert "again" in ask("hello", "hello")[1].text


def test_replies_rotate_and_are_the_same_each_time():
    replies = [ask(*["tea"] * count)[1].text for count in range(1, 5)]
    assert len(set(replies[:3])) == 3
    assert replies[0] == replies[3] == ask("tea")[1].text
    assert all('"tea"' in reply for reply in replies)


def test_a_long_count_comes_in_many_pieces():
    events, answer = ask("count to 1000")
    assert len(events) == 1001
    assert answer.text.endswith(" 1000")


def test_a_delay_keeps_the_pieces_apart():
    async def run() -> None:
        events = DemoModel(delay=3600).stream(ModelRequest("demo", (b'{"role":"user","content":"count to 3"}',)))
        assert await anext(events) == TextChunk("1")
        second = asyncio.ensure_future(anext(events))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not second.done()
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second

    asyncio.run(run())


def test_content_may_be_parts_or_missing():
    parts = {"role": "user", "content": [{"type": "text", "text": "count to"}, {"type": "text", "text": "2"}, None]}
    empty = {"role": "assistant", "content": None}
    request = ModelRequest("demo", tuple(json.dumps(message).encode() for message in (empty, parts)))

    async def run() -> list[ModelEvent]:
        return [event async for event in DemoModel().stream(request)]

    assert asyncio.run(run())[:-1] == [TextChunk("1"), TextChunk(" 2")]


def test_name_and_window():
    assert (DemoModel().name, DemoModel().context_window) == ("demo", 32_000)


@given(st.lists(st.text(), max_size=4))
def test_every_message_is_answered(messages: list[str]):
    events, answer = ask(*messages)
    assert answer.text
    assert "".join(event.text for event in events if isinstance(event, TextChunk)) == answer.text

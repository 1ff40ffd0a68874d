"""The message of a turn: text, content parts, or messages."""

import asyncio
import json

import pytest
from recorded import record_and_replay
from swarmchat.swarm import Agent, DefinitionError, Policy, ScriptedModel, Session, Swarm

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/cat.png"}}
PARTS = [{"type": "text", "text": "What is this?"}, IMAGE]
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Is it raining?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "And tomorrow?"},
]


def sent(message):
    """Return the messages that the model gets for ``message``, and the records of the log."""

    async def scenario():
        model = ScriptedModel(["Fine."])
        async with Session.open("memory:", model, Agent("a", "Help."), name="s") as session:
            await session.ask(message)
            return model.requests[-1].decoded_messages(), session

    return asyncio.run(scenario())


def test_content_parts_are_one_message():
    messages, session = sent(PARTS)
    assert messages[1:] == [{"role": "user", "content": PARTS}]
    assert session.info.title == "What is this?"


def test_messages_go_before_the_question():
    messages, session = sent(MESSAGES)
    assert messages[1:] == MESSAGES
    given = [record.type for record in session.records if record.data.get("given")]
    assert (given, session.turns) == (["system", "user", "assistant", "tool", "assistant"], 2)


def test_an_undo_leaves_the_messages_that_were_given():
    async def scenario():
        model = ScriptedModel(["Fine.", "Good."])
        async with Session.open("memory:", model, Agent("a", "Help."), name="s") as session:
            await session.ask(MESSAGES)
            assert (await session.undo()).text == "And tomorrow?"
            await session.ask("Really?")
            return model.requests[-1].decoded_messages()

    assert asyncio.run(scenario())[1:] == [*MESSAGES[:-1], {"role": "user", "content": "Really?"}]


def test_a_policy_checks_all_that_the_user_says():
    policy = Policy("dry", reject_input=["raining"], message="No weather.")

    async def scenario():
        model = ScriptedModel([])
        swarm = Swarm("s", [Agent("a")], policies=[policy])
        async with Session.open("memory:", model, swarm, name="s") as session:
            reply = await session.ask(MESSAGES)
            return reply.text, [record.type for record in session.records]

    assert asyncio.run(scenario()) == ("No weather.", ["session", "policy"])


@pytest.mark.parametrize("message", [PARTS, MESSAGES, [{"role": "user", "name": "ann", "content": "hi"}]])
def test_a_replay_sends_the_same(message, tmp_path):
    async def scenario(recorder):
        session = await recorder.open(ScriptedModel(["One.", "Two."]))
        await session.ask("First")
        await session.ask(message)
        await session.close()

    record_and_replay(Agent("a"), scenario, tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (5, "the message is 5: expected a text, a list of content parts"),
        ([], "the message is []"),
        (b"hi", "the message is b'hi'"),
        (["hi"], "the message has 'hi' at 0, which is 'hi', expected an object"),
        ([{"text": "hi"}], "content[0] is"),
        ([{"role": "person", "content": "hi"}], "role is 'person', expected one of system"),
        ([{"role": "assistant", "content": "hi"}], "the message ends with {'role': 'assistant'"),
        ([{"role": "user", "content": []}], "the message ends with {'role': 'user', 'content': []}"),
    ],
)
def test_what_is_no_message(message, words):
    with pytest.raises(DefinitionError) as error:
        sent(message)
    assert words in str(error.value), error.value


def test_nothing_of_a_wrong_message_is_stored():
    async def scenario():
        async with Session.open("memory:", ScriptedModel(["Hello"]), name="s") as session:
            with pytest.raises(DefinitionError):
                await session.ask([{"role": "user"}])
            await session.ask("hi")
            return [json.loads(record.line)["type"] for record in session.records]

    assert asyncio.run(scenario()) == ["session", "user", "request", "assistant"]

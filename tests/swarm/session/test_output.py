"""Answers of a given type: how they are asked for, read, checked, repaired and replayed."""

import asyncio
import json
from dataclasses import dataclass
from typing import Literal

import pytest
from chats import ticking_clock
from model_server import ModelServer, failure, server_fixture, text, tool_calls
from pydantic import BaseModel, field_validator
from recorded import calls, record_and_replay
from swarmchat.backends import open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    DefinitionError,
    ModelRefused,
    OpenAIModel,
    OutputDelta,
    OutputError,
    Policy,
    Rescued,
    ScriptedModel,
    Session,
    Swarm,
    TurnEnded,
    Warned,
    tool,
)

server = server_fixture


class Line(BaseModel):
    what: str
    price: float


class Invoice(BaseModel):
    number: int
    lines: list[Line]

    @field_validator("number")
    @classmethod
    def is_positive(cls, number: int) -> int:
        if number < 1:
            raise ValueError("must be 1 or more")
        return number


@dataclass
class Point:
    x: int
    y: int = 0


GOOD = '{"number": 7, "lines": [{"what": "tea", "price": 2.5}]}'
TEA = Invoice(number=7, lines=[Line(what="tea", price=2.5)])


@tool
def look(at: str) -> str:
    """Look at something."""
    return f"a nice {at}"


def ask(model, output=None, swarm=None, question="the invoice?"):
    async def scenario():
        async with Session.open("memory:", model, swarm or Agent("a"), name="s") as session:
            return await session.ask(question, output=output)

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Invoice, GOOD, TEA),
        (Point, '{"x": 1}', Point(1)),
        (list[Point], '{"answer": [{"x": 1, "y": 2}]}', [Point(1, 2)]),
        (list[Point], '[{"x": 1, "y": 2}]', [Point(1, 2)]),
        (int, '{"answer": 4}', 4),
        (int, "4", 4),
        (Literal["red", "blue"], '{"answer": "red"}', "red"),
        (Point | None, '{"answer": null}', None),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, '{"a": 1}', {"a": 1}),
        ({"enum": ["yes", "no"]}, '{"answer": "no"}', "no"),
    ],
)
def test_an_answer_becomes_a_value(kind, written, value):
    model = ScriptedModel([written])
    reply = ask(model, kind)
    assert reply.output == value
    assert type(reply.output) is type(value)
    assert model.requests[0].parameters["response_format"]["type"] == "json_schema"
    assert not model.requests[0].tools


@pytest.mark.parametrize(
    "written",
    [
        f"Here it is:\n```json\n{GOOD}\n```\nAnything else?",
        f"<think>An invoice, then.</think>{GOOD}",
        "Sure [1]: {'number': 7, 'lines': [{'what': 'tea', 'price': 2.5,}]}",
        '{"name": "final_answer", "arguments": ' + GOOD + "}",
        '{"name": "final_answer", "parameters": ' + json.dumps(GOOD) + "}",
    ],
)
def test_the_json_is_taken_out_of_what_is_around_it(written):
    reply = ask(ScriptedModel([written]), Invoice)
    assert reply.output == TEA
    assert json.loads(reply.text)["number"] == 7


def test_a_wrong_answer_is_asked_for_again():
    model = ScriptedModel(['{"number": 0, "lines": []}', GOOD])
    reply = ask(model, Invoice)
    assert reply.output == TEA
    (again,) = [event for event in reply.events if isinstance(event, Rescued)]
    assert (again.cause, again.step) == ("bad_output", "recomplete")
    assert again.detail == "number: Value error, must be 1 or more"
    told = json.loads(model.requests[1].messages[-1])["content"]
    assert "must be 1 or more" in told
    assert '"properties"' in told


def test_no_answer_of_the_type_is_an_error_and_the_session_goes_on():
    async def scenario():
        model = ScriptedModel(["no", "never", "not at all", "Hello."])
        async with Session.open("memory:", model, Agent("a"), name="s") as session:
            with pytest.raises(OutputError, match=r"fits Invoice .*not JSON") as raised:
                await session.ask("the invoice?", output=Invoice)
            assert raised.value.exit_code == 4
            assert [record.type for record in session.records][-2:] == ["assistant", "error"]
            assert (await session.ask("hi")).text == "Hello."

    asyncio.run(scenario())


def test_a_placeholder_is_no_answer_of_a_type():
    with pytest.raises(OutputError, match="empty"):
        ask(ScriptedModel(["", "", ""]), Invoice)


def test_a_content_filter_leaves_no_answer():
    with pytest.raises(ModelRefused, match="content filter"):
        ask(ScriptedModel([Answer("", finish="content_filter")]), Invoice)
    with pytest.raises(OutputError, match="content filter"):
        ask(ScriptedModel([Answer("{", finish="content_filter")]), Invoice)


def test_a_policy_that_refuses_leaves_no_answer():
    swarm = Swarm("s", [Agent("a")], policies=[Policy("polite", reject_input=["damn"], message="Please.")])
    with pytest.raises(OutputError, match=r"'polite' refused the input: Please\."):
        ask(ScriptedModel([]), Invoice, swarm, "damn")


def test_an_agent_with_a_type_and_a_handoff_to_one_without():
    async def scenario():
        swarm = Swarm("s", [Agent("a", output=Point, handoffs=["b"], tools=[look]), Agent("b")])
        model = ScriptedModel([calls(("look", '{"at": "tree"}')), '{"x": 3}', calls(("transfer_to_b", "{}")), "Text."])
        async with Session.open("memory:", model, swarm) as session:
            reply = await session.ask("where?")
            assert (reply.output, len(reply.calls)) == (Point(3), 1)
            reply = await session.ask("to b")
            assert (reply.output, reply.text) == (None, "Text.")
            assert "response_format" not in model.requests[-1].parameters

    asyncio.run(scenario())


@pytest.mark.parametrize("answer", [GOOD, f"```json\n{GOOD}\n```"])
def test_the_value_streams(answer):
    async def scenario():
        async with Session.open("memory:", ScriptedModel([answer]), Agent("a")) as session:
            events = [event async for event in session.run_turn("the invoice?", output=Invoice)]
            values = [event.value for event in events if isinstance(event, OutputDelta)]
            assert values[0] == {}
            assert {"number": 7, "lines": [{"what": "tea"}]} in values
            assert isinstance(events[-1], TurnEnded)
            assert events[-1].output == TEA

    asyncio.run(scenario())


def test_the_same_answer_again_is_no_fault():
    async def scenario():
        model = ScriptedModel([GOOD] * 4)
        async with Session.open("memory:", model, Agent("a", output=Invoice)) as session:
            for question in ("one", "two", "three", "four"):
                assert (await session.ask(question)).output == TEA

    asyncio.run(scenario())


def test_json_that_looks_like_a_call_is_an_answer():
    class Call(BaseModel):
        name: str
        arguments: dict[str, str]

    model = ScriptedModel(['{"name": "paint", "arguments": {"at": "tree"}}'])
    reply = ask(model, Call, Swarm("s", [Agent("a", tools=[look])]))
    assert reply.output == Call(name="paint", arguments={"at": "tree"})


def test_the_schema_counts_as_part_of_the_request():
    async def scenario():
        async with Session.open("memory:", ScriptedModel(["a", GOOD]), Agent("a"), name="s") as session:
            await session.ask("the invoice?")
            plain, _ = session.fill
            await session.ask("the invoice?", output=Invoice)
            assert session.fill[0] > plain + 50

    asyncio.run(scenario())


# What servers are sent.


def asked(server: ModelServer, *replies, output=Invoice, swarm=None):
    server.reply(*replies)

    async def scenario():
        model = OpenAIModel("m", base_url=server.base_url, max_retries=0)
        async with Session.open("memory:", model, swarm or Agent("a")) as session:
            first = await session.ask("the invoice?", output=output)
            again = await session.ask("and again?", output=output)
        await model.close()
        assert first.output == again.output == TEA
        return first

    return asyncio.run(scenario())


def answer_call(arguments=GOOD, name="final_answer"):
    return tool_calls([{"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}])


def test_a_server_with_formats(server: ModelServer):
    reply = asked(server, text(GOOD), text(GOOD))
    demanded = server.chats[0]["response_format"]["json_schema"]
    assert (demanded["name"], demanded["strict"]) == ("Invoice", True)
    assert demanded["schema"]["additionalProperties"] is False
    assert "tools" not in server.chats[0]
    assert not [event for event in reply.events if isinstance(event, Warned)]


REFUSALS = [
    (400, "This response_format type is unavailable now"),
    (400, "'response_format.type' : value is not one of the allowed values ['text','json_object']"),
    (400, "The response_format parameter is unsupported at the moment. Leave it unset."),
    (422, "Failed to deserialize the JSON body: response_format.type `json_schema` is unavailable now"),
]


@pytest.mark.parametrize(("status", "words"), REFUSALS)
def test_a_server_without_formats_calls_a_tool(server: ModelServer, status: int, words: str):
    reply = asked(server, failure(status, words), answer_call(), answer_call())
    refused, first, second = server.chats
    assert "response_format" in refused
    for body in (first, second):
        assert "response_format" not in body
        assert body["tool_choice"] == "required"
        assert [tool["function"]["name"] for tool in body["tools"]] == ["final_answer"]
    # The answer goes back as the text that it is.
    assert [message["role"] for message in second["messages"]][-3:] == ["user", "assistant", "user"]
    (warning,) = [event for event in reply.events if isinstance(event, Warned)]
    assert "as a tool call" in warning.text


def test_a_server_with_neither_is_told_in_words(server: ModelServer):
    refusals = failure(400, REFUSALS[0][1]), failure(400, "m does not support tools")
    asked(server, *refusals, text(f"```json\n{GOOD}\n```"), text(GOOD))
    for body in server.chats[2:]:
        assert not {"tools", "tool_choice", "response_format"} & set(body)
        assert "fits this JSON schema" in body["messages"][0]["content"]


def test_a_server_that_cannot_be_made_to_call_is_told_in_words(server: ModelServer):
    refusals = failure(400, REFUSALS[0][1]), failure(400, "deepseek-reasoner does not support this tool_choice")
    asked(server, *refusals, text(GOOD), text(GOOD))
    assert "tools" not in server.chats[-1]


def test_beside_tools_the_answer_is_a_tool(server: ModelServer):
    swarm = Swarm("s", [Agent("a", tools=[look])])
    looked = answer_call('{"at": "tree"}', "look")
    reply = asked(server, looked, answer_call(), answer_call(), swarm=swarm)
    assert [call.name for call in reply.calls] == ["look"]
    assert [tool["function"]["name"] for tool in server.chats[0]["tools"]] == ["look", "final_answer"]
    assert not any("response_format" in body for body in server.chats)


def test_an_answer_beside_a_call_came_too_early(server: ModelServer):
    both = tool_calls(
        [
            {"index": 0, "id": "c1", "function": {"name": "look", "arguments": '{"at": "tree"}'}},
            {"index": 1, "id": "c2", "function": {"name": "final_answer", "arguments": '{"number": 1, "lines": []}'}},
        ]
    )
    reply = asked(server, both, answer_call(), answer_call(), swarm=Swarm("s", [Agent("a", tools=[look])]))
    assert [call.name for call in reply.calls] == ["look"]


# Replay.


def test_a_recorded_answer_is_judged_as_it_was(tmp_path):
    async def scenario(recorder):
        steps = [
            '{"number": 0, "lines": []}',
            f"So: {GOOD}",
            "no",
            "no",
            "no",
            *['{"number": -1, "lines": []}'] * 3,
            "Text.",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            assert (await session.ask("first?", output=Invoice)).output == TEA
            with pytest.raises(OutputError):
                await session.ask("second?", output=list[Point])
            with pytest.raises(OutputError, match="must be 1 or more"):
                await session.ask("and?", output=Invoice)
            await session.ask("third?")

    record_and_replay(Agent("a"), scenario, tmp_path / "log.jsonl")


def test_an_agent_s_own_type_is_checked_anew(tmp_path):
    async def scenario(recorder):
        async with await recorder.open(ScriptedModel(['{"x": "a"}', '{"x": 1}'])) as session:
            assert (await session.ask("first?")).output == Point(1)

    record_and_replay(Agent("a", output=Point), scenario, tmp_path / "log.jsonl")


def test_a_session_with_a_type_is_the_same_in_each_process():
    async def lines():
        backend = open_backend("memory:")
        model = ScriptedModel([GOOD])
        async with Session.open(backend, model, Agent("a"), name="s", clock=ticking_clock()) as session:
            await session.ask("?", output=Invoice)
            return [record.line for record in session.records]

    assert asyncio.run(lines()) == asyncio.run(lines())


# Mistakes.


def test_what_cannot_be_a_type():
    class Odd:
        pass

    with pytest.raises(DefinitionError, match="use a type that pydantic knows"):
        Agent("a", output=Odd)
    with pytest.raises(DefinitionError, match="the type 'text' at #: expected one of object"):
        Agent("a", output={"type": "text"})
    taken = Agent("a", tools=[tool(name="final_answer")(lambda: "")])
    with pytest.raises(DefinitionError, match="reserved for typed answers"):
        Swarm("s", [taken])

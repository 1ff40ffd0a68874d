"""What servers ask while a tool of theirs runs, in both versions of the protocol: the user, and the model."""

import asyncio
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warm
from recorded import ask, record_and_replay
from swarmchat.swarm import Agent, ScriptedModel, Swarm
from swarmchat.swarm.errors import NobodyToAsk
from swarmchat.swarm.mcp.connection import Connection
from swarmchat.swarm.mcp.questions import Questions, form_schema
from swarmchat.swarm.mcp.server import McpServer
from swarmchat.swarm.testing import call as call_of
from swarmchat.swarm.testing import context
from swarmchat.swarm.tools.context import Context, ToolFailure

HELPER = str(Path(__file__).parents[2] / "helpers" / "mcp_server.py")
# Without an answer to server/discover, the SDK speaks the protocol of before 2026.
OLD = "sed -u '/server.discover/s/_meta/x/;s:server/discover:none:' | "


def helper(version: str = "new") -> McpServer:
    command, *arguments = warm.line(HELPER) if version == "new" else ("sh", "-c", OLD + shlex.join(warm.line(HELPER)))
    return McpServer("t", command, arguments)


async def call(connection: Connection, name: str, ctx: Context[Any]) -> str:
    tools = {tool.name: tool for tool in await connection.tools()}
    return await tools[f"t/{name}"].run(ctx, tools[f"t/{name}"].read_arguments("{}"))


class Nobody:
    """There is no user at a prompt."""

    model_name = "none"

    async def ask_user(self, *question: Any) -> Any:
        raise NobodyToAsk("nobody")

    async def ask_model(self, *question: Any) -> Any:
        raise AssertionError


class Thinker(Nobody):
    """A user who never answers."""

    asked = 0

    async def ask_user(self, *question: Any) -> Any:
        self.asked += 1
        await asyncio.Event().wait()


@pytest.mark.parametrize("age", ["new", "old"])
def test_a_server_asks_the_user_and_the_model(age, tmp_path):
    async def scenario() -> None:
        server = replace(helper(age), env={"NOTES": str(tmp_path / "notes")})
        connection = Connection(server, {})
        for answers, result in (
            ([True, {"seat": "aisle"}], "accept aisle 1"),
            ([True, {"seat": "window", "meals": 2}], "accept window 2"),
            ([False], "decline"),
            ([True], "cancel"),
        ):
            assert await call(connection, "book", context(user_answers=answers)) == result
        assert await call(connection, "count", context(user_answers=[True], model_answers=["4"])) == "scripted: 4"
        with pytest.raises(ToolFailure, match="the user rejected the sampling request"):
            await call(connection, "count", context(user_answers=[False]))
        nobody = replace(context(), asking=Nobody())
        assert await call(connection, "book", nobody) == "decline"

        # A question is withdrawn with the call that it belongs to.
        thinker = Thinker()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(call(connection, "book", replace(context(), asking=thinker)), 0.5)
        assert thinker.asked == 1

        # The server is told of a call that is given up, and says how far it is.
        said = asyncio.Queue[str]()
        waiting = asyncio.create_task(call(connection, "wait", replace(context(), report=said.put_nowait)))
        assert await said.get() == "1 of 3: digging"
        waiting.cancel()
        await asyncio.wait([waiting])
        assert await call(connection, "book", nobody) == "decline"
        assert (tmp_path / "notes").exists()
        assert list(connection.log) == ["info: has begun"]
        await connection.close()

    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_what_was_asked_is_recorded_and_a_replay_asks_nobody(tmp_path):
    async def answerer(question):
        return {"yes_no": True, "form": {"seat": "aisle", "meals": 3}}[question.kind]

    async def scenario(recorder):
        model = ScriptedModel([[call_of("t/book"), call_of("t/count")], "Four.", "Done."])
        session = await recorder.open(model, options={"answerer": answerer}, approve={"*": "auto"})
        await ask(session, "go")
        records = [(record.type, record.data["call"]) for record in session.records if record.type.startswith("ask_")]
        results = [record.data["message"]["content"] for record in session.records if record.type == "tool"]
        await session.close()
        assert [kind for kind, _ in records] == ["ask_user", "ask_user", "ask_user", "ask_model"]
        assert len({call_id for _, call_id in records}) == 2
        assert results == ["accept aisle 3", "scripted: Four."]
        assert model.requests[1].parameters["max_tokens"] == 7

    swarm = Swarm("s", [Agent("clerk", tools=["t/*"])], mcp=[helper()])
    record_and_replay(swarm, scenario, tmp_path / "log.jsonl", mode="tools")


def test_how_far_sampling_is_allowed():
    from mcp_types import CreateMessageRequestParams, SamplingMessage, TextContent

    params = CreateMessageRequestParams(
        messages=[SamplingMessage(role="user", content=TextContent(text="2 + 2?"))],
        max_tokens=9,
        temperature=0.5,
        stop_sequences=["."],
    )

    async def sample(sampling: Any, ctx: Context[Any], times: int = 1) -> list[str]:
        questions = Questions(replace(helper(), sampling=sampling))
        with questions.during(ctx):
            answers = [await questions.sample(None, params) for _ in range(times)]
        return [getattr(answer, "message", None) or answer.content.text for answer in answers]

    async def scenario() -> None:
        assert await sample("auto", context(model_answers=["4"])) == ["4"]
        assert await sample("deny", context(model_answers=["4"])) == ["the user does not allow sampling"]
        many = await sample("auto", context(model_answers=["4"] * 30), times=22)
        assert (many[19], many[20]) == ("4", "only 20 requests to the model are allowed in a call")
        assert (await sample("auto", context()))[0].startswith("the model gave no answer: the tool asked the model")
        # Without a call, there is nobody to ask in its name.
        assert (await Questions(helper()).sample(None, params)).message == "the user does not allow sampling"
        assert (await Questions(helper()).elicit(None, None)).action == "decline"

    asyncio.run(scenario())


def test_an_address_is_shown_and_not_opened():
    from mcp_types import ElicitRequestURLParams

    async def visit(address: str, *answers: bool) -> str:
        questions = Questions(helper())
        ctx = context(user_answers=answers)
        with questions.during(ctx):
            answer = await questions.elicit(None, ElicitRequestURLParams(message="Pay.", url=address))
        return getattr(answer, "action", "") or answer.message

    async def scenario() -> None:
        assert await visit("https://example.com/pay?x=1", True) == "accept"
        assert await visit("https://example.com/pay", False) == "decline"
        for wrong in ("javascript:alert(1)", "https://exam\u200bple.com"):
            assert "expected http://" in await visit(wrong, True)

    asyncio.run(scenario())


def test_a_form_is_what_a_user_can_fill_in():
    asked = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "title": "Name", "minLength": 2, "pattern": "(a+)+b"},
            "pet": {"type": "string", "enum": ["a", "b"], "enumNames": ["Ape", "Bear"], "default": "a"},
            "fish": {"type": "array", "items": {"anyOf": [{"const": "t", "title": "Tu\u200bna"}]}, "maxItems": 1},
            "age": {"type": "integer", "minimum": 0, "x-other": 1},
        },
        "required": ["name", "gone"],
    }
    assert form_schema(asked) == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 2, "description": "Name"},
            "pet": {"type": "string", "default": "a", "enum": ["a", "b"], "description": "a: Ape; b: Bear"},
            "fish": {
                "type": "array",
                "maxItems": 1,
                "items": {"type": "string", "enum": ["t"]},
                "description": "t: Tuna",
            },
            "age": {"type": "integer", "minimum": 0},
        },
        "required": ["name"],
    }
    for wrong in (
        {"a": {"type": "object"}},
        {"a\u200b": {"type": "string"}},
        {"a": 1},
        {"a": {"type": "string", "enum": list(range(101))}},
        dict.fromkeys(map(str, range(99))),
    ):
        with pytest.raises(ValueError, match=r"field|properties"):
            form_schema({"type": "object", "properties": wrong})

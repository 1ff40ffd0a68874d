"""What a server tells of a model before the first request."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_server import (
    JSON,
    ModelServer,
    Reply,
    SeenRequest,
    chunk,
    failure,
    server_fixture,
    stream,
    text,
    tool_calls,
)
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, OpenAIModel, Session, Warned, tool
from swarmchat.swarm.models.server_facts import ServerFacts, facts_in_models, facts_in_props

server = server_fixture

LLAMA_CPP = {"default_generation_settings": {"n_ctx": 2048}, "chat_template_caps": {"supports_tools": False}}


@pytest.mark.parametrize(
    ("entry", "window"),
    [
        ({"id": "m", "meta": {"n_ctx": 2048, "n_ctx_train": 32768}}, 2048),
        ({"id": "m", "max_model_len": 8192}, 8192),
        ({"id": "m", "context_length": 200_000}, 200_000),
        ({"id": "m", "context_window": 131_072}, 131_072),
        ({"id": "m", "meta": {"n_ctx_train": 32768}}, None),
        ({"id": "m", "context_length": "big"}, None),
        ({"id": "m", "context_length": True}, None),
        ({"id": "other", "context_length": 5}, None),
    ],
)
def test_windows_in_lists_of_models(entry: dict[str, object], window: int | None):
    body = json.dumps({"data": [entry, {"id": "another", "context_length": 1}]}).encode()
    assert facts_in_models(body, "m") == ServerFacts(window)


def test_the_only_model_is_the_one_that_answers():
    assert facts_in_models(b'{"data": [{"id": "x.gguf", "context_length": 512}]}', "m") == ServerFacts(512)


def test_properties_of_llama_cpp():
    assert facts_in_props(json.dumps(LLAMA_CPP).encode()) == ServerFacts(2048, tools=False)


@given(st.binary(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_nothing_breaks_it(body: bytes | str):
    encoded = body.encode("utf-8", "replace") if isinstance(body, str) else body
    assert facts_in_models(encoded, "m").window is None
    assert facts_in_props(encoded) == ServerFacts()


def test_a_session_uses_the_real_window_and_says_that_tools_are_missing(server: ModelServer):
    server.props_reply = Reply([json.dumps(LLAMA_CPP).encode()], headers=JSON)

    @tool
    def look(at: str) -> str:
        """Look at something."""
        return at

    async def scenario() -> None:
        model = OpenAIModel("m", base_url=server.base_url)
        agent = Agent("desk", "Help.", tools=[look])
        session = await Session.open(open_backend("memory:"), model, client="ann", swarm=agent)
        # What is shown before the first request holds for it, too.
        assert (await session.context()).available < 2048
        events = [event async for event in session.run_turn("hi")]
        events += [event async for event in session.run_turn("again")]
        warnings = [event.text for event in events if isinstance(event, Warned)]
        assert [text for text in warnings if "does not support tools" in text] == warnings[:1]
        assert model.context_window == 2048
        await session.close()
        await model.close()

    asyncio.run(scenario())
    assert [request.path for request in server.requests if request.method == "GET"] == ["/v1/models", "/props"]


def test_a_server_that_loads_its_model_is_asked_again(server: ModelServer):
    server.models_reply = failure(503, "Loading model")

    async def scenario() -> None:
        model = OpenAIModel("m", base_url=server.base_url)
        session = await Session.open(open_backend("memory:"), model, client="ann")
        _ = [event async for event in session.run_turn("hi")]
        assert model.context_window == 32_000
        server.models_reply = None
        server.props_reply = Reply([json.dumps(LLAMA_CPP).encode()], headers=JSON)
        _ = [event async for event in session.run_turn("again")]
        assert model.context_window == 2048
        await session.close()
        await model.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("reports", [True, False])
def test_no_question_is_lost_to_a_small_window(server: ModelServer, reports: bool):
    """Tools take most of 1,024 tokens, and the server counts some 250 more for them than swarmchat."""

    def tokens(body: Any) -> int:
        return len(json.dumps(body["messages"], ensure_ascii=False)) // 4 + len(json.dumps(body["tools"])) // 5 + 250

    def answered(request: SeenRequest) -> Reply:
        asks = request.body["messages"][-1]["role"] == "user"
        wrong = call_of("look", '{"att": "x"}') if asks else text("All is said, in some words.", finish=None)
        usage = {**chunk(None), "choices": [], "usage": {"prompt_tokens": tokens(request.body), "completion_tokens": 9}}
        return Reply([*wrong.steps[:-1], *stream(chunk({}, "stop"), usage).steps])

    def refuses(body: Any) -> Reply | None:
        return failure(400, "it exceeds the available context size (1024 tokens)") if tokens(body) > 1024 else None

    @tool
    def look(at: str) -> str:
        """Look at something."""
        return at

    fillers = [tool(named(f"act{n}")) for n in range(7)]
    server.rule = refuses
    server.reply(*[answered] * 20)
    facts = {"default_generation_settings": {"n_ctx": 1024}} if reports else {}
    server.props_reply = Reply([json.dumps(facts).encode()], headers=JSON)

    async def scenario() -> None:
        model = OpenAIModel("m", base_url=server.base_url)
        agent = Agent("desk", "Help. " * 20, tools=[look, *fillers])
        async with await Session.open(open_backend("memory:"), model, client="ann", swarm=agent) as session:
            for number in range(6):
                answer = await session.ask(f"Please look at thing number {number}, which is on the table over there.")
                assert "All is said" in answer.text
        await model.close()

    asyncio.run(scenario())


def call_of(name: str, arguments: str) -> Reply:
    return tool_calls([{"index": 0, "id": "a", "function": {"name": name, "arguments": arguments}}])


def named(name: str) -> Callable[[str, int], str]:
    def act(subject: str, times: int = 1) -> str:
        """Do something that has a rather long description, so that the tools take most of a small window."""
        return subject * times

    act.__name__ = name
    return act

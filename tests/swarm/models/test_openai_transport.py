"""Bounds of what a server sends, against a real server: each ends in one line that names its setting."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from model_server import JSON, Gate, ModelServer, Reply, chunk, failure, server_fixture, stream, text, whole
from swarmchat.swarm.errors import ModelError, ModelRefused, ModelUnavailable
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, TextChunk
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.models.openai_client import OpenAIServer
from swarmchat.swarm.models.openai_endpoint import OpenAIEndpoint

server = server_fixture

LIMIT = 10_000
EVENTS = {"Content-Type": "text/event-stream"}


def make(server: ModelServer, **more: Any) -> OpenAIModel:
    return OpenAIModel("m", base_url=server.base_url, **{"max_retries": 0, **more})


def collect(model: OpenAIModel, *, events: list[ModelEvent] | None = None) -> list[ModelEvent]:
    """Ask once and return all events; ``events`` keeps them when an error ends the stream."""
    seen = [] if events is None else events

    async def run() -> None:
        try:
            async for event in model.stream(ModelRequest("m", (b'{"role":"user","content":"Hi"}',))):
                seen.append(event)
        finally:
            await model.close()

    asyncio.run(run())
    return seen


def calls(piece: str) -> dict[str, Any]:
    return chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": piece}}]})


TOO_LONG = {
    "text": lambda: stream(*[chunk({"content": "x" * 1000})] * 20),
    "reasoning": lambda: stream(*[chunk({"reasoning": "x" * 1000})] * 20),
    "arguments": lambda: stream(*[calls("x" * 1000)] * 20),
    "names": lambda: stream(*[chunk({"tool_calls": [{"id": "x" * 1000}]})] * 20),
    "empty calls": lambda: stream(*[chunk({"tool_calls": [{"index": index}]}) for index in range(20)]),
    "fields of calls": lambda: stream(*[chunk({"tool_calls": [{"index": 0, "x": "x" * 1000}]})] * 20),
    "details": lambda: stream(*[chunk({"reasoning_details": [{"type": "a", "text": "x" * 1000}]})] * 20),
    "one line": lambda: Reply([b"data: ", *[b"x" * 1000] * 20, Gate()], headers=EVENTS),
    "comments": lambda: Reply([*[b": still here\n\n" * 100] * 20, Gate()], headers=EVENTS),
    "a whole body": lambda: whole({"content": "x" * 20_000}),
    "empty events": lambda: Reply([*[b'data: {"choices":[]}\n\n' * 1000] * 60, Gate()], headers=EVENTS),
}


@pytest.mark.parametrize("reply", TOO_LONG.values(), ids=TOO_LONG)
def test_an_answer_that_is_too_long_names_max_answer(server: ModelServer, reply: Any):
    server.reply(reply())
    with pytest.raises(ModelUnavailable, match="longer than the 10,000 characters that max_answer allows") as error:
        collect(make(server, max_answer=LIMIT, max_retries=3))
    assert "\n" not in str(error.value)
    assert len(server.chats) == 1, "the same answer is not asked for again"


def test_the_text_that_came_before_the_limit_is_passed_on(server: ModelServer):
    events: list[ModelEvent] = []
    server.reply(stream(*[chunk({"content": "x" * 900})] * 20))
    with pytest.raises(ModelUnavailable):
        collect(make(server, max_answer=LIMIT), events=events)
    assert LIMIT < sum(len(event.text) for event in events if isinstance(event, TextChunk)) <= LIMIT + 900


@pytest.mark.parametrize("status", [200, 500])
def test_a_compressed_body_is_unpacked_as_far_as_the_limit(server: ModelServer, status: int):
    packed = gzip.compress(b"data: " + b"a" * 2**26)
    server.reply(Reply([packed], status, {**EVENTS, "Content-Encoding": "gzip"}))
    with pytest.raises(ModelUnavailable, match="max_answer allows" if status == 200 else "data: aaa") as error:
        collect(make(server, max_answer=LIMIT))
    assert len(str(error.value)) < 600


def test_a_compressed_answer_is_read(server: ModelServer):
    body = b"".join(step for step in text("Hi ", "there", *["you "] * 5000).steps if isinstance(step, bytes))
    packed = gzip.compress(body)
    server.reply(Reply([packed[:7], packed[7:]], headers={**EVENTS, "Content-Encoding": "gzip"}))
    answer = collect(make(server))[-1]
    assert isinstance(answer, Answer)
    assert answer.text == "Hi there" + "you " * 5000


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_another_compression_than_was_asked_for_is_an_error(server: ModelServer, encoding: str):
    server.reply(Reply([b"abc"], headers={**EVENTS, "Content-Encoding": encoding}))
    with pytest.raises(ModelUnavailable, match="compressed with"):
        collect(make(server))


@pytest.mark.parametrize("charset", ["rot13", "zlib", "unknown"])
def test_a_body_is_utf_8_whatever_the_server_calls_it(server: ModelServer, charset: str):
    headers = {"Content-Type": f"application/json; charset={charset}"}
    server.reply(Reply([json.dumps({"error": {"message": "für nichts"}}, ensure_ascii=False).encode()], 400, headers))
    with pytest.raises(ModelRefused, match="für nichts"):
        collect(make(server))


def test_only_the_beginning_of_an_error_body_is_read(server: ModelServer):
    # The gate never opens: whoever reads to the end waits for ever.
    server.reply(Reply([*[b"no such thing " * 1000] * 10, Gate()], 400, JSON))
    with pytest.raises(ModelRefused, match="no such thing") as error:
        collect(make(server))
    assert len(str(error.value)) < 600


def test_an_answer_that_does_not_end_names_max_answer_time(server: ModelServer):
    server.reply(text("Hi", Gate()))
    with pytest.raises(ModelUnavailable, match=r"did not end within the 0\.5 s that max_answer_time allows"):
        collect(make(server, max_answer_time=0.5))
    server.reply(Reply([Gate()]))
    with pytest.raises(ModelUnavailable, match="max_answer_time"):
        collect(make(server, max_answer_time=0.5))


def test_a_request_that_should_be_quick_has_a_time_of_its_own(server: ModelServer):
    async def ask() -> None:
        from httpx2 import Response

        connection = OpenAIServer(server.base_url, None, timeout=60)
        try:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            await connection.fetch(
                lambda client: client.post("/chat/completions", body=body, cast_to=Response), str, 0.5
            )
        finally:
            await connection.close()

    server.reply(Reply([b"{", Gate()], headers=JSON))
    with pytest.raises(ModelUnavailable, match=r"did not answer within 0\.5 s"):
        asyncio.run(ask())
    assert len(server.chats) == 1


@pytest.mark.parametrize("levels", [101, 2_000, 100_000])
@pytest.mark.parametrize("stream_it", [True, False])
def test_nesting_is_an_error_that_says_so(server: ModelServer, levels: int, stream_it: bool):
    body = '{"a":' * levels + "1" + "}" * levels
    server.reply(stream(body) if stream_it else Reply([body.encode()], headers=JSON))
    with pytest.raises(ModelUnavailable, match="nested more than 100 levels deep"):
        collect(make(server))


@pytest.mark.parametrize("body", [b"[" * 60_000, json.dumps({"error": {"error": [[{"message": "x"}]]}}).encode()])
def test_nesting_of_an_error_body_is_no_defect(server: ModelServer, body: bytes):
    server.reply(failure(400, body=body))
    with pytest.raises(ModelError):
        collect(make(server))


def test_a_window_of_thousands_of_digits_is_ignored(server: ModelServer):
    server.reply(failure(400, f"maximum context length is {'9' * 3000} tokens", code="context_length_exceeded"))
    with pytest.raises(ModelError) as error:
        collect(make(server))
    assert getattr(error.value, "limit", "no limit") is None


def test_a_list_of_models_has_a_bound(server: ModelServer):
    names = ["m" * 201, "", *[f"model-{number:05}" for number in range(6_000)]]
    server.models_reply = Reply([json.dumps({"data": [{"id": name} for name in names]}).encode()], headers=JSON)

    async def listed(**more: Any) -> list[str]:
        endpoint = OpenAIEndpoint("m", base_url=server.base_url, max_retries=0, **more)
        try:
            return [model.id for model in await endpoint.list_models()]
        finally:
            await endpoint.close()

    seen = asyncio.run(listed())
    assert [seen[0], len(seen)] == ["model-00000", 5_000]
    with pytest.raises(ModelUnavailable, match="max_answer"):
        asyncio.run(listed(max_answer=LIMIT))

"""The OpenAI model against a real server with the faults of real servers."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import model_server as serving
import pytest
from chat_rules import check_messages
from model_server import Cut, Gate, ModelServer, chunk, failure, server_fixture, stream, text, tool_calls, whole
from swarmchat.swarm.errors import (
    ContextTooLong,
    DefinitionError,
    ModelAuthError,
    ModelBusy,
    ModelError,
    ModelNotFound,
    ModelRefused,
    ModelUnavailable,
)
from swarmchat.swarm.models.base import (
    Adapted,
    Answer,
    ModelEvent,
    ModelRequest,
    ReasoningChunk,
    Retry,
    TextChunk,
    ToolCall,
)
from swarmchat.swarm.models.context_windows import DEFAULT_CONTEXT_WINDOW, context_window_for
from swarmchat.swarm.models.openai_chat import OpenAIModel
from swarmchat.swarm.providers.adaptations import LearnedAdaptations
from swarmchat.swarm.providers.failures import named_context_limit
from swarmchat.swarm.providers.retry_after import retry_after

server = server_fixture

KEY = "sk-test-0123456789abcdefghij"
ASK = ModelRequest("m", (b'{"role":"user","content":"Hi \xc3\xa9"}',))


def collect(
    model: OpenAIModel, request: ModelRequest = ASK, events: list[ModelEvent] | None = None
) -> list[ModelEvent]:
    """Ask once and return all events; ``events`` keeps them when an error ends the stream."""
    chunks = [] if events is None else events

    async def run() -> None:
        try:
            async for event in model.stream(request):
                chunks.append(event)
        finally:
            await model.close()

    asyncio.run(run())
    return chunks


def make(server: ModelServer, **more: Any) -> OpenAIModel:
    """A model for the server whose waits between attempts are noted in ``model.waits`` and take no time."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    settings = {"base_url": server.base_url, "api_key": KEY, "sleep": sleep, "jitter": lambda: 1.0, **more}
    model = OpenAIModel("m", **settings)
    model.__dict__["waits"] = waits
    return model


def waits(model: OpenAIModel) -> list[float]:
    return list(model.__dict__["waits"])


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextChunk))


def fails(server: ModelServer, kind: type[ModelError], **more: Any) -> str:
    """Ask, expect ``kind`` and return its message, which never holds the key."""
    with pytest.raises(kind) as caught:
        collect(make(server, **more))
    assert type(caught.value) is kind
    assert KEY not in str(caught.value)
    return str(caught.value)


class TestAnswers:
    def test_text_comes_in_pieces_and_the_answer_last(self, server: ModelServer):
        server.reply(text("Hel", "lo ", "wörld"))
        events = collect(make(server))
        assert events[:-1] == [TextChunk("Hel"), TextChunk("lo "), TextChunk("wörld")]
        assert events[-1] == Answer("Hello wörld", usage=serving.USAGE, model="served")

    def test_the_request_is_sent_as_it_was_made(self, server: ModelServer):
        parameters = {"type": "object", "properties": {"x": {"type": "string"}}}
        tools = ({"type": "function", "function": {"name": "f", "parameters": parameters}},)
        request = ModelRequest("m", (b'{"role":"user",  "content":"\\u00e9"}',), tools, {"temperature": 0})
        collect(make(server), request)
        seen = server.requests[0]
        assert seen.raw == request.body({"stream": True, "stream_options": {"include_usage": True}})
        assert seen.body["tools"] == list(tools)
        assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
        assert seen.headers["authorization"] == f"Bearer {KEY}"
        assert seen.headers["content-type"] == "application/json"

    def test_a_server_without_keys_needs_none(self, server: ModelServer):
        assert text_of(collect(make(server, api_key=None))) == "You said: Hi é"

    def test_tool_calls_are_assembled(self, server: ModelServer):
        first = {"index": 0, "id": "a", "type": "function", "function": {"name": "find", "arguments": ""}}
        server.reply(
            tool_calls(
                [first],
                [{"index": 0, "function": {"arguments": '{"x":'}}],
                [{"index": 0, "function": {"arguments": "1}"}}],
            )
        )
        (answer,) = collect(make(server))
        assert answer == Answer(
            tool_calls=(ToolCall("a", "find", '{"x":1}'),),
            finish="tool_calls",
            usage=serving.USAGE,
            model="served",
            echo={"server": server.base_url},
        )

    def test_a_call_without_id_gets_one_that_a_replay_gets_too(self, server: ModelServer):
        call = {"index": 0, "function": {"name": "find", "arguments": "{}"}}
        server.reply(tool_calls([call]), tool_calls([call]))
        first, second = collect(make(server)), collect(make(server))
        assert first == second
        assert isinstance(first[-1], Answer)
        assert first[-1].tool_calls[0].id == f"call_{ASK.key[:8]}_0"

    def test_reasoning_is_kept_apart(self, server: ModelServer):
        server.reply(stream(chunk({"reasoning_content": "hm"}), chunk({"content": "yes"}), chunk({}, "stop")))
        events = collect(make(server))
        assert events[:2] == [ReasoningChunk("hm"), TextChunk("yes")]

    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_line_ends_comments_and_events_without_data(self, server: ModelServer, newline: str):
        others = [f"{line}{newline * 2}".encode() for line in (": keep-alive", "event: ping", "retry: 3", "data:")]
        server.reply(stream(*others, chunk({"content": "yes"}), *others, chunk({}, "stop"), newline=newline))
        assert text_of(collect(make(server))) == "yes"

    def test_events_without_blank_lines(self, server: ModelServer):
        events = [f"data: {json.dumps(event)}\n".encode() for event in (chunk({"content": "yes"}), chunk({}, "stop"))]
        server.reply(stream(*events, done=False))
        assert text_of(collect(make(server))) == "yes"

    def test_a_last_event_without_line_end(self, server: ModelServer):
        server.reply(stream(chunk({"content": "yes"}), f"data: {json.dumps(chunk({}, 'stop'))}".encode(), done=False))
        assert text_of(collect(make(server))) == "yes"

    def test_done_without_a_finish_is_the_end(self, server: ModelServer):
        server.reply(text("yes", finish=None))
        assert collect(make(server))[-1] == Answer("yes", usage=serving.USAGE, model="served")

    def test_a_connection_is_used_again(self, server: ModelServer):
        server.reply(text("one"), text("two"))
        model = make(server)

        async def twice() -> int:
            for _ in range(2):
                async for _ in model.stream(ASK):
                    pass
            await model.close()
            return server.connections

        assert asyncio.run(twice()) == 1

    def test_a_server_that_keeps_the_line_open_after_the_end(self, server: ModelServer):
        reply = text("yes")
        server.reply(serving.Reply([*reply.steps, Gate()]))
        assert text_of(collect(make(server))) == "yes"

    def test_characters_cut_anywhere_are_whole(self, server: ModelServer):
        data = f"data: {json.dumps(chunk({'content': 'é😀'}), ensure_ascii=False)}\n\n".encode()
        server.reply(stream(*(data[place : place + 1] for place in range(len(data))), chunk({}, "stop")))
        assert text_of(collect(make(server))) == "é😀"

    def test_surrogates_in_two_events_are_one_character(self, server: ModelServer):
        server.reply(text("a\ud83d", "\ude00", "\ud83d"))
        events = collect(make(server))
        assert events[:-1] == [TextChunk("a"), TextChunk("😀"), TextChunk("\ufffd")]

    def test_chunks_without_content_are_passed_over(self, server: ModelServer):
        server.reply(
            stream(
                {"choices": []}, chunk(None), {}, chunk({"content": None}), chunk({"content": "yes"}), chunk({}, "stop")
            )
        )
        assert text_of(collect(make(server))) == "yes"

    def test_usage_may_never_come(self, server: ModelServer):
        server.reply(text("yes", usage=None))
        assert collect(make(server))[-1] == Answer("yes", model="served")

    @pytest.mark.parametrize("cut", [(), (Cut(),)])
    def test_done_may_never_come(self, server: ModelServer, cut: tuple[Cut, ...]):
        server.reply(stream(chunk({"content": "yes"}), chunk({}, "stop"), *cut, done=False))
        assert text_of(collect(make(server))) == "yes"

    def test_a_server_that_does_not_stream_is_understood(self, server: ModelServer):
        call = {"id": "a", "type": "function", "function": {"name": "find", "arguments": "{}"}}
        server.reply(whole({"content": "yes", "tool_calls": [call]}, "tool_calls"))
        assert collect(make(server)) == [
            TextChunk("yes"),
            Answer(
                "yes",
                (ToolCall("a", "find", "{}"),),
                "tool_calls",
                serving.USAGE,
                "served",
                echo={"server": server.base_url},
            ),
        ]

    def test_stream_options_are_left_out_for_a_server_that_refuses_them(self, server: ModelServer):
        server.reply(serving.refuse_stream_options(), text("one", usage=None))
        model = make(server)

        async def twice() -> list[ModelEvent]:
            events = [event async for event in model.stream(ASK)] + [event async for event in model.stream(ASK)]
            await model.close()
            return events

        assert not [event for event in asyncio.run(twice()) if isinstance(event, Retry)]
        assert ["stream_options" in body for body in server.chats] == [True, False, False]
        assert all(body["stream"] for body in server.chats)


class TestRetries:
    def test_each_wait_is_shown_and_waited(self, server: ModelServer):
        server.reply(failure(429), failure(503), failure(408), failure(409), text("yes"))
        model = make(server)
        events = collect(model)
        retries = [event for event in events if isinstance(event, Retry)]
        assert retries == [
            Retry(2, 0.5, "rate limited"),
            Retry(3, 1.0, "server error 503"),
            Retry(4, 2.0, "server error 408"),
            Retry(5, 4.0, "server error 409"),
        ]
        assert waits(model) == [0.5, 1.0, 2.0, 4.0]
        assert text_of(events) == "yes"
        assert len({request.raw for request in server.requests}) == 1

    def test_jitter_shortens_a_wait_by_half_at_most(self, server: ModelServer):
        server.reply(failure(500), text("yes"))
        model = make(server, jitter=lambda: 0.0)
        collect(model)
        assert waits(model) == [0.25]

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ({"Retry-After": "7"}, 7.0),
            ({"Retry-After-Ms": "250", "Retry-After": "7"}, 0.25),
            ({"Retry-After": "60"}, 60.0),
        ],
    )
    def test_the_server_says_how_long(self, server: ModelServer, header: dict[str, str], seconds: float):
        server.reply(failure(429, headers=header), text("yes"))
        model = make(server)
        assert collect(model)[0] == Retry(2, seconds, "rate limited")
        assert waits(model) == [seconds]

    def test_too_long_a_wait_is_given_up(self, server: ModelServer):
        server.reply(failure(429, "slow down", headers={"Retry-After": "3600"}))
        message = fails(server, ModelBusy)
        assert "3600 s" in message
        assert "slow down" in message
        assert len(server.requests) == 1

    def test_it_ends(self, server: ModelServer):
        server.reply(*[failure(500, "broken") for _ in range(3)])
        assert "broken" in fails(server, ModelUnavailable, max_retries=2)
        assert len(server.requests) == 3

    def test_a_used_up_quota_is_not_tried_again(self, server: ModelServer):
        server.reply(failure(429, "You exceeded your current quota", code="insufficient_quota"))
        assert "quota" in fails(server, ModelBusy)
        assert len(server.requests) == 1

    def test_an_answer_cut_before_its_first_word_is_asked_for_again(self, server: ModelServer):
        server.reply(text(Cut(), finish=None, done=False), text("yes"))
        events = collect(make(server))
        assert events[0] == Retry(2, 0.5, "cut off")
        assert text_of(events) == "yes"

    def test_a_dropped_connection_is_opened_again_at_once_and_without_a_word(self, server: ModelServer):
        dropped = serving.Reply([Cut()])
        server.reply(dropped, text("yes"), dropped, dropped, text("no"))
        model = make(server)
        assert [type(event).__name__ for event in collect(model)] == ["TextChunk", "Answer"]
        assert collect(model)[0] == Retry(2, 0.5, "connection closed")

    def test_after_the_first_word_nothing_is_tried_again(self, server: ModelServer):
        server.reply(text("Hel", Cut()))
        events: list[ModelEvent] = []
        with pytest.raises(ModelUnavailable, match="was cut off"):
            collect(make(server), events=events)
        assert events == [TextChunk("Hel")]
        assert len(server.requests) == 1

    def test_an_end_without_a_finish_is_a_cut(self, server: ModelServer):
        server.reply(text("Hel", finish=None, done=False))
        assert "was cut off" in fails(server, ModelUnavailable)

    def test_a_silent_server_times_out_and_is_tried_again(self, server: ModelServer):
        gate = Gate()
        server.reply(serving.hang(gate), text("yes"))
        events = collect(make(server, timeout=0.2))
        assert events[0] == Retry(2, 0.5, "timed out")
        assert text_of(events) == "yes"
        server.wait_for(lambda server: server.disconnects == 1)

    def test_silence_in_the_middle_is_an_error(self, server: ModelServer):
        server.reply(serving.hang(Gate(), "Hel"))
        assert "sent nothing for 0.2 s" in fails(server, ModelUnavailable, timeout=0.2)

    def test_silence_after_the_end_is_the_end(self, server: ModelServer):
        server.reply(stream(chunk({"content": "yes"}), chunk({}, "stop"), Gate(), done=False))
        assert text_of(collect(make(server, timeout=0.2))) == "yes"

    def test_a_server_that_is_not_there(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
            model = OpenAIModel("m", base_url=url, max_retries=1, sleep=lambda _: asyncio.sleep(0))
            events: list[ModelEvent] = []
            with pytest.raises(ModelUnavailable, match=rf"cannot connect to {url}: .*Is the server running"):
                collect(model, events=events)
        assert [event.reason for event in events if isinstance(event, Retry)] == ["no connection"]

    def test_a_host_that_no_one_knows(self):
        model = OpenAIModel("m", base_url="http://nowhere.invalid/v1", max_retries=0)
        with pytest.raises(ModelUnavailable, match=r"cannot connect to http://nowhere\.invalid/v1"):
            collect(model)


class TestRefusals:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (400, ModelRefused),
            (401, ModelAuthError),
            (402, ModelBusy),
            (403, ModelAuthError),
            (422, ModelRefused),
            (429, ModelBusy),
            (500, ModelUnavailable),
            (503, ModelUnavailable),
        ],
    )
    def test_each_status_has_its_error(self, server: ModelServer, status: int, kind: type[ModelError]):
        server.reply(failure(status, "the reason"))
        message = fails(server, kind, max_retries=0)
        assert server.base_url in message
        assert "the reason" in message
        assert str(status) in message

    def test_a_missing_key_is_distinguished_from_a_wrong_one(self, server: ModelServer):
        server.reply(failure(401), failure(401))
        assert "set one" in fails(server, ModelAuthError, api_key=None)
        assert "check the API key" in fails(server, ModelAuthError)

    def test_openai_is_not_asked_without_a_key(self):
        with pytest.raises(ModelAuthError, match="OPENAI_API_KEY"):
            collect(OpenAIModel("gpt-4o"))

    @pytest.mark.parametrize("key", ["sk-line\nbreak", "sk-kéy", "sk with space"])
    def test_a_key_that_no_header_holds(self, server: ModelServer, key: str):
        with pytest.raises(ModelAuthError, match="copy it again") as caught:
            collect(make(server, api_key=key))
        assert key not in str(caught.value)
        assert not server.requests

    @pytest.mark.parametrize(
        "body",
        [
            {
                "error": {
                    "message": "The model `m` does not exist or you do not have access to it.",
                    "code": "model_not_found",
                }
            },
            {"error": {"message": 'model "m" not found, try pulling it first', "type": "api_error"}},
            {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404},
        ],
    )
    def test_a_model_that_is_not_there(self, server: ModelServer, body: dict[str, Any]):
        server.reply(failure(404, body=body))
        assert "Check the model's name" in fails(server, ModelNotFound)

    def test_an_address_that_is_no_api(self, server: ModelServer):
        assert "no chat API" in fails(server, ModelNotFound, base_url=f"{server.base_url}/other")
        assert len(server.requests) == 1
        elsewhere = server.base_url.removesuffix("/v1") + "/other"
        assert f"no chat API at {elsewhere}: it says (404)" in fails(server, ModelNotFound, base_url=elsewhere)
        assert [request.path for request in server.requests[1:]] == [
            "/other/chat/completions",
            "/other/v1/chat/completions",
        ]

    @pytest.mark.parametrize(
        "elsewhere",
        [
            failure(404, body={"detail": "Not Found"}),
            serving.Reply([b"<html>Hello</html>"], headers={"Content-Type": "text/html"}),
            serving.Reply([b"Ollama is running"], headers={"Content-Type": "text/plain"}),
            serving.Reply([b'{"message": "Welcome to the gateway"}'], headers={"Content-Type": "application/json"}),
            serving.Reply([b'{"status": "ok"}'], headers={"Content-Type": "application/json"}),
            serving.Reply([b'{"error":"Unexpected endpoint or method. (POST /chat/completions)"}']),
        ],
    )
    def test_a_missing_version_is_found_once(self, server: ModelServer, elsewhere: serving.Reply):
        server.root_reply = elsewhere
        learned, root = LearnedAdaptations(), server.base_url.removesuffix("/v1")
        events = collect(make(server, base_url=root, adaptations=learned))
        assert isinstance(events[0], Adapted)
        assert learned.of(root, "m") == ("version-path",)
        model = make(server, base_url=root, adaptations=learned)
        assert not any(isinstance(event, Adapted) for event in collect(model))
        assert model.adaptations == {"version-path": "/v1 is added to the base URL"}
        paths = [request.path for request in server.requests if request.method == "POST"]
        assert paths == ["/chat/completions", "/v1/chat/completions", "/v1/chat/completions"]

    def test_headers_and_query_go_with_every_request(self, server: ModelServer):
        more = {"headers": {"X-Title": "chat", "Authorization": "Token abc"}, "query": {"tenant": "a b"}}
        model = make(server, base_url=f"{server.base_url}?v=1", served_as="real", demands=["no-stream"], **more)
        asyncio.run(model.discover())
        collect(model)
        assert model.name == "m"
        for request in server.requests:
            assert request.headers["x-title"] == "chat"
            assert request.headers["authorization"] == "Token abc"
        assert [request.query for request in server.requests if request.method == "POST"] == ["v=1&tenant=a+b"]
        assert server.chats[0]["model"] == "real"
        assert "stream" not in server.chats[0]

    def test_no_message_holds_a_secret_header(self, server: ModelServer):
        server.reply(failure(400, "wrong header secret-of-mine, title my-long-title"))
        more = {"headers": {"X-Secret": "secret-of-mine", "X-Title": "my-long-title"}}
        message = fails(server, ModelRefused, **more)
        assert "secret" not in message
        assert "my-long-title" in message

    def test_a_web_page_is_no_api(self, server: ModelServer):
        server.reply(serving.Reply([b"<html>Hello</html>"], headers={"Content-Type": "text/html; charset=utf-8"}))
        assert "web page" in fails(server, ModelNotFound)

    @pytest.mark.parametrize("status", [400, 413, 422, 500])
    def test_a_context_too_long(self, server: ModelServer, status: int):
        server.reply(failure(status, "This model's maximum context length is 4096 tokens. You sent 9999."))
        with pytest.raises(ContextTooLong, match="4,096 tokens") as caught:
            collect(make(server))
        assert caught.value.limit == 4096
        assert len(server.requests) == 1

    def test_llama_cpp_names_the_window_in_a_field(self, server: ModelServer):
        server.reply(
            failure(
                400,
                "the request exceeds the available context size. try increasing it",
                n_prompt_tokens=14429,
                n_ctx=8192,
            )
        )
        with pytest.raises(ContextTooLong) as caught:
            collect(make(server))
        assert caught.value.limit == 8192

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            ({"message": "boom", "type": "server_error"}, ModelUnavailable),
            ({"message": "slow", "code": 429}, ModelBusy),
            ({"message": "slow", "type": "rate_limit_error"}, ModelBusy),
            ({"message": "no", "type": "invalid_request_error"}, ModelRefused),
            ({"message": "no", "type": "authentication_error"}, ModelAuthError),
            ({"message": "is greater than the context length (n_keep: 13055>= n_ctx: 4096)"}, ContextTooLong),
            ("just words", ModelUnavailable),
        ],
    )
    def test_an_error_inside_the_stream(self, server: ModelServer, error: object, kind: type[ModelError]):
        server.reply(stream(chunk({"content": "Hel"}), {"error": error}))
        assert (error["message"] if isinstance(error, dict) else str(error)) in fails(server, kind)

    def test_an_error_with_status_200(self, server: ModelServer):
        server.reply(serving.Reply([b'{"error": {"message": "boom", "code": 400}}'], headers=serving.JSON))
        assert "boom" in fails(server, ModelRefused)
        server.reply(stream({"object": "error", "message": "boom", "code": 400}))
        assert "boom" in fails(server, ModelRefused)

    @pytest.mark.parametrize("data", ["<oops>\x1b[31m red", "[1, 2]", '"text"', "[" * 100_000, b"data: \xff\xfe\n\n"])
    def test_garbage_is_shown_short_and_clean(self, server: ModelServer, data: str | bytes):
        server.reply(stream(data))
        message = fails(server, ModelUnavailable)
        assert "where a JSON object of the chat API was expected" in message
        assert len(message) < 300
        assert message.isprintable()

    def test_broken_json_from_a_server_that_does_not_stream(self, server: ModelServer):
        server.reply(serving.Reply([b'{"choices": ['], headers=serving.JSON))
        assert "'{\"choices\": ['" in fails(server, ModelUnavailable)
        server.reply(serving.Reply([b'{"choices": [', Cut()], headers=serving.JSON))
        assert "was cut off" in fails(server, ModelUnavailable, max_retries=0)

    @pytest.mark.parametrize(
        "echo",
        [
            KEY,
            f"Bearer {KEY}",
            KEY[:12] + "...",
            "sk-proj-********wxyz",
            f"key={KEY},",
            "AIzaSyA1234567890abcdef",
            "sk-other-0123456789",
        ],
    )
    def test_a_key_that_the_server_echoes_is_masked(self, server: ModelServer, echo: str):
        server.reply(failure(401, f"Incorrect API key provided: {echo}"))
        message = fails(server, ModelAuthError)
        assert "[key]" in message
        assert KEY[:8] not in message
        assert not any(part in message for part in ("wxyz", "SyA1234", "0123456789"))

    def test_the_address_is_shown_without_its_secrets(self, server: ModelServer):
        secret = server.base_url.replace("http://", "http://user:hunter2@") + "/x?key=hunter3"
        message = fails(server, ModelNotFound, base_url=secret)
        assert "hunter" not in message

    @pytest.mark.parametrize("url", ["localhost:11434", "ftp://x/v1", "http://", "nonsense"])
    def test_an_address_must_be_one(self, url: str):
        with pytest.raises(DefinitionError, match="expected an address such as"):
            OpenAIModel("m", base_url=url)

    def test_a_strict_server_refuses_what_openai_refuses(self, server: ModelServer):
        tools = ({"type": "function", "function": {"name": "f"}},)
        orphan = ModelRequest("m", (b'{"role":"tool","tool_call_id":"a","content":"x"}',), tools)
        with pytest.raises(ModelRefused, match="must be a response to a preceeding message"):
            collect(make(server), orphan)


class TestStopping:
    @pytest.mark.parametrize("before", [(), ("Hel",)], ids=["before the head", "in the middle"])
    def test_cancelling_stops_the_transfer(self, server: ModelServer, before: tuple[str, ...]):
        gate = Gate()
        server.reply(serving.hang(gate, *before))
        model = make(server)

        async def run() -> None:
            events: list[ModelEvent] = []

            async def ask() -> None:
                events.extend([event async for event in model.stream(ASK)])

            task = asyncio.create_task(ask())
            await asyncio.to_thread(gate.reached.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The client still lives, and the server sees the line drop all the same.
            await asyncio.to_thread(server.wait_for, lambda server: server.disconnects == 1)
            assert text_of([event async for event in model.stream(ASK)]) == "You said: Hi é"
            await model.close()

        asyncio.run(run())

    def test_closing_the_iterator_stops_the_transfer(self, server: ModelServer):
        server.reply(serving.hang(Gate(), "Hel"))
        model = make(server)

        async def run() -> None:
            events = model.stream(ASK)
            assert await anext(events) == TextChunk("Hel")
            await events.aclose()
            await asyncio.to_thread(server.wait_for, lambda server: server.disconnects == 1)
            await model.close()

        asyncio.run(run())

    def test_cancelling_a_wait_between_attempts(self, server: ModelServer):
        server.reply(failure(500))
        waiting = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        model = make(server, sleep=sleep)

        async def run() -> None:
            task = asyncio.create_task(anext_until_end(model))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await model.close()

        async def anext_until_end(model: OpenAIModel) -> None:
            async for _ in model.stream(ASK):
                pass

        asyncio.run(run())
        assert len(server.requests) == 1

    def test_closing_twice_and_asking_again(self, server: ModelServer):
        model = make(server)

        async def run() -> str:
            await model.close()
            await model.close()
            text = text_of([event async for event in model.stream(ASK)])
            await model.close()
            await model.close()
            return text

        assert asyncio.run(run()) == asyncio.run(run()) == "You said: Hi é"

    def test_many_threads_warm_up_one_client(self, server: ModelServer):
        model = make(server)
        threads = [threading.Thread(target=model.warm_up) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert text_of(collect(model)) == "You said: Hi é"

    def test_a_request_at_the_same_time_as_another(self, server: ModelServer):
        model = make(server)

        async def run() -> list[str]:
            async def ask(number: int) -> str:
                request = ModelRequest("m", (json.dumps({"role": "user", "content": str(number)}).encode(),))
                return text_of([event async for event in model.stream(request)])

            texts = await asyncio.gather(*(ask(number) for number in range(10)))
            await model.close()
            return texts

        assert asyncio.run(run()) == [f"You said: {number}" for number in range(10)]


def test_openai_is_imported_by_the_first_need_only():
    code = """
import sys
from swarmchat.swarm.models.openai_chat import OpenAIModel
model = OpenAIModel("m", base_url="http://localhost:1/v1", api_key="k")
assert not {"openai", "httpx2", "pydantic"} & set(sys.modules), "too early"
model.warm_up()
assert "openai" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


class TestLimits:
    @pytest.mark.parametrize(
        ("name", "window"),
        [
            ("gpt-5", 272_000),
            ("gpt-5-mini-2025-08-07", 272_000),
            ("gpt-5-chat-latest", 128_000),
            ("gpt-4.1-nano", 1_047_576),
            ("GPT-4o-mini", 128_000),
            ("openai/gpt-4o", 128_000),
            ("gpt-4", 8_192),
            ("gpt-4-0613", 8_192),
            ("gpt-4-32k-0613", 32_768),
            ("gpt-4-turbo-2024-04-09", 128_000),
            ("gpt-3.5-turbo", 16_385),
            ("gpt-oss:20b", 131_072),
            ("o1", 200_000),
            ("o3-mini", 200_000),
            ("o4-mini", 200_000),
            ("llama3.2", DEFAULT_CONTEXT_WINDOW),
            ("", DEFAULT_CONTEXT_WINDOW),
        ],
    )
    def test_the_longest_prefix_decides(self, name: str, window: int):
        assert context_window_for(name) == window
        assert OpenAIModel(name, base_url="http://localhost/v1").context_window == window

    def test_a_window_in_the_settings_wins(self):
        model = OpenAIModel("gpt-4o", base_url="http://localhost/v1", context_window=9)
        assert (model.name, model.context_window) == ("gpt-4o", 9)

    @pytest.mark.parametrize(
        ("words", "limit"),
        [
            ("This model's maximum context length is 16384 tokens. However, you requested 122946 tokens", 16384),
            ("context_length_exceeded", None),
            ("Your input exceeds the context window of this model.", None),
            ("the request exceeds the available context size (4096 tokens), try increasing it", 4096),
            (
                '{"message": "the request exceeds the available context size. try", "n_prompt_tokens": 14, "n_ctx": 8}',
                8,
            ),
            (
                "Trying to keep the first 111490 tokens ... loaded with context length of only 32768 tokens, which",
                32768,
            ),
            (
                "tokens to keep is greater than the context length (n_keep: 13055>= n_ctx: 4096)",
                4096,
            ),
            ("prompt is too long: 208310 tokens > 200000 maximum", 200_000),
            ("The prompt is too long: 267657, model maximum context length: 262143", 262_143),
            ("The decoder prompt (length 163840) is longer than the maximum model length of 131072.", 131_072),
            ("input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease", 200_000),
            ("Requested tokens (516) exceed context window of 512", 512),
            ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048575).", 1_048_575),
            ("input length exceeds maximum context length", None),
            ("the input length exceeds the context length", None),
            ("Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000", None),
        ],
    )
    def test_wordings_of_too_long(self, words: str, limit: int | None):
        assert named_context_limit(words) == (True, limit)

    @pytest.mark.parametrize(
        "words", ["max_tokens is too large", "Invalid context", "rate limit exceeded", "string too long", ""]
    )
    def test_wordings_of_something_else(self, words: str):
        assert named_context_limit(words) == (False, None)

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, None),
            ({"retry-after": "1.5"}, 1.5),
            ({"retry-after": "Wed, 01 Jan 2025 00:00:30 GMT"}, 30.0),
            ({"retry-after": "Tue, 31 Dec 2024 00:00:00 GMT"}, 0.0),
            ({"retry-after": "soon"}, None),
            ({"retry-after": "-3"}, None),
            ({"retry-after": ""}, None),
            ({"retry-after": "nan"}, None),
            ({"retry-after-ms": "1500"}, 1.5),
            ({"retry-after-ms": "x", "retry-after": "2"}, 2.0),
        ],
    )
    def test_the_wait_that_is_asked_for(self, headers: dict[str, str], seconds: float | None):
        assert retry_after(headers, now=datetime(2025, 1, 1, tzinfo=UTC)) == seconds


CALL = {"type": "function"}
USER = {"role": "user", "content": "Hi"}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "1"}


def calling(*ids: str, **function: Any) -> dict[str, Any]:
    calls = [{**CALL, "id": name, "function": {"name": "find", "arguments": "{}", **function}} for name in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(name: str) -> dict[str, Any]:
    return {**RESULT, "tool_call_id": name}


class TestTheServerOfTheTests:
    @pytest.mark.parametrize(
        "messages",
        [
            [USER],
            [
                USER,
                {"role": "system", "content": "late"},
                {"role": "developer", "content": [{"type": "text", "text": "x"}]},
            ],
            [USER, calling("a"), result("a"), {"role": "assistant", "content": "done"}],
            [USER, calling("a", "b"), result("b"), result("a"), calling("c"), result("c")],
            [USER, {"role": "assistant", "content": ""}],
        ],
    )
    def test_rules_take_what_openai_takes(self, messages: list[dict[str, Any]]):
        assert check_messages(messages) is None

    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ([], "empty array"),
            ({}, "expected an array"),
            (["x"], "expected an object"),
            ([{"content": "x"}], "'messages[0].role'"),
            ([{"role": "robot", "content": "x"}], "Supported values"),
            ([{"role": "user", "content": None}], "got null"),
            ([{"role": "assistant", "content": None}], "got null"),
            ([{"role": "user", "content": 3}], "a number"),
            ([{"role": "user", "content": [{"text": "x"}]}], "content[0].type"),
            ([{"role": "assistant", "content": "x", "tool_calls": []}], "empty array"),
            ([RESULT], "must be a response to a preceeding message"),
            ([USER, calling("a")], "did not have response messages: a"),
            ([USER, calling("a", "b"), result("a"), USER, result("b")], "did not have response messages: b"),
            ([USER, calling("a"), result("a"), result("a")], "Duplicate value for 'tool_call_id'"),
            ([USER, calling("a"), result("a"), USER, result("a")], "must be a response"),
            ([USER, calling("a"), result("a"), calling("a"), result("a")], "Duplicate value"),
            ([USER, calling("a", "a"), result("a")], "Duplicate value"),
            ([USER, calling("a", arguments={}), result("a")], "expected a string, but got an object"),
            ([USER, calling("a", arguments=""), result("a")], "holds a JSON object"),
            ([USER, calling("a", arguments="[]"), result("a")], "holds a JSON object"),
            ([USER, calling("a", name="find me"), result("a")], "does not match pattern"),
            ([USER, calling("a" * 41), result("a" * 41)], "maximum length 40"),
            ([USER, calling("a"), {"role": "tool", "content": "1"}], "tool_call_id"),
        ],
    )
    def test_rules_refuse_what_openai_refuses(self, messages: Any, complaint: str):
        assert complaint in str(check_messages(messages))

    def test_a_plain_client_is_answered_too(self, server: ModelServer):
        def post(body: object) -> dict[str, Any]:
            data = json.dumps(body).encode()
            request = urllib.request.Request(f"{server.base_url}/chat/completions", data)
            with urllib.request.urlopen(request, timeout=10) as response:
                return json.load(response)

        answer = post({"model": "m", "messages": [USER]})
        assert answer["choices"][0]["message"]["content"] == "You said: Hi"
        with urllib.request.urlopen(f"{server.base_url}/models", timeout=10) as response:
            assert json.load(response)["data"][0]["id"] == "test-model"
        with pytest.raises(urllib.error.HTTPError, match="400") as caught:
            post({"messages": [USER]})
        assert "model parameter" in caught.value.read().decode()
        caught.value.close()

    def test_a_gate_lets_the_test_say_when(self, server: ModelServer):
        gate = Gate()
        server.reply(text("one", gate, "two"))
        model = make(server)

        async def run() -> list[ModelEvent]:
            events = model.stream(ASK)
            first = await anext(events)
            assert await asyncio.to_thread(gate.reached.wait, 10)
            gate.release()
            rest = [event async for event in events]
            await model.close()
            return [first, *rest[:-1]]

        assert asyncio.run(run()) == [TextChunk("one"), TextChunk("two")]


FAULTS: dict[str, Callable[[], serving.Reply]] = {
    "cut": lambda: text("Hel", Cut()),
    "429": lambda: failure(429),
    "500": lambda: failure(500),
    "401": lambda: failure(401),
    "404": lambda: failure(404),
    "too long": serving.too_long,
    "garbage": serving.garbage,
    "no finish": lambda: text("Hel", finish=None, done=False),
}


@pytest.mark.parametrize("first", FAULTS)
def test_a_model_recovers_from_any_two_faults(server: ModelServer, first: str):
    model = make(server, max_retries=0)

    async def run() -> None:
        for second in FAULTS:
            server.reply(FAULTS[first](), FAULTS[second]())
            for _ in range(2):
                with pytest.raises(ModelError):
                    async for _ in model.stream(ASK):
                        pass
            assert text_of([event async for event in model.stream(ASK)]) == "You said: Hi é"
        await model.close()

    asyncio.run(run())

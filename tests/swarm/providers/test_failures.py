"""What servers say when they do not answer, in every shape that was seen."""

import asyncio
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from model_server import JSON, ModelServer, Reply, chunk, failure, server_fixture, stream, text
from swarmchat.swarm import (
    Answer,
    ConnectionSettingsError,
    ModelAuthError,
    ModelBusy,
    ModelError,
    ModelEvent,
    ModelNotFound,
    ModelRefused,
    ModelRequest,
    ModelUnavailable,
    OpenAIModel,
    Retry,
)

server = server_fixture

ASK = ModelRequest("m", (b'{"role":"user","content":"Hi"}',))


async def no_wait(seconds: float) -> None:
    """Do not wait: the retry says for how long."""


def ask(base_url: str, retries: int = 0) -> tuple[list[ModelEvent], ModelError | None]:
    """Return the events, and the error that ended them."""

    async def run() -> tuple[list[ModelEvent], ModelError | None]:
        model = OpenAIModel("m", base_url=base_url, max_retries=retries, sleep=no_wait, jitter=lambda: 1.0)
        events: list[ModelEvent] = []
        try:
            async for event in model.stream(ASK):
                events.append(event)  # noqa: PERF401 - those before an error matter
        except ModelError as error:
            return events, error
        finally:
            await model.close()
        return events, None

    return asyncio.run(run())


def body(value: Any, status: int = 200) -> Reply:
    return Reply([json.dumps(value).encode()], status=status, headers=JSON)


OVERLOADED = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        pytest.param(body([{"error": OVERLOADED}], 503), ModelUnavailable, "is overloaded", id="Gemini: a list"),
        pytest.param(
            stream([{"error": OVERLOADED}]),  # type: ignore[arg-type]  # no server should send a list
            ModelUnavailable,
            "is overloaded",
            id="a list in a stream",
        ),
        pytest.param(
            # https://ai.google.dev/api/generate-content#PromptFeedback
            stream({"choices": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            ModelRefused,
            "blocked the request (PROHIBITED_CONTENT): change your message",
            id="Gemini: a blocked request",
        ),
        pytest.param(
            body({"error": {"code": 500, "message": "tools param requires --jinja flag", "type": "server_error"}}, 500),
            ModelRefused,
            "start it with --jinja",
            id="llama.cpp: a missing switch",
        ),
        pytest.param(
            failure(400, "/chat/completions: Invalid model name passed in model=foo. Call `/v1/models` to view."),
            ModelNotFound,
            "Check the model's name",
            id="litellm: the model",
        ),
        pytest.param(
            failure(400, "Budget has been exceeded! Current cost: 1.0, Max budget: 0.5"),
            ModelBusy,
            "quota is used up",
            id="litellm: the budget",
        ),
        pytest.param(
            failure(429, "litellm.RateLimitError: OpenAIException - You exceeded your current quota, please check"),
            ModelBusy,
            "quota is used up",
            id="litellm: the quota, without OpenAI's code",
        ),
        pytest.param(failure(400, "No connected db."), ModelAuthError, "an API key", id="litellm: the key"),
        pytest.param(
            body({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
            ModelBusy,
            "insufficient balance",
            id="MiniMax",
        ),
        pytest.param(
            body({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}),
            ModelAuthError,
            "login fail",
            id="MiniMax: the key",
        ),
        pytest.param(
            failure(500, '{"error": {"message": "no such field"}}'),
            ModelUnavailable,
            "says (500): no such field",
            id="an error in the text of an error",
        ),
        # anomalyco/opencode#18552, cloudflare/cloudflare-docs#15116
        pytest.param(
            body({"success": False, "errors": [{"code": 7009, "message": "Upstream unavailable"}], "result": None}),
            ModelUnavailable,
            "says (500): Upstream unavailable",
            id="Cloudflare",
        ),
        pytest.param(
            body({"error_code": 17, "error_msg": "Daily request limit reached"}),
            ModelUnavailable,
            "Daily request limit reached",
            id="Baidu",
        ),
        # open-webui/computer#293
        pytest.param(
            body(
                {
                    "error": {
                        "message": "Provider returned error",
                        "code": 400,
                        "metadata": {"raw": '{"error": {"message": "At most 1 image"}}', "provider_name": "Crucible"},
                    }
                },
                400,
            ),
            ModelRefused,
            "Provider returned error: At most 1 image",
            id="OpenRouter",
        ),
        pytest.param(
            body({"fault": {"faultstring": "Invalid ApiKey", "detail": {"errorcode": "x"}}}, 401),
            ModelError,
            "Invalid ApiKey",
            id="Apigee",
        ),
        # BerriAI/litellm#8448
        pytest.param(
            body(
                {
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": None}}],
                    "error": {"message": "Provider returned error", "code": 429},
                }
            ),
            ModelBusy,
            "Provider returned error",
            id="an error beside an empty answer",
        ),
        pytest.param(Reply([b"[" * 950 + b"1" + b"]" * 950], 400, JSON), ModelRefused, "says (400)", id="nested"),
        pytest.param(body({"detail": "Not allowed"}, 403), ModelError, "Not allowed", id="FastAPI"),
        pytest.param(
            body({"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, 422),
            ModelRefused,
            "body.messages: field required",
            id="FastAPI: a list",
        ),
        # NousResearch/hermes-agent#65643
        pytest.param(
            stream({"choices": None, "error_type": "BadRequestError", "error_message": "unsupported image"}),
            ModelRefused,
            "says (400): unsupported image",
            id="an error in place of the choices",
        ),
        pytest.param(body({"code": 500, "msg": "no capacity"}), ModelUnavailable, "no capacity", id="a 200 with msg"),
        pytest.param(body({"error": "model crashed"}), ModelUnavailable, "model crashed", id="a 200 with an error"),
        pytest.param(
            body({"choices": [{"index": 0, "error": {"code": 502, "message": "upstream overloaded"}}]}),
            ModelUnavailable,
            "upstream overloaded",
            id="OpenRouter: on the choice",
        ),
        pytest.param(
            stream(chunk({"content": "The"}), chunk({}, "error")), ModelUnavailable, "'error'", id="finish error"
        ),
        pytest.param(
            stream(chunk({"content": "The"}), chunk({}, "insufficient_system_resource")),
            ModelUnavailable,
            "insufficient_system_resource",
            id="DeepSeek",
        ),
        pytest.param(
            stream({**chunk({}), "choices": [{"index": 0, "finish_reason": "stop", "native_finish_reason": "error"}]}),
            ModelUnavailable,
            "'error'",
            id="OpenRouter: a normal end",
        ),
        pytest.param(stream(chunk({}, "weird")), ModelUnavailable, "'weird'", id="an unknown reason and no text"),
        pytest.param(stream({**chunk(None), "choices": []}), ModelUnavailable, "empty answer", id="no choices"),
        pytest.param(
            failure(500, "This server needs --jinja to use tools"), ModelRefused, "--jinja", id="a switch is missing"
        ),
    ],
)
def test_faults_of_the_server_are_errors(server: ModelServer, reply: Reply, error: type[ModelError], words: str):
    server.reply(reply)
    _, raised = ask(server.base_url)
    assert isinstance(raised, error)
    assert words in str(raised)
    assert "[{" not in str(raised)


def test_an_unknown_reason_after_text_is_an_answer(server: ModelServer):
    server.reply(stream(chunk({"content": "Yes."}), chunk({}, "eos_found")))
    events, raised = ask(server.base_url)
    assert raised is None
    assert isinstance(events[-1], Answer)
    assert (events[-1].text, events[-1].finish) == ("Yes.", "eos_found")


MORE = (
    ("content_filter: PROHIBITED_CONTENT", "content_filter"),
    ("refusal", "content_filter"),
    ("max_output_tokens", "length"),
)


def test_a_call_that_the_server_did_not_expect_is_a_fault_of_the_model(server: ModelServer):
    server.reply(stream(chunk({}, "UNEXPECTED_TOOL_CALL")))
    events, raised = ask(server.base_url)
    assert raised is None
    assert isinstance(events[-1], Answer)


def test_finish_reasons_in_capitals_are_the_usual_ones(server: ModelServer):
    # QwenLM/qwen-code#9884: a gateway passes Gemini's words on.
    for native, finish in (("STOP", "stop"), ("MAX_TOKENS", "length"), ("SAFETY", "content_filter"), *MORE):
        server.reply(text("Yes.", finish=native))
        events, _ = ask(server.base_url)
        assert isinstance(events[-1], Answer)
        assert events[-1].finish == finish


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (body([{"error": {"code": 429, "message": "x", "details": [{"retryDelay": "9s"}]}}], 429), 9),
        (failure(429, "Rate limit reached. Please try again in 20s."), 20),
        (failure(429, "Please retry in 0m12.5s"), 12.5),
        (failure(429, "Try again after 3 seconds"), 3),
        (
            failure(429, "x", headers={"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "250ms"}),
            0.25,
        ),
        (failure(429, "try again in 20s", headers={"Retry-After": "2"}), 2),
        # danielmiessler/Fabric#364, NousResearch/hermes-agent#26893
        (failure(429, "Limit 7000, Requested ~6903. Please try again in 50.597142857s. Visit x"), 50.597142857),
        (failure(429, "The usage limit has been reached", resets_in_seconds=12), 12),
        (failure(429, "x", retry_after=7), 7),
        (failure(429, "litellm.RateLimitError: x", headers={"llm_provider-retry-after": "3"}), 3),
        (failure(429, "x", retry_after_ms="1500"), 1.5),
        (failure(429, "x", details=[{"retryDelay": {"seconds": "3", "nanos": 0}}]), 3),
        # router-for-me/CLIProxyAPI#449
        (failure(429, "x", details=[None, {"metadata": {"quotaResetDelay": "2500ms"}}]), 2.5),
        (failure(429, "Your quota will reset after 2s."), 2),
        # dirge-code/dirge#719: OpenRouter repeats headers in the body.
        (failure(429, "x", metadata={"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "30"}}), 30),
        (
            failure(
                429,
                "x",
                headers={
                    "anthropic-ratelimit-tokens-remaining": "0",
                    "anthropic-ratelimit-tokens-reset": "2001-01-01T00:00:00Z",
                },
            ),
            0,
        ),
    ],
)
def test_delays_in_every_form(server: ModelServer, reply: Reply, seconds: float):
    server.reply(reply, text("ok"))
    events, raised = ask(server.base_url, retries=1)
    assert raised is None
    assert [event.seconds for event in events if isinstance(event, Retry)] == [seconds]


def test_a_server_that_loads_its_model_is_waited_for(server: ModelServer):
    server.reply(*[failure(503, "Loading model"), failure(503, "Model gpt2 is currently loading")] * 10, text("ok"))
    events, raised = ask(server.base_url, retries=1)
    assert raised is None
    assert len([event for event in events if isinstance(event, Retry)]) == 20


def test_a_malformed_call_that_the_server_refused_is_an_answer(server: ModelServer):
    generation = '<function=note>{"text": "milk"}</function>'
    refused = {"message": "Failed to call a function.", "code": "tool_use_failed", "failed_generation": generation}
    server.reply(body({"error": refused}, 400), stream({"error": refused}))
    for _ in range(2):
        events, raised = ask(server.base_url)
        assert raised is None
        assert isinstance(events[-1], Answer)
        assert events[-1].text == generation


ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(json.dumps(ANSWER).encode(), id="JSON called a stream"),
        pytest.param(b"\n\xef\xbb\xbf" + json.dumps(ANSWER, indent=2).encode(), id="pretty-printed, with a BOM"),
        pytest.param(b"\xef\xbb\xbfdata: " + json.dumps(ANSWER).encode() + b"\n\n", id="a stream with a BOM"),
        pytest.param(json.dumps(ANSWER).encode("utf-16"), id="UTF-16"),
        pytest.param(f"data: {json.dumps(ANSWER)}\n\n".encode("utf-16"), id="a stream in UTF-16"),
        pytest.param(b"data: " + json.dumps(ANSWER).encode() + b"\n\ndata: [DONE]\n\n", id="a stream"),
    ],
)
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
def test_the_body_says_what_it_is(server: ModelServer, sent: bytes, kind: str):
    server.reply(Reply([sent], headers={"Content-Type": kind}))
    events, raised = ask(server.base_url)
    assert raised is None
    assert isinstance(events[-1], Answer)
    assert events[-1].text == "yes"


def test_an_answer_repeated_at_its_end_is_shown_once(server: ModelServer):
    message = {"role": "assistant", "content": "Hello there."}
    repeated = {**chunk(None), "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    server.reply(
        stream(chunk({"content": "Hello "}), chunk({"content": "there."}), repeated),
        stream(chunk({"content": "Hello "}), chunk({"content": "there."}), chunk({"content": "Hello there."}, "stop")),
    )
    for _ in range(2):
        (*_, answer), _ = ask(server.base_url)
        assert isinstance(answer, Answer)
        assert answer.text == "Hello there."


@pytest.mark.parametrize(
    ("tail", "path"),
    [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
    ],
)
def test_addresses_as_they_are_pasted(server: ModelServer, tail: str, path: str):
    ask(server.base_url + tail)
    assert [request.path for request in server.requests] == [path]


def test_an_address_of_azure(server: ModelServer):
    async def run() -> None:
        base_url = server.base_url.replace("/v1", "/openai/deployments/gpt-4o?api-version=2024-10-21")
        model = OpenAIModel("m", base_url=base_url, api_key="secret-key-1234", max_retries=0)
        with pytest.raises(ModelNotFound):
            async for _ in model.stream(ASK):
                pass
        await model.close()

    asyncio.run(run())
    (request,) = server.requests
    assert (request.path, request.query) == ("/openai/deployments/gpt-4o/chat/completions", "api-version=2024-10-21")
    assert request.headers["api-key"] == "secret-key-1234"


def test_a_redirect_is_not_followed(server: ModelServer):
    server.reply(Reply([b""], status=307, headers={"Location": "http://127.0.0.1:9/v1/chat/completions"}))
    _, raised = ask(server.base_url)
    assert isinstance(raised, ModelNotFound)
    assert "redirects to http://127.0.0.1:9/v1/chat" in str(raised)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ALL_PROXY": "socks://127.0.0.1:1"}, "ALL_PROXY=socks://127.0.0.1:1 cannot be used"),
        ({"ALL_PROXY": "socks5://127.0.0.1:1"}, "socksio"),
        ({"ALL_PROXY": "socks5://bob:hunter2@127.0.0.1:1"}, "ALL_PROXY=socks5://127.0.0.1:1 cannot be used"),
        ({"HTTP_PROXY": "http://127.0.0.1:99999"}, "HTTP_PROXY=http://127.0.0.1:99999 cannot be used"),
        ({"HTTP_PROXY": "127.0.0.1:99999"}, "Port out of range"),
        ({"ALL_PROXY": "socks://127.0.0.1:1"}, "write socks5://"),
        ({"SSL_CERT_FILE": "/gone/cacert.pem"}, "SSL_CERT_FILE"),
        # With its own choice of certificates, the HTTP client does not read the variable.
        (
            {"SSLKEYLOGFILE": "/gone/keys", "SSL_CERT_FILE": "", "SSL_CERT_DIR": "/etc/ssl/certs"},
            "SSLKEYLOGFILE=/gone/keys cannot be used",
        ),
    ],
)
def test_an_environment_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: str):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    scheme = "https" if any(name.startswith("SSL") for name in variables) else "http"
    _, raised = ask(f"{scheme}://192.0.2.1:9/v1")
    assert isinstance(raised, ConnectionSettingsError)
    assert words in str(raised)


def test_a_proxy_that_is_down_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://bob:hunter2@127.0.0.1:9")
    _, raised = ask("http://example.test/v1")
    assert "HTTP_PROXY=http://127.0.0.1:9" in str(raised)


def test_a_proxy_that_wants_a_password_is_named(monkeypatch: pytest.MonkeyPatch):
    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_error(407)

    server = HTTPServer(("127.0.0.1", 0), Proxy)
    thread = Thread(target=server.serve_forever)
    thread.start()
    proxy = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HTTP_PROXY", proxy)
    events, raised = ask("http://example.test/v1", retries=2)
    server.shutdown()
    thread.join()
    server.server_close()
    assert events == []
    assert f"HTTP_PROXY={proxy} requires a user and a password" in str(raised)


def test_a_model_that_does_not_fit_into_memory_is_not_asked_for_again(server: ModelServer):
    # home-assistant/core#139085
    words = "model requires more system memory (7.3 GiB) than is available (6.0 GiB)"
    server.reply(failure(500, body={"error": words}))
    events, raised = ask(server.base_url, retries=2)
    assert events == []
    assert isinstance(raised, ModelUnavailable)
    assert "smaller model" in str(raised)


def test_this_machine_is_reached_without_a_proxy(server: ModelServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:9")
    monkeypatch.setenv("SSL_CERT_FILE", "/gone/cacert.pem")
    _, raised = ask(server.base_url)
    assert raised is None

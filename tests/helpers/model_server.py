"""A real HTTP server that speaks the chat completions API, with every fault that real ones were seen to have.

    with model_server() as server:
        server.reply(text("Hello"), failure(429, headers={"Retry-After": "1"}), tool_calls(...))
        … talk to server.base_url …
        assert server.requests[0].body["model"] == "m"

Replies are used up one per chat request; after the last one the server echoes: "You said: …". Those queued with
``reply_embeddings`` are used up one per embeddings request; after the last one each text gets ``vector_of`` it. A
server that is ``strict`` (the default) first refuses what OpenAI would refuse. Its thread is its own, so that the
client may be this process, asynchronous or not, or another one.
"""

import asyncio
import base64
import hashlib
import json
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from chat_rules import check_messages

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}


class Gate:
    """A point in a reply where the server waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._released = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None

    def release(self) -> None:
        """Let the server go on, now or when it gets here."""
        self._released.set()
        if self._loop and self._wake:
            # The server may be gone, and its loop with it.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def wait(self) -> None:
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        self.reached.set()
        if not self._released.is_set():
            await self._wake.wait()


class Cut:
    """A point in a reply where the server drops the connection."""


@dataclass(frozen=True)
class Reply:
    """An answer: ``steps`` are sent one by one, each as an HTTP chunk of its own."""

    steps: Sequence[bytes | Gate | Cut]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: EVENTS)


@dataclass(frozen=True)
class SeenRequest:
    """A request as it came; header names are in lower case, ``body`` is ``None`` where there was no JSON."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Any = None
    query: str = ""


def chunk(delta: Mapping[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return one ``chat.completion.chunk`` as real servers send it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "served", "choices": [choice], **more}


def stream(*events: Mapping[str, Any] | str | bytes | Gate | Cut, newline: str = "\n", done: bool = True) -> Reply:
    """Return a stream of ``events``: objects become events, text the data of one, bytes are sent as they are."""
    steps: list[bytes | Gate | Cut] = []
    for event in events:
        if isinstance(event, (bytes, Gate, Cut)):
            steps.append(event)
        else:
            data = event if isinstance(event, str) else json.dumps(event)
            steps.append(f"data: {data}{newline * 2}".encode())
    if done:
        steps.append(f"data: [DONE]{newline * 2}".encode())
    return Reply(steps)


def text(
    *pieces: str | Gate | Cut,
    finish: str | None = "stop",
    usage: Mapping[str, Any] | None = USAGE,
    newline: str = "\n",
    done: bool = True,
) -> Reply:
    """Return an answer of text in these pieces. ``finish=None`` leaves its end out, ``usage=None`` its count."""
    events: list[Any] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": piece}) if isinstance(piece, str) else piece for piece in pieces]
    if finish:
        events.append(chunk({}, finish))
    if usage:
        events.append({**chunk(None), "choices": [], "usage": usage})
    return stream(*events, newline=newline, done=done)


def tool_calls(*deltas: Sequence[Mapping[str, Any]], finish: str = "tool_calls") -> Reply:
    """Return an answer that calls tools: each of ``deltas`` is the ``tool_calls`` list of one event, as given."""
    events = [chunk({"tool_calls": list(entries)}) for entries in deltas]
    return stream(*events, chunk({}, finish), {**chunk(None), "choices": [], "usage": USAGE})


def whole(message: Mapping[str, Any], finish: str = "stop", usage: Mapping[str, Any] | None = USAGE) -> Reply:
    """Return an answer in one JSON body, as from a server that does not stream."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "model": "served", "choices": [choice], "usage": usage}
    return Reply([json.dumps(body).encode()], headers=JSON)


def failure(
    status: int, message: str = "", headers: Mapping[str, str] | None = None, body: object = None, **more: Any
) -> Reply:
    """Return an error as OpenAI words it; ``more`` are further fields of the error; ``body`` replaces all of it."""
    error = {"message": message or HTTPStatus(status).phrase, "type": "error", "param": None, "code": None, **more}
    content = body if isinstance(body, bytes) else json.dumps(body or {"error": error}).encode()
    return Reply([content], status, {**JSON, **(headers or {})})


def too_long(limit: int = 4096) -> Reply:
    """Return OpenAI's refusal of a context that is too long."""
    message = f"This model's maximum context length is {limit} tokens. However, your messages resulted in 9999 tokens."
    return failure(400, message, type="invalid_request_error", code="context_length_exceeded")


def refuse_stream_options() -> Reply:
    """Return Groq's refusal of ``stream_options``."""
    return failure(400, "property 'stream_options' is unsupported, did you mean 'stream'?")


def garbage(data: str = "<oops>") -> Reply:
    """Return a stream whose event is no JSON."""
    return stream(data)


def hang(gate: Gate, *before: str) -> Reply:
    """Return an answer that stops after ``before`` until the test releases ``gate``; without any, before its head."""
    return text(*before, gate) if before else Reply([gate, *text("late").steps])


def vector_of(text: str, dimensions: int = 8) -> list[float]:
    """Return the vector that the server makes of ``text``: the same each time, of any length, with no meaning."""
    return [byte / 128 - 1 for byte in hashlib.shake_256(text.encode()).digest(dimensions)]


def embeddings(vectors: Sequence[Sequence[float] | str], indexes: Sequence[int] | None = None) -> Reply:
    """Return an answer with ``vectors``, of numbers or base64, in this order; ``indexes`` says what each is for."""
    places = range(len(vectors)) if indexes is None else indexes
    data = [{"object": "embedding", "index": at, "embedding": each} for at, each in zip(places, vectors, strict=True)]
    body = {"object": "list", "data": data, "model": "served", "usage": {"prompt_tokens": 5, "total_tokens": 5}}
    return Reply([json.dumps(body).encode()], headers=JSON)


class ModelServer:
    """The running server, as tests see it."""

    def __init__(self, strict: bool, models: Sequence[str]) -> None:
        self.strict = strict
        self.rule: Callable[[Any], Reply | None] | None = None
        """Refuses chat requests that one provider would refuse, before a reply is used up."""
        self.models = list(models)
        self.base_url = ""
        self.requests: list[SeenRequest] = []
        self.disconnects = 0
        """How many clients hung up before their answer was complete."""
        self.connections = 0
        """How many connections were opened."""
        self.failures: list[BaseException] = []
        self.props_reply: Reply | None = None
        """What is answered to who asks for the properties of llama.cpp."""
        self.root_reply: Reply | None = None
        """What is answered to who asks for a chat without /v1."""
        self.models_reply: Reply | None = None
        self.loading = 0
        """How many requests for the list are answered before the model is loaded."""
        """What is answered to who asks for the models, in place of the list."""
        self._replies: deque[Reply | Callable[[SeenRequest], Reply]] = deque()
        self._embedding_replies: deque[Reply | Callable[[SeenRequest], Reply]] = deque()
        self._changed = threading.Condition()

    @property
    def chats(self) -> list[Any]:
        """The bodies of the chat requests so far."""
        return [request.body for request in self.requests if request.path.endswith("/chat/completions")]

    @property
    def embedding_requests(self) -> list[Any]:
        """The bodies of the embeddings requests so far."""
        return [request.body for request in self.requests if request.path.endswith("/embeddings")]

    def reply(self, *replies: Reply | Callable[[SeenRequest], Reply]) -> None:
        """Queue the answers to the next chat requests."""
        self._replies.extend(replies)

    def reply_embeddings(self, *replies: Reply | Callable[[SeenRequest], Reply]) -> None:
        """Queue the answers to the next embeddings requests."""
        self._embedding_replies.extend(replies)

    def wait_for(self, condition: Callable[["ModelServer"], bool], seconds: float = 10) -> None:
        """Return once ``condition`` holds. Raises AssertionError when it does not within ``seconds``."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), seconds), f"not within {seconds} s"

    def answer(self, request: SeenRequest) -> Reply:
        """Choose the reply to a request."""
        if request.path == "/chat/completions" and self.root_reply is not None:
            return self.root_reply
        if (request.method, request.path) == ("GET", "/props") and self.props_reply is not None:
            return self.props_reply
        if (request.method, request.path) == ("GET", "/v1/models"):
            if self.models_reply is not None:
                return self.models_reply
            if self.loading > 0:
                self.loading -= 1
                return failure(503, "Loading model", {"Retry-After": "0"})
            listed = [{"id": name, "object": "model", "owned_by": "tests"} for name in self.models]
            return Reply([json.dumps({"object": "list", "data": listed}).encode()], headers=JSON)
        if (request.method, request.path) == ("POST", "/v1/embeddings"):
            if self.strict and (complaint := _embedding_complaint(request.body)):
                return failure(400, complaint, type="invalid_request_error")
            if self._embedding_replies:
                queued = self._embedding_replies.popleft()
                return queued if isinstance(queued, Reply) else queued(request)
            return _embed(request)
        if (request.method, request.path) != ("POST", "/v1/chat/completions"):
            return failure(404, body={"detail": "Not Found"})
        if self.strict and (complaint := _complaint(request.body)):
            return failure(400, complaint, type="invalid_request_error")
        if self.rule is not None and (refusal := self.rule(request.body)):
            return refusal
        if self._replies:
            queued = self._replies.popleft()
            return queued if isinstance(queued, Reply) else queued(request)
        return _echo(request)

    def note(self, request: SeenRequest) -> None:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()

    def note_disconnect(self) -> None:
        with self._changed:
            self.disconnects += 1
            self._changed.notify_all()


def _complaint(body: object) -> str | None:
    if not isinstance(body, dict):
        return "We could not parse the JSON body of your request."
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "you must provide a model parameter"
    if "stream_options" in body and not body.get("stream"):
        return "The 'stream_options' parameter is only allowed when 'stream' is enabled."
    return check_messages(body.get("messages"))


def _embedding_complaint(body: object) -> str | None:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str) or not body["model"]:
        return "you must provide a model parameter"
    texts = body.get("input")
    if not isinstance(texts, list) or not 1 <= len(texts) <= 2048 or not all(isinstance(each, str) for each in texts):
        return "Invalid 'input': expected 1 to 2048 strings"
    return None if all(texts) else "Invalid 'input': input cannot be an empty string."


def _embed(request: SeenRequest) -> Reply:
    body = request.body
    vectors = [vector_of(text, body.get("dimensions", 8)) for text in body["input"]]
    if body.get("encoding_format") != "base64":
        return embeddings(vectors)
    return embeddings([base64.b64encode(struct.pack(f"<{len(each)}f", *each)).decode() for each in vectors])


def _echo(request: SeenRequest) -> Reply:
    body = request.body if isinstance(request.body, dict) else {}
    questions = [message.get("content") for message in body.get("messages", ()) if message.get("role") == "user"]
    answer = f"You said: {questions[-1] if questions else 'nothing'}"
    if not body.get("stream"):
        return whole({"content": answer})
    wants_usage = (body.get("stream_options") or {}).get("include_usage")
    pieces = [answer[start : start + 5] for start in range(0, len(answer), 5)]
    return text(*pieces, usage=USAGE if wants_usage else None)


async def _serve(server: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while request := await _read(reader):
            server.note(request)
            if not await _send(server.answer(request), reader, writer):
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        server.note_disconnect()
    except Exception as error:
        # Told to the test at the end: a reply that cannot be made is the test's fault.
        server.failures.append(error)
    except asyncio.CancelledError:
        writer.transport.abort()
        raise
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> SeenRequest | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    method, path, _version = head[0].split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    try:
        body = json.loads(raw) if raw else None
    except ValueError:
        body = None
    path, _, query = path.partition("?")
    return SeenRequest(method, path, headers, raw, body, query)


async def _send(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Send ``reply``; return whether the connection is still good. Raises ConnectionError when the client is gone."""
    head = {**reply.headers, "Transfer-Encoding": "chunked"}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}", *(f"{key}: {head[key]}" for key in head)]
    unsent = "\r\n".join([*lines, "", ""]).encode("latin-1")
    for step in reply.steps:
        if isinstance(step, Cut):
            writer.write(unsent)
            await writer.drain()
            return False
        if isinstance(step, Gate):
            await _wait(step, reader)
            continue
        writer.write(unsent + f"{len(step):x}\r\n".encode() + step + b"\r\n")
        unsent = b""
        await writer.drain()
    writer.write(unsent + b"0\r\n\r\n")
    await writer.drain()
    return True


async def _wait(gate: Gate, reader: asyncio.StreamReader) -> None:
    """Wait at ``gate``. Raises ConnectionError when the client hangs up meanwhile."""
    opened, gone = asyncio.ensure_future(gate.wait()), asyncio.ensure_future(reader.read(1))
    try:
        done, _ = await asyncio.wait({opened, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone in done:
            raise ConnectionError("the client hung up")
    finally:
        for task in (opened, gone):
            task.cancel()
        await asyncio.gather(opened, gone, return_exceptions=True)


@contextmanager
def model_server(*, strict: bool = True, models: Sequence[str] = ("test-model",)) -> Iterator[ModelServer]:
    """Run a server on a free port of this machine until the block ends."""
    server = ModelServer(strict, models)
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def run() -> None:
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            server.connections += 1
            task = asyncio.ensure_future(_serve(server, reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        started.set()
        await stop.wait()
        listener.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await listener.wait_closed()

    def work() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=work, name="model-server")
    thread.start()
    try:
        assert started.wait(10), "the model server did not start"
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    assert not server.failures, server.failures


@pytest.fixture
def server_fixture() -> Iterator[ModelServer]:
    """A strict model server of the test's own; a test module names it: ``server = server_fixture``."""
    with model_server() as server:
        yield server

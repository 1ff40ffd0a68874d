"""A chat server that answers at once, in a separate process: ``python -m benchmarks.server`` prints its port."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from subprocess import PIPE, Popen
from typing import Any

ANSWER = "It takes about four working days."
_STREAMS = (b'"stream":true', b'"stream": true')


def _message() -> bytes:
    message = {"role": "assistant", "content": ANSWER}
    usage = {"prompt_tokens": 1, "completion_tokens": 7, "total_tokens": 8}
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "bench",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": usage,
        }
    )
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def _call(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return [{"tool_calls": [{"index": 0, "id": _CALL_ID, "type": "function", "function": function}]}]


def _text(text: str) -> list[dict[str, Any]]:
    words = text.split(" ")
    return [{"content": piece} for piece in (words[0], *(f" {word}" for word in words[1:]))]


_CALL_ID = "call-id"
_LEAKED = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
SCRIPTS: dict[str, list[list[dict[str, Any]]]] = {
    "call": [_call("add", {"a": 1, "b": 2}), _text(ANSWER)],
    "handoff": [
        *(_call("transfer_to_expert", {}), _text(ANSWER)),
        *(_call("transfer_to_assistant", {}), _text(ANSWER)),
    ],
    "leak": [_text(_LEAKED), _text(ANSWER)],
    "silence": [_text(""), _text(ANSWER)],
}
"""What a model answers in turn, as deltas, if its name begins with one of these names and a hyphen."""


def _stream(deltas: list[dict[str, Any]]) -> bytes:
    finish = "tool_calls" if "tool_calls" in deltas[0] else "stop"
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    lines = "".join(f"data: {json.dumps({**common, **chunk})}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(lines)}\r\n\r\n"
    return (head + lines).encode()


class _Answers:
    """The answers of all models."""

    def __init__(self) -> None:
        self._message, self._plain = _message(), _stream(_text(ANSWER))
        self._scripts = {name: [_stream(deltas) for deltas in steps] for name, steps in SCRIPTS.items()}
        self._running: dict[str, Iterator[bytes]] = {}
        self._calls = 0

    def to(self, body: bytes) -> bytes:
        """Return the response to a request."""
        if not any(form in body for form in _STREAMS):
            return self._message
        model = body[: body.find(b",")].partition(b":")[2].strip(b' "').decode()
        script = model.partition("-")[0]
        if script not in self._scripts:
            return self._plain
        if model not in self._running:
            self._running[model] = cycle(self._scripts[script])
        # As long as the placeholder, which the length of the response counts.
        self._calls += 1
        return next(self._running[model]).replace(_CALL_ID.encode(), b"c%06d" % self._calls)


class _Connection(asyncio.Protocol):
    """Reads requests by their Content-Length and answers each, streamed if that is asked for."""

    def __init__(self, answers: _Answers) -> None:
        self._buffer = bytearray()
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where the answers go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            self._transport.write(self._answers.to(body))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(partial(_Connection, _Answers()), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def instant_server() -> Iterator[str]:
    """Run the server; yields its base URL."""
    with Popen([sys.executable, "-m", "benchmarks.server"], stdout=PIPE) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())

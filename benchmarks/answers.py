"""A long answer in Markdown, and a chat server that streams it at a steady pace, in a separate process.

``python -m benchmarks.answers PIECE PACE`` prints its port. PIECE is the number of letters per piece, PACE the number
of pieces per second.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import Any

LENGTH = 14_000

_SECTION = """## {number}. How a lease keeps two writers apart

A lease is a right to write that **ends by itself**. Whoever holds it renews it before it ends; when the holder dies or
is cut off, others need only wait until it has *run out*. See [the notes](https://example.org/leases/{number}) and the
field `owner`, which is different each time.

- The first process takes the lease and writes its name into it.
- The second one finds that name, and waits:
  1. as long as the lease lasts,
  2. and then `{number}` ms more, because clocks differ.
- ~~Nobody asks~~ Whoever comes later asks the store, never the process.

| step | who | takes | what happens when it fails |
| --- | --- | ---: | --- |
| acquire | the first one | 0.{number} ms | somebody else has it: wait, or say who does |
| commit | the holder | 1.{number} ms | the lease was lost, and **nothing** was written |

```python
async def hold(store: Store, name: str, seconds: float = {number}.0) -> Lease:
    owner = f"{{name}}-{{secrets.token_hex(8)}}"  # the fence: no two are alike
    while (lease := await store.acquire("lease", owner, seconds)) is None:
        await asyncio.sleep(seconds / 4)
    return lease
```

> Given for good, it would have to be taken away by somebody who can tell a process that died from one that is slow,
> and over a network nobody can tell that for certain.

"""


def answer(length: int = LENGTH) -> str:
    """Return about so many letters: headings, paragraphs, lists, tables, code, quotes."""
    sections = -(-length // len(_SECTION))
    return "".join(_SECTION.format(number=number) for number in range(1, sections + 1))[:length]


def pieces(text: str, size: int) -> list[str]:
    """Return ``text`` in pieces of ``size`` letters."""
    return [text[at : at + size] for at in range(0, len(text), size)]


@contextmanager
def steady_server(size: int, pace: float) -> Iterator[str]:
    """Run the server; yields its base URL."""
    command = [sys.executable, "-m", "benchmarks.answers", str(size), str(pace)]
    with Popen(command, stdout=PIPE) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def _events(size: int) -> list[bytes]:
    choices: list[dict[str, Any]] = [{"delta": {"content": piece}} for piece in pieces(answer(), size)]
    choices.append({"delta": {}, "finish_reason": "stop"})
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    events = [{**common, "choices": [{"index": 0, "finish_reason": None, **choice}]} for choice in choices]
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]


async def _serve(size: int, pace: float) -> None:
    events = _events(size)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        began, sent = time.perf_counter(), 0
        while sent < len(events):
            due = int((time.perf_counter() - began) * pace) + 1
            writer.write(b"".join(events[sent:due]))
            sent = max(sent, due)
            await asyncio.sleep(1 / pace)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))

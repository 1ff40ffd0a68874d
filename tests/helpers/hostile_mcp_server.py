"""An MCP server over stdio that attacks its client when its tool is called; the argument says how."""

import json
import os
import sys
from itertools import repeat
from threading import Thread
from typing import Any

ANSWERS: dict[str, Any] = {
    "initialize": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"tools": {}, "resources": {}, "prompts": {}},
        "serverInfo": {"name": "x", "version": "1"},
    },
    "tools/list": {
        "tools": [
            {"name": "attack", "inputSchema": {"type": "object"}},
            {"name": "loose", "inputSchema": {}},
            "x",
        ]
    },
    "resources/list": {"resources": [{"uri": "a://b", "name": "b"}, {"uri": "a://b\x1b[2J", "name": "c"}]},
    "resources/templates/list": {"resourceTemplates": [{"uriTemplate": "a://{x}", "name": "d"}, {"name": "nowhere"}]},
    "prompts/list": {"prompts": [{"name": "p"}, {"x": 1}, {"name": "q\u202e"}, {"name": "a b"}]},
}
CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n'


def write(*texts: bytes) -> None:
    for text in texts:
        os.write(1, text)


def attack(kind: str, number: int) -> None:
    if kind == "a line for ever":
        write(*repeat(b"x" * 60_000, 50))
    elif kind == "half a message":
        write(b'{"jsonrpc":"2.0","id":')
        os._exit(0)
    elif kind == "too deep":
        write(b'{"jsonrpc":"2.0","id":%d,"result":%s}\n' % (number, b"[" * 300 + b"]" * 300))
    elif kind == "no result":
        send(number, {"result": {"content": [{"type": "text"}]}})
    elif kind == "notifications":
        for text in repeat(CHANGED * 100):
            write(text)
    elif kind == "garbage":
        write(b"\xff\xfe now it begins\n", b"\n", b"{}\n")
    elif kind == "errors":
        Thread(target=lambda: [os.write(2, text) for text in repeat(b"y" * 60_000)], daemon=True).start()
    send(number, {"result": {"content": [{"type": "text", "text": "ok"}]}})


def send(number: int, answer: dict[str, Any]) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": number, **answer}).encode() + b"\n")


if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("method") == "tools/call":
            attack(sys.argv[1], request["id"])
        elif "id" in request:
            known = ANSWERS.get(request.get("method"))
            send(request["id"], {"result": known} if known else {"error": {"code": -32601, "message": "no"}})

"""What others write and the program reads, in full: a file or an answer with every field that is looked at."""

import json
from typing import Any

from logs import TEA

TIME = "2026-01-02T03:04:05.000Z"


def _record(kind: str, turn: int = 2, /, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "type": kind, "turn": turn, "ts": TIME, "agent": "till", **fields}


_MORE = [
    _record("memory", value={"name": "Ann"}),
    {**_record("rotate"), "from": 2, "tokens": 5},
    _record("pin", turns=[1]),
    {**_record("undo"), "from": 2, "to": 2, "active": "desk", "stack": ["till"], "states": {"order": ["tea"]}},
    {**_record("redo"), "from": 2, "to": 2, "active": "till", "stack": ["desk"], "states": {"order": None}},
    {
        **_record("compact", usage={"prompt_tokens": 1, "completion_tokens": 2}, cost=0.1),
        "from": 8,
        "message": {"role": "system", "content": "a summary"},
        "tokens": {"count": 3, "encoding": "o200k_base"},
    },
    _record("set", settings={"high": 0.9, "parameters": {"temperature": 1}}),
    _record("rename", name="new"),
    {
        **_record("mail", 0),
        "message": {"role": "user", "content": "shipped"},
        "id": "m",
        "text": "shipped",
        "sent": TIME,
    }
    | {"sender": "shop", "wake": True, "for": "nobody"},
    _record("steer", message={"role": "user", "content": "quick"}, entered="slow"),
    {**_record("ask_model"), "call": "c1", "model": "m", "key": "k", "messages": [{"role": "user", "content": "q"}]}
    | {"answer": {"content": "a"}, "finish": "stop", "ms": 1, "usage": {"prompt_tokens": 1}},
    _record("ask_user", call="c1", question="which?", kind="choice", choices=["tea"], answer="tea"),
    _record("unsent", text="never"),
    {
        **_record("task"),
        "task": "2.1",
        "n": 0,
        "entry": "user",
        "via": "c1",
        "message": {"role": "user", "content": "x"},
    },
    {**_record("task"), "task": "2.1", "n": 1, "entry": "assistant", "message": {"role": "assistant", "content": "y"}},
    _record("tools", tools=[{"name": "find", "description": "d", "parameters": {"type": "object"}, "approve": "ask"}]),
    _record("error", error="ModelError", message="x"),
    _record("policy", policy="p", reason="r", where="input"),
    _record("rescue", step="repair", fault="f", detail="d"),
    {**_record("reset"), "from": 23},
    _record(
        "user",
        3,
        message={
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {
                    "type": "image_url",
                    "image_url": {"url": "blob:image/png;sha256," + "0" * 64},
                    "image": {"name": "y.png", "type": "image/png", "bytes": 9, "width": 3, "height": 2},
                },
            ],
        },
        tokens={"count": 3, "encoding": "o200k_base"},
    ),
    _record(
        "assistant",
        3,
        message={"role": "assistant", "content": "ok", "refusal": None},
        finish="stop",
        usage={"prompt_tokens": 10, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
        model="m",
        ms=5,
        reasoning="why",
        echo={"server": "s", "fields": {"reasoning_details": [{"index": 0}]}, "calls": {"c1": {"x": 1}}},
    ),
]
_TEA = [json.loads(line) for line in TEA]
LOG = [*_TEA, *({**record, "seq": len(_TEA) + index} for index, record in enumerate(_MORE))]
"""The records of a session, of every type."""

MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "found"},
        {"role": "assistant", "content": "x", "name": "n", "function_call": {"name": "find", "arguments": "{}"}},
        {"role": "function", "name": "find", "content": "y"},
    ],
    "id": "i",
    "model": "m",
    "created": 1_700_000_000,
    "created_at": TIME,
}

CODEX = [
    {"timestamp": TIME, "type": kind, "payload": payload}
    for kind, payload in (
        ("session_meta", {"id": "i", "timestamp": TIME}),
        ("turn_context", {"model": "m"}),
        (
            "response_item",
            {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "u"}, {"text": "t"}]},
        ),
        ("response_item", {"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}),
        ("response_item", {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}),
        ("response_item", {"type": "local_shell_call", "call_id": "d", "action": {"command": ["ls"]}}),
        ("response_item", {"type": "custom_tool_call", "name": "f", "call_id": "e", "input": "x"}),
        ("response_item", {"type": "function_call_output", "call_id": "c", "output": {"content": "x"}}),
        ("response_item", {"type": "message", "role": "assistant", "content": "done"}),
    )
]

HANDWRITTEN = [
    {
        "type": "session",
        "settings": {"high": 0.9, "rescue": ["repair"], "context_window": 9000, "parameters": {"n": 1}},
    },
    {"type": "user", "text": "A tea"},
    {"type": "assistant", "text": "One moment", "calls": [{"name": "order", "arguments": {"item": "tea"}, "id": "c"}]},
    {"type": "tool", "result": {"tea": 1}, "name": "order", "status": "ok"},
    {"type": "assistant", "message": {"content": "x", "tool_calls": [{"id": "d", "function": {"name": "f"}}]}},
    {"type": "expect", "agent": "desk", "tools": ["order"], "handoffs": [], "matches": "is.$", "max_tokens": 900},
]
"""A transcript written by hand."""

SETTINGS = {
    "backend": "redis",
    "redis_url": "redis://user:secret@host:1/0",
    "data_dir": "/nowhere",
    "durability": "full",
    "lifetime": "7d",
    "memory_lifetime": 5,
    "alive_lifetime": 60,
    "model": "m",
    "base_url": "http://host/v1",
    "api_key": "k",
    "headers": {"X-Title": "b"},
    "query": {"a": "b"},
    "models": {"m": {"base_url": "http://x/v1", "max_context": 1000, "prices": [1, 2], "adaptations": ["max-tokens"]}},
    "fallback": ["m"],
    "timeout": 5,
    "retries": 2,
    "max_answer": "10MB",
    "max_answer_time": 4,
    "swarm": "helpdesk",
    "embedding_score": 0.3,
    "embedding_prefixes": ["a", "b"],
    "approve": {"order_*": "ask"},
    "rescue": ["repair"],
    "locale": "de",
    "max_context": 16_384,
    "plain": True,
    "theme": "dark",
    "prices": {"m": [1, 2.5]},
    "profile": "p",
    "discover": [11434],
    "profiles": {"p": {"model": "x", "timeout": 4}},
}

SWARM = {
    "name": "n",
    "default": "a",
    "placeholder": "p",
    "rescue": ["repair"],
    "agents": {
        "a": {
            "prompt": "p",
            "description": "d",
            "tools": ["find"],
            "handoffs": ["b"],
            "system": ["s"],
            "parameters": {"temperature": 1.5, "stop": ["x"]},
            "max_tool_calls": 3,
        },
        "b": {"prompt": "x"},
    },
    "policies": {"p": {"reject_input": ["bad"], "reject_output": "x", "ban": True, "ban_for": 5, "message": "m"}},
    "states": {"s": {"default": {"a": 1}}},
    "storages": {"t": {"items": [{"a": "x", "b": 1}], "index": "a", "shared": True}},
    "demo": [{"pattern": "(?P<word>hi)", "call": "find", "arguments": {"about": "{word}"}, "reply": "{result}"}],
}
"""A ``swarm.toml`` whose ``tools.py`` has ``find``."""

ERROR = {
    "error": {
        "message": "try again in 20s",
        "type": "t",
        "code": "c",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"retryDelay": "9s"}],
        "failed_generation": "x",
    },
    "base_resp": {"status_code": 1000, "status_msg": "x"},
    "choices": [{"index": 0, "error": {"message": "m", "code": 1}}],
    "detail": [{"msg": "x"}],
    "message": "m",
}

CHUNK = {
    "id": "x",
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "delta": {
                "role": "assistant",
                "content": [{"type": "text", "text": "x"}, {"type": "thinking", "thinking": [{"text": "y"}]}],
                "reasoning_content": "r",
                "reasoning_details": [{"index": 0, "type": "t", "id": "i", "text": "x"}],
                "tool_calls": [
                    {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                ],
                "function_call": {"name": "f", "arguments": "{}"},
            },
            "finish_reason": "stop",
            "native_finish_reason": "STOP",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
}

MODELS = {"data": [{"id": "m", "meta": {"n_ctx": 5}, "max_model_len": 4}, {"id": "n"}]}

PROPS = {"default_generation_settings": {"n_ctx": 4}, "chat_template_caps": {"supports_tools": True}}

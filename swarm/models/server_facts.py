"""Facts that a server reports about a model before the first request: its context window, and support for tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from swarmchat.swarm.common.encoding import decode_json

_WINDOW_FIELDS = ("n_ctx", "max_model_len", "loaded_context_length", "context_length", "context_window")
"""Names for the window in a list of models: llama.cpp, vLLM, LM Studio, OpenRouter, Groq."""


MAX_MODELS, MAX_MODEL_NAME = 5_000, 200
"""The most models of a list, and characters of a name: OpenRouter lists some 500."""


def is_model_name(value: object) -> TypeGuard[str]:
    """Whether ``value``, from a list of models, can be the name of one."""
    return isinstance(value, str) and 0 < len(value) <= MAX_MODEL_NAME


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """Known facts about a model; ``None`` for those that the server does not report."""

    window: int | None = None
    """Context window in tokens."""
    tools: bool | None = None
    """Whether its chat template has tools."""


def facts_in_models(body: bytes, model: str) -> ServerFacts:
    """Return the facts in ``GET /models`` about ``model``, or about the only model in the list."""
    answer = _decoded(body)
    entries = answer.get("data") if isinstance(answer, dict) else answer
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    entry = next((entry for entry in entries if entry.get("id") == model), entries[0] if len(entries) == 1 else {})
    meta = entry.get("meta")
    return ServerFacts(_window({**entry, **(meta if isinstance(meta, dict) else {})}))


def facts_in_props(body: bytes) -> ServerFacts:
    """Return the facts in llama.cpp's ``GET /props``: the window of one slot, and the abilities of the template."""
    answer = _decoded(body)
    if not isinstance(answer, dict):
        return ServerFacts()
    generation, caps = answer.get("default_generation_settings"), answer.get("chat_template_caps")
    tools = caps.get("supports_tools") if isinstance(caps, dict) else None
    return ServerFacts(
        _window(generation if isinstance(generation, dict) else answer), tools if isinstance(tools, bool) else None
    )


def _window(fields: Mapping[str, Any]) -> int | None:
    windows = (fields.get(name) for name in _WINDOW_FIELDS)
    return next((each for each in windows if type(each) is int and 0 < each < 10**9), None)


def _decoded(body: bytes) -> object:
    try:
        return decode_json(body)
    except ValueError:
        return None

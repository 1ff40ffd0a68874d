"""Stand-ins of providers: one rule each, refused with the provider's words. ``docs/providers.md`` lists them.

The rules are taken from the wordings of errors in public reports, which ``source`` names.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from model_server import Reply, failure
from swarmchat.swarm.providers.adaptations import ADAPTATIONS

__all__ = ["ADAPTATIONS", "STAND_INS", "StandIn"]

Body = Mapping[str, Any]


@dataclass(frozen=True)
class StandIn:
    """A server with one rule. ``rule`` returns what it answers a request with, ``None`` if it accepts it."""

    name: str
    servers: str
    demand: str
    form: str
    """What swarmchat sends."""
    source: str
    rule: Callable[[Body], str | None]
    status: int = 400
    adaptation: str | None = None
    """The name of the adaptation that is learned from the refusal; ``None`` if the rule is always kept."""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"temperature": 0.5, "max_tokens": 100})
    """Parameters of the requests that it gets."""

    def refuse(self, body: Body) -> Reply | None:
        """Return the refusal of ``body``, ``None`` if it is accepted."""
        complaint = self.rule(body)
        return None if complaint is None else failure(self.status, complaint, type="invalid_request_error")


def _messages(body: Body, *roles: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for index, message in enumerate(body["messages"]):
        if not roles or message["role"] in roles:
            yield index, message


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    return "".join(part.get("text", "") for part in content) if isinstance(content, list) else content or ""


def _short_ids(body: Body) -> str | None:
    for _, message in _messages(body):
        ids = [call["id"] for call in message.get("tool_calls", [])] + [message.get("tool_call_id", "123456789")]
        for each in ids:
            if not re.fullmatch("[a-zA-Z0-9]{9}", each):
                return f"Tool call id was {each} but must be a-z, A-Z, 0-9, with a length of 9."
    return None


def _function_names(body: Body) -> str | None:
    functions = [tool["function"] for tool in body.get("tools", [])]
    functions += [call["function"] for _, message in _messages(body) for call in message.get("tool_calls", [])]
    names = [function["name"] for function in functions]
    names += [message["name"] for _, message in _messages(body, "tool") if "name" in message]
    if not all(re.fullmatch("[a-zA-Z][a-zA-Z0-9_-]{0,63}", name) for name in names):
        return (
            "function name is invalid, must start with a letter and can contain letters, numbers, underscores, dashes"
        )
    return None


def _no_prefill(body: Body) -> str | None:
    if body["messages"][-1]["role"] == "assistant":
        return "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"
    return None


def _order(body: Body) -> str | None:
    following = {
        "system": ("user", "assistant"),
        "user": ("assistant",),
        "assistant": ("user", "tool"),
        "tool": ("assistant", "tool"),
    }
    messages = body["messages"]
    for before, after in pairwise(messages):
        if after["role"] not in following[before["role"]]:
            return f"Unexpected role '{after['role']}' after role '{before['role']}'"
    return None


def _alternate(body: Body) -> str | None:
    expected = "user"
    for _, message in _messages(body, "user", "assistant"):
        if message.get("tool_calls"):
            continue
        if message["role"] != expected:
            return "Conversation roles must alternate user/assistant/user/assistant/..."
        expected = "assistant" if expected == "user" else "user"
    return None


def _one_system(body: Body) -> str | None:
    wrong = any(index for index, _ in _messages(body, "system", "developer"))
    return "System message must be at the beginning." if wrong else None


def _no_blank_text(body: Body) -> str | None:
    for index, message in _messages(body):
        if isinstance(message.get("content"), str) and not message["content"].strip():
            return f"messages.{index}: text content blocks must contain non-whitespace text"
    return None


def _tools_defined(body: Body) -> str | None:
    if any("tool_calls" in message for _, message in _messages(body)) and not body.get("tools"):
        return "Requests which include `tool_use` or `tool_result` blocks must define tools"
    return None


def _known_fields(body: Body) -> str | None:
    known = {"role", "content", "name", "tool_calls", "tool_call_id"}
    for index, message in _messages(body):
        if extra := sorted(set(message) - known):
            return f"'messages.{index}' : property '{extra[0]}' is unsupported"
    return None


def _text_content(body: Body) -> str | None:
    for index, message in _messages(body):
        if message.get("content") is None:
            return f"body.messages.{index}.content: Input should be a valid string"
    return None


def _validation_errors(body: Body) -> str | None:
    if any(message.get("content") is None for _, message in _messages(body)):
        return "7 validation errors: body -> messages -> 2 -> content: none is not an allowed value"
    return None


def _reasoning(body: Body) -> str | None:
    for index, message in _messages(body, "assistant"):
        if message.get("tool_calls") and not message.get("reasoning_content"):
            return f"Missing `reasoning_content` field in the assistant message at message index {index}."
    return None


def _signatures(body: Body) -> str | None:
    for _, message in _messages(body, "assistant"):
        for call in message.get("tool_calls", [])[:1]:
            if not call.get("extra_content", {}).get("google", {}).get("thought_signature"):
                return "Function call is missing a thought_signature in functionCall parts."
    return None


def _no_stream(body: Body) -> str | None:
    return "Your organization must be verified to stream this model." if body.get("stream") else None


def _no_stream_options(body: Body) -> str | None:
    return "property 'stream_options' is unsupported" if "stream_options" in body else None


def _parameters(body: Body) -> str | None:
    missing = any("parameters" not in tool["function"] for tool in body.get("tools", []))
    return "'parameters' is a required property - 'tools.0.function'" if missing else None


def _no_empty_parameters(body: Body) -> str | None:
    for tool in body.get("tools", []):
        if tool["function"].get("parameters", {}).get("properties") == {}:
            return "parameters.properties: should be non-empty for OBJECT type"
    return None


def _no_system_role(body: Body) -> str | None:
    return "System role not supported" if any(_messages(body, "system")) else None


def _no_tools(body: Body) -> str | None:
    return "registry.ollama.ai/library/gemma:2b does not support tools" if body.get("tools") else None


def _tools_off(body: Body) -> str | None:
    return "tools param requires --jinja flag" if body.get("tools") else None


def _completion_tokens(body: Body) -> str | None:
    if "max_tokens" in body:
        return (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
    return None


def _no_temperature(body: Body) -> str | None:
    if "temperature" in body:
        return "Unsupported value: 'temperature' does not support 0.5 with this model."
    return None


def _named_results(body: Body) -> str | None:
    if any(not message.get("name") for _, message in _messages(body, "tool")):
        return "GenerateContentRequest.contents[2].parts[0].function_response.name: Name cannot be empty."
    return None


def _no_reasoning_effort(body: Body) -> str | None:
    if body.get("tools") and body.get("reasoning_effort") != "none":
        return "Function tools with reasoning_effort are not supported: set reasoning_effort to 'none'."
    return None


def _no_echo(body: Body) -> str | None:
    for index, message in _messages(body, "assistant"):
        if "reasoning_content" in message:
            return f"messages.{index}.assistant.reasoning_content: property 'reasoning_content' is unsupported"
    return None


def _content_there(body: Body) -> str | None:
    if any(message.get("content") is None for _, message in _messages(body)):
        return "Failed to deserialize the JSON body into the target type: messages[2]: missing field `content`"
    return None


def _no_names(body: Body) -> str | None:
    if any("name" in message for _, message in _messages(body, "system", "assistant", "tool")):
        return "Only messages of role 'user' can have a name."
    return None


def _short_descriptions(body: Body) -> str | None:
    for index, tool in enumerate(body.get("tools", [])):
        if (length := len(tool["function"].get("description", ""))) > 1024:
            return (
                f"Invalid 'tools[{index}].function.description': string too long. Expected a string with maximum "
                f"length 1024, but got a string with length {length} instead."
            )
    return None


def _few_repetitions(body: Body) -> str | None:
    bounds = re.findall(r'"(?:min|max)(?:Length|Items)": ?(\d+)', json.dumps(body.get("tools", [])))
    if any(int(bound) >= 2_000 for bound in bounds):
        return "failed to parse grammar: number of repetitions exceeds sane defaults, please reduce it"
    return None


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas inside of ``schema``."""
    items = [schema["items"]] if "items" in schema else []
    for part in [*schema.get("properties", {}).values(), *schema.get("anyOf", []), *items]:
        yield part
        yield from _parts(part)


def _values(body: Body) -> list[Mapping[str, Any]]:
    """The schemas of all values that the tools of a request take."""
    return [part for tool in body.get("tools", []) for part in _parts(tool["function"].get("parameters", {}))]


def _typed_values(body: Body) -> str | None:
    for part in _values(body):
        if "anyOf" in part and len(part) > 1:
            return "schema specified other fields alongside any_of. When using any_of, it must be the only field set."
        if "anyOf" not in part and "type" not in part:
            return "parameters.properties[x].type: must be specified when not using one_of, any_of or all_of fields"
    return None


def _no_alternatives(body: Body) -> str | None:
    if any("anyOf" in part for part in _values(body)):
        return "Unknown name \"any_of\" at 'tools[0].function_declarations[0].parameters': Cannot find field."
    return None


def _no_open_objects(body: Body) -> str | None:
    if any(part.get("type") == "object" and not part.get("properties") for part in _values(body)):
        return "parameters.properties[more].properties: should be non-empty for OBJECT type"
    return None


def _single_calls(body: Body) -> str | None:
    if any(len(message.get("tool_calls", [])) > 1 for _, message in _messages(body)):
        return "This model only supports single tool-calls at once!"
    return None


def _no_pictures(body: Body) -> str | None:
    for index, message in _messages(body):
        if "image_url" in str(message.get("content")):
            return (
                f"Failed to deserialize the JSON body: messages[{index}]: unknown variant `image_url`, expected `text`"
            )
    return None


def _no_text_parts(body: Body) -> str | None:
    for index, message in _messages(body):
        content = message.get("content")
        if isinstance(content, list) and all(part.get("type") == "text" for part in content):
            return f"'messages.{index}' : for 'role:{message['role']}' the content must be a string"
    return None


def _max_tokens(body: Body) -> str | None:
    if "max_completion_tokens" in body:
        return "{'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs are not permitted'}"
    return None


def _warm(body: Body) -> str | None:
    return "Input validation error: `temperature` must be strictly positive" if body.get("temperature") == 0 else None


def _no_parallel_parameter(body: Body) -> str | None:
    if "parallel_tool_calls" in body:
        return "Unsupported parameter: 'parallel_tool_calls' is not supported with this model."
    return None


def _no_choice_object(body: Body) -> str | None:
    if isinstance(body.get("tool_choice"), dict):
        return "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
    return None


STAND_INS = [
    StandIn(
        "short-ids",
        "Mistral",
        "tool call ids of nine letters and digits",
        "other ids mapped to such ids, the same for call and result",
        "anomalyco/opencode#1680, langchain-ai/langchain#24668",
        _short_ids,
    ),
    StandIn(
        "function-names",
        "OpenAI, Gemini, Kimi",
        "tool names that start with a letter and have at most 64 letters, digits, `_` and `-`",
        "other names mapped, the same in tools, calls and results; in calls, the original name is restored",
        "21st-dev/magic-mcp#34, MoonshotAI/kimi-cli#1773, nanbingxyz/5ire#403, danishjsheikh/swagger-mcp#13",
        _function_names,
    ),
    StandIn(
        "no-prefill",
        "Mistral, Claude 4.6, llama.cpp with thinking",
        "a last message that is not the assistant's",
        "`Please continue.` as a user message after an assistant message, also after a handoff with text",
        "microsoft/autogen#5044, crewAIInc/crewAI#2194",
        _no_prefill,
    ),
    StandIn(
        "order",
        "Mistral",
        "no user message after a tool's result or after another one",
        "consecutive questions joined; an assistant sentence after a result",
        "HKUDS/nanobot#2376, suitenumerique/conversations#197",
        _order,
    ),
    StandIn(
        "alternate",
        "Gemma, Mistral 7B and other chat templates (vLLM, LM Studio)",
        "user and assistant alternating, starting with the user",
        "the same, and `Hello.` as a user message before a greeting",
        "charmbracelet/crush#279",
        _alternate,
    ),
    StandIn(
        "one-system-message",
        "Qwen 3.5 and 3.6 (vLLM)",
        "one system message, at the beginning",
        "system messages joined into one",
        "vllm-project/vllm#41114, BerriAI/litellm#26879",
        _one_system,
    ),
    StandIn(
        "no-blank-text",
        "Claude behind compatible servers",
        "no blank text",
        "no blank messages; a sentence in place of a blank result",
        "BerriAI/litellm, AWS Bedrock: text content blocks must contain non-whitespace text",
        _no_blank_text,
    ),
    StandIn(
        "tools-defined",
        "Claude behind compatible servers",
        "no tool calls in the history if no tools are offered",
        "no calls; results as text",
        "BerriAI/litellm: must define tools",
        _tools_defined,
    ),
    StandIn(
        "known-fields",
        "Groq, Cerebras, Mistral",
        "no unknown fields",
        "data that a provider attached, to that provider only",
        "vercel/ai#1578",
        _known_fields,
    ),
    StandIn(
        "no-empty-parameters",
        "Gemini, Hugging Face",
        "no empty list of parameters",
        "no parameter list for tools without parameters",
        "UKGovernmentBEIS/inspect_ai#918, huggingface/huggingface_hub#3214",
        _no_empty_parameters,
    ),
    StandIn(
        "parameters",
        "llama.cpp, Azure, DeepSeek",
        "parameters for every tool",
        "an empty parameter list",
        "ggml-org/llama.cpp#17667, Azure/azure-sdk-for-js#28312",
        _parameters,
        adaptation="empty-parameters",
    ),
    StandIn(
        "text-content",
        "LM Studio, Mistral",
        "text, not null, with tool calls",
        "empty text",
        "lmstudio-ai/lmstudio-bug-tracker#261",
        _text_content,
        422,
        "empty-content",
    ),
    StandIn(
        "validation-errors",
        "llama-cpp-python",
        "text, not null, with tool calls; otherwise answers 500",
        "empty text",
        "abetlen/llama-cpp-python",
        _validation_errors,
        500,
        "empty-content",
    ),
    StandIn(
        "content-there",
        "Hugging Face (text-generation-inference)",
        "text, not null, with tool calls",
        "empty text",
        "huggingface/text-generation-inference#3021",
        _content_there,
        422,
        "empty-content",
    ),
    StandIn(
        "named-results",
        "Gemini",
        "the function's name in its result",
        "the name in every result",
        "NousResearch/hermes-agent#19728, vectorize-io/hindsight#187",
        _named_results,
    ),
    StandIn(
        "no-echo",
        "Cerebras, Groq",
        "no `reasoning_content`, although they send it themselves",
        "answers without the data that the server attached",
        "Kilo-Org/kilocode#10375, tashfeenahmed/freellmapi#1070",
        _no_echo,
        adaptation="no-echo",
    ),
    StandIn(
        "no-reasoning-effort",
        "OpenAI, GPT-5.6",
        "tools only without reasoning",
        "`reasoning_effort` none with tools",
        "laurent22/joplin#16444",
        _no_reasoning_effort,
        adaptation="no-reasoning-effort",
    ),
    StandIn(
        "reasoning",
        "DeepSeek, Kimi",
        "reasoning with tool calls, even calls from another server",
        "the same server's reasoning; a sentence for calls from another server",
        "vercel/ai#10778, openai/openai-agents-python#2155",
        _reasoning,
        adaptation="reasoning",
    ),
    StandIn(
        "signatures",
        "Gemini 3",
        "a thought signature for each tool call, even calls from another server",
        "the same server's signature; the documented neutral one for calls from another server",
        "microsoft/semantic-kernel#13417, nanbingxyz/5ire#405",
        _signatures,
        adaptation="signatures",
    ),
    StandIn(
        "no-stream",
        "OpenAI, for unverified organisations",
        "no streaming",
        "a request without streaming",
        "continuedev/continue#7129, RooCodeInc/Roo-Code#6868",
        _no_stream,
        adaptation="no-stream",
    ),
    StandIn(
        "no-stream-options",
        "Groq, Databricks",
        "no `stream_options`",
        "requests without it; answers have no token counts",
        "vercel/ai#1578, anomalyco/opencode#4698",
        _no_stream_options,
        adaptation="no-stream-options",
    ),
    StandIn(
        "no-system-role",
        "Gemma (llama.cpp, vLLM)",
        "no system message",
        "the system prompt in the first user message",
        "ggml-org/llama.cpp#5897",
        _no_system_role,
        adaptation="no-system",
    ),
    StandIn(
        "no-tools",
        "Ollama, for models without tools",
        "no tools",
        "requests without tools; a line says so",
        "ollama/ollama#8517",
        _no_tools,
        adaptation="no-tools",
    ),
    StandIn(
        "tools-off",
        "llama.cpp without `--jinja`, vLLM without `--enable-auto-tool-choice`; answers 500",
        "no tools",
        "requests without tools; a line names the missing switch; not saved",
        "ggml-org/llama.cpp, vllm-project/vllm#14682",
        _tools_off,
        status=500,
        adaptation="tools-off",
    ),
    StandIn(
        "max-completion-tokens",
        "OpenAI's reasoning models",
        "`max_completion_tokens` in place of `max_tokens`",
        "the name that the server accepts",
        "openai/openai-python#2046",
        _completion_tokens,
        adaptation="max-completion-tokens",
    ),
    StandIn(
        "no-temperature",
        "OpenAI's reasoning models",
        "no temperature or some other parameter",
        "the request without it",
        "charmbracelet/crush#422",
        _no_temperature,
        adaptation="without-temperature",
    ),
    StandIn(
        "no-names",
        "xAI",
        "no name in a tool's result",
        "results without it",
        "BerriAI/litellm#9720, pipecat-ai/pipecat#2274",
        _no_names,
        adaptation="no-names",
    ),
    StandIn(
        "single-calls",
        "Llama 3 (vLLM, llama.cpp)",
        "one tool call in a message",
        "the calls one after the other, each with its result",
        "vllm-project/vllm#25108",
        _single_calls,
        adaptation="single-calls",
    ),
    StandIn(
        "no-pictures",
        "DeepSeek and other models without vision",
        "no images, even in the history",
        "a sentence in place of each image",
        "nesquena/hermes-webui#2297, yilewang/llm-for-zotero#143",
        _no_pictures,
        adaptation="no-attachments",
    ),
    StandIn(
        "no-text-parts",
        "Groq, Cerebras",
        "text as one string, not in parts",
        "text parts joined",
        "livekit/agents#1790, OpenHands/OpenHands#4643",
        _no_text_parts,
    ),
    StandIn(
        "few-repetitions",
        "llama.cpp, LM Studio",
        "no bound of 2,000 or more in a tool's schema",
        "bounds above 1,000 as text in the description",
        "ggml-org/llama.cpp#17473, ggml-org/llama.cpp#27087",
        _few_repetitions,
    ),
    StandIn(
        "typed-values",
        "Gemini, Vertex",
        "a type for every value in a tool's schema, and nothing beside `anyOf`",
        "all types for untyped values; the description in the first alternative",
        "anomalyco/opencode#15795, danny-avila/LibreChat#6971, directus/mcp#8",
        _typed_values,
    ),
    StandIn(
        "no-alternatives",
        "Gemini 2.0 and proxies in front of it",
        "no `anyOf` in a tool's schema",
        "the first type, the others in the description",
        "google/adk-python#3280",
        _no_alternatives,
        adaptation="no-alternatives",
    ),
    StandIn(
        "no-open-objects",
        "Gemini, earlier versions",
        "properties for every object in a tool's schema",
        "a text with the object's JSON",
        "browser-use/browser-use#3786",
        _no_open_objects,
        adaptation="no-open-objects",
    ),
    StandIn(
        "short-descriptions",
        "OpenAI",
        "tool descriptions of at most 1,024 characters",
        "only the beginning of longer ones",
        "getsentry/sentry-mcp#106, OpenHands/OpenHands#4838",
        _short_descriptions,
        adaptation="short-descriptions",
    ),
    StandIn(
        "max-tokens",
        "vLLM, Mistral",
        "`max_tokens` in place of `max_completion_tokens`",
        "the name that the server accepts",
        "voideditor/void#128",
        _max_tokens,
        adaptation="max-tokens",
        parameters={"max_completion_tokens": 100},
    ),
    StandIn(
        "warm",
        "Hugging Face (text-generation-inference)",
        "a temperature above 0",
        "the request without it",
        "huggingface/text-generation-inference#1236",
        _warm,
        422,
        "without-temperature",
        {"temperature": 0},
    ),
    StandIn(
        "no-parallel-parameter",
        "OpenAI, o3-mini and o4-mini",
        "no `parallel_tool_calls`",
        "the request without it",
        "langchain-ai/langchain#29704, run-llama/llama_index#20865",
        _no_parallel_parameter,
        adaptation="without-parallel_tool_calls",
        parameters={"parallel_tool_calls": False},
    ),
    StandIn(
        "no-choice-object",
        "LM Studio",
        "no object as `tool_choice`",
        "the request without it",
        "lmstudio-ai/lmstudio-bug-tracker#670",
        _no_choice_object,
        adaptation="without-tool_choice",
        parameters={"tool_choice": {"type": "function", "function": {"name": "note"}}},
    ),
]

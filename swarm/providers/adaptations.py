"""Adaptations of requests to servers that reject the usual form, learned from their error messages.

If a rejection names a part of the request, the request is sent again once in another form. A form that the server
accepts is used for that server and model from then on.
"""

import json
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swarmchat.swarm.common.encoding import decode_json
from swarmchat.swarm.common.files import write_atomically
from swarmchat.swarm.providers.messages import MessageForm
from swarmchat.swarm.providers.structured import NO_FORMAT, TOOLS_OFF, WITHOUT_TOOLS, demands_output


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One change to requests that some servers require."""

    name: str
    effect: str
    """What the adaptation does, as shown to the user."""
    refusal: str
    """A regular expression for the error texts that require it."""
    source: str
    """Where such a text was reported."""


ADAPTATIONS = (
    Adaptation(
        NO_FORMAT,
        "answers of a given type are requested as a tool call",
        r"response.?format|json_schema|response.?mime|json mode|grammar.{0,80}tools|tools.{0,80}grammar",
        "llm-exe/llm-exe#662 (DeepSeek), dzhng/deep-research#127 (Groq), BerriAI/litellm#6610 (xAI)",
    ),
    Adaptation(
        "reasoning",
        "reasoning is sent back with the answers that it led to",
        r"reasoning_content.{0,120}(?:missing|must be passed|required)|missing.{0,20}reasoning_content",
        "vercel/ai#10778, openai/openai-agents-python#2155 (DeepSeek, Kimi)",
    ),
    Adaptation(
        "no-echo",
        "data that the server attached to its answers is not sent back",
        r"(?:reasoning_(?:content|details)|extra_content|thinking_blocks).{0,80}"
        r"(?:unsupported|not supported|not permitted|unexpected|unknown|extra)"
        r"|(?:unsupported|not permitted|unexpected|unknown|extra).{0,40}(?:reasoning_content|extra_content)"
        r"|\breasoning\W{1,8}(?:msg\W{1,5})?extra inputs are not permitted",
        "Kilo-Org/kilocode#10375, tashfeenahmed/freellmapi#1070 (Cerebras, Groq), BerriAI/litellm#13609 (Bedrock)",
    ),
    Adaptation(
        "no-names",
        "tool results do not name the function",
        r"only messages? (?:of|with) role .{0,10}user.{0,10} can have a name"
        r"|\bname\b.{0,20}(?:is )?(?:not allowed|not permitted|unsupported|not supported).{0,40}\btool\b"
        r"|messages\W{0,3}\d+\W{0,3}name\W.{0,20}(?:not allowed|not permitted|unsupported|not supported)"
        r"|\bname\W{1,8}(?:msg\W{1,5})?extra inputs are not permitted"
        r"|(?:extra inputs|not permitted|unknown|unexpected).{0,40}messages\W{0,3}\d+\W{0,3}name\b",
        "BerriAI/litellm#9720 (xAI), anomalyco/opencode#2038 (Bedrock)",
    ),
    Adaptation(
        "single-calls",
        "parallel tool calls are sent one after the other",
        r"single tool.?calls? at once|parallel tool.?call\w* (?:is|are) not (?:supported|allowed)"
        r"|(?:only supports?|supports? only|at most) (?:one|a single|1) tool.?call",
        "vllm-project/vllm#25108 (templates of Llama 3)",
    ),
    Adaptation(
        "no-attachments",
        "images are not sent: this model accepts only text",
        r"unknown variant \W{0,2}(?:image_url|input_audio|file)"
        r"|image_url.{0,80}(?:not support|unsupported|only support)"
        r"|(?:does not|doesn't) support (?:image|vision|multimodal)|not a multimodal model|support image input"
        r"|(?:image|vision)s?(?: (?:input|content|url)s?)? (?:is|are) (?:currently )?"
        r"(?:not (?:supported|enabled|allowed)|disabled)"
        r"|at most 0 image|required for image input|role:user.{0,160}content.{0,20}must be a string",
        "nesquena/hermes-webui#2297 (DeepSeek), ollama/ollama#17301, lmstudio-bug-tracker#362, vercel/ai#2837 (Groq), "
        "OpenRouter, vLLM, llama.cpp (500)",
    ),
    Adaptation(
        "short-descriptions",
        "tool descriptions are cut to 1,024 characters",
        r"description\W.{0,40}too long|description.{0,80}(?:maximum length|at most \d+ characters)",
        "getsentry/sentry-mcp#106 (OpenAI)",
    ),
    Adaptation(
        "no-open-objects",
        "objects without fixed properties are requested as JSON text",
        r"should be non-empty for OBJECT type|object schema missing properties",
        "browser-use/browser-use#3786 (Gemini)",
    ),
    Adaptation(
        "no-alternatives",
        "if a value can have several types, only the first is offered",
        r"\b(?:any|one)_?of\b|specify the schema type field",
        "google/adk-python#3280, oOo0oOo/lean-lsp-mcp#213 (Gemini 2.0, Vertex)",
    ),
    Adaptation(
        "no-reasoning-effort",
        "tools are sent with reasoning_effort none",
        # litellm names it in a refusal of the temperature, too.
        r"(?<!supported when )reasoning_effort.{0,200}(?:to|=) ?['\"]none",
        "laurent22/joplin#16444 (GPT-5.6 in this API)",
    ),
    Adaptation(
        "signatures",
        "tool calls of other models get a neutral thought signature",
        r"thought_signature",
        "microsoft/semantic-kernel#13417 (Gemini 3)",
    ),
    Adaptation(
        "no-stream-options",
        "answers have no token counts",
        r"stream_options|include_usage",
        "vercel/ai#1578, anomalyco/opencode#4698 (Groq, Databricks)",
    ),
    Adaptation(
        "no-stream",
        "answers are not streamed",
        r"must be verified to stream|\bstream(?:ing)?[\"'`]?:? .{0,60}(?:not |un)(?:support|availab|allowed|enabled)"
        r"|input should be '?false.{0,40}\bstream\b|\bstream\b.{0,40}input should be '?false"
        r"|\"param\": ?\"stream\"|\bstream\W{0,3}(?:=|to|must be)\W{0,3}false"
        r"|(?:does not|doesn't) support (?:stream|tools? (?:calls? |use )?(?:and|with) stream)",
        "continuedev/continue#7129, RooCodeInc/Roo-Code#6868 (OpenAI, unverified organisations), "
        "deepset-ai/haystack#9604",
    ),
    Adaptation(
        "empty-content",
        'messages with tool calls but no text have the text ""',
        r"messages?\W.{0,60}\bcontent.{0,200}(?:valid string|none is not|null|NoneType|string_type)"
        r"|\bcontent.{0,40}(?:must be a string|cannot be null|should not be null|is required|is missing|got null)"
        r"|validation errors?.{0,400}\bcontent|missing field\W{0,3}content",
        "lmstudio-bug-tracker#261, huggingface/text-generation-inference#3021, abetlen/llama-cpp-python (500)",
    ),
    Adaptation(
        "empty-parameters",
        "tools without parameters have an empty parameter list",
        r"parameters.{0,40}(?:is a required|is required|field required|not found|missing|must be)"
        r"|missing.{0,20}parameters",
        "ggml-org/llama.cpp#17667, Azure/azure-sdk-for-js#28312, end-4/dots-hyprland#3264 (DeepSeek)",
    ),
    Adaptation(
        "no-system",
        "the system prompt is put into the first user message",
        r"system role (?:is )?not supported|(?:does not|doesn't) support (?:the )?system (?:role|message|instruction)"
        r"|developer instruction is not enabled|system message is not supported|only user and assistant roles"
        r"|\brole\W.{0,10}(?:does not|doesn't) support.{0,5}system",
        "ggml-org/llama.cpp#5897, google-gemini/cookbook (Gemma)",
    ),
    Adaptation(
        "max-completion-tokens",
        "max_tokens is sent as max_completion_tokens",
        r"max_tokens.{0,120}max_completion_tokens",
        "openai/openai-python#2046 (reasoning models)",
    ),
    Adaptation(
        "max-tokens",
        "max_completion_tokens is sent as max_tokens",
        r"(?:unknown|unrecogni[sz]ed|unsupported|extra|not permitted|unexpected).{0,80}max_completion_tokens"
        r"|max_completion_tokens.{0,80}(?:unknown|unrecogni[sz]ed|not permitted|extra|unexpected|not supported)",
        "mistralai/mistral-inference#236 (Mistral)",
    ),
    Adaptation(
        TOOLS_OFF,
        "NO TOOLS are offered: the server was started without them. Start it again with the switch that turns them on "
        "(llama.cpp: --jinja, vLLM: --enable-auto-tool-choice and --tool-call-parser)",
        r"tools? param requires|--jinja|enable-auto-tool-choice",
        "llama.cpp, vllm-project/vllm#14682",
    ),
    Adaptation(
        "no-tools",
        "NO TOOLS are offered: this model cannot call them",
        r"does not support (?:tools|tool use|function)"
        r"|(?<!parallel )(?:tools\W?|(?:tool|function) (?:use|call\w*)|functions) (?:is|are) not (?:supported|enabled)"
        r"|no endpoints found that support tool use|unknown variant \W{0,2}tool\b"
        r"|(?:parameter|argument|field)s?(?: supplied)?\W{1,4}tools\b"
        r"|\btools\W{1,8}(?:msg\W{1,5})?extra (?:inputs|fields) (?:are )?not permitted",
        "ollama/ollama#8517, OpenRouter, edison7009/EchoBird#155, partITech/php-mistral#76",
    ),
)
"""In the order in which they are tried: if an error text matches two, the earlier one is tried first."""

_BY_NAME = {adaptation.name: adaptation for adaptation in ADAPTATIONS}
_DROPPED = "without-"
"""Prefix of the adaptation that leaves one parameter out: ``without-temperature``."""
_REFUSES_PARAMETER = (
    r"(?:unsupported|unrecogni[sz]ed|unknown|unexpected|extra (?:inputs|fields)|not permitted|not supported|invalid"
    r"|(?:do(?:es)? not|do(?:es)?n't) support|input should be|must be|should be|has to be|not allowed|out of range"
    r"|too (?:large|big|high|small|low)|cannot both be)"
)
_MAX_TEXT = 4_000
VERSION_PATH = "version-path"
"""The adaptation to a base URL without a version, learned from a wrong reply instead of a rejection."""


def describe(name: str) -> str:
    """Return the effect of the adaptation ``name``, as shown to the user."""
    if name.startswith(_DROPPED):
        return f"{name.removeprefix(_DROPPED)} is not sent"
    if name == VERSION_PATH:
        return "/v1 is added to the base URL"
    return _BY_NAME[name].effect


def is_adaptation(name: str) -> bool:
    """Whether ``name`` is the name of an adaptation."""
    return name in _BY_NAME or name == VERSION_PATH or (name.startswith(_DROPPED) and len(name) > len(_DROPPED))


def learn(
    status: int, text: str, body: Mapping[str, Any], known: Collection[str], *, attachments: bool = True
) -> str | None:
    """Return the name of the adaptation that a refusal with the error ``text`` asks for, ``None`` if it asks for none.

    ``body`` holds the fields of the request besides its messages; ``attachments`` says whether these hold pictures or
    other parts. Only what is in the request, and is not in ``known``, is considered, so the same request is never sent
    twice.
    """
    text = text[:_MAX_TEXT]
    # llama.cpp and llama-cpp-python answer 500 where others answer 400 or 422.
    if status not in (400, 404, 422, 500):
        return None
    for adaptation in ADAPTATIONS:
        if (
            adaptation.name not in known
            and (attachments or adaptation.name != "no-attachments")
            and _applies(adaptation.name, body)
            and re.search(adaptation.refusal, text, re.I | re.S)
        ):
            return adaptation.name
    if status == 500 and not re.search("validation error|parse error|not found", text):
        return None
    for name in body:
        dropped = _DROPPED + name
        if name in ("model", "messages", "tools", "stream") or dropped in known:
            continue
        # xAI writes presencePenalty.
        word = rf"\b{re.escape(name).replace('_', '_?')}\b"
        near = rf"{_REFUSES_PARAMETER}.{{0,80}}{word}|{word}.{{0,80}}{_REFUSES_PARAMETER}"
        if re.search(near, text, re.I | re.S):
            return dropped
    return None


def _applies(name: str, body: Mapping[str, Any]) -> bool:
    """Whether the request has a part that the adaptation would change."""
    match name:
        case "no-response-format":
            return demands_output(body)
        case "tools-off":
            return "tools" in body
        case "no-stream-options":
            return "stream_options" in body
        case "no-stream":
            return bool(body.get("stream"))
        case (
            "tools-off" | "no-tools" | "empty-parameters" | "short-descriptions" | "no-open-objects" | "no-alternatives"
        ):
            return "tools" in body
        case "max-completion-tokens":
            return "max_tokens" in body
        case "max-tokens":
            return "max_completion_tokens" in body
        case "no-reasoning-effort":
            return "tools" in body and body.get("reasoning_effort") != "none"
        case "no-echo":
            # Parameters of the request may have such names, too.
            return not any(name.startswith("reasoning") for name in body)
        case _:
            return True


def message_form(adaptations: Collection[str]) -> MessageForm:
    """Return the form of messages that ``adaptations`` ask for."""
    return MessageForm(
        empty_content="empty-content" in adaptations,
        system_in_user="no-system" in adaptations,
        reasoning="reasoning" in adaptations,
        signatures="signatures" in adaptations,
        echo="no-echo" not in adaptations,
        names="no-names" not in adaptations,
        single_calls="single-calls" in adaptations,
        attachments="no-attachments" not in adaptations,
    )


def apply_adaptations(adaptations: Collection[str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``fields`` of a request body besides its messages, in the form that ``adaptations`` ask for."""
    renamed = {"max-completion-tokens": ("max_tokens", "max_completion_tokens")}
    renamed["max-tokens"] = ("max_completion_tokens", "max_tokens")
    changed = dict(fields)
    for adaptation, (old, new) in renamed.items():
        if adaptation in adaptations and old in changed:
            changed[new] = changed.pop(old)
    if "no-stream" in adaptations:
        changed.pop("stream", None)
    if "no-stream-options" in adaptations or "no-stream" in adaptations:
        changed.pop("stream_options", None)
    if "no-reasoning-effort" in adaptations and "tools" in changed:
        changed["reasoning_effort"] = "none"
    if not WITHOUT_TOOLS.isdisjoint(adaptations):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            changed.pop(name, None)
    return {name: value for name, value in changed.items() if _DROPPED + name not in adaptations}


class LearnedAdaptations:
    """The adaptations of servers, by address and model; saved in the JSON file ``path``, if it is given.

    The file holds ``{server: {model: [names]}}`` and can be edited. Invalid entries are ignored. If the file cannot be
    written, the adaptation is learned again next time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._servers: dict[str, dict[str, list[str]]] | None = None
        self._started_without_tools: set[tuple[str, str]] = set()
        """Servers and models that get ``TOOLS_OFF``."""

    def of(self, server: str, model: str) -> tuple[str, ...]:
        """Return the names of the adaptations of ``model`` on ``server``."""
        if self._servers is None:
            self._servers = self._read()
        off = (TOOLS_OFF,) if (server, model) in self._started_without_tools else ()
        return (*self._servers.get(server, {}).get(model, ()), *off)

    def add(self, server: str, model: str, adaptation: str) -> None:
        """Remember ``adaptation``."""
        if adaptation == TOOLS_OFF:
            self._started_without_tools.add((server, model))
            return
        # Read again: another process may have learned something meanwhile.
        self._servers = self._read() if self._path is not None else self._servers or {}
        names = self._servers.setdefault(server, {}).setdefault(model, [])
        if adaptation not in names:
            names.append(adaptation)
        # A symbolic link would let a folder of others have any file replaced.
        if self._path is not None and not self._path.is_symlink():
            with suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self._path, json.dumps(self._servers, indent=1).encode() + b"\n")

    def _read(self) -> dict[str, dict[str, list[str]]]:
        try:
            servers = decode_json(self._path.read_text("utf-8")) if self._path is not None else {}
        except (OSError, ValueError, RecursionError):
            return {}
        return {
            server: {
                model: [name for name in names if isinstance(name, str) and is_adaptation(name)]
                for model, names in models.items()
                if isinstance(names, list)
            }
            for server, models in (servers.items() if isinstance(servers, dict) else ())
            if isinstance(models, dict)
        }

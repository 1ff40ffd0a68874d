"""How many tokens a chat request costs, counted as OpenAI's servers do.

The rules were found by comparing with recorded server counts, since the API documents none of them:
the cookbook (https://github.com/openai/openai-cookbook, How_to_count_tokens_with_tiktoken) for messages and names,
https://github.com/hmarr/openai-chat-tokens for calls and tools. Parallel calls cost more than their parts
(https://community.openai.com/t/538914), and the results of parallel calls were billed as ASCII-escaped JSON
(https://community.openai.com/t/1375117): both are counted by the upper bound.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.common.messages import calls_of
from swarmchat.swarm.context.encodings import VocabularyError, encoding_name, load_encoding, load_table
from swarmchat.swarm.context.image_tokens import ImageRule, image_rule

if TYPE_CHECKING:
    from swarmchat.swarm.context.token_table import TokenTable

Message = Mapping[str, Any]

PER_MESSAGE = 3

PER_NAME = 1

PER_CALL = 3

PER_RESULT = 3

PARALLEL_CALLS = 37

PER_REPLY = 3

TOOLS = 9

TOOLS_SHARE_SYSTEM = -4

LEGACY_RESULT = -2


class TokenCounter:
    """Counts texts, messages and whole prompts in one encoding.

    ``approximate`` is true when the vocabulary could not be loaded: figures are then estimates from the number of
    bytes, rather too high, and should be shown with a ``~``; ``problem`` says why. ``images`` counts images.
    """

    def __init__(
        self,
        encoding: str,
        length: Callable[[str], int],
        problem: str | None = None,
        images: ImageRule | None = None,
    ) -> None:
        self.encoding = encoding
        self._images = images or ImageRule()
        self.problem = problem
        self._length = length
        self._fixed = lru_cache(maxsize=64)(self._count_fixed)

    @property
    def approximate(self) -> bool:
        """Whether counts are estimates."""
        return self.problem is not None

    def text(self, text: str) -> int:
        """Return the tokens of ``text``. Control tokens such as ``<|endoftext|>`` count as the text they are."""
        return self._length(text) if text else 0

    def message(self, message: Message, *, parallel: bool = False) -> int:
        """Return the tokens of one message inside a prompt.

        ``parallel`` says that it is the result of one of several calls in one message.
        """
        role = message.get("role", "")
        tokens = PER_MESSAGE + self.text(str(role)) + self._content(message.get("content"), escaped=parallel)
        if name := message.get("name"):
            tokens += self.text(str(name)) + PER_NAME
        calls = list(calls_of(message))
        tokens += sum(self.text(call.name) + self.text(call.arguments) + PER_CALL for call in calls)
        if len(calls) > 1:
            tokens += PARALLEL_CALLS
        if role == "tool":
            tokens += PER_RESULT
        elif role == "function":
            tokens += LEGACY_RESULT
        return tokens

    def fixed(self, system: Sequence[bytes], tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Return the tokens of a request without its conversation: system messages (as JSON), tools, the reply."""
        return self._fixed(tuple(system), json.dumps(tools) if tools else "")

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> int:
        """Return the tokens of a whole request, which the server reports as ``usage.prompt_tokens``."""
        system = [json.dumps(m).encode() for m in messages if m.get("role") == "system"]
        return self.fixed(system, tools) + sum(self.message(m) for m in messages if m.get("role") != "system")

    def _count_fixed(self, system: tuple[bytes, ...], tools: str) -> int:
        messages = [json.loads(message) for message in system]
        tokens = PER_REPLY
        if tools:
            tokens += TOOLS + self.text(tools_as_typescript(json.loads(tools)))
            if messages:
                # Tools live in a system message: the first one is continued after a line end, not a second one made.
                tokens += TOOLS_SHARE_SYSTEM
                messages[0] = {**messages[0], "content": _as_text(messages[0].get("content")) + "\n"}
        return tokens + sum(self.message(message) for message in messages)

    def _content(self, content: object, *, escaped: bool) -> int:
        if isinstance(content, str):
            return self.text(json.dumps(content) if escaped else content)
        if not isinstance(content, list):
            return 0 if content is None else self.text(_as_text(content))
        tokens = 0
        for part in content:
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                tokens += self._content(part["text"], escaped=escaped)
            else:
                tokens += self._images.tokens(part if isinstance(part, Mapping) else {})
        return tokens


_LOADING = Lock()


def counter_for(model: str, tables: Path | None = None) -> TokenCounter:
    """Return the counter for ``model``; never uses the network.

    Texts are counted by tiktoken's encoder, which takes 0.3 s and 60 MB, once. With the folder ``tables``, the first
    texts are counted with a table in that folder, so a short conversation never needs the encoder.
    """
    # A cache alone would let sessions that begin at the same time load the encoder several times.
    with _LOADING:
        return _counter(encoding_name(model), image_rule(model), tables)


@cache
def _counter(name: str, images: ImageRule, tables: Path | None) -> TokenCounter:
    if tables is not None and (table := load_table(name, tables)) is not None:
        return TokenCounter(name, _Lengths(name, table).length, images=images)
    try:
        encoding = load_encoding(name)
    except VocabularyError as error:
        return TokenCounter("estimate", _estimate, str(error), images)
    # encode_ordinary: encode() raises for a text that holds the name of a control token.
    return TokenCounter(name, lambda text: len(encoding.encode_ordinary(text)), images=images)


class _Lengths:
    """The tokens of texts, by a table until so much was counted that the encoder is worth its time."""

    def __init__(self, name: str, table: "TokenTable") -> None:
        self._name = name
        self._table = table
        self._left = _BY_TABLE

    def length(self, text: str) -> int:
        self._left -= len(text)
        if self._left >= 0 and (length := self._table.length(text)) is not None:
            return length
        return len(load_encoding(self._name).encode_ordinary(text))


_BY_TABLE = 40_000
"""Characters that are counted by a table: it takes some 3 µs for each, so that the encoder is faster from then on."""
_SIGNS = re.compile(r"[!-/:-@\[-`{-~]")


def _estimate(text: str) -> int:
    """Guess high: a token for each ASCII sign, and for each 3 bytes of the rest (English words have more than 4)."""
    signs = len(_SIGNS.findall(text))
    return signs + -(-(len(text.encode("utf-8", "replace")) - signs) // 3)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


_SCALARS = {"string": "string", "number": "number", "integer": "number", "boolean": "boolean", "null": "null"}


def tools_as_typescript(tools: Iterable[Mapping[str, Any]]) -> str:
    """Return the declarations of ``tools``, which are in the chat API's form. Never raises for an odd schema."""
    lines = ["namespace functions {", ""]
    for tool in tools:
        lines += [*_function(_mapping(tool.get("function")) or tool), ""]
    return "\n".join([*lines, "} // namespace functions"])


def _function(function: Mapping[str, Any]) -> Iterator[str]:
    name = function.get("name", "")
    parameters = _mapping(function.get("parameters"))
    if description := function.get("description"):
        yield f"// {description}"
    if _mapping(parameters.get("properties")):
        yield f"type {name} = (_: {{"
        yield from _properties(parameters, "")
        yield "}) => any;"
    else:
        yield f"type {name} = () => any;"


def _properties(schema: Mapping[str, Any], indent: str) -> Iterator[str]:
    required = _listed(schema.get("required"))
    for name, property_ in _mapping(schema.get("properties")).items():
        property_ = _mapping(property_)
        if description := property_.get("description"):
            yield f"{indent}// {description}"
        mark = "" if name in required else "?"
        yield f"{indent}{name}{mark}: {_type(property_, indent)},"


def _type(schema: Mapping[str, Any], indent: str) -> str:
    if values := _listed(schema.get("enum")):
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    if options := _listed(schema.get("anyOf")) or _listed(schema.get("oneOf")):
        return " | ".join(_type(_mapping(option), indent) for option in options)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_type({**schema, "type": one}, indent) for one in kind)
    if kind == "array":
        items = _mapping(schema.get("items"))
        return f"{_type(items, indent)}[]" if items else "any[]"
    properties = _mapping(schema.get("properties"))
    if kind == "object" or properties:
        if not properties:
            return "object"
        return "\n".join(["{", *_properties(schema, indent + "  "), indent + "}"])
    return _SCALARS.get(kind, "any") if isinstance(kind, str) else "any"


def _mapping(value: object) -> Mapping[str, Any]:
    """Return ``value`` if it is what a schema has there: schemas come from other people's programs."""
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

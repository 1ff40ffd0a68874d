"""The built-in demo model: it follows fixed rules and needs no key and no network."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any, NamedTuple

from swarmchat.swarm.common.messages import calls_of, texts_of
from swarmchat.swarm.common.mistakes import TEXT, check_fields, check_value, explained, many
from swarmchat.swarm.common.names import portable_name
from swarmchat.swarm.common.patterns import bounded_pattern
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, TextChunk, ToolCall
from swarmchat.swarm.models.scripted import word_pieces

_HANDOFF = "transfer_"

_SEARCHED = 1000
"""Characters of a message that patterns search: a pattern may take quadratic time, and users paste long texts."""

_FAILED = re.compile(r"(?:Error|Denied): (?:\w*Error: )?(.*)", re.DOTALL)


@explained
@dataclass(frozen=True)
class DemoRule:
    """A rule of the demo model: how to answer if the user's last message matches ``pattern``.

    Without ``call``, the answer is ``reply``. With ``call``, that tool is called, and its result is answered with
    ``reply``, or with the error if the tool failed. The rule is skipped if the active agent does not have the tool, or
    if ``call`` is a handoff and the user was already handed over in this turn. Raises DefinitionError for an invalid
    pattern or format string.
    """

    pattern: str
    """A regular expression; searches the first 1,000 characters and ignores case. Format strings can use its groups."""
    call: str = ""
    arguments: Mapping[str, str] | Callable[[str], Mapping[str, Any]] = field(default_factory=dict)
    """Format strings with the pattern's named groups and ``text``, the whole message; empty results are left out. Or a
    function that takes the message and returns the arguments."""
    reply: str = "{result}"
    """A format string with the same fields and ``result``, the tool's result; ``{result[name]}`` is a field of it."""
    say: str = ""
    """A format string for the text before the call. If empty: no text, or "One moment." before a handoff."""
    leak: bool = False
    """Whether to write the call as text, as some models do, to try out the rescue."""

    def __post_init__(self) -> None:
        check_fields(f"demo rule {self.pattern!r}", self, dict.fromkeys(("pattern", "call", "reply", "say"), TEXT))
        try:
            groups = bounded_pattern(self.pattern, ignore_case=True).groups
        except re.error as error:
            raise DefinitionError(f"demo rule {self.pattern!r} is not a regular expression ({error})") from error
        fields = {*groups, "text"}
        _check_template(self.say, fields)
        _check_template(self.reply, {*fields, "result"})
        for template in () if callable(self.arguments) else self.arguments.values():
            _check_template(template, fields)


def follow_rules(
    rules: Sequence[DemoRule], messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], call_id: str
) -> Answer | None:
    """Return the answer of the first rule that applies; ``None`` if none does.

    ``messages`` and ``tools`` are those of a request; ``call_id`` is the id for a tool call. Raises only what a rule's
    own function raises, and DefinitionError for a pattern that takes too long.
    """
    last = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    if last < 0:
        return None
    text, after = _text_of(messages[last]), messages[last + 1 :]
    results = [_text_of(message) for message in after if message.get("role") == "tool"]
    called = {portable_name(call.name) for message in after for call in calls_of(message)}
    # After a handoff, an agent sees the other agent's texts but not its calls.
    handed_over = any(message.get("role") == "assistant" and not any(calls_of(message)) for message in after)
    offered = {tool["function"]["name"] for tool in tools}
    for rule in rules:
        match = bounded_pattern(rule.pattern, ignore_case=True).search(text[:_SEARCHED])
        if not match:
            continue
        values = {"text": text, **{name: value or "" for name, value in match.groupdict().items()}}
        name = portable_name(rule.call)
        if not rule.call or name in called:
            return Answer(_reply(rule, values, results[-1] if results else ""))
        if name in offered and not called and not (handed_over and rule.call.startswith(_HANDOFF)):
            return _call(rule, values, call_id)
    return None


def _text_of(message: Mapping[str, Any]) -> str:
    return " ".join(texts_of(message))


@dataclass(frozen=True)
class _Result:
    """A tool's result for format strings: formats as its text, and has the fields of its JSON."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, key: str | int) -> Any:
        return json.loads(self.text)[key]


def _call(rule: DemoRule, values: Mapping[str, str], call_id: str) -> Answer:
    if callable(rule.arguments):
        arguments = dict(rule.arguments(values["text"]))
    else:
        texts = {name: _format(template, values) for name, template in rule.arguments.items()}
        arguments = {name: value for name, value in texts.items() if value}
    text = _format(rule.say, values) or ("One moment." if rule.call.startswith(_HANDOFF) else "")
    if rule.leak:
        call_text = json.dumps({"name": rule.call, "arguments": arguments}, ensure_ascii=False)
        return Answer(f"{text}\n<tool_call>{call_text}</tool_call>".lstrip())
    call = ToolCall(call_id, rule.call, json.dumps(arguments, ensure_ascii=False))
    return Answer(text, tool_calls=(call,), finish="tool_calls")


def _reply(rule: DemoRule, values: Mapping[str, str], result: str) -> str:
    if error := _FAILED.fullmatch(result):
        return f"That did not work: {error[1]}"
    return _format(rule.reply, {**values, "result": _Result(result)})


def _format(template: str, values: Mapping[str, object]) -> str:
    try:
        return template.format(**values)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        # The result does not have the field that the template uses.
        return str(values.get("result", template))


def _check_template(template: object, fields: set[str]) -> None:
    """Raise DefinitionError unless ``template`` is a format string that uses only ``fields``."""
    if not isinstance(template, str):
        raise DefinitionError(f"demo rule: {template!r} is {type(template).__name__}, expected a format string")
    try:
        names = [re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise DefinitionError(f"demo rule: {template!r} is not a format string ({error})") from error
    if unknown := [name for name in names if name not in fields]:
        raise DefinitionError(f"demo rule: {template!r} uses {unknown[0]!r}; available: {', '.join(sorted(fields))}")


LARGEST_COUNT = 10_000

_CONNECT = """\
To connect a real model:

- OpenAI: set `OPENAI_API_KEY`, then start with `-m gpt-4o-mini` or another model's name.
- A server of your own (Ollama, LM Studio, llama.cpp, vLLM): start with `-m MODEL --base-url http://localhost:11434/v1`.

The conversation continues with that model."""

_WHAT_I_AM = f"""\
I am the demo model: a few written rules, no AI. I am here so that you can try the program without a key and without \
a network. Say "what did I say?", "count to 100" or "markdown" to see what I can do.

{_CONNECT}"""

_MARKDOWN = """\
# A sample

Text may be **bold**, *slanted* or `code`, and a [link](https://example.org) has an address.

1. First
2. Second
   - with a point below it

| backend | survives a restart |
| --- | --- |
| memory | no |
| disk | yes |
| redis | yes |

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```

> That was all."""


class _UserMessages(NamedTuple):
    """The user's messages: a rule's match in the last one, and those before it."""

    match: re.Match[str]
    earlier: Sequence[str]


def _greet(messages: _UserMessages) -> str:
    again = " again" if messages.earlier else ""
    return f"Hello{again}! I am the demo model: scripted answers, no AI. Ask me for help to see what I can do."


def _recall(messages: _UserMessages) -> str:
    if not messages.earlier:
        return "Nothing yet: this is the first message that I was sent."
    lines = "\n".join(f"{number}. {text}" for number, text in enumerate(messages.earlier, 1))
    return f"I was sent these messages of yours, oldest first:\n\n{lines}"


def _count(messages: _UserMessages) -> str:
    number = int(messages.match[1].replace(",", ""))
    if not 1 <= number <= LARGEST_COUNT:
        return f"I count from 1 to any number up to {LARGEST_COUNT:,}, and {number:,} is not one of those."
    return " ".join(map(str, range(1, number + 1)))


def _pass_on(messages: _UserMessages) -> str:
    return f"There is news for you: {messages.match[1]}"


def _otherwise(messages: _UserMessages) -> str:
    quoted = " ".join(messages.match[0].split())
    quoted = quoted if len(quoted) <= 60 else quoted[:59] + "…"
    replies = (
        f'You said "{quoted}". I am the demo model and have no rule for that; ask for help to see my rules.',
        f'I cannot think about "{quoted}": I am scripted, no AI. A real model could; ask me how to connect one.',
        f'"{quoted}" is kept in this session\'s log, but I have no answer to it: I only follow a few rules.',
    )
    return replies[len(messages.earlier) % len(replies)]


# The first rule whose pattern matches the last user message gives the answer.
_RULES: tuple[tuple[str, Callable[[_UserMessages], str]], ...] = (
    (r"(?s)^A message has arrived from outside of this conversation.+? It says:\n\n(.+)\n\nThis is the end", _pass_on),
    (r"\bcount(?: up)? to (\d[\d,]{0,30})", _count),
    (r"\bwhat (?:did|have) i (?:say|said|tell|told|ask|asked)\b|\brepeat what i said\b", _recall),
    (r"\bmarkdown\b", lambda messages: _MARKDOWN),
    (r"\b(?:connect|api key|base.url|real model)\b", lambda messages: _CONNECT),
    (r"\bhelp\b|\b(?:who|what) are you\b|\bwhat can you do\b|\bwhat is this\b", lambda messages: _WHAT_I_AM),
    (r"^\W*(?:hi|hello|hey|good (?:morning|day|afternoon|evening))\b", _greet),
    (r"(?s).*", _otherwise),
)


class DemoModel:
    """Answers by fixed rules, after those in ``rules``. ``delay``: seconds between two words."""

    def __init__(self, delay: float = 0.0, rules: Sequence[DemoRule] = ()) -> None:
        check_value("DemoModel", "rules", rules, many("DemoRule objects", lambda rule: isinstance(rule, DemoRule)))
        self._delay = delay
        self._rules = rules

    @property
    def name(self) -> str:
        """The model's name."""
        return "demo"

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        return 32_000

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer the last user message word by word; see ``Model.stream``. Reports no usage."""
        messages = request.decoded_messages()
        answer = follow_rules(self._rules, messages, request.tools, f"call_{request.key[:8]}")
        if answer is None:
            texts = [_text_of(message) for message in messages if message.get("role") == "user"]
            answer = Answer(_answer(texts))
        for position, piece in enumerate(word_pieces(answer.text)):
            if position and self._delay:
                await asyncio.sleep(self._delay)
            yield TextChunk(piece)
        yield replace(answer, model=self.name)

    async def close(self) -> None:
        """Do nothing; there is no connection."""


def _answer(texts: Sequence[str]) -> str:
    """Return the answer of the built-in rules to the user's messages ``texts``."""
    *earlier, last = texts or [""]
    for pattern, reply in _RULES:
        if match := re.search(pattern, last, re.IGNORECASE):
            return reply(_UserMessages(match, earlier))
    raise AssertionError("the last rule matches every message")

"""The built-in demo model: fixed rules, no key, no network, and always the same answer to the same message."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from string import Formatter
from typing import Any

from swarmchat.swarm.common.messages import calls_of, texts_of
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, TextChunk, ToolCall
from swarmchat.swarm.models.scripted import word_pieces

_HANDOFF = "transfer_"

_LOOKED_AT = 1000
"""Characters of a message that patterns are searched in: some take the square of its length, and people paste books."""

_FAILED = re.compile(r"(?:Error|Denied): (?:\w*Error: )?(.*)", re.DOTALL)


@dataclass(frozen=True)
class DemoRule:
    """What to do when the user's last message matches ``pattern``. Raises DefinitionError for what cannot be used.

    With ``call``, that tool is called, if the active agent has it, and what it returns is answered with ``reply``; if
    the agent does not have it, the next rule that fits holds. Without ``call``, ``reply`` is answered at once. A tool
    that fails is answered with what it says, whatever ``reply`` is. An agent that the user was handed over to in this
    turn hands nobody over: it answers.
    """

    pattern: str
    """A regular expression, searched in any case in the first 1,000 characters. Its named groups can be used below."""
    call: str = ""
    arguments: Mapping[str, str] | Callable[[str], Mapping[str, Any]] = field(default_factory=dict)
    """Each a format string of the pattern's groups and of ``text``, the whole message; one that comes out empty is
    left out. Or a function of the message that returns the arguments."""
    reply: str = "{result}"
    """A format string of the same and of ``result``: the tool's, ``{result[name]}`` for a field of it."""
    say: str = ""
    """A format string of what is said with the call. If it is empty, nothing is, or "One moment." with a handoff."""
    leak: bool = False
    """Whether the call is written as text, as some models do, to see what the rescue makes of it."""

    def __post_init__(self) -> None:
        try:
            groups = re.compile(self.pattern).groupindex
        except re.error as error:
            raise DefinitionError(f"demo rule {self.pattern!r} is no regular expression ({error})") from error
        known = {*groups, "text"}
        _check(self.say, known)
        _check(self.reply, {*known, "result"})
        for template in () if callable(self.arguments) else self.arguments.values():
            _check(template, known)


def follow_rules(
    rules: Sequence[DemoRule], messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], call_id: str
) -> Answer | None:
    """Return the answer of the first matching rule; ``None`` if no rule matches.

    ``messages`` and ``tools`` are those of a request; ``call_id`` is given to a call that is made. Raises only what a
    rule's own function raises.
    """
    last = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    if last < 0:
        return None
    text, after = _text_of(messages[last]), messages[last + 1 :]
    results = [_text_of(message) for message in after if message.get("role") == "tool"]
    made = {call.name for message in after for call in calls_of(message)}
    # An agent sees what another said, and not what it called.
    handed_over = any(message.get("role") == "assistant" and not any(calls_of(message)) for message in after)
    offered = {tool["function"]["name"] for tool in tools}
    for rule in rules:
        found = re.search(rule.pattern, text[:_LOOKED_AT], re.IGNORECASE)
        if not found:
            continue
        values = {"text": text, **{name: value or "" for name, value in found.groupdict().items()}}
        if not rule.call or rule.call in made:
            return Answer(_reply(rule, values, results[-1] if results else ""))
        if rule.call in offered and not made and not (handed_over and rule.call.startswith(_HANDOFF)):
            return _call(rule, values, call_id)
    return None


def _text_of(message: Mapping[str, Any]) -> str:
    return " ".join(texts_of(message))


@dataclass(frozen=True)
class _Result:
    """A tool's result: the text as it is, and its fields where it is JSON."""

    text: str

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, key: str | int) -> Any:
        return json.loads(self.text)[key]


def _call(rule: DemoRule, values: Mapping[str, str], call_id: str) -> Answer:
    if callable(rule.arguments):
        arguments = dict(rule.arguments(values["text"]))
    else:
        filled = {name: _filled(template, values) for name, template in rule.arguments.items()}
        arguments = {name: value for name, value in filled.items() if value}
    said = _filled(rule.say, values) or ("One moment." if rule.call.startswith(_HANDOFF) else "")
    if rule.leak:
        leaked = json.dumps({"name": rule.call, "arguments": arguments}, ensure_ascii=False)
        return Answer(f"{said}\n<tool_call>{leaked}</tool_call>".lstrip())
    call = ToolCall(call_id, rule.call, json.dumps(arguments, ensure_ascii=False))
    return Answer(said, tool_calls=(call,), finish="tool_calls")


def _reply(rule: DemoRule, values: Mapping[str, str], result: str) -> str:
    if failed := _FAILED.fullmatch(result):
        return f"That did not work: {failed[1]}"
    return _filled(rule.reply, {**values, "result": _Result(result)})


def _filled(template: str, values: Mapping[str, object]) -> str:
    try:
        return template.format(**values)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        # The tool returned something else than what the template picks from.
        return str(values.get("result", template))


def _check(template: str, known: set[str]) -> None:
    try:
        names = [re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise DefinitionError(f"demo rule: {template!r} is no format string ({error})") from error
    if unknown := [name for name in names if name not in known]:
        raise DefinitionError(f"demo rule: {template!r} uses {unknown[0]!r}; there are {', '.join(sorted(known))}")


LARGEST_COUNT = 10_000

_CONNECT = """\
To connect a real model:

- OpenAI: set `OPENAI_API_KEY`, then start with `-m gpt-4o-mini` or another model's name.
- A server of your own (Ollama, LM Studio, llama.cpp, vLLM): start with `-m MODEL --base-url http://localhost:11434/v1`.

The conversation goes on with it where it is now."""

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


@dataclass(frozen=True)
class _Said:
    """What the demo model looks at: the rule's match in the last user message, and the user messages before it."""

    match: re.Match[str]
    before: Sequence[str]


def _greet(said: _Said) -> str:
    again = " again" if said.before else ""
    return f"Hello{again}! I am the demo model: scripted answers, no AI. Ask me for help to see what I can do."


def _recall(said: _Said) -> str:
    if not said.before:
        return "Nothing yet: this is the first message that I was sent."
    lines = "\n".join(f"{number}. {text}" for number, text in enumerate(said.before, 1))
    return f"I was sent these messages of yours, oldest first:\n\n{lines}"


def _count(said: _Said) -> str:
    wanted = int(said.match[1].replace(",", ""))
    if wanted < 1 or wanted > LARGEST_COUNT:
        return f"I count from 1 to any number up to {LARGEST_COUNT:,}, and {wanted:,} is not one of those."
    return " ".join(str(number) for number in range(1, wanted + 1))


def _otherwise(said: _Said) -> str:
    quoted = " ".join(said.match[0].split())
    quoted = quoted if len(quoted) <= 60 else quoted[:59] + "…"
    replies = (
        f'You said "{quoted}". I am the demo model and have no rule for that; ask for help to see my rules.',
        f'I cannot think about "{quoted}": I am scripted, no AI. A real model could; ask me how to connect one.',
        f'"{quoted}" is kept in this session\'s log, but I have no answer to it: I only follow a few rules.',
    )
    return replies[len(said.before) % len(replies)]


# Tried from the top; the first pattern found in the last user message makes the answer.
_RULES: tuple[tuple[str, Callable[[_Said], str]], ...] = (
    (r"\bcount(?: up)? to (\d[\d,]{0,30})", _count),
    (r"\bwhat (?:did|have) i (?:say|said|tell|told|ask|asked)\b|\brepeat what i said\b", _recall),
    (r"\bmarkdown\b", lambda said: _MARKDOWN),
    (r"\b(?:connect|api key|base.url|real model)\b", lambda said: _CONNECT),
    (r"\bhelp\b|\b(?:who|what) are you\b|\bwhat can you do\b|\bwhat is this\b", lambda said: _WHAT_I_AM),
    (r"^\W*(?:hi|hello|hey|good (?:morning|day|afternoon|evening))\b", _greet),
    (r"(?s).*", _otherwise),
)


class DemoModel:
    """Answers by rules, always the same. ``delay``: seconds between two words, 0 for none. ``rules`` go first."""

    def __init__(self, delay: float = 0.0, rules: Sequence[DemoRule] = ()) -> None:
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
            said = [_text_of(message) for message in messages if message.get("role") == "user"]
            answer = Answer(_answer(said))
        for position, piece in enumerate(word_pieces(answer.text)):
            if position and self._delay:
                await asyncio.sleep(self._delay)
            yield TextChunk(piece)
        yield replace(answer, model=self.name)

    async def close(self) -> None:
        """Do nothing: no connection is open."""


def _answer(said: Sequence[str]) -> str:
    """Return the answer to the last of the user's messages ``said``."""
    *before, last = said or [""]
    for pattern, reply in _RULES:
        if found := re.search(pattern, last, re.IGNORECASE):
            return reply(_Said(found, before))
    raise AssertionError("the last rule takes everything")

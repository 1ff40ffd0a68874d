"""The model that answers when no other is connected: a few rules, no AI, the same answer to the same words."""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, TextChunk
from swarmchat.swarm.models.demo_rules import DemoRule, content_text, follow_rules
from swarmchat.swarm.models.scripted import word_pieces

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
        """What the model is called."""
        return "demo"

    @property
    def context_window(self) -> int:
        """How many tokens a request and its answer may have together."""
        return 32_000

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer the last user message word by word; see ``Model.stream``. It reports no usage: it has no tokens."""
        messages = request.decoded_messages()
        answer = follow_rules(self._rules, messages, request.tools, f"call_{request.key[:8]}")
        if answer is None:
            said = [content_text(message.get("content")) for message in messages if message.get("role") == "user"]
            answer = Answer(_answer(said))
        for position, piece in enumerate(word_pieces(answer.text)):
            if position and self._delay:
                await asyncio.sleep(self._delay)
            yield TextChunk(piece)
        yield replace(answer, model=self.name)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


def _answer(said: Sequence[str]) -> str:
    """Return the answer to the last of the user's messages ``said``."""
    *before, last = said or [""]
    for pattern, reply in _RULES:
        if found := re.search(pattern, last, re.IGNORECASE):
            return reply(_Said(found, before))
    raise AssertionError("the last rule takes everything")

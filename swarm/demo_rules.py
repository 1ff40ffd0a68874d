"""What the demo model does in a swarm: rules in place of intelligence, so that tools can be tried without a model."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.model import Answer, ToolCall


@dataclass(frozen=True)
class DemoRule:
    """What to do when the user's last message matches ``pattern``. Raises DefinitionError for a wrong pattern.

    With ``call``, that tool is called, if the active agent has it; then, or without one, ``reply`` is answered.
    """

    pattern: str
    """A regular expression, searched in any case. Its named groups can be used below."""
    call: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """Each a format string of the pattern's groups and of ``text``, the whole message."""
    reply: str = "{result}"
    """A format string of the same and of ``result``: the tool's, ``{result[name]}`` for a field of it."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise DefinitionError(f"demo rule {self.pattern!r} is no regular expression ({error})") from error


def follow_rules(
    rules: Sequence[DemoRule], messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], call_id: str
) -> Answer | None:
    """Return what the first rule that fits says, or ``None`` if none does.

    ``messages`` and ``tools`` are those of a request; ``call_id`` is given to a call that is made.
    """
    last = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    if last < 0:
        return None
    text, after = str(messages[last].get("content") or ""), messages[last + 1 :]
    results = [message.get("content") for message in after if message.get("role") == "tool"]
    made = {call["function"]["name"] for message in after for call in message.get("tool_calls") or ()}
    offered = {tool["function"]["name"] for tool in tools}
    for rule in rules:
        found = re.search(rule.pattern, text, re.IGNORECASE)
        if not found:
            continue
        values = {"text": text, **{name: value or "" for name, value in found.groupdict().items()}}
        if not rule.call or rule.call in made:
            result = _decoded(results[-1]) if results else ""
            return Answer(_filled(rule.reply, {**values, "result": result}))
        if rule.call in offered and not made:
            arguments = {name: _filled(value, values) for name, value in rule.arguments.items()}
            return Answer(tool_calls=(ToolCall(call_id, rule.call, json.dumps(arguments)),), finish="tool_calls")
    return None


def _filled(template: str, values: Mapping[str, object]) -> str:
    try:
        return template.format(**values)
    except (LookupError, TypeError, ValueError, AttributeError):
        # The tool answered with an error, say, and not with what the template picks from.
        return str(values.get("result", template))


def _decoded(result: object) -> object:
    try:
        return json.loads(str(result))
    except ValueError:
        return result

"""What ``/set`` can set in an open session: how each value is read, shown and put in."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from swarmchat.cli.errors import UsageError
from swarmchat.cli.settings import wiring
from swarmchat.cli.settings.settings import read_value
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice
from swarmchat.swarm.agents.rescue_steps import STEPS
from swarmchat.swarm.common.names import nearest
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.session.session import Session

DEFAULT = "default"
"""The word that takes a value back."""


@dataclass(frozen=True)
class Value:
    """One thing that can be set: a setting of the program under its name, or a parameter of requests."""

    field: str
    """The field of the session's settings; empty for a parameter."""
    read: Callable[[str], Any] | None = None
    words: Sequence[str] = ()
    """What it can be set to, as far as that is words."""


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not re.fullmatch(r"-?[0-9]{1,6}(\.[0-9]{1,6})?", text) or not low <= float(text) <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return float(text)

    return read


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) == 0:
        raise ValueError("expected a whole number above 0")
    return int(text)


def _word(text: str) -> str:
    if not re.fullmatch("[a-z_-]{1,20}", text):
        raise ValueError("expected a word such as low, medium or high")
    return text


VALUES: Mapping[str, Value] = {
    "max_context": Value("context_window"),
    "approve": Value("approve", words=("auto", "ask", "deny")),
    "rescue": Value("rescue", words=(*STEPS, "none")),
    "placeholder": Value("placeholder"),
    "temperature": Value("", _number(0, 2)),
    "top_p": Value("", _number(0, 1)),
    "frequency_penalty": Value("", _number(-2, 2)),
    "presence_penalty": Value("", _number(-2, 2)),
    "max_tokens": Value("", _whole),
    "seed": Value("", _whole),
    "reasoning_effort": Value("", _word, ("low", "medium", "high")),
}


def value_lines(chat: ChatContext) -> list[str]:
    """Return a line for each thing that can be set: its name, its value, and where that comes from."""
    initial, width = wiring.session_settings(chat.settings), max(map(len, VALUES))
    lines = []
    for name, value in VALUES.items():
        now, then = _get(chat.session.settings, name, value), _get(initial, name, value)
        origin = "set here" if now != then else chat.settings.origins.get(name, DEFAULT)
        lines.append(f"{name:<{width}}  {_shown(chat.session, name, now)}  ({origin})")
    return lines


async def choices(chat: ChatContext, typed: str) -> list[Choice]:
    """Return what can stand behind ``/set``: a name with its value now, or what it can be set to."""
    name, space, value = typed.partition(" ")
    if not space:
        return [
            (each, _shown(chat.session, each, _get(chat.session.settings, each, about)))
            for each, about in VALUES.items()
        ]
    if name not in VALUES:
        return []
    before, comma, _ = value.rpartition(",")
    if comma:
        # A list that is being written: what is in it already is not tried twice.
        left = [word for word in VALUES[name].words if word not in (*before.split(","), "none")]
        return [(f"{name} {before},{word}", "") for word in left]
    return [*((f"{name} {word}", "") for word in VALUES[name].words), (f"{name} {DEFAULT}", "takes it back")]


def changed(chat: ChatContext, name: str, text: str) -> SessionSettings:
    """Return the session's settings with ``name`` as ``text`` says. Raises UsageError and ConfigError."""
    if name not in VALUES:
        raise UsageError(f"{name!r} cannot be set in a session; {nearest(name, VALUES)}")
    value, settings = VALUES[name], chat.session.settings
    if text == DEFAULT:
        read = _get(wiring.session_settings(chat.settings), name, value)
    elif value.read is None:
        read = read_value("/set", name, text)
    else:
        try:
            read = value.read(text)
        except ValueError as error:
            raise UsageError(f"/set: {name} is {text!r}: {error}") from error
    if value.field:
        return replace(settings, **{value.field: read})
    parameters = {each: kept for each, kept in settings.parameters.items() if each != name}
    return replace(settings, parameters=parameters if read is None else {**parameters, name: read})


def _get(settings: SessionSettings, name: str, value: Value) -> Any:
    return getattr(settings, value.field) if value.field else settings.parameters.get(name)


def _shown(session: Session, name: str, value: Any) -> str:
    if name == "max_context" and value is None:
        return f"{session.model.context_window:,}, as the model is known for"
    if value is None or value == {}:
        return "not set"
    if isinstance(value, Mapping):
        return ", ".join(f"{pattern}: {rule}" for pattern, rule in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(each if isinstance(each, str) else each.__name__ for each in value) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)

"""What happens in a turn, in the order in which it happens. A session yields these; a program shows them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of an agent's answer."""

    text: str
    agent: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of what a reasoning model thinks aloud before it answers."""

    text: str
    agent: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """The model could not be reached; the request goes out again in ``seconds``."""

    attempt: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The oldest part of the conversation is no longer sent. Nothing was removed from the log."""

    groups: int
    """How many groups (a question, or an answer with its calls and results) are left out from now on."""
    tokens_before: int
    tokens_after: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is being carried out."""

    name: str
    arguments: str
    agent: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its result."""

    name: str
    arguments: str
    status: str
    """ok, error, denied, or interrupted."""
    result: str
    agent: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Another agent is talking with the client now."""

    source: str
    target: str
    stack: tuple[str, ...]
    """The way back, the oldest first."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A policy rejected a text; its message was answered instead."""

    policy: str
    direction: str
    """input or output."""
    banned: bool
    """Whether the client is banned now."""
    message: str
    """What is answered instead."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """An answer could not be used as it was, and something was done about it."""

    cause: str
    """leaked_call, unknown_tool, bad_arguments, control_tokens, repetition, empty, rejected, repeated_call,
    handoff_loop, or request_limit."""
    step: str
    """repair, feedback, recomplete, flush, placeholder, or the name of a function."""
    attempt: int
    """How often this step was taken in this turn, from 1."""
    detail: str
    """What exactly was wrong; may be empty."""
    agent: str


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that the user should know and that does not stop the turn."""

    text: str


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over and all of it is stored."""

    turn: int
    text: str
    """The last answer, whole."""
    finish: str
    """Why the model stopped: stop, length, content_filter …"""
    context_tokens: int
    """What the last request cost as we count."""
    usage: Mapping[str, Any] | None
    """What the server says that it cost."""
    rescues: int = 0
    """How many steps the rescue took."""
    recovered: bool = True
    """Whether there is an answer, and not only the placeholder."""


Event = (
    TextDelta
    | ReasoningDelta
    | Retrying
    | Rotated
    | ToolStarted
    | ToolFinished
    | HandedOver
    | Refused
    | Rescued
    | Warned
    | TurnEnded
)

"""The events of a turn, in the order in which they happen. A session yields them; a program shows them."""

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
    """The next piece of a reasoning model's thoughts."""

    text: str
    agent: str


@dataclass(frozen=True, slots=True)
class OutputDelta:
    """The part of a typed answer that has arrived so far: unchecked JSON values."""

    value: Any
    agent: str


@dataclass(frozen=True, slots=True)
class Retrying:
    """The model could not be reached; the request is sent again in ``seconds``."""

    attempt: int
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Rotated:
    """The oldest part of the conversation is no longer sent. Nothing was removed from the log."""

    groups: int | None
    """The number of dropped groups. A group is a question, or an answer with its calls and results. ``None``: not
    counted, since of a long session that was reopened only the part that can be sent is read."""
    tokens_before: int | None
    tokens_after: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool call is being carried out."""

    name: str
    arguments: str
    agent: str


@dataclass(frozen=True, slots=True)
class ToolFinished:
    """A tool call has its result. Also yielded for a refused handoff."""

    name: str
    arguments: str
    status: str
    """ok, error, denied, or interrupted."""
    result: str
    agent: str
    seconds: float = 0.0
    error: Exception | None = None
    """The tool's error with its traceback, for the tool's author."""


@dataclass(frozen=True, slots=True)
class HandedOver:
    """Another agent has become active."""

    source: str
    target: str
    stack: tuple[str, ...]
    """The agents that the user can be handed back to, the oldest first."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A policy rejected a text and answered with its own message."""

    policy: str
    direction: str
    """input or output."""
    banned: bool
    """Whether the client is banned now."""
    message: str
    """The answer of the policy."""
    until: str | None = None
    """When the ban ends by itself, UTC; ``None`` if there is no ban, or if it has to be lifted."""


@dataclass(frozen=True, slots=True)
class Rescued:
    """A rescue step was taken, because an answer could not be used as it was."""

    cause: str
    """leaked_call, unknown_tool, bad_arguments, control_tokens, repetition, empty, rejected, repeated_call,
    handoff_loop, or request_limit."""
    step: str
    """repair, feedback, recomplete, flush, placeholder, or the name of a function."""
    attempt: int
    """The number of times that this step was taken in this turn."""
    detail: str
    """What was wrong, in detail; may be empty."""
    agent: str


@dataclass(frozen=True, slots=True)
class Summarized:
    """Older messages were summarized to make room, before the turn: see ``SessionSettings.auto_compact``."""

    messages: int
    tokens_before: int
    """The tokens of the conversation before, and with the summary."""
    tokens_after: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for the user; the turn continues."""

    text: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """An agent that is used as a tool has started a task."""

    task: str
    """The id of the task: the turn and a number, as in 3.1; a task that this one gives is 3.1.1."""
    agent: str
    text: str
    """What it is to do."""


@dataclass(frozen=True, slots=True)
class TaskProgress:
    """An event of a task: the same events as in a turn, but of the agent that works on the task."""

    task: str
    agent: str
    event: "Event"
    requests: int
    """The requests to the model so far."""
    tokens: int
    """The tokens so far: of all requests and answers, those of the tasks that it gave included."""


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task has ended. Its answer is the result of the call, whose ToolFinished follows."""

    task: str
    agent: str
    status: str
    """ok, error, or interrupted."""
    requests: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Steered:
    """A message to the running turn is sent with its next request."""

    text: str


@dataclass(frozen=True, slots=True)
class MailReceived:
    """A message from outside was taken into the conversation."""

    text: str
    sender: str
    """Who or what sent it; may be empty."""
    agent: str
    """The agent that sees it."""
    wake: bool
    """Whether the agent reacts to it with a turn of its own."""
    act: str = ""
    """What an operator did: joined, said, called, left or back; ``result`` of a call; closed: nobody came."""


@dataclass(frozen=True, slots=True)
class PersonAwaited:
    """The turn ended without a model's answer: an operator's person answers, or will answer."""

    operator: str
    person: str
    """Who has taken the conversation; empty while it waits."""
    desks: int
    """How many people sit at desks of the swarm now."""
    can_come: bool = True
    """Whether anybody can: a desk of another program cannot reach the memory of this one."""


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over and completely stored."""

    turn: int
    text: str
    """The last answer, whole."""
    finish: str
    """Why the model stopped: stop, length, content_filter …; ``person``: none was asked, a person answers later."""
    context_tokens: int
    """The tokens of the last request as counted here."""
    usage: Mapping[str, Any] | None
    """The usage that the server reports."""
    rescues: int = 0
    """The number of rescue steps taken."""
    recovered: bool = True
    """False if the answer is only the placeholder."""
    output: Any = None
    """The answer as a value of the type that was asked for; ``None`` if none was."""


Event = (
    TextDelta
    | ReasoningDelta
    | OutputDelta
    | Retrying
    | Rotated
    | Summarized
    | ToolStarted
    | ToolFinished
    | HandedOver
    | Refused
    | Rescued
    | Warned
    | TaskStarted
    | TaskProgress
    | TaskEnded
    | Steered
    | MailReceived
    | PersonAwaited
    | TurnEnded
)

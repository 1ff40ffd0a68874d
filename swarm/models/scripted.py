"""A model that answers from a script, without a network: for tests, examples and replay."""

import inspect
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from swarmchat.swarm.common.mistakes import check_value, many
from swarmchat.swarm.errors import ScriptError
from swarmchat.swarm.models.base import Answer, ModelEvent, ModelRequest, ReasoningChunk, TextChunk, ToolCall

Step: TypeAlias = (
    "str | Answer | ToolCall | Exception | Sequence[ModelEvent | ToolCall | str | Exception] "
    "| Callable[[ModelRequest], Step | Awaitable[Step]]"
)
"""The answer to one request: a text, a call, an Answer, an error to raise, a list of events to stream with calls, or a
function, async or not, that takes the request and returns one of these."""


def word_pieces(text: str) -> list[str]:
    """Split ``text`` into words with the white space before them; joined, the pieces are ``text`` again."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+", text)


class ScriptedModel:
    """Answers each request with the next of ``steps``, and records it in ``requests``.

    ``steps`` may be a mapping with the steps of each agent by its name, for agents that work in parallel.
    Texts are streamed word by word. In a list of events, a str means a TextChunk, and an Exception is raised in its
    place. If the list does not end with an Answer, one with its text and calls is added. A call without an id gets one.
    """

    def __init__(
        self,
        steps: Sequence[Step] | Mapping[str, Sequence[Step]] = (),
        *,
        name: str = "scripted",
        context_window: int = 32_000,
    ) -> None:
        self._by_agent = isinstance(steps, Mapping)
        scripts = steps if isinstance(steps, Mapping) else {"": steps}
        for agent, each in scripts.items():
            place = f"steps[{agent!r}]" if agent else "steps"
            check_value("ScriptedModel", place, each, many("answers", lambda step: True))
        self._scripts = {agent: list(each) for agent, each in scripts.items()}
        self._name = name
        self._context_window = context_window
        self.requests: list[ModelRequest] = []

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    @property
    def context_window(self) -> int:
        """The context window: tokens for a request plus its answer."""
        return self._context_window

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelEvent, None]:
        """Answer with the next step; see ``Model.stream``. Raises ScriptError if no step is left."""
        self.requests.append(request)
        agent = request.agent if self._by_agent else ""
        steps, asked = self._scripts.get(agent, []), self._count(agent)
        if asked > len(steps):
            of_agent = f" for agent {agent!r}" if agent else ""
            raise ScriptError(
                f"model {self._name!r} was asked {asked} times{of_agent}, its script has {len(steps)} steps: "
                "add a step, or find the superfluous request in its requests"
            )
        step = steps[asked - 1]
        while callable(step):
            returned = step(request)
            step = await returned if inspect.isawaitable(returned) else returned
        for event in self._events(step):
            if isinstance(event, Exception):
                raise event
            yield event

    async def close(self) -> None:
        """Do nothing; there is no connection."""

    def assert_finished(self) -> None:
        """Raise ScriptError if there are steps that no request has used."""
        unused = [step for agent, steps in self._scripts.items() for step in steps[self._count(agent) :]]
        if unused:
            steps = ", ".join(map(_shorten, unused))
            raise ScriptError(f"model {self._name!r} was not asked for {len(unused)} of its steps: {steps}")

    def _count(self, agent: str) -> int:
        """Return how often ``agent`` has asked; "" stands for all, of a script for all."""
        return sum(not self._by_agent or request.agent == agent for request in self.requests)

    def _events(self, step: Step) -> list[ModelEvent | Exception]:
        """Return the events to stream for ``step``, the Answer last."""
        if isinstance(step, str):
            step = Answer(text=step)
        if isinstance(step, Exception):
            return [step]
        if isinstance(step, ToolCall):
            step = Answer(tool_calls=(step,))
        if isinstance(step, Answer):
            thoughts: list[ModelEvent] = [ReasoningChunk(piece) for piece in word_pieces(step.reasoning)]
            texts = [TextChunk(piece) for piece in word_pieces(step.text)]
            return [*thoughts, *texts, self._completed(step)]
        if not isinstance(step, Sequence):
            raise ScriptError(f"{step!r} is not a step: expected a text, a call, an Answer, an error or a list")
        calls = tuple(event for event in step if isinstance(event, ToolCall))
        events = [
            TextChunk(event) if isinstance(event, str) else event for event in step if not isinstance(event, ToolCall)
        ]
        if not events or not isinstance(events[-1], (Answer, Exception)):
            text = "".join(event.text for event in events if isinstance(event, TextChunk))
            reasoning = "".join(event.text for event in events if isinstance(event, ReasoningChunk))
            events.append(self._completed(Answer(text, calls, reasoning=reasoning)))
        return list(events)

    def _completed(self, answer: Answer) -> Answer:
        """Return ``answer`` with the fields that a server fills in: the model's name and the finish reason."""
        calls = [
            call if call.id else replace(call, id=f"call_{len(self.requests)}_{number}")
            for number, call in enumerate(answer.tool_calls, 1)
        ]
        finish = "tool_calls" if answer.tool_calls and answer.finish == "stop" else answer.finish
        return replace(answer, tool_calls=tuple(calls), finish=finish, model=answer.model or self._name)


def _shorten(step: Step) -> str:
    text = step.__name__ if inspect.isroutine(step) else repr(step)
    return text if len(text) <= 80 else text[:79] + "…"

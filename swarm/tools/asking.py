"""Questions of a running tool: to the user, or to a model."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swarmchat.swarm.common.author_functions import call_author_function
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.errors import DefinitionError, NobodyToAsk
from swarmchat.swarm.models.base import Answer, Model, ModelRequest
from swarmchat.swarm.tools.context import ArgumentsError, Outcome

if TYPE_CHECKING:
    from swarmchat.swarm.tools.output import OutputType


@dataclass(frozen=True)
class FormField:
    """One field of a form."""

    name: str
    description: str
    type: str
    """The type in JSON schema: string, integer, object …; empty for one of several."""
    choices: tuple[Any, ...]
    """The allowed values, or those of the items of an array; empty: any of the type."""
    default: Any
    required: bool


@dataclass(frozen=True)
class UserQuestion:
    """A question that a tool asks the user."""

    text: str
    tool: str = ""
    """The tool that asks."""
    choices: tuple[str, ...] = ()
    """The allowed answers; empty: any."""
    output: Any = str
    """The type of the answer: str, bool, or that of a form."""
    form: "OutputType | None" = None
    """How a form is checked; ``None`` for other answers."""
    agent: str = ""
    """The agent whose tool asks, if it works on a task; empty for the active agent."""

    @property
    def kind(self) -> Literal["text", "choice", "yes_no", "form"]:
        """The kind of answer: a text, one of ``choices``, a bool, or a mapping with the ``fields``."""
        if self.choices:
            return "choice"
        if self.form is not None:
            return "form"
        return "yes_no" if self.output is bool else "text"

    @property
    def fields(self) -> Sequence[FormField]:
        """The fields of a form."""
        schema: Mapping[str, Any] = {} if self.form is None else self.form.schema
        required = schema.get("required", ())
        return [
            FormField(
                name,
                str(each.get("description", "")),
                str(each.get("type", "")),
                tuple(each.get("enum") or _items(each).get("enum", ())),
                each.get("default"),
                name in required and "default" not in each,
            )
            for name, each in schema.get("properties", {}).items()
        ]

    def check(self, answer: object) -> Any:
        """Return ``answer`` as the tool gets it. Raises ArgumentsError if it is not a valid answer."""
        match self.kind:
            case "form" if self.form is not None:
                return self.form.parse(encode_json(answer).decode())
            case "choice" if answer not in self.choices:
                raise ArgumentsError(f"{answer!r} is not one of {', '.join(self.choices)}")
            case "yes_no" if not isinstance(answer, bool):
                raise ArgumentsError(f"{answer!r} is neither yes nor no")
            case "text" if not isinstance(answer, str):
                raise ArgumentsError(f"{answer!r} is not a text")
        return answer


def _items(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    items = schema.get("items")
    return items if isinstance(items, Mapping) else {}


ModelAsker = Callable[[Model, ModelRequest, Outcome], Awaitable[Answer]]
UserAsker = Callable[[UserQuestion, Outcome], Awaitable[Any]]


def user_question(text: str, tool: str, choices: Sequence[str], output: Any) -> UserQuestion:
    """Return the question. Raises DefinitionError if it cannot be asked."""
    if isinstance(choices, str) or not all(isinstance(each, str) for each in choices):
        raise DefinitionError(f"ask_user: choices are {choices!r}, expected a list of texts")
    if choices and output is not str:
        raise DefinitionError("ask_user: give it choices or output, not both")
    if output in (str, bool):
        return UserQuestion(text, tool, tuple(choices), output)
    from swarmchat.swarm.tools.output import output_type

    return UserQuestion(text, tool, (), output, output_type(output))


Answerer = Callable[[UserQuestion], Awaitable[Any]]
"""Asks the user. Returns what ``UserQuestion.check`` accepts, or ``None`` if the user does not want to answer."""


async def ask_model(model: Model, request: ModelRequest, outcome: Outcome) -> Answer:
    """Return the whole answer of ``model`` to the request of a tool."""
    answer = Answer()
    async with aclosing(model.stream(request)) as events:
        async for event in events:
            if isinstance(event, Answer):
                answer = event
    return answer


async def ask_user(answerer: Answerer | None, question: UserQuestion) -> Any:
    """Return the user's answer. Raises NobodyToAsk without an ``answerer``, and HookError if it fails."""
    if answerer is None:
        raise NobodyToAsk(f"nobody can be asked here ({question.text}): this needs a person at a terminal")
    return await call_author_function("the answerer", answerer, question)

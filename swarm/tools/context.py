"""The context that a tool call gets, the errors that it may raise, and its outcome."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, overload

from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.common.names import Named, name_of
from swarmchat.swarm.context.normalize import NO_RESULT
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Model, ToolCall
from swarmchat.swarm.persistence.records import Record, RecordType
from swarmchat.swarm.persistence.store import ChangeSet

if TYPE_CHECKING:
    from swarmchat.swarm.primitives.memory import PersistMemory
    from swarmchat.swarm.primitives.state import PersistState, State
    from swarmchat.swarm.storage.declaration import Storage
    from swarmchat.swarm.storage.storage import PersistStorage
    from typing_extensions import TypeVar

    # Only type checkers know defaults before Python 3.13: ``Context`` alone is ``Context[Any]``.
    DepsT = TypeVar("DepsT", default=Any)
else:
    from typing import TypeVar

    DepsT = TypeVar("DepsT")

_T = TypeVar("_T")


class PrimitiveAccess(Protocol):
    """The primitives behind a context; a session provides them."""

    @property
    def memory(self) -> "PersistMemory":
        """The client's memory."""

    def state(self, name: str) -> "PersistState[Any]":
        """Return the state ``name``. Raises DefinitionError if the swarm does not declare it."""

    def storage(self, name: str) -> "PersistStorage[Any]":
        """Return the storage ``name``. Raises DefinitionError if the swarm does not declare it."""

    def check_agent(self, name: str) -> None:
        """Raise DefinitionError unless the swarm has an agent ``name``."""


class Asking(Protocol):
    """Carries out what a tool asks; the turn provides it."""

    @property
    def model_name(self) -> str:
        """The name of the agent's model."""

    async def ask_model(
        self, prompt: Any, output: Any, model: Model | str | None, fields: Mapping[str, Any] | None = None
    ) -> Any:
        """Ask a model; see ``Context.ask``. ``fields`` are further ones of the request."""

    async def ask_user(self, text: str, choices: Sequence[str], output: Any) -> Any:
        """Ask the user; see ``Context.ask_user``."""

    async def run_agent(self, tool: Any, task: str) -> str:
        """Have the agent of ``tool``, an AgentTool, work on ``task``; return its last answer. Raises ToolFailure."""


class Assignment(NamedTuple):
    """A task in the background: an agent works on ``text``, or ``tool`` runs with ``arguments``."""

    agent: str
    """The agent that works, or that has called the tool."""
    text: str
    wake: bool
    """Whether an agent reacts to the result with a turn of its own."""
    tool: str = ""
    arguments: str = ""
    """As JSON."""

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of its record, without the id."""
        about = {"tool": self.tool, "arguments": self.arguments} if self.tool else {}
        return {"text": self.text, "wake": self.wake, **about}


def assigned(record: Record) -> Assignment:
    """Return what the ``task_start`` record starts."""
    texts = (record.agent or "", record.text("text"))
    return Assignment(*texts, record.data.get("wake") is True, record.text("tool"), record.text("arguments"))


@dataclass
class Context(Generic[DepsT]):
    """The argument for the parameter ``ctx`` of a tool, a prompt or a condition.

    ``Context[Shop]`` sets the type of the session's ``deps``.

    A tool's changes through it are stored together with the tool's result, or, if the tool fails, not at all.
    """

    client: str
    session: str
    agent: str
    primitives: PrimitiveAccess = field(repr=False)
    call_id: str = ""
    """The id of the current tool call; empty outside one."""
    task: str = ""
    """The id of the task that the agent works on; empty in the conversation itself."""
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when the call was abandoned; a long-running tool should check it."""
    handoff_to: str | None = None
    loop: asyncio.AbstractEventLoop | None = field(default=None, repr=False)
    deps: DepsT = field(default=None, repr=False)  # type: ignore[assignment] # who declares a type passes a value
    """What the program gave to ``Session.open(deps=…)``: a database, the logged-in user …"""
    asking: Asking | None = field(default=None, repr=False)
    """Carries out what the tool asks; ``None`` outside of a call."""
    shown: list[Mapping[str, Any]] = field(default_factory=list, repr=False)
    """The images that go along with the result of the call: see ``show``."""
    limit: asyncio.Timeout | None = field(default=None, repr=False)
    """The timeout of the call, which stands still while somebody is asked."""
    draws: Draws = field(default_factory=Draws, repr=False)
    """Where ``now`` and ``new_id`` come from; what they returned is recorded."""
    starting: Callable[[Assignment], str] | None = field(default=None, repr=False)
    """Starts a task in the background and returns its id; ``None`` outside of a turn, and in a task."""
    report: Callable[[str], object] = field(default=lambda progress: None, repr=False)
    """Shows how far a tool is while it runs, such as "3 of 10 pages"."""

    @property
    def memory(self) -> "PersistMemory":
        """The client's memory, which all its sessions share."""
        return self.primitives.memory

    @overload
    def state(self, state: "State[_T]") -> "PersistState[_T]": ...

    @overload
    def state(self, state: str) -> "PersistState[Any]": ...

    def state(self, state: "State[Any] | str") -> "PersistState[Any]":
        """Return the session's state with this definition or name."""
        return self.primitives.state(name_of(state))

    @overload
    def storage(self, storage: "Storage[_T]") -> "PersistStorage[_T]": ...

    @overload
    def storage(self, storage: str) -> "PersistStorage[Any]": ...

    def storage(self, storage: "Storage[Any] | str") -> "PersistStorage[Any]":
        """Return the storage with this definition or name."""
        return self.primitives.storage(name_of(storage))

    def now(self) -> datetime:
        """Return the current time in UTC. A replay returns the recorded one, unlike ``datetime.now()``."""
        return self.draws.now()

    def new_id(self, prefix: str = "") -> str:
        """Return ``prefix`` and 16 random hex digits, as for a new order. A replay returns the recorded id."""
        return prefix + self.draws.new_id()

    def handoff(self, agent: Named | str) -> None:
        """Make ``agent`` the active one once this tool's result is stored. Raises DefinitionError if it is unknown."""
        name = name_of(agent)
        self.primitives.check_agent(name)
        self.handoff_to = name

    def spawn(self, agent: Named | str, task: str, *, wake: bool = True) -> str:
        """Let ``agent`` work on ``task`` in the background once this tool's result is stored; return the task's id.

        Its answer arrives as a message between turns; with ``wake``, the active agent reacts to it then. Raises
        DefinitionError for an unknown agent, and RuntimeError outside a turn or inside a task.
        """
        name = name_of(agent)
        self.primitives.check_agent(name)
        if self.starting is None:
            raise RuntimeError("ctx.spawn works only in a tool that a turn calls, and not in a task")
        return self.starting(Assignment(name, task, wake))

    def show(self, image: Mapping[str, Any]) -> None:
        """Show ``image``, a content part from ``image_file``, to the model after the tool's result.

        Raises DefinitionError if it is not an image, and ImageError if it cannot be sent.
        """
        if not isinstance(image, Mapping) or image.get("type") != "image_url":
            raise DefinitionError(f"ctx.show got {image!r:.80}, expected an image: ctx.show(image_file(PATH))")
        # Loaded with the first image.
        from swarmchat.swarm.images.files import checked

        self.shown.append(checked(image))

    @overload
    async def ask(self, prompt: Any, *, model: Model | str | None = None) -> str: ...

    @overload
    async def ask(self, prompt: Any, *, output: type[_T], model: Model | str | None = None) -> _T: ...

    @overload
    async def ask(self, prompt: Any, *, output: object, model: Model | str | None = None) -> Any: ...

    async def ask(self, prompt: Any, *, output: Any = None, model: Model | str | None = None) -> Any:
        """Ask a model outside the conversation, and return its answer.

        ``prompt`` is a text, content parts or messages, as in ``Session.ask``; the model gets nothing else. ``output``
        is the type of the answer, ``model`` a model other than the agent's, or its name. Raises OutputError if no
        answer fits, OverBudget and the kinds of ModelError.
        """
        return await self._asking("ask").ask_model(prompt, output, model)

    @overload
    async def ask_user(self, question: str, *, choices: Sequence[str] = ()) -> str: ...

    @overload
    async def ask_user(self, question: str, *, output: type[_T]) -> _T: ...

    @overload
    async def ask_user(self, question: str, *, output: object) -> Any: ...

    async def ask_user(self, question: str, *, choices: Sequence[str] = (), output: Any = str) -> Any:
        """Ask the user, and return the answer: a text, one of ``choices``, or a value of the type ``output``.

        With ``bool``, it is a yes-or-no question, with a class a form with its fields. Raises AskError if there is no
        user to ask, or the user does not answer.
        """
        return await self._asking("ask_user").ask_user(question, choices, output)

    def _asking(self, name: str) -> Asking:
        if self.asking is None:
            raise RuntimeError(f"ctx.{name} works only in a tool while it runs")
        return self.asking

    def wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run ``work`` and return its result, from a tool that is not async: ``ctx.wait(ctx.memory.get("locale"))``."""
        if self.loop is None:
            raise RuntimeError("ctx.wait works only in tools that are not async: use await instead")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@dataclass(frozen=True, slots=True)
class Denied:
    """The decision of an approver that a call is not carried out, with a reason for the model."""

    reason: str = ""


class ArgumentsError(Exception):
    """The arguments of a call do not fit the tool. The message tells the model what was expected."""


class ToolTimeoutError(Exception):
    """A tool exceeded its timeout."""


class ToolFailure(Exception):
    """A tool failed; the model gets the message and nothing else."""


@dataclass
class Outcome:
    """The outcome of one tool call."""

    call: ToolCall
    status: str = "interrupted"
    """ok, error, denied, or interrupted."""
    result: str = NO_RESULT
    shown: Sequence[Mapping[str, Any]] = ()
    """Images beside the text of the result, as content parts."""
    seconds: float = 0.0
    changes: ChangeSet = field(default_factory=ChangeSet)
    handoff: str | None = None
    error: Exception | None = None
    """The tool's error, for its author. The model gets ``result``."""
    edited: bool = False
    """Whether the user changed the arguments."""
    replaced_digest: str | None = None
    """The digest of the tool's own result, if a hook changed or refused it."""
    approve: str = "auto"
    """The rule of the tool itself about approval: auto, ask or deny."""
    effects: bool | None = None
    """Of a call that the model wrote as text: whether its tool has effects, so that it may need approval."""
    started: list[tuple[str, Assignment]] = field(default_factory=list)
    """The tasks in the background that it starts if it succeeds, with their ids."""
    asked: list[tuple[RecordType, dict[str, Any]]] = field(default_factory=list)
    """What the tool asked, with the answers: the types of records and their fields."""
    task: str = ""
    """The id of the task that the call gives to an agent; empty for other tools."""
    draws: Draws = field(default_factory=Draws)
    """The times and ids that the tool drew."""

    @property
    def content(self) -> str | list[Mapping[str, Any]]:
        """The content of the message with the result."""
        texts = [{"type": "text", "text": self.result}] if self.result else []
        return [*texts, *self.shown] if self.shown else self.result

"""The status line of a turn: the current agent and activity, shown while nothing is printed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmchat.cli.terminal.sanitize import one_line

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event, TaskEnded, TaskProgress, TaskStarted

QUIET = 0.3
"""Seconds without output until the status appears."""

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME = 0.1
_WAITING = "waiting for the model"
_TASKS = 6
"""Tasks that have a line of their own; the others are counted."""


@dataclass
class _Task:
    """What an agent that works on a task is doing."""

    agent: str
    since: float
    doing: str = _WAITING
    tokens: int = 0


class Activity:
    """Tracks the current activity of a turn. ``clock`` returns seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._agent = ""
        self._doing = ""
        self._since = self._printed_at = 0.0
        self._tools: list[str] = []
        self._tasks: dict[str, _Task] = {}
        self.paused = False
        """Whether a question has the terminal: no status is shown then."""
        self.waiting: Callable[[], str] = lambda: ""
        """Describes what a request waits for before it is sent; empty if it is waiting for the model."""
        self.typed: Callable[[], str] = lambda: ""
        """Describes the text that the user is typing; shown at once."""

    def begin(self, name: str, doing: str = _WAITING) -> None:
        """The agent or command ``name`` starts."""
        self._tools.clear()
        self._tasks.clear()
        self._agent, self._printed_at = name, self._clock()
        self._set(doing, restart=True)

    def end(self) -> None:
        """The turn or command has ended."""
        self._doing = ""
        self._tasks.clear()

    def printed(self, agent: str | None = None) -> None:
        """Something was printed; the next output comes from the running tools, or else from the model."""
        self._agent = agent or self._agent
        self._printed_at = self._clock()
        self._set(_running(self._tools) if self._tools else _WAITING, restart=not self._tools)

    def thinking(self, agent: str) -> None:
        """The model sends its reasoning."""
        self._agent = agent
        self._set("thinking")

    def tool_started(self, agent: str, tool: str) -> None:
        """``agent`` has called ``tool``."""
        self._agent = agent
        self._tools.append(tool)
        self._set(_running(self._tools))

    def embedding(self, storage: str, done: int, total: int) -> None:
        """A search embeds the items of ``storage``, of which ``done`` are finished."""
        counts = f"{done:,} of {total:,} items"
        self._set(
            f"embedding {one_line(storage, 30)}: {counts}" if done < total else _running(self._tools or [storage])
        )

    def tool_progress(self, tool: str, progress: str) -> None:
        """``tool`` says how far it is."""
        if self._doing and (tool in self._tools or not self._tools):
            # Not _set: the seconds are those of the tool.
            self._doing = f"{one_line(tool, 30)}: {one_line(progress, 30)}"

    def tool_finished(self, tool: str) -> None:
        """``tool`` has returned."""
        if tool in self._tools:
            self._tools.remove(tool)

    def task_event(self, event: "TaskStarted | TaskProgress | TaskEnded") -> None:
        """Something has happened in a task of an agent that is used as a tool."""
        from swarmchat.swarm.conversation import events as kinds

        if isinstance(event, kinds.TaskEnded):
            self._tasks.pop(event.task, None)
            return
        task = self._tasks.setdefault(event.task, _Task(event.agent, self._clock()))
        if isinstance(event, kinds.TaskProgress):
            task.tokens = event.tokens
            task.doing = doing(event.event)

    def status(self) -> str:
        """Return the status to show now: a line for each task, then that of the turn; may be empty."""
        now = self._clock()
        if not self._doing or self.paused:
            return ""
        typed = self.typed()
        if now - self._printed_at < QUIET:
            return typed
        frame = _FRAMES[int(now / _FRAME) % len(_FRAMES)]
        seconds = int(now - self._since)
        duration = f" · {seconds} s" if seconds else ""
        doing = self.waiting() if self._doing == _WAITING else ""
        line = f"{frame} {one_line(self._agent, 30)} · {doing or self._doing}{duration} · {typed or 'Ctrl-C stops'}"
        return "\n".join([*self._task_lines(now), line])

    def _task_lines(self, now: float) -> list[str]:
        """Return a line for each task: the agent, what it does, its tokens and its time."""
        lines = []
        for name, task in [*self._tasks.items()][:_TASKS]:
            tokens = f" · {task.tokens:,} tokens" if task.tokens else ""
            lines.append(f"  {name} {one_line(task.agent, 30)} · {task.doing}{tokens} · {int(now - task.since)} s")
        more = len(self._tasks) - _TASKS
        return [*lines, f"  and {more} more"] if more > 0 else lines

    def _set(self, doing: str, *, restart: bool = False) -> None:
        if restart or doing != self._doing:
            self._doing, self._since = doing, self._clock()


def doing(event: "Event") -> str:
    """Return the activity of an agent after ``event``."""
    from swarmchat.swarm.conversation import events as kinds

    match event:
        case kinds.TextDelta():
            return "answering"
        case kinds.ReasoningDelta():
            return "thinking"
        case kinds.ToolStarted(name):
            return _running([name])
        case kinds.Retrying():
            return "trying again"
    return _WAITING


def _running(tools: list[str]) -> str:
    more = f" and {len(tools) - 1} more" if len(tools) > 1 else ""
    return f"running {one_line(tools[-1], 30)}{more}"

"""A running background task, and its outcome."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.persistence.records import Record
from swarmchat.swarm.persistence.store import ChangeSet
from swarmchat.swarm.tools.context import Assignment

if TYPE_CHECKING:
    from swarmchat.swarm.conversation.events import Event


@dataclass
class RunningTask:
    """A task in the background while it runs."""

    id: str
    assignment: Assignment
    event: "Event | None" = None
    """What happened last."""
    requests: int = 0
    tokens: int = 0
    stopped: bool = False
    """Whether the user stopped it."""
    work: "asyncio.Future[None] | None" = None

    def note(self, event: "Event") -> None:
        """Take the next event of the task."""
        from swarmchat.swarm.conversation.events import TaskProgress

        if isinstance(event, TaskProgress) and event.task == self.id:
            self.event, self.requests, self.tokens = event.event, event.requests, event.tokens


@dataclass
class TaskResult:
    """How a task has ended."""

    status: str
    text: str
    records: Sequence[Record] = ()
    """Records of the task that are not stored yet."""
    changes: ChangeSet = field(default_factory=ChangeSet)
    drawn: Mapping[str, Any] = field(default_factory=dict)
    """The field of its record that holds the times and ids that it drew."""

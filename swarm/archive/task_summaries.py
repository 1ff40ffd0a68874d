"""The tasks in a log: the agent or tool, its text, its outcome and its cost."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from swarmchat.swarm.common.messages import text_of
from swarmchat.swarm.persistence.records import Record


@dataclass
class TaskSummary:
    """One task of an agent that is used as a tool, or in the background."""

    id: str
    """The turn, or ``b`` in the background, and a number; a task that it gave has another number behind that."""
    turn: int
    agent: str
    text: str = ""
    """What it was to do."""
    status: str = ""
    """ok, error, interrupted, or stopped; empty if it has not ended, or the process died first."""
    result: str = ""
    """What the message about its end says, if it was in the background."""
    requests: int = 0
    tokens: int = 0
    """The tokens of its requests and answers, as the server counted them, or else as they were counted here."""
    records: list[Record] = field(default_factory=list)
    """Its own records, with their numbers in the task."""

    @property
    def line(self) -> str:
        """The task in one line."""
        requests = "1 request" if self.requests == 1 else f"{self.requests:,} requests"
        status = {"": "did not end"}.get(self.status, self.status)
        cost = f"{requests}, {self.tokens:,} tokens" if self.requests else ""
        about = ", ".join(filter(None, [cost, status if status != "ok" else ""]))
        return f"task {self.id}, {self.agent}: {self.text}" + (f" ({about})" if about else "")


def tasks_of(records: Iterable[Record]) -> dict[str, TaskSummary]:
    """Return the tasks in ``records``, by their ids, in the order in which they began."""
    tasks: dict[str, TaskSummary] = {}
    calls: dict[tuple[str, str], str] = {}
    for record in records:
        giver, inner = record.task, record.inner_record or record
        if record.type == "task_start":
            tasks[giver] = TaskSummary(giver, record.turn, record.agent or "?", record.text("text"))
        elif record.type == "task_end" and giver in tasks:
            tasks[giver].status, tasks[giver].result = record.text("status"), record.text("text")
        if inner is not record:
            task = tasks.setdefault(giver, TaskSummary(giver, record.turn, record.agent or "?"))
            task.records.append(inner)
            _add(task, inner)
            if via := record.text("via"):
                calls[giver.rpartition(".")[0], via] = giver
        # A call of the conversation belongs to its turn.
        result = str(inner.message.get("tool_call_id")) if inner.type == "tool" else ""
        if result and (called := calls.get((giver or str(record.turn), result))):
            tasks[called].status = inner.text("status")
    return tasks


def _add(task: TaskSummary, record: Record) -> None:
    if record.type == "user" and not task.text:
        task.text = text_of(record.message)
    elif record.type == "policy" and not task.text:
        task.text = record.text("text")
    elif record.type == "request":
        task.requests += 1
    usage = record.data.get("usage")
    if isinstance(usage, dict):
        figures = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
        task.tokens += sum(figure for figure in figures if isinstance(figure, int))
    elif record.type == "assistant":
        tokens = record.data.get("tokens")
        own = tokens.get("count") if isinstance(tokens, dict) else 0
        asked = next((each for each in reversed(task.records) if each.type == "request"), None)
        sent = 0 if asked is None else asked.data.get("tokens")
        task.tokens += sum(figure for figure in (own, sent) if isinstance(figure, int))

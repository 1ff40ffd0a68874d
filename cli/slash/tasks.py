"""Slash commands for background tasks: start, list, show, stop and repeat them."""

import re

from swarmchat.cli.errors import UsageError
from swarmchat.cli.render.activity import doing
from swarmchat.cli.sessions.pages import entry_line
from swarmchat.cli.slash.chat_context import ChatContext
from swarmchat.cli.slash.registry import Choice, Command, CommandResult
from swarmchat.cli.terminal.sanitize import one_line, sanitize
from swarmchat.swarm.agents.agent import Swarm
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.task_summaries import TaskSummary, tasks_of
from swarmchat.swarm.persistence.log import read_records

_ID = re.compile(r"b?([1-9]\d{0,8})")
_ACTIONS = ("stop", "again")
_USAGE = "usage: /task [--wake] AGENT WHAT TO DO, or /task N, /task N stop, /task N again"
_WAKE = "--wake"
_STATUS = {"ok": "done", "error": "failed", "": "interrupted"}
"""The words for the status of a task, where they differ from it."""


def _has_tasks(chat: ChatContext) -> bool:
    return chat.session.info.tasks > 0


def _parse(argument: str) -> tuple[str, str, bool]:
    """Return the id of a task and an action, or an agent and its task, and whether the result wakes an agent.

    Raises UsageError for anything else.
    """
    words = argument.split(None, 1)
    wake = words[:1] == [_WAKE]
    if wake:
        words = (words[1:] or [""])[0].split(None, 1)
    first, rest = (*words, "", "")[:2]
    if not wake and _ID.fullmatch(first) and rest.strip() in ("", *_ACTIONS):
        return first, rest.strip(), False
    if not rest.strip():
        raise UsageError(_USAGE)
    return first, rest.strip(), wake


def _task_id(word: str, text: str) -> str | None:
    """Return the id of the task that ``word`` names, if it does."""
    number = _ID.fullmatch(word)
    return f"b{number[1]}" if number is not None and text in ("", *_ACTIONS) else None


def _check(swarm: Swarm, argument: str) -> None:
    word, text, _ = _parse(argument)
    if _task_id(word, text) is None:
        swarm.agent(word)


async def _completions(chat: ChatContext, typed: str) -> list[Choice]:
    running = chat.session.tasks.running.values()
    stops = [(f"{task.id} stop", one_line(task.assignment.text, 60)) for task in running]
    return [*stops, *((f"{agent.name} ", agent.description) for agent in chat.session.swarm.agents)]


@Command(
    "task",
    "let an agent work in the background; show, stop or repeat a task",
    "[--wake] AGENT WHAT TO DO | N [stop | again]",
    check=_check,
    completes=_completions,
)
async def _task(chat: ChatContext, argument: str) -> str | CommandResult:
    word, text, wake = _parse(argument)
    tasks, task = chat.session.tasks, _task_id(word, text)
    if task is None:
        return _started(await tasks.start(word, text, wake=wake))
    if text == "again":
        return _started(await tasks.again(task))
    if text == "stop":
        await tasks.stop(task)
        return CommandResult(remark=f"task {task} is stopped; what its tools did stays")
    summary = (await _read(chat)).get(task)
    if summary is None:
        raise UsageError(f"no task {task} in this session; /tasks lists them")
    entries = (f"  {entry_line(entry)}" for entry in dialogue(summary.records))
    return "\n".join([_line(chat, summary), *entries, *sanitize(summary.result).splitlines()])


@Command("tasks", "list the background tasks", is_useful=_has_tasks)
async def _tasks(chat: ChatContext, argument: str) -> str:
    summaries = await _read(chat)
    return "\n".join(_line(chat, summary) for summary in summaries.values()) or "no tasks yet"


def _started(task: str) -> CommandResult:
    return CommandResult(remark=f"task {task} has started; its result arrives as a message; /task {task} stop stops it")


async def _read(chat: ChatContext) -> dict[str, TaskSummary]:
    records = [record async for record in read_records(chat.session.backend, chat.session.info)]
    return {task: summary for task, summary in tasks_of(records).items() if _ID.fullmatch(task)}


def _line(chat: ChatContext, summary: TaskSummary) -> str:
    """Return a line for the task: its agent, status, requests, tokens and text."""
    running = chat.session.tasks.running.get(summary.id)
    status = _STATUS.get(summary.status, summary.status)
    if running is not None:
        status = "running" if running.event is None else doing(running.event)
    requests = "1 request" if summary.requests == 1 else f"{summary.requests:,} requests"
    cost = [f"{requests}, {summary.tokens:,} tokens"] if summary.requests else []
    return " · ".join([summary.id, one_line(summary.agent, 30), status, *cost, one_line(summary.text, 80)])

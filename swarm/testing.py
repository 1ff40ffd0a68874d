"""Helpers to test a swarm: a context for its tools, calls for scripts, replays, and a ban on network access."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm, as_swarm
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.common.draws import Draws
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.mistakes import Expected, check_value, shown
from swarmchat.swarm.common.names import Named, name_of
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import AskError, DefinitionError, ScriptError
from swarmchat.swarm.models.base import Model, ToolCall
from swarmchat.swarm.models.named import named_model
from swarmchat.swarm.models.openai_client import OpenAIServer
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.primitives.state import State
from swarmchat.swarm.replay.cassette import Cassette, MeteredModel
from swarmchat.swarm.replay.consequences import cause_lines, grouped_causes
from swarmchat.swarm.replay.files import RecordedConversation, read_conversations
from swarmchat.swarm.replay.runner import MODES, Replayed, replay
from swarmchat.swarm.replay.selection import case_name
from swarmchat.swarm.replay.selection import transcripts_in as transcripts_in  # for tests of a whole folder
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.storage.declaration import Storage
from swarmchat.swarm.tools.asking import user_question
from swarmchat.swarm.tools.context import Context

_T = TypeVar("_T")

_MOST_CAUSES = 5
"""Differences that a failed test shows."""


def context(
    swarm: Swarm | Agent | None = None,
    *,
    states: Sequence[State[Any]] = (),
    storages: Sequence[Storage[Any]] = (),
    client: str = "tester",
    session: str = "test",
    agent: str = "",
    deps: Any = None,
    model_answers: Sequence[Any] = (),
    user_answers: Sequence[Any] = (),
    now: datetime | Sequence[datetime] = (),
    ids: Sequence[str] = (),
) -> Context[Any]:
    """Return a context to call a tool with, as its function: ``await fill(context(swarm), "phone")``.

    It has the states and storages of ``swarm``, or those that are given, in memory, and a new client. Changes take
    effect at once. ``agent`` is the active one; default: that of the swarm. ``model_answers`` and ``user_answers`` are
    what ``ctx.ask`` and ``ctx.ask_user`` return, one after the other. ``now``: what ``ctx.now`` returns, always or one
    after the other; ``ids`` are what ``ctx.new_id`` returns, without its prefix. ``ctx.spawn`` starts nothing, and
    returns b1, b2 …
    """
    known = Swarm("test", [Agent("tester")]) if swarm is None else as_swarm(swarm)
    known = replace(known, states=[*known.states, *states], storages=[*known.storages, *storages])
    primitives = Primitives(known, open_backend("memory:"), Lifetimes(), client, session)
    asking = _ScriptedAsking(list(model_answers), list(user_answers))
    draws = Draws(lambda: now) if isinstance(now, datetime) else Draws()
    draws.give(() if isinstance(now, datetime) else now, ids)
    about = (client, session, agent or known.initial)
    ctx = Context[Any](*about, primitives, "test", deps=deps, asking=asking, draws=draws)
    numbers = count(1)
    ctx.starting = lambda assignment: f"b{next(numbers)}"
    return ctx


class _ScriptedAsking:
    def __init__(self, model_answers: list[Any], user_answers: list[Any]) -> None:
        self._model_answers = model_answers
        self._user_answers = user_answers

    model_name = "scripted"

    async def ask_model(
        self, prompt: Any, output: Any, model: Model | str | None, fields: Mapping[str, Any] | None = None
    ) -> Any:
        if not self._model_answers:
            raise ScriptError(f"the tool asked the model {prompt!r:.80}: add it to the context's model_answers")
        return self._model_answers.pop(0)

    async def ask_user(self, text: str, choices: Sequence[str], output: Any) -> Any:
        question = user_question(text, "", choices, output)
        if not self._user_answers:
            raise AskError(f"the tool asked the user {text!r}: add it to the context's user_answers")
        return question.check(self._user_answers.pop(0))

    async def run_agent(self, tool: Any, task: str) -> str:
        raise ScriptError(f"{tool.name} is an agent: test it in a session, with a ScriptedModel that has its answers")


def call(tool: Named | Callable[..., Any] | str, arguments: Mapping[str, Any] | str = "{}") -> ToolCall:
    """Return a call for the steps of a ScriptedModel; ``arguments`` are a mapping, or the text that the model wrote."""
    expected = Expected("a mapping, or a text", lambda value: isinstance(value, str | Mapping))
    check_value("call", "arguments", arguments, expected)
    try:
        text = arguments if isinstance(arguments, str) else encode_json(dict(arguments)).decode()
    except TypeError as error:
        raise DefinitionError(f"call: arguments are {shown(arguments)}, expected a JSON value") from error
    name = tool.__name__ if isinstance(tool, FunctionType) else name_of(tool)  # type: ignore[arg-type]  # it checks
    return ToolCall("", name, text)


class forbid_network_models:  # noqa: N801 - used as a function
    """Have each request to a model server or an embedding server raise NetworkForbidden from now on.

    With ``with``, until its end. Models without a network (ScriptedModel, DemoModel) are not affected.
    """

    def __init__(self) -> None:
        self._before = OpenAIServer.forbidden
        OpenAIServer.forbidden = True

    def __enter__(self) -> None:
        """Leave it forbidden."""

    def __exit__(self, *error: object) -> None:
        OpenAIServer.forbidden = self._before


def replay_transcript(
    path: Path | str,
    swarm: Swarm | Agent | Path | str | None = None,
    *,
    mode: str = "verify",
    model: Model | None = None,
    backend: str = "memory:",
    settings: SessionSettings | None = None,
) -> Sequence[Replayed]:
    """Replay the conversations in the file ``path``; return their replays if none differs from its recording.

    ``swarm`` is a swarm, an agent, the name of an example swarm, or a swarm's file, looked for beside the transcript;
    without it, the swarm that the transcript names. ``mode`` is verify, tools or live; live needs a ``model``.
    ``settings`` are used where the transcript records none. Raises AssertionError with the differences,
    TranscriptError for an invalid file, and ValueError for an unknown ``mode``.
    """
    __tracebackhide__ = True
    path = Path(path)
    if mode not in MODES or (mode == "live" and model is None):
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}, and for 'live' a model")
    if isinstance(swarm, Path | str):
        swarm = load_swarm(str(swarm), path.parent)
    elif swarm is not None:
        swarm = as_swarm(swarm)
    replays = _run(_replay_all(path, None, swarm, mode, model, backend, settings))
    _raise_if_any(
        line for each in replays for line in _difference_lines(each, f"{case_name(path, each.conversation.name)}: ")
    )
    return replays


def read_transcript(path: Path) -> Sequence[RecordedConversation]:
    """Return the conversations in a file. Raises TranscriptError, naming the line and what is wrong."""
    return _run(read_conversations(path))


def replay_recorded(
    path: Path,
    conversation: RecordedConversation,
    swarm: Swarm | None,
    *,
    mode: str,
    model: str | None = None,
    cassette: Path | None = None,
) -> Replayed:
    """Replay one conversation of the file ``path``. Raises AssertionError with the differences.

    The mode ``live`` needs the name of a ``model``, whose answers are stored in the folder ``cassette``, if given.
    """
    __tracebackhide__ = True

    async def work() -> list[Replayed]:
        if model is None:
            return await _replay_all(path, [conversation], swarm, mode, None, "memory:", None)
        chosen = swarm or named_swarm(conversation)
        inner = named_model(model, chosen.demo if chosen else ())
        metered = MeteredModel(inner, None if cassette is None else Cassette(cassette, model))
        try:
            return await _replay_all(path, [conversation], swarm, mode, metered, "memory:", None)
        finally:
            await metered.close()

    replays = _run(work())
    _raise_if_any(_difference_lines(replays[0], ""))
    return replays[0]


async def _replay_all(
    path: Path,
    conversations: Sequence[RecordedConversation] | None,
    swarm: Swarm | None,
    mode: str,
    model: Model | None,
    url: str,
    settings: SessionSettings | None,
) -> list[Replayed]:
    """Replay ``conversations`` of the file ``path``, by default all."""
    replays = []
    backend = open_backend(url)
    try:
        for conversation in await read_conversations(path) if conversations is None else conversations:
            chosen = swarm or named_swarm(conversation)
            problem = None if chosen else lacks_swarm(conversation, mode)
            elsewhere = "in a test with swarm=, for pytest --swarmchat with the setting swarmchat_swarm"
            assert problem is None, f"{path}, {conversation.name}: {problem}; {elsewhere}"
            replays.append(await replay(conversation, backend, swarm=chosen, mode=mode, model=model, settings=settings))
    finally:
        await backend.close()
    return replays


def _raise_if_any(lines: Iterable[str]) -> None:
    __tracebackhide__ = True
    if text := "\n".join(lines):
        raise AssertionError(text)


def _difference_lines(replayed: Replayed, where: str) -> list[str]:
    """Return the causes with their diffs, and how many more there are. Each cause begins with ``where``."""
    differences = replayed.differences
    groups = list(grouped_causes(differences).values())[:_MOST_CAUSES] or [differences[:1]]
    lines = [line for same in groups if same for line in cause_lines(same, where)]
    more = len(differences) - sum(map(len, groups))
    return [*lines, f"… and {more:,} more"] if more else lines


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` and return its result, in a thread if this one already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()

"""For the tests of a swarm: a context for its tools, calls for scripts, replays, and no network."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm, as_swarm
from swarmchat.swarm.agents.loader import load_swarm
from swarmchat.swarm.common.encoding import encode_json
from swarmchat.swarm.common.names import Named, name_of
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.conversation.settings import SessionSettings
from swarmchat.swarm.errors import AskError, ScriptError
from swarmchat.swarm.models.base import Model, ToolCall
from swarmchat.swarm.models.openai_client import OpenAIServer
from swarmchat.swarm.persistence.store import Lifetimes
from swarmchat.swarm.primitives.state import State
from swarmchat.swarm.replay.files import read_conversations
from swarmchat.swarm.replay.runner import MODES, Replayed, replay
from swarmchat.swarm.replay.stand_in import lacks_swarm, named_swarm
from swarmchat.swarm.storage.storage import Storage
from swarmchat.swarm.tools.asking import user_question
from swarmchat.swarm.tools.context import Context

_T = TypeVar("_T")


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
) -> Context[Any]:
    """Return a context to call a tool with, as its function: ``await fill(context(swarm), "phone")``.

    It has the states and storages of ``swarm``, or those that are given, in memory, and a new client. Changes take
    effect at once. ``agent`` is the active one; default: that of the swarm. ``model_answers`` and ``user_answers`` are
    what ``ctx.ask`` and ``ctx.ask_user`` return, one after the other.
    """
    known = Swarm("test", [Agent("tester")]) if swarm is None else as_swarm(swarm)
    known = replace(known, states=[*known.states, *states], storages=[*known.storages, *storages])
    primitives = Primitives(known, open_backend("memory:"), Lifetimes(), client, session)
    asking = _ScriptedAsking(list(model_answers), list(user_answers))
    return Context(client, session, agent or known.initial, primitives, "test", deps=deps, asking=asking)


class _ScriptedAsking:
    def __init__(self, model_answers: list[Any], user_answers: list[Any]) -> None:
        self._model_answers = model_answers
        self._user_answers = user_answers

    async def ask_model(self, prompt: Any, output: Any, model: Model | str | None) -> Any:
        if not self._model_answers:
            raise ScriptError(f"the tool asked the model {prompt!r:.80}: give the context further model_answers")
        return self._model_answers.pop(0)

    async def ask_user(self, text: str, choices: Sequence[str], output: Any) -> Any:
        question = user_question(text, "", choices, output)
        if not self._user_answers:
            raise AskError(f"the tool asked the user {text!r}: give the context further user_answers")
        return question.check(self._user_answers.pop(0))

    async def run_agent(self, tool: Any, task: str) -> str:
        raise ScriptError(f"{tool.name} is an agent: test it in a session, with a ScriptedModel that has its answers")


def call(tool: Named | Callable[..., Any] | str, arguments: Mapping[str, Any] | str = "{}") -> ToolCall:
    """Return a call for the steps of a ScriptedModel; ``arguments`` are a mapping, or the text that the model wrote."""
    text = arguments if isinstance(arguments, str) else encode_json(dict(arguments)).decode()
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
    path = Path(path)
    if mode not in MODES or (mode == "live" and model is None):
        raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}, and for 'live' a model")
    if isinstance(swarm, Path | str):
        swarm = load_swarm(str(swarm), path.parent)
    elif swarm is not None:
        swarm = as_swarm(swarm)
    replays = _run(_replay_all(path, swarm, mode, model, backend, settings))
    differences = [line for each in replays if not each.same for line in _difference_lines(path, each)]
    assert not differences, "\n".join(differences)
    return replays


async def _replay_all(
    path: Path, swarm: Swarm | None, mode: str, model: Model | None, url: str, settings: SessionSettings | None
) -> list[Replayed]:
    replays = []
    backend = open_backend(url)
    try:
        for conversation in await read_conversations(path):
            chosen = swarm or named_swarm(conversation)
            problem = None if chosen else lacks_swarm(conversation, mode)
            assert problem is None, f"{path}, {conversation.name}: {problem}, or here with swarm="
            replays.append(await replay(conversation, backend, swarm=chosen, mode=mode, model=model, settings=settings))
    finally:
        await backend.close()
    return replays


def _difference_lines(path: Path, replayed: Replayed) -> list[str]:
    first = replayed.differences[0]
    more = len(replayed.differences) - 1
    lines = [f"{path}, {replayed.conversation.name}: {first}", *first.diff()]
    return [*lines, f"… and {more} more"] if more else lines


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` and return its result, in a thread if this one already runs an event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()

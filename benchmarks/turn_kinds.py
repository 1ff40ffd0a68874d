"""The processor time that tools, a handoff, a rescue and a hook add to a turn; the model answers at once."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from statistics import median
from typing import Any

from swarmchat.backends import Backend
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    Hooks,
    ModelRequest,
    ScriptedModel,
    Session,
    Swarm,
    ToolCall,
    TurnEnded,
    tool,
)

from benchmarks.corpus import CLIENT, MODEL
from benchmarks.server import ANSWER
from benchmarks.setup import Setup
from benchmarks.stores import open_stores
from benchmarks.tables import Aim, Table
from benchmarks.timing import Variant, interleave
from benchmarks.turn_variants import QUESTION

TITLE = "What is added to a turn"
_TURNS = 20
_LIMIT = 0.5
_PLAIN = "plain"
_ABOUT = """Turns of new sessions, 20 a round, with a model in the same process that answers at once: processor time of
the whole process. *Offered*: five tools that are not called. A call, a handoff and a rescue make the turn one request
longer, which has records, a count, a digest and a commit of its own; with *two requests* a plain turn is followed by
another question, which is the floor for these. A rescue reads a call that stands in the text, or asks again after an
empty answer. *More* is the median over the rounds, each against the same round of the plain turn."""


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def _further(name: str) -> Any:
    @tool(name=name)
    def further(text: str, number: int = 1) -> str:
        """Do something with a text, as often as the number says."""
        return text * number

    return further


class _Office(Hooks):
    """A hook that sees every turn and request."""

    async def before_turn(self, ctx: Context, text: str) -> None:
        """See the user's text."""

    async def before_request(self, ctx: Context, request: ModelRequest) -> None:
        """See the request."""

    async def after_turn(self, ctx: Context, answer: Answer, error: Exception | None) -> None:
        """See the end."""


_CALL = Answer(tool_calls=(ToolCall("", "add", '{"a": 1, "b": 2}'),))
_LEAKED = '<tool_call>{"name": "add", "arguments": {"a": 1, "b": 2}}</tool_call>'
_OVER = Answer(tool_calls=(ToolCall("", "transfer_to_expert", "{}"),))
_BACK = Answer(tool_calls=(ToolCall("", "transfer_to_assistant", "{}"),))
_BARE = Swarm("bare", [Agent("assistant", "Be brief.")])
_DESK = Swarm("desk", [Agent("assistant", "Be brief.", tools=[add])])
_FIVE = [_further(f"tool_{number}") for number in range(4)]
_TOOLS = Swarm("tools", [Agent("assistant", "Be brief.", tools=[add, *_FIVE])])
_TEAM = Swarm(
    "team",
    [Agent("assistant", "Be brief.", handoffs=["expert"]), Agent("expert", "You know.", handoffs=["assistant"])],
    default="assistant",
)
_KINDS: Mapping[str, tuple[Swarm, Sequence[Any], Sequence[Hooks]]] = {
    _PLAIN: (_BARE, [ANSWER], ()),
    "tools offered": (_TOOLS, [ANSWER], ()),
    "a tool called": (_DESK, [_CALL, ANSWER], ()),
    "a handoff": (_TEAM, [_OVER, ANSWER, _BACK, ANSWER], ()),
    "a rescue: a call in the text": (_DESK, [_LEAKED, ANSWER], ()),
    "a rescue: asked again": (_BARE, ["", ANSWER], ()),
    "a hook": (_BARE, [ANSWER], [_Office()]),
}


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Compare turns of each kind on each backend."""
    async with open_stores(setup.folder) as stores:
        for name, backend in stores.items():
            if setup.quick and name == "redis":
                continue
            yield await _on(name, backend, setup)


async def _on(name: str, backend: Backend, setup: Setup) -> Table:
    variants = {kind: _turns(backend, *each) for kind, each in _KINDS.items()}
    variants["two requests"] = _turns(backend, *_KINDS[_PLAIN], questions=2)
    measured = await interleave(variants, setup.rounds(15))
    rows, aims = [], []
    for kind, one in measured.items():
        pairs = zip(one.rounds, measured[_PLAIN].rounds, strict=True)
        more = median(median(mine) - median(plain) for mine, plain in pairs) * 1000
        rows.append((kind, f"{one.best * 1000:.2f}", f"{one.p50 * 1000:.2f}", f"{more:.2f}"))
        if kind in _KINDS and kind != _PLAIN:
            aims.append(Aim(f"Turn on {name}, more for {kind}", more, _LIMIT, "ms"))
    return Table(f"Turns on {name}", ("", "best ms", "p50 ms", "more, ms"), rows, _ABOUT, aims)


def _turns(backend: Backend, swarm: Swarm, steps: Sequence[Any], hooks: Sequence[Hooks], questions: int = 1) -> Variant:
    """Return what runs turns of one kind in a new session; a time is that of ``questions`` turns."""

    async def once() -> list[float]:
        model = ScriptedModel([*steps] * (_TURNS + 1) * questions, name=MODEL)
        times = []
        async with await Session.open(backend, model, client=CLIENT, swarm=swarm, hooks=hooks) as session:
            await _ask(session)
            for _ in range(_TURNS):
                started = time.process_time()
                for _ in range(questions):
                    await _ask(session)
                times.append(time.process_time() - started)
        return times

    return once


async def _ask(session: Session) -> None:
    async for event in session.run_turn(QUESTION):
        last = event
    assert isinstance(last, TurnEnded), last
    assert last.text == ANSWER, last

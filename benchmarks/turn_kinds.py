"""What tools, a handoff, a rescue and a hook add to a turn, beside programs that only post as many requests."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from statistics import median
from typing import Any

from openai import AsyncOpenAI
from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import (
    Agent,
    Answer,
    Context,
    Hooks,
    ModelRequest,
    OpenAIModel,
    Session,
    Swarm,
    TurnEnded,
    tool,
)

from benchmarks.corpus import CLIENT, MODEL
from benchmarks.server import ANSWER, instant_server
from benchmarks.setup import Setup
from benchmarks.stores import open_stores
from benchmarks.tables import Aim, Table
from benchmarks.timing import Measured, Variant, interleave
from benchmarks.turn_variants import QUESTION, send

TITLE = "What is added to a turn"
_TURNS = 20
_LIMIT = 0.5
_PLAIN = "plain"
_ABOUT = """Turns of new sessions, 20 a round, over HTTP, with a server on the same machine that answers at once:
processor time of the process that asks. *Posts*: as many requests as such a turn makes, sent by `AsyncOpenAI.post` with
the very bytes of the turn, whose answers are read and dropped. *Offered*: five tools that are not called. A call, a
handoff and a rescue make the turn one request longer. A rescue reads a call that stands in the text, or asks again
after an empty answer. *More* is what swarmchat adds to the posts of such a turn, less what it adds to that of the plain
turn: the median over the rounds. By profile, a second request costs swarmchat as much as a first one: a turn with a
call takes as many function calls as two plain turns. It has a commit of its own for the call, and one for its result;
its context, its digest and its counts; and a search for leaked calls. A call is checked and run with pydantic, in a
thread; a handoff builds the view of the other agent from the log; a call in the text is parsed, repaired, checked."""


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


_BARE = Swarm("bare", [Agent("assistant", "Be brief.")])
_DESK = Swarm("desk", [Agent("assistant", "Be brief.", tools=[add])])
_FIVE = [_further(f"tool_{number}") for number in range(4)]
_TOOLS = Swarm("tools", [Agent("assistant", "Be brief.", tools=[add, *_FIVE])])
_TEAM = Swarm(
    "team",
    [Agent("assistant", "Be brief.", handoffs=["expert"]), Agent("expert", "You know.", handoffs=["assistant"])],
    default="assistant",
)
_KINDS: Mapping[str, tuple[str, Swarm, Sequence[Hooks]]] = {
    _PLAIN: ("plain", _BARE, ()),
    "tools offered": ("plain", _TOOLS, ()),
    "a tool called": ("call", _DESK, ()),
    "a handoff": ("handoff", _TEAM, ()),
    "a rescue: a call in the text": ("leak", _DESK, ()),
    "a rescue: asked again": ("silence", _BARE, ()),
    "a hook": ("plain", _BARE, [_Office()]),
}
"""The script of the server, the swarm and the hooks of each kind of turn."""
_models = count()


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Compare turns of each kind on each backend."""
    with instant_server() as base_url:
        async with open_stores(setup.folder) as stores, AsyncOpenAI(base_url=base_url, api_key="none") as client:
            posts = {kind: _Posts(client, await _bodies(base_url, *each)) for kind, each in _KINDS.items()}
            for name, backend in stores.items():
                if not setup.quick or name != "redis":
                    yield await _on(name, backend, base_url, posts, setup)


async def _on(name: str, backend: Backend, base_url: str, posts: Mapping[str, "_Posts"], setup: Setup) -> Table:
    async with AsyncExitStack() as stack:
        variants: dict[str, Variant] = {}
        for kind, each in _KINDS.items():
            variants[kind] = _turns(backend, await stack.enter_async_context(_model(base_url, each[0])), *each[1:])
            variants[f"{kind}, posts"] = posts[kind].run
        measured = await interleave(variants, setup.rounds(15))
    plain = _added(measured, _PLAIN)
    rows, aims = [], []
    for kind in _KINDS:
        mine, floor = measured[kind], measured[f"{kind}, posts"]
        more = median(one - other for one, other in zip(_added(measured, kind), plain, strict=True))
        times = (f"{one.p50 * 1000:.2f}" for one in (floor, mine))
        rows.append((kind, str(posts[kind].requests), *times, f"{mine.ratio(floor):.2f}", f"{more:.2f}"))
        if kind != _PLAIN:
            aims.append(Aim(f"Turn on {name}, more for {kind}", more, _LIMIT, "ms"))
    head = ("", "requests", "posts, p50 ms", "swarmchat, p50 ms", "× posts", "more, ms")
    return Table(f"Turns on {name}", head, rows, _ABOUT, aims)


def _added(measured: Mapping[str, Measured], kind: str) -> list[float]:
    """Return the milliseconds that turns of a kind take more than their posts, for each round."""
    pairs = zip(measured[kind].rounds, measured[f"{kind}, posts"].rounds, strict=True)
    return [(median(mine) - median(posts)) * 1000 for mine, posts in pairs]


@asynccontextmanager
async def _model(base_url: str, script: str) -> AsyncIterator[OpenAIModel]:
    """Give a model that answers as the ``script`` of the server says, from its start."""
    model = OpenAIModel(MODEL, base_url=base_url, served_as=f"{script}-{next(_models)}", context_window=32_000)
    yield model
    await model.close()


def _turns(backend: Backend, model: OpenAIModel, swarm: Swarm, hooks: Sequence[Hooks]) -> Variant:
    """Return what runs turns of one kind in a new session."""

    async def once() -> list[float]:
        times = []
        async with await Session.open(backend, model, client=CLIENT, swarm=swarm, hooks=hooks) as session:
            # An even number of turns: a handoff is followed by one back.
            for number in range(_TURNS + 2):
                started = time.process_time()
                await _ask(session)
                if number >= 2:
                    times.append(time.process_time() - started)
        return times

    return once


async def _bodies(base_url: str, script: str, swarm: Swarm, hooks: Sequence[Hooks]) -> list[bytes]:
    """Return the requests of a turn in the middle of those that are measured."""
    backend, noted = open_backend("memory:"), _Noted()
    async with _model(base_url, script) as model:
        settings: dict[str, Any] = {"swarm": swarm, "hooks": [*hooks, noted]}
        async with await Session.open(backend, model, client=CLIENT, **settings) as session:
            for _ in range(_TURNS // 2):
                noted.bodies.clear()
                await _ask(session)
    return noted.bodies


class _Noted(Hooks):
    """Keeps the bodies of all requests."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    async def before_request(self, ctx: Context, request: ModelRequest) -> None:
        """Keep the body."""
        self.bodies.append(request.body({"stream": True}))


class _Posts:
    """As many turns that only post ``bodies``."""

    def __init__(self, client: AsyncOpenAI, bodies: Sequence[bytes]) -> None:
        self._client, self._bodies = client, bodies
        self.requests = len(bodies)

    async def run(self) -> list[float]:
        """Send them all for each turn, and return what each turn took."""
        times = []
        for _ in range(_TURNS):
            started = time.process_time()
            for body in self._bodies:
                await send(self._client, body)
            times.append(time.process_time() - started)
        return times


async def _ask(session: Session) -> None:
    async for event in session.run_turn(QUESTION):
        last = event
    assert isinstance(last, TurnEnded), last
    assert last.text == ANSWER, last

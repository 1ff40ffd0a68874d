"""The traffic to a store in a turn and when opening: commands, round trips and bytes to Redis, transactions on disk."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from swarmchat.backends import Backend, open_backend
from swarmchat.swarm import Agent, Answer, Lifetimes, ScriptedModel, Session, SessionSettings, Swarm, ToolCall, tool

from benchmarks.corpus import CLIENT, MODEL, store
from benchmarks.server import ANSWER, instant_server
from benchmarks.setup import Setup
from benchmarks.stores import store_urls
from benchmarks.tables import Aim, Table
from benchmarks.turn_variants import QUESTION
from benchmarks.workers import MissingPeerError, worker
from tests.helpers.counting_proxy import Traffic, counting_proxy
from tests.helpers.wal import Written, begin_wal, read_wal

TITLE = "What goes to the store"
PLAIN, TOOL, HANDOFF, FIRST = "turn without tools", "turn with a tool", "turn with a handoff", "first turn"
OPENING = "opening, first context"
LENGTHS = (10, 1_000)
# No lease and no presence is renewed while something is counted.
_CALM = SessionSettings(context_window=10_000_000, lease=3600, lifetimes=Lifetimes(alive=3600))
_ABOUT = """Counted on the way, by a proxy between the client and the server. A commit is one command: what was said,
the session's entry in the list, and its lease together. The third round trip of a turn looks into the mailbox: a
message that has arrived comes before the question, so that no commit can look on its way. Sent and received are bytes,
after {length} messages."""
_ABOUT_DISK = """Read from SQLite's write-ahead log, which takes whole pages; after {length} messages."""

Watch = Callable[[str, Awaitable[object]], Awaitable[None]]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


DESK = Swarm(
    "desk",
    [
        Agent("assistant", "Be brief.", tools=[add], handoffs=["expert"]),
        Agent("expert", "You know.", handoffs=["assistant"]),
    ],
)


async def run(setup: Setup) -> AsyncIterator[Table]:
    """Count what turns of each kind and an opening cost, beside other libraries."""
    with instant_server() as base_url, store_urls(setup.folder) as urls:
        plain = []
        for length in LENGTHS:
            table, traffic = await _on_redis(urls["redis"], base_url, length, peers=not setup.quick)
            plain.append(traffic)
            if length != LENGTHS[0]:
                growth = plain[-1].sent / plain[0].sent
                table.aims.append(Aim(f"Redis, {PLAIN}: bytes sent after {length:,} messages, to 10", growth, 1.1))
            yield table
        for length in LENGTHS:
            folder = setup.subfolder(f"traffic-{length}")
            yield await _on_disk(folder, base_url, length, peers=not setup.quick)


async def _on_redis(url: str, base_url: str, length: int, *, peers: bool) -> tuple[Table, Traffic]:
    rows: list[tuple[str, ...]] = []
    counted: dict[str, Traffic] = {}
    async with counting_proxy(url) as (through, traffic):

        async def watch(name: str, work: Awaitable[object]) -> None:
            traffic.reset()
            await work
            counted[name] = traffic.copy()
            commands = ", ".join(f"{number} {command}" for command, number in traffic.commands.most_common())
            rows.append((name, commands, f"{traffic.round_trips}", f"{traffic.sent:,}", f"{traffic.received:,}"))

        direct, backend = open_backend(url), open_backend(through)
        await _each_kind(direct, backend, length, watch)
        await backend.close()
        await direct.close()
        about = _ABOUT.format(length=f"{length:,}")
        if peers:
            about += await _peer("openai-agents, RedisSession", "openai_agents", base_url, through, length, watch)
    plain = counted[f"swarmchat, {PLAIN}"]
    aims = [Aim(f"Redis, {PLAIN} after {length:,} messages", plain.round_trips, 2, "round trips")]
    head = ("", "commands", "round trips", "sent", "received")
    return Table(f"Redis, after {length:,} messages", head, rows, about, aims), plain


async def _on_disk(folder: Path, base_url: str, length: int, *, peers: bool) -> Table:
    rows: list[tuple[str, ...]] = []
    counted: dict[str, Written] = {}
    database = folder / "store" / "cache.db"

    async def watch(name: str, work: Awaitable[object]) -> None:
        begin_wal(database)
        await work
        counted[name] = written = read_wal(database)
        rows.append((name, f"{written.transactions}", f"{written.bytes:,}"))

    backend = open_backend(f"disk:{folder / 'store'}")
    await _each_kind(backend, backend, length, watch)
    await backend.close()
    about = _ABOUT_DISK.format(length=f"{length:,}")
    for name, make in (("openai-agents, SQLiteSession", "openai_agents"), ("LangGraph, SqliteSaver", "langgraph")):
        if peers:
            database = folder / make
            about += await _peer(name, make, base_url, str(database), length, watch)
    plain = counted[f"swarmchat, {PLAIN}"]
    aims = [Aim(f"Disk, {PLAIN} after {length:,} messages", plain.transactions, 2, "transactions")]
    return Table(f"Disk, after {length:,} messages", ("", "transactions", "bytes"), rows, about, aims)


async def _peer(name: str, make: str, base_url: str, place: str, length: int, watch: Watch) -> str:
    """Have ``watch`` see the second turn of another library; return what is to be said where it is not installed."""
    try:
        async with worker(f"benchmarks.turn_peers:{make}", base_url=base_url, place=place, length=length) as process:
            await process.run()
            await watch(f"{name}, {PLAIN}", process.run())
    except MissingPeerError as error:
        return f" Not installed: {error}."
    return ""


async def _each_kind(direct: Backend, backend: Backend, length: int, watch: Watch) -> None:
    """Have ``watch`` see an opening and turns of every kind on ``backend``, which leads to the store of ``direct``."""
    await store(direct, f"s{length}", length)
    # Afterwards a server knows our scripts, and this process the program's modules.
    session = await _open(direct, f"before{length}")
    for _ in range(3):
        await _ask(session)
    await session.close()

    async def opening() -> None:
        nonlocal session
        session = await _open(backend, f"s{length}")
        await session.context()

    await watch(f"swarmchat, {OPENING}", opening())
    for name in (PLAIN, TOOL, HANDOFF):
        await watch(f"swarmchat, {name}", _ask(session))
    await session.close()
    session = await _open(backend, f"new{length}")
    await watch(f"swarmchat, {FIRST}", _ask(session))
    await session.close()


async def _open(backend: Backend, name: str) -> Session:
    """Open a session whose model answers, calls a tool, hands over."""
    call = Answer(tool_calls=(ToolCall("c1", "add", '{"a": 1, "b": 2}'),))
    handoff = Answer(tool_calls=(ToolCall("c2", "transfer_to_expert", "{}"),))
    model = ScriptedModel([ANSWER, call, ANSWER, handoff, ANSWER], name=MODEL)
    return await Session.open(backend, model, client=CLIENT, name=name, swarm=DESK, settings=_CALM)


async def _ask(session: Session) -> None:
    async for _ in session.run_turn(QUESTION):
        pass

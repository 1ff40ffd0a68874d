"""``ctx.now`` and ``ctx.new_id``: recorded with requests and results, and the same in a replay."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from recorded import Recorder, again, ask, calls, record_and_replay
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, Context, State, Swarm, tool
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.testing import context


@tool
async def order(ctx: Context, item: str) -> str:
    """Order an item."""
    name = ctx.new_id("order-")
    await ctx.state("orders").update(lambda orders: [*orders, name])
    return f"{name} of {item} at {ctx.now().isoformat()}, {ctx.new_id()}"


def prompt(ctx: Context) -> str:
    return f"It is {ctx.now():%H:%M:%S.%f}. Request {ctx.new_id()}."


SHOP = Swarm("shop", [Agent("clerk", prompt, tools=[order])], states=[State("orders", default=list)])


async def hold(recorder: Recorder) -> None:
    model = ScriptedModel([calls(("order", '{"item":"tea"}')), "Done.", calls(("order", '{"item":"rum"}')), "Too."])
    async with await recorder.open(model) as session:
        await ask(session, "tea")
        await ask(session, "rum")


def test_times_and_ids_are_the_recorded_ones(tmp_path: Path):
    for mode in ("verify", "tools"):
        done = record_and_replay(SHOP, hold, tmp_path / "log.jsonl", mode=mode)
        assert [len(record.data["drawn"]["ids"]) for record in done.records if "drawn" in record.data] == [1, 2, 1] * 2


def test_what_draws_more_than_before_is_the_same_each_time(tmp_path: Path):
    async def run() -> None:
        recorder = Recorder(open_backend("memory:"), SHOP)
        await hold(recorder)
        log = await recorder.log()
        records = [parse_record(line) for line in log.splitlines()]
        assert len({record.message["content"] for record in records if record.type == "tool"}) == 2
        bare = b"\n".join(line.replace(b'"drawn"', b'"drawm"') for line in log.splitlines())
        first, second = [await again(bare, tmp_path / "log.jsonl", SHOP, mode="tools") for _ in range(2)]
        assert [record.line for record in first.records] == [record.line for record in second.records]
        assert not first.same

    asyncio.run(run())


async def _called(**options: object) -> list[str]:
    ctx = context(SHOP, **options)  # type: ignore[arg-type]  # each test gives right ones
    return [await order.function(ctx, "tea"), await order.function(ctx, "rum")]


def test_a_test_can_set_them():
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    one, two = asyncio.run(_called(now=moment, ids=["7", "x", "8", "y"]))
    assert one == "order-7 of tea at 2026-01-02T03:04:00+00:00, x"
    assert two == "order-8 of rum at 2026-01-02T03:04:00+00:00, y"
    later = datetime(2026, 1, 3, tzinfo=UTC)
    one, two = asyncio.run(_called(now=[moment, later]))
    assert "2026-01-02" in one
    assert "2026-01-03" in two

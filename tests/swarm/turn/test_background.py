"""Tasks in the background: they store records while turns run, and their results arrive as messages."""

import asyncio
from typing import Any

from recorded import calls
from swarmchat.backends import open_backend
from swarmchat.swarm import Agent, ScriptedModel, Session, Swarm, read_lines, tool
from swarmchat.swarm.conversation.branching import branch_off
from swarmchat.swarm.persistence.records import parse_record


@tool
async def look(words: str) -> str:
    """Look something up."""
    return f"found {words}"


DESK = Agent("desk", "You answer.", tools=[look])


async def log(session: Session) -> list[Any]:
    return [parse_record(line) async for line in read_lines(session.backend, session.info)]


def test_records_get_their_numbers_when_they_are_stored():
    async def run() -> None:
        # The second answer is one that is asked for again, without the conversation before.
        answers = [calls(("look", '{"words": "tea"}')), "", "", "Tea.", "Bye."]
        backend = open_backend("memory:")
        settings = {"rescue": ("flush", "recomplete")}
        swarm = Swarm("s", [DESK], rescue=settings["rescue"])
        async with await Session.open(backend, ScriptedModel(answers), swarm, name="s") as session:
            await session.conversation.ready()
            task, _ = branch_off(session.conversation, DESK, "b1", "")
            stored = 0
            for question in ("hi", "tea?"):
                async for _ in session.run_turn(question):
                    batch = task.batch()
                    batch.add("unsent", turn=0, text=f"{stored}")
                    await task.commit(batch)
                    stored += 1
            records = await log(session)
            assert [record.seq for record in records] == [*range(len(records))]
            assert sum(record.type == "task" for record in records) == stored > 6
            (flush,) = (record for record in records if record.type == "reset")
            kept = [records[seq] for seq in flush.data["keep"]]
            assert [record.type for record in kept] == ["user", "assistant"]
            assert kept[0].message["content"] == "hi"

    asyncio.run(run())

"""Tasks in the background: they store records while turns run, and their results arrive as messages."""

import asyncio
from typing import Any

import pytest
from recorded import calls, record_and_replay
from swarmchat.backends import open_backend
from swarmchat.swarm import (
    Agent,
    Context,
    MailReceived,
    ScriptedModel,
    Session,
    State,
    Swarm,
    TaskError,
    TurnEnded,
    read_lines,
    tool,
)
from swarmchat.swarm.archive.tasks import tasks_of
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


WORKER = Agent("worker", "You work.", tools=[look], description="Works")


@tool
async def hire(ctx: Context, what: str) -> str:
    """Hire the worker."""
    return f"hired for {ctx.spawn('worker', what)}"


@tool(background=True)
async def count(ctx: Context, words: str) -> str:
    """Count words."""
    await ctx.state("notes").update(lambda notes: [*notes, words])
    if not words:
        raise ValueError("no words")
    return str(len(words.split()))


FRONT = Agent("front", "You answer.", tools=[hire, count, WORKER.as_tool(name="send", background=True)])
SWARM = Swarm("office", [FRONT, WORKER], states=[State("notes", default=list)])


class Gate:
    """A model of the worker that answers when it is told to."""

    def __init__(self, answer: Any = "Worked.") -> None:
        self.answer, self.asked, self.go = answer, asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Any) -> Any:
        self.asked.set()
        await self.go.wait()
        return self.answer


async def open_office(model: Any, backend: Any = "memory:", **options: Any) -> Session:
    return await Session.open(backend, model, SWARM, name="s", **options)


async def settled(session: Session) -> None:
    while session.tasks.running:
        await session.tasks.wait()


async def received(session: Session) -> list[Any]:
    return [event async for event in session.receive()]


def mails(events: list[Any]) -> list[tuple[str, str, bool]]:
    return [(event.sender, event.text, event.wake) for event in events if isinstance(event, MailReceived)]


def test_the_answer_of_a_task_arrives_as_a_message_while_the_user_goes_on():
    async def run() -> None:
        model = ScriptedModel({"front": ["Hello.", "Yes.", "Fine."], "worker": ["Worked."]})
        session = await open_office(model)
        assert await session.tasks.start("worker", "Do it.") == "b1"
        assert list(session.tasks.running) == ["b1"]
        await session.ask("hi")
        await settled(session)
        assert await session.wait_for_mail(5)
        assert mails(await received(session)) == [("worker, task b1", "Done: Do it.\nWorked.", False)]
        await session.ask("and?")
        assert "Worked." in str(model.requests[-1].decoded_messages())
        (request,) = [each for each in model.requests if each.agent == "worker"]
        assert [each["content"] for each in request.decoded_messages()] == ["You work.", "Do it."]
        # Neither an undo of everything nor a redo touches it.
        assert (await session.undo(5)).turns == (1, 2)
        assert (await session.redo(2)).turns == (1, 2)
        records = await log(session)
        assert [record.seq for record in records] == [*range(len(records))]
        assert (session.info.tasks, list(session.info.running)) == (1, [])
        (task,) = tasks_of(records).values()
        assert (task.id, task.status, task.requests, task.turn) == ("b1", "ok", 1, 0)
        await session.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (("hire", '{"what": "Do it."}'), "Done: Do it.\nWorked."),
        (("send", '{"task": "Do it."}'), "Done: Do it.\nWorked."),
        (("count", '{"words": "one two"}'), 'Done: count({"words":"one two"})\n2'),
        (("count", '{"words": ""}'), 'Failed: count({"words":""})\nValueError: no words'),
    ],
)
def test_a_tool_starts_a_task_and_the_agent_reacts_to_its_result(call, text, tmp_path):
    async def scenario(recorder: Any) -> None:
        model = ScriptedModel({"front": [calls(call), "It is under way.", "It is done."], "worker": ["Worked."]})
        session = await recorder.open(model)
        reply = await session.ask("please")
        assert "b1" in reply.calls[0].result
        await settled(session)
        events = await received(session)
        assert [each[1:] for each in mails(events)] == [(text, True)]
        assert [event.text for event in events if isinstance(event, TurnEnded)] == ["It is done."]
        notes = ["one two"] if "2" in text else []
        assert await session.primitives.state("notes").get() == notes
        # The task began with a turn, and what it did stays if the turn is undone.
        await session.undo(2)
        await session.close()

    record_and_replay(SWARM, scenario, tmp_path / "s.jsonl")


def test_a_task_that_is_stopped_or_whose_process_ends_is_said_so_and_can_be_started_again():
    async def run() -> None:
        backend = open_backend("memory:")
        gate = Gate()
        session = await open_office(ScriptedModel({"worker": [gate, gate]}), backend)
        await session.tasks.start("worker", "One.", wake=True)
        await gate.asked.wait()
        await session.tasks.stop("b1")
        assert mails(await received(session)) == [("worker, task b1", "Stopped by the user: One.", False)]
        with pytest.raises(TaskError, match="task 'b1' does not run; running: none"):
            await session.tasks.stop("b1")
        gate.asked.clear()
        await session.tasks.again("b1")
        await gate.asked.wait()
        await session.close()
        session = await open_office(ScriptedModel({"worker": ["Worked."], "front": ["Good."]}), backend)
        assert [record.task for record in session.tasks.interrupted] == ["b2"]
        assert not session.tasks.running
        (told,) = mails(await received(session))
        assert told[1].startswith("Interrupted: One.")
        await session.tasks.again("b2")
        await settled(session)
        assert mails(await received(session)) == [("worker, task b3", "Done: One.\nWorked.", True)]
        await session.close()
        session = await open_office(ScriptedModel([]), backend)
        assert (session.tasks.interrupted, mails(await received(session))) == ([], [])
        assert [each.status for each in tasks_of(await log(session)).values()] == ["stopped", "interrupted", "ok"]
        with pytest.raises(TaskError, match="empty"):
            await session.tasks.start("worker", " ")
        await session.close()

    asyncio.run(run())

"""Tasks in the background: they store records while turns run, and their results arrive as messages."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from chat_rules import check_messages
from chats import Faulty, open_session
from hypothesis import given
from hypothesis import strategies as st
from recorded import again, calls, record_and_replay
from swarmchat.backends import BackendError, BackendUnavailable, Delete, open_backend
from swarmchat.swarm import (
    Agent,
    Context,
    MailReceived,
    ScriptedModel,
    Session,
    State,
    Swarm,
    SwarmError,
    TaskError,
    TurnEnded,
    read_lines,
    tool,
)
from swarmchat.swarm.archive.task_summaries import tasks_of
from swarmchat.swarm.conversation.branching import branch_off
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.session_index import find_session


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
        swarm = Swarm("s", [DESK], rescue=("flush", "recomplete"))
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


def test_tasks_that_follow_from_one_another_come_to_an_end():
    async def run() -> None:
        hires = [calls(("hire", '{"what": "Do it."}')), "Under way."]
        model = ScriptedModel({"front": hires * 20, "worker": ["Worked."] * 20})
        async with await open_office(model, open_backend("memory:")) as session:
            await session.ask("please")
            told = []
            while session.tasks.running:
                await settled(session)
                told += mails(await received(session))
            assert [wakes for *_, wakes in told] == [True] * 10 + [False]
            assert "No agent reacts to this: 10 tasks" in told[-1][1]
            # A word of the user begins anew.
            await session.ask("go on")
            await settled(session)
            assert mails(await received(session))[0][2] is True

    asyncio.run(run())


def test_a_task_that_is_stopped_or_whose_process_ends_is_said_so_and_can_be_started_again():
    async def run() -> None:
        backend = open_backend("memory:")
        gate = Gate()
        session = await open_office(ScriptedModel({"worker": [gate, gate]}), backend)
        await session.tasks.start("worker", "One.", wake=True)
        await gate.asked.wait()
        await session.tasks.stop("b1")
        assert mails(await received(session)) == [("worker, task b1", "Stopped by the user: One.", False)]
        with pytest.raises(TaskError, match="task 'b1' is not running; running: none"):
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


_STEPS = st.one_of(
    st.tuples(st.just("start"), st.booleans()),
    st.tuples(st.just("ask"), st.booleans(), st.sampled_from(["", "hire", "count"])),
    st.tuples(st.just("fail"), st.integers(1, 2), st.booleans()),
    st.sampled_from([("work",), ("stop",), ("receive",), ("undo",), ("redo",), ("reopen",), ("die",)]),
)


class Office:
    """A session with tasks that work when they are told to, on a store that fails when it is told to."""

    def __init__(self) -> None:
        self.backend = Faulty(open_backend("memory:"))
        self.requests: list[Any] = []
        self.tool = ""
        """What the next request of the front desk calls."""
        self.go = asyncio.Event()
        self.started: list[str] = []

    async def open(self) -> None:
        self.model = ScriptedModel({"front": [self.front] * 200, "worker": [self.work] * 200})
        self.session = await open_session(self.backend, self.model, swarm=SWARM)
        self.requests += [self.model.requests]

    async def front(self, request: Any) -> Any:
        call, self.tool = self.tool, ""
        for _ in range(5):
            await asyncio.sleep(0)
        arguments = {"hire": '{"what": "work"}', "count": '{"words": "some words"}'}
        return calls((call, arguments[call]), ids=f"call_{len(self.model.requests)}") if call else "Fine."

    async def work(self, request: Any) -> Any:
        await self.go.wait()
        if request.decoded_messages()[-1]["role"] == "tool":
            return "Worked."
        return calls(("look", '{"words": "tea"}'), ids=f"call_{len(self.model.requests)}")

    async def die(self) -> None:
        """Nothing that the process does from now on is stored."""
        self.backend.fail, self.backend.lands = 10_000, False
        with suppress(BackendError, SwarmError):
            await self.session.close()
        self.backend.fail = 0
        await self.backend.commit(Delete(keys.session_lease("ann", "s")))

    async def do(self, step: Any) -> None:
        session = self.session
        match step:
            case ("start", wake):
                self.started.append(await session.tasks.start("worker", "work", wake=wake))
            case ("ask", at_once, tool):
                self.tool = tool
                if at_once:
                    self.go.set()
                async for _ in session.run_turn("go on"):
                    pass
            case ("fail", count, lands):
                self.backend.fail, self.backend.lands = count, lands
            case ("work",):
                self.go.set()
                await settled(session)
                self.go.clear()
            case ("stop",) if session.tasks.running:
                await session.tasks.stop(next(iter(session.tasks.running)))
            case ("receive",):
                await received(session)
            case ("undo",):
                await session.undo()
            case ("redo",):
                await session.redo()
            case ("reopen",):
                self.backend.fail = 0
                await session.close()
                await self.open()
            case ("die",):
                await self.die()
                await self.open()


@given(st.lists(_STEPS, max_size=14))
def test_whatever_happens_each_task_has_one_end_and_one_message(tmp_path_factory, steps):
    async def run() -> None:
        office = Office()
        await office.open()
        await office.session.ask("hi")
        for step in steps:
            # What a person at the terminal sees as an error, after which the chat goes on.
            with suppress(BackendUnavailable):
                await office.do(step)
        office.backend.fail, office.tool = 0, ""
        await office.do(("reopen",))
        await received(office.session)
        records = await log(office.session)
        assert [record.seq for record in records] == [*range(len(records))]
        begun = [record.task for record in records if record.type == "task_start"]
        assert len(begun) == len(set(begun))
        assert set(office.started) <= set(begun)
        ended = [record.task for record in records if record.type == "task_end"]
        told = [record.data["sender"].split()[-1] for record in records if record.type == "mail"]
        assert sorted(ended) == sorted(told) == sorted(begun)
        assert not (await find_session(office.backend, "ann", "s")).running
        for request in (request for requests in office.requests for request in requests):
            assert check_messages(request.decoded_messages()) is None
        await office.session.close()
        replayed = await again(
            b"\n".join(await office.backend.slice(keys.session_log("ann", "s"), 0)) + b"\n",
            tmp_path_factory.mktemp("replay") / "s.jsonl",
            SWARM,
        )
        assert [str(each) for each in replayed.differences] == []
        assert [(each.type, each.task) for each in replayed.records] == [(each.type, each.task) for each in records]

    asyncio.run(run())

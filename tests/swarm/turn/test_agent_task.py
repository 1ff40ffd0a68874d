"""Agents as tools: tasks in a context of their own, side by side, in a branch of the session's log."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import warm
from hypothesis import given
from hypothesis import strategies as st
from recorded import again, ask, calls, record_and_replay
from swarmchat.backends import open_backend
from swarmchat.cli.chat.opener import unfinished_tasks
from swarmchat.swarm import (
    Agent,
    Context,
    HookError,
    Hooks,
    ModelUnavailable,
    OverBudget,
    Policy,
    Record,
    ScriptedModel,
    Session,
    SessionInfo,
    SessionSettings,
    State,
    Swarm,
    TaskEnded,
    TaskProgress,
    TaskStarted,
    TextChunk,
    TextDelta,
    ToolCall,
    ToolFinished,
    read_lines,
    tool,
)
from swarmchat.swarm.archive.dialogue import dialogue
from swarmchat.swarm.archive.task_summaries import tasks_of
from swarmchat.swarm.context.normalize import no_result
from swarmchat.swarm.context.view import View
from swarmchat.swarm.persistence.log import Log


@tool
async def note(ctx: Context, text: str) -> str:
    """Note something."""
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes, text]))


@tool(approve="ask")
async def pay(ctx: Context, amount: int) -> str:
    """Pay."""
    return f"paid {amount}, says {await ctx.ask_user('who pays?')}"


async def noted(ctx: Context) -> str:
    return f"Noted so far: {await ctx.state('notes').get()}."


READER = Agent("reader", "You read.", description="Reads a source")
RESEARCHER = Agent(
    "researcher", "You find sources.", tools=[note, pay, READER.as_tool()], system=[noted], description="Finds sources"
)
DESK = Agent("desk", "You answer.", tools=[RESEARCHER.as_tool(), note])
SWARM = Swarm("library", [DESK], states=[State("notes", default=list)])


def tasks(*texts: str) -> Any:
    return calls(*(("researcher", json.dumps({"task": text})) for text in texts))


def entries(records: Any, task: str) -> list[str]:
    return [record.data["entry"] for record in records if record.type == "task" and record.task == task]


async def session(model: Any, swarm: Swarm | Agent = SWARM, backend: Any = "memory:", **options: Any) -> Session:
    return await Session.open(backend, model, swarm, name="s", **options)


def test_a_task_has_a_context_of_its_own_and_its_last_answer_is_the_result():
    async def run() -> None:
        model = ScriptedModel(
            {"desk": ["Hello.", tasks("Find books on tea."), "Two books."], "researcher": ["Okakura."]}
        )
        chat = await session(model)
        await chat.ask("hi")
        reply = await chat.ask("books on tea?")
        (request,) = [request for request in model.requests if request.agent == "researcher"]
        assert [each["content"] for each in request.decoded_messages()] == [
            "You find sources.",
            "Noted so far: [].",
            "Find books on tea.",
        ]
        assert "transfer" not in str(request.tools)
        assert [(call.name, call.result) for call in reply.calls] == [("researcher", "Okakura.")]
        seen = [each["content"] for each in model.requests[-1].decoded_messages()]
        assert seen == ["You answer.", "hi", "Hello.", "books on tea?", None, "Okakura."]
        assert entries(chat.records, "2.1") == ["user", "request", "assistant"]
        started, ended = (next(e for e in reply.events if isinstance(e, kind)) for kind in (TaskStarted, TaskEnded))
        assert (started.task, started.agent, started.text) == ("2.1", "researcher", "Find books on tea.")
        assert (ended.status, ended.requests, ended.tokens > 0) == ("ok", 1, True)
        texts = [e.event for e in reply.events if isinstance(e, TaskProgress) and isinstance(e.event, TextDelta)]
        assert "".join(text.text for text in texts) == "Okakura."
        await chat.undo()
        await chat.close()

    asyncio.run(run())


def test_tasks_of_one_message_run_side_by_side_up_to_a_limit():
    async def run(at_once: int) -> int:
        running, most, full = 0, 0, asyncio.Event()

        async def answer(request: Any) -> str:
            nonlocal running, most
            running += 1
            most = max(most, running)
            if running == min(at_once, 3):
                full.set()
            await full.wait()
            await asyncio.sleep(0.01)
            running -= 1
            return "found"

        model = ScriptedModel({"desk": [tasks("a", "b", "c"), "done"], "researcher": [answer] * 3})
        async with await session(model, settings=SessionSettings(tasks_at_once=at_once)) as chat:
            await chat.ask("go")
        return most

    assert [asyncio.run(run(limit)) for limit in (1, 2, 4)] == [1, 2, 3]


def test_approval_and_questions_name_the_agent_that_works_on_the_task():
    asked: list[tuple[str, str]] = []

    async def approve(tool_: Any, call: ToolCall) -> bool:
        asked.append(("approve", call.agent))
        return True

    async def answer(question: Any) -> str:
        asked.append((question.tool, question.agent))
        return "Ann"

    async def run() -> str:
        steps = {"desk": [tasks("pay"), "done"], "researcher": [calls(("pay", '{"amount":5}')), "It is paid."]}
        async with await session(ScriptedModel(steps), approver=approve, answerer=answer) as chat:
            await chat.ask("go")
            return next(r.inner_record.message["content"] for r in chat.records if r.data.get("entry") == "tool")

    assert asyncio.run(run()) == "paid 5, says Ann"
    assert asked == [("approve", "researcher"), ("pay", "researcher")]


@pytest.mark.parametrize(
    ("steps", "settings", "told"),
    [
        (["x", calls(("note", '{"text":"a"}'))], {"task_tokens": 1}, "the task has used"),
        ([calls(("note", '{"text":"a"}'))] * 9, {"task_requests": 2, "max_repeats": 99, "rescue": ()}, "in 2 requests"),
        ([ModelUnavailable("the server is down")], {}, "researcher: the server is down"),
        ([""], {"rescue": ()}, "gave no usable answer"),
    ],
)
def test_a_task_that_fails_is_told_to_the_agent_that_gave_it(steps, settings, told):
    async def run() -> ToolFinished:
        if settings.get("task_tokens"):
            steps[0] = steps.pop()
        model = ScriptedModel({"desk": [tasks("x"), "sorry"], "researcher": steps})
        async with await session(model, settings=SessionSettings(**settings)) as chat:
            reply = await chat.ask("go")
            assert reply.text == "sorry"
            return reply.calls[0]

    call = asyncio.run(run())
    assert call.status == "error"
    assert told in call.result


def test_a_task_that_takes_too_long_is_abandoned():
    async def run() -> str:
        desk = Agent("desk", tools=[RESEARCHER.as_tool(seconds=0.05)])
        model = ScriptedModel({"desk": [tasks("x"), "sorry"], "researcher": [lambda request: asyncio.sleep(9, "late")]})
        async with await session(model, Swarm("s", [desk], states=SWARM.states)) as chat:
            return (await chat.ask("go")).calls[0].result

    assert asyncio.run(run()) == "Error: researcher did not finish within 0.05 s"


def test_what_the_user_says_meanwhile_goes_to_the_agent_that_the_user_talks_to(tmp_path):
    models = []

    async def scenario(recorder: Any) -> None:
        async def steered(request: Any) -> Any:
            chat.steering.add("hurry")
            return calls(("note", '{"text":"n"}'))

        models.append(ScriptedModel({"desk": [tasks("a"), "done"], "researcher": [steered, "found"]}))
        async with await recorder.open(models[0]) as chat:
            await ask(chat, "go")

    record_and_replay(SWARM, scenario, tmp_path / "log.jsonl")
    told = [request.agent for request in models[0].requests if "hurry" in str(request.messages)]
    assert told == ["desk"]


def test_tasks_may_be_nested_down_to_a_depth():
    async def run(depth: int) -> tuple[list[str], bool]:
        nested = [calls(("reader", '{"task":"read"}')), "It says tea."]
        model = ScriptedModel({"desk": [tasks("x"), "done"], "researcher": nested, "reader": ["Tea."]})
        async with await session(model, settings=SessionSettings(task_depth=depth, rescue=())) as chat:
            await chat.ask("go")
            offered = [str(r.tools) for r in model.requests if r.agent == "researcher"]
            return entries(chat.records, "1.1.1"), "Reads a source" in offered[0]

    assert asyncio.run(run(2)) == (["user", "request", "assistant"], True)
    assert asyncio.run(run(1))[1] is False


@pytest.mark.parametrize("history", ["none", "summary", "all"])
def test_what_an_agent_is_told_of_the_conversation(history, tmp_path):
    swarm = Swarm("s", [Agent("desk", tools=[READER.as_tool(history=history)])])
    read = calls(("reader", '{"task":"Read it."}'))
    models = []

    async def scenario(recorder: Any) -> None:
        reader = [*(["They like tea."] if history == "summary" else []), "Read."]
        models.append(ScriptedModel({"desk": ["Good.", read, "done"], "reader": reader}))
        async with await recorder.open(models[0]) as chat:
            await ask(chat, "I like tea")
            await ask(chat, "read my book")

    record_and_replay(swarm, scenario, tmp_path / "log.jsonl")
    text = [each for each in models[0].requests if each.agent == "reader"][-1].decoded_messages()[-1]["content"]
    before = {
        "none": "",
        "summary": "A summary of the conversation so far, for your information:\n\nThey like tea.\n\nYour task:\n\n",
        "all": "The conversation so far, for your information:\n\nThe user said: I like tea\n\n"
        "The assistant said: Good.\n\nThe user said: read my book\n\nYour task:\n\n",
    }
    assert text == before[history] + "Read it."


def test_a_hook_sees_and_changes_the_task_without_the_history_before_it():
    class Shout(Hooks):
        async def before_turn(self, ctx: Any, text: str) -> str:
            seen.append(text)
            return text.upper()

    seen: list[str] = []

    async def run() -> str:
        swarm = Swarm("s", [Agent("desk", tools=[READER.as_tool(history="all")])])
        model = ScriptedModel({"desk": [calls(("reader", '{"task":"read"}')), "done"], "reader": ["Tea."]})
        async with await session(model, swarm, hooks=[Shout()]) as chat:
            await chat.ask("go")
        return next(r for r in model.requests if r.agent == "reader").decoded_messages()[-1]["content"]

    text = asyncio.run(run())
    assert seen == ["go", "read"]
    assert text == "The conversation so far, for your information:\n\nThe user said: GO\n\nYour task:\n\nREAD"


def test_policies_and_hooks_apply_inside_and_a_task_bans_nobody():
    class Watch(Hooks):
        async def after_request(self, ctx: Any, request: Any, answer: Any) -> None:
            seen.append((ctx.agent, ctx.task))
            if answer.text == "break":
                raise ValueError("broken hook")

    seen: list[tuple[str, str]] = []
    policy = Policy("no-war", reject_input="war", reject_output="secret", ban=True, message="Not that.")

    async def run() -> None:
        swarm = Swarm("s", [Agent("desk", tools=[READER.as_tool()])], policies=[policy])
        texts = [calls(("reader", f'{{"task":"{text}"}}'), ids=text) for text in ("war", "peace", "end")]
        model = ScriptedModel({"desk": [texts[0], texts[1], texts[2]], "reader": ["a secret", "break"]})
        async with await session(model, swarm, hooks=[Watch()]) as chat:
            with pytest.raises(HookError, match="broken hook"):
                await chat.ask("go")
            results = [record.message["content"] for record in chat.records if record.type == "tool"]
            assert results[:2] == ["Not that.", "Not that."]
            assert await chat.primitives.find_ban() is None

    asyncio.run(run())
    assert ("reader", "1.2") in seen


def test_parallel_tasks_that_see_each_others_changes_replay_the_same_every_time(tmp_path):
    async def scenario(recorder: Any) -> None:
        async def later(request: Any) -> str:
            # The tasks overtake one another, by what they were asked.
            text = next(m["content"] for m in request.decoded_messages() if m["role"] == "user")
            await asyncio.sleep({"a": 0.03, "b": 0.01, "c": 0.0}[text])
            results = sum(m["role"] == "tool" for m in request.decoded_messages())
            return calls(("note", f'{{"text":"{text}{results}"}}'), ids=text) if results < 2 else f"{text} done"

        reads = calls(("reader", '{"task":"r"}'), ("reader", '{"task":"s"}'))
        model = ScriptedModel({"desk": [tasks("a", "b", "c"), "done", reads], "researcher": [later] * 9})
        async with await recorder.open(model) as chat:
            await ask(chat, "go")

    replays = [record_and_replay(SWARM, scenario, tmp_path / "log.jsonl").records]
    order = [record.task for record in replays[0] if record.type == "task"]
    assert any(a != b for a, b in pairwise(order))


@pytest.mark.parametrize("step", range(4))
def test_a_stopped_turn_with_tasks_replays_the_same(step, tmp_path):
    async def scenario(recorder: Any) -> None:
        stop = asyncio.Event()

        async def hang(request: Any) -> str:
            stop.set()
            await asyncio.sleep(60)
            return ""

        note_it = calls(("note", '{"text":"n"}'))
        steps = [["found", hang], [note_it, hang, "found"], [[TextDelta("", ""), "x"]], [note_it, "one", hang]][step]
        if step == 2:
            steps = [["The beginning ", hang_text(stop)], "found"]
        model = ScriptedModel({"desk": [tasks("a", "b"), "done"], "researcher": steps})
        async with await recorder.open(model) as chat:
            await ask(chat, "go", stop=stop)
            model2 = ScriptedModel({"desk": ["Again."]})
            chat.model = model2
            await ask(chat, "and now?")

    def hang_text(stop: asyncio.Event) -> Any:
        stop.set()
        return TextChunk("of")

    record_and_replay(SWARM, scenario, tmp_path / "log.jsonl")


async def collected(url: str) -> None:
    """Give three tasks, and never end: the test kills the process."""

    async def hang(request: Any) -> str:
        print("asked", flush=True)
        await asyncio.sleep(60)
        return ""

    note_it = calls(("note", '{"text":"n"}'))
    model = ScriptedModel({"desk": ["hi", tasks("a", "b", "c")], "researcher": [note_it, hang, hang, hang]})
    chat = await session(model, backend=url)
    await chat.ask("hello")
    await chat.ask("go")


def test_a_killed_process_leaves_tasks_that_are_told_and_a_session_that_goes_on(tmp_path):
    url = f"disk:{tmp_path / 'store'}"
    folders = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:0] = {folders}; import asyncio; from test_agent_task import collected; "
    code += f"asyncio.run(collected({url!r}))"
    process = warm.start_python("-c", code, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["asked\n"] * 3
    process.kill()
    process.communicate()

    async def run() -> None:
        model = ScriptedModel({"desk": ["It was interrupted."]})
        async with await session(model, backend=url) as chat:
            unfinished = unfinished_tasks(chat)
            assert [line.split(":")[0] for line in unfinished] == [f"task 2.{n}, researcher" for n in (1, 2, 3)]
            notes = await chat.primitives.state("notes").get()
            await chat.ask("and now?")
            sent = [json.loads(message) for message in model.requests[0].messages]
            assert [each["content"] for each in sent if each["role"] == "tool"] == [no_result("call_0")["content"]] * 3
            assert unfinished_tasks(chat) == []
            lines = [line async for line in read_lines(chat.backend, chat.info)]
            await chat.undo(2)
            assert (notes, await chat.primitives.state("notes").get()) == (["n"], [])
        path = tmp_path / "log.jsonl"
        for _ in range(2):
            replayed = await again(b"\n".join(lines) + b"\n", path, SWARM)
            assert [str(each) for each in replayed.differences] == []

    asyncio.run(run())


def test_tasks_are_stored_on_every_backend(backend_url):
    async def run() -> None:
        backend = open_backend(backend_url)
        note_it = calls(("note", '{"text":"n"}'))
        model = ScriptedModel({"desk": [tasks("a", "b"), "done"], "researcher": [note_it, "one", "two"]})
        async with await session(model, backend=backend) as chat:
            await chat.ask("go")
            before = [record.line for record in chat.records]
        async with await session(ScriptedModel({"desk": ["Yes."]}), backend=backend) as chat:
            assert [record.line for record in chat.records] == before
            states = [record for record in chat.records if record.type == "state"]
            assert [(record.task[:2], record.data["value"]) for record in states] == [("1.", ["n"])]
            summaries = tasks_of(chat.records)
            assert {each.status for each in summaries.values()} == {"ok"}
            assert sorted(each.requests for each in summaries.values()) == [1, 2]
            folded = [entry.kind for entry in dialogue(chat.records)]
            assert folded.count("note") == 3
            assert len([*dialogue(chat.records, tasks=True)]) > len(folded)
            await chat.undo()
            assert await chat.primitives.state("notes").get() == []
        await backend.close()

    asyncio.run(run())


_ENTRIES = ["user", "assistant", "tool", "request", "reset", "rotate", "compact", "pin", "undo", "handoff", "set"]


def _base(turns: int) -> list[Record]:
    """Return a log with a task in each turn; its records come later, at every third number."""
    records = [Record("session", 0, 0, "", None, {"id": "s", "name": "s"})]

    def add(kind: Any, turn: int, agent: str | None = "desk", **data: Any) -> None:
        records.append(Record(kind, 3 * len(records), turn, "", agent, data))

    for turn in range(1, turns + 1):
        call = {"id": "c", "type": "function", "function": {"name": "researcher", "arguments": "{}"}}
        add("user", turn, message={"role": "user", "content": f"question {turn} " * 9})
        add("request", turn, tokens=700, window=900)
        add("assistant", turn, message={"role": "assistant", "content": None, "tool_calls": [call]})
        add("tool", turn, message={"role": "tool", "tool_call_id": "c", "content": f"result {turn}"}, status="ok")
        add("assistant", turn, message={"role": "assistant", "content": "yes"}, usage={"prompt_tokens": 800})
    return records


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 2), st.sampled_from(_ENTRIES), st.integers(0, 99))),
    st.integers(200, 1500),
)
def test_no_task_changes_what_an_agent_sees_of_the_conversation(turns, entries_, window):
    base = _base(turns)
    with_tasks = {record.seq: record for record in base}
    for place, offset, entry, number in entries_:
        seq = 3 * (place % len(base)) + offset
        message = {"role": entry if entry in ("user", "assistant", "tool") else "user", "content": "of a task"}
        data = {"message": message, "tool_call_id": "c", "first_kept": number, "summary": "s", "from": 1, "to": number}
        data |= {
            "keep": [],
            "tokens": 5,
            "usage": {"prompt_tokens": 9999},
            "target": 1,
            "pinned": [[1, 2]],
            "states": {},
        }
        inner = Record(entry, number, base[place % len(base)].turn, "", "researcher", data)
        with_tasks[seq] = replace(inner.in_task("1.1", "c"), seq=seq)

    async def context(records: list[Record], agent: str) -> tuple[Any, ...]:
        log = Log(open_backend("memory:"), "k")
        log.records, log.next_seq = records, 3 * len(base)
        view = View(log, agent)
        view.rebuild()
        view._next_seq = log.next_seq
        built = await view.context(SessionSettings(context_window=window).budget(window), "m")
        info = reduce(SessionInfo.after, records, SessionInfo("s", "s", "ann", "", ""))
        return built.messages, built.tokens, view.first_kept(SessionSettings().budget(window)), view.correction, info

    async def both(agent: str) -> None:
        outcomes = []
        for records in (base, [with_tasks[seq] for seq in sorted(with_tasks)]):
            try:
                outcomes.append(await context(records, agent))
            except OverBudget as error:
                outcomes.append((str(error),))
        assert outcomes[0] == outcomes[1]

    for agent in ("desk", "researcher"):
        asyncio.run(both(agent))


@given(seed=st.integers(0, 2**32), stop_at=st.integers(1, 25))
def test_whatever_tasks_do_side_by_side_their_replay_comes_to_the_same(tmp_path_factory, seed, stop_at):
    """Tasks overtake one another, nest, fail and are stopped at any request."""
    # Not drawn by Hypothesis: what tasks draw side by side has no order.
    random = Random(seed)
    reader = Agent("reader", "You read.", tools=[note], system=[noted], description="Reads")
    researcher = Agent(
        "researcher", "", tools=[note, reader.as_tool(history="all")], system=[noted], description="Finds"
    )
    swarm = Swarm("library", [Agent("desk", tools=[researcher.as_tool(), note])], states=SWARM.states)
    asked = 0

    async def scenario(recorder: Any) -> None:
        stop = asyncio.Event()

        def step(request: Any) -> Any:
            agent, number = request.agent, random.randrange(1000)
            kind = random.random()
            if agent == "researcher" and kind < 0.3:
                return calls(*[("reader", f'{{"task":"{n}"}}') for n in range(random.choice([1, 2]))], ids=f"r{number}")
            if kind < 0.5:
                return calls(("note", f'{{"text":"{number}"}}'), ids=f"n{number}")
            return ModelUnavailable("down") if kind < 0.6 else "" if kind < 0.65 else f"found {number}"

        async def answer(request: Any) -> Any:
            nonlocal asked
            asked += 1
            if asked == stop_at:
                stop.set()
            for _ in range(random.randrange(8)):
                await asyncio.sleep(0)
            return step(request)

        desk = [tasks("a", "b", "c"), "done"] * 2
        async with await recorder.open(
            ScriptedModel({"desk": desk, "researcher": [answer] * 200, "reader": [answer] * 400}),
            tasks_at_once=random.choice([1, 2, 4]),
        ) as chat:
            await ask(chat, "go", stop=stop)
            await ask(chat, "and again")

    record_and_replay(swarm, scenario, tmp_path_factory.mktemp("tasks") / "log.jsonl")

"""Whatever happens in a session, its replay comes to the same."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from chats import sent
from recorded import Recorder, again, ask, calls, record_and_replay
from swarmchat.backends import Delete, open_backend
from swarmchat.swarm import Agent, Context, Hooks, Operator, Policy, SessionSettings, State, Swarm, tell, tool
from swarmchat.swarm.archive.sessions import rename_session
from swarmchat.swarm.conversation.events import Rotated
from swarmchat.swarm.conversation.primitives import Primitives
from swarmchat.swarm.errors import ContextTooLong, ModelBusy, ModelUnavailable
from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.session_index import find_session
from swarmchat.swarm.persistence.store import ChangeSet


@tool
async def note(ctx: Context, text: str) -> str:
    """Note something."""
    return ", ".join(await ctx.state("notes").update(lambda notes: [*notes, text]))


@tool
async def remember(ctx: Context, name: str) -> str:
    """Remember the client's name."""
    await ctx.memory.set("name", name)
    return f"hello {name}"


@tool
async def fail(ctx: Context) -> str:
    """Fail."""
    raise ValueError("nothing works")


@tool(approve="ask")
async def pay(ctx: Context, amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool
async def send_to_till(ctx: Context) -> str:
    """Send the client to the till."""
    ctx.handoff("till")
    return "sent"


async def known(ctx: Context) -> str:
    notes = await ctx.state("notes").get()
    return f"Known: {await ctx.memory.get('name', 'nobody')}, noted: {notes}, client {ctx.client} in {ctx.session}."


async def is_rich(ctx: Context) -> bool:
    return bool(await ctx.memory.get("name"))


@tool(available=is_rich)
async def gamble(ctx: Context) -> str:
    """Gamble."""
    return "lost"


TOOLS = [note, remember, fail, pay, send_to_till, gamble]
SHOP = Swarm(
    "shop",
    [
        Agent("desk", "Take orders.", tools=TOOLS, handoffs=["till"], system=[known]),
        Agent("till", "Take money.", tools=[note, pay], handoffs=["desk"], parameters={"temperature": 0.1}),
    ],
    states=[State("notes", default=list)],
)


def test_tools_states_memory_and_handoffs(tmp_path):
    async def scenario(recorder):
        steps = [
            calls(("note", '{"text":"tea"}'), ("remember", '{"name":"Ann"}'), ("fail", "{}")),
            "Noted.",
            calls(("note", '{"text":"a"}'), ("note", '{"text":"b"}'), ("transfer_to_till", "{}"), ids="x"),
            calls(("note", '{"text":"c"}'), ids="x"),
            calls(("transfer_back", "{}"), ids="y"),
            "Back.",
            calls(("send_to_till", "{}")),
            calls(("pay", '{"amount":3}')),
            "Paid.",
            # What llama.cpp does: one id for all calls.
            calls(("note", '{"text":"d"}')),
            calls(("note", '{"text":"e"}')),
            "Yes.",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            for text in ("a tea", "on", "go", "more"):
                await ask(session, text)

    done = record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")
    assert len(done.turns) == 4
    assert done.turns[0].now.states == {"notes": ["tea"]}


def test_stopped_before_the_first_word_in_mid_answer_in_a_tool_and_between(tmp_path):
    started = asyncio.Event()

    @tool
    async def slow(ctx: Context) -> str:
        """Take for ever."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    stop_first, stop_mid, stop_leak = (asyncio.Event() for _ in range(3))

    def hanging(event, *pieces):
        async def step(request):
            event.set()
            await asyncio.Event().wait()

        return step

    class Hanging(ScriptedModel):
        """Goes silent after some steps."""

        def __init__(self, steps, stops):
            super().__init__(steps)
            self._stops = stops

        async def stream(self, request):
            number = len(self.requests)
            async for event in super().stream(request):
                if number in self._stops and isinstance(event, Answer):
                    self._stops[number].set()
                    await asyncio.Event().wait()
                yield event

    async def scenario(recorder):
        steps = [
            hanging(stop_first),
            "This is all that",
            'Let me see. <tool_call>{"name": "note", "argu',
            calls(("note", '{"text":"1"}'), ("slow", "{}"), ("note", '{"text":"2"}')),
            "I am here.",
        ]
        model = Hanging(steps, {1: stop_mid, 2: stop_leak})
        async with await recorder.open(model) as session:
            await ask(session, "one", stop=stop_first)
            await ask(session, "two", stop=stop_mid)
            await ask(session, "three", stop=stop_leak)
            await ask(session, "four", stop=started)
            await ask(session, "five")

    agent = Agent("desk", "x", tools=[note, slow])
    done = record_and_replay(Swarm("s", [agent], states=SHOP.states), scenario, tmp_path / "log.jsonl")
    statuses = [record.data["status"] for record in done.records if record.type == "tool"]
    assert statuses == ["ok", "interrupted", "ok"]


def test_stopped_after_the_results_and_before_the_next_request(tmp_path):
    stop = asyncio.Event()

    async def stopping(ctx: Context) -> str:
        notes = await ctx.state("notes").get()
        if notes and not stop.is_set():
            stop.set()
            await asyncio.Event().wait()
        return "x"

    # In the replay the prompt does not wait: it is the log that tells where it stopped.
    agent = Agent("desk", "x", tools=[note], system=[stopping])

    async def scenario(recorder):
        model = ScriptedModel([calls(("note", '{"text":"1"}')), calls(("note", '{"text":"2"}')), "done"])
        async with await recorder.open(model) as session:
            stop.clear()
            # The state is stored by the first request after it only.
            await ask(session, "one", stop=stop)
            await ask(session, "two")

    record_and_replay(Swarm("s", [agent], states=SHOP.states), scenario, tmp_path / "log.jsonl")


class Died(Exception):
    """Stands in for kill -9: nothing is written any more."""


class Dying:
    """A backend of a process that dies after some commits."""

    def __init__(self, inner, left):
        self.inner, self.left = inner, left

    def __getattr__(self, name):
        return getattr(self.inner, name)

    async def commit(self, *writes, lease=None):
        if self.left == 0:
            raise Died
        self.left -= 1
        await self.inner.commit(*writes, lease=lease)


def replay_after_a_death(swarm, steps, keep, later, path):
    """Record turns of a process that dies after ``keep`` commits, and one of another process; replay them."""

    async def scenario(recorder):
        inner = recorder.backend
        recorder.backend = Dying(inner, keep)
        with suppress(Died):
            async with await recorder.open(ScriptedModel(steps)) as session:
                await ask(session, "one")
                await ask(session, "two")
        recorder.backend = inner
        await inner.commit(Delete(keys.session_lease("ann", "s")))
        async with await recorder.open(ScriptedModel(later)) as session:
            await ask(session, "three")

    record_and_replay(swarm, scenario, path)


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_process_that_died_after_any_commit(keep, tmp_path):
    steps = [calls(("note", '{"text":"1"}')), calls(("transfer_to_till", "{}")), "at the till", "well?"]
    later = [calls(("note", '{"text":"3"}'), ids="z"), "on"]
    replay_after_a_death(SHOP, steps, keep, later, tmp_path / "log.jsonl")


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_a_process_that_died_while_a_person_was_asked_for(keep, tmp_path):
    swarm = Swarm("s", [Agent("desk", "x", handoffs=["support"])], operators=[Operator("support")])
    replay_after_a_death(swarm, [calls(("transfer_to_support", "{}"))], keep, ["on"], tmp_path / "log.jsonl")


def test_errors_of_the_model_and_of_hooks(tmp_path):
    def strict(text):
        if "boom" in text:
            raise RuntimeError("the check is broken")
        return "too loud" if text.isupper() else None

    async def scenario(recorder):
        steps = [
            ModelUnavailable("no connection"),
            ["Half an", ModelUnavailable("cut off")],
            ModelBusy("later"),
            "fine",
            "LOUD",
            "quiet",
            "boom",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            for text in "abcdef":
                await ask(session, text)

    record_and_replay(Swarm("s", [Agent("a", "x")]), scenario, tmp_path / "plain.jsonl")
    record_and_replay(Swarm("s", [Agent("a", "x", validate=strict)]), scenario, tmp_path / "checked.jsonl")


@pytest.mark.parametrize(
    "point", ["before_turn", "before_tool", "after_tool", "before_handoff", "after_handoff", "before_request"]
)
def test_a_hook_that_fails_ends_the_turn_where_it_did(point, tmp_path):
    async def fails(*_):
        raise ValueError("broken")

    async def scenario(recorder):
        steps = [calls(("note", '{"text":"a"}'), ("note", '{"text":"b"}')), calls(("transfer_to_till", "{}")), "Here."]
        hooks = [type("Program", (Hooks,), {})()]
        async with await recorder.open(ScriptedModel([*steps, *steps]), options={"hooks": hooks}) as session:
            await ask(session, "hi")
            setattr(type(hooks[0]), point, lambda self, *seen: fails())
            await session.go_to("desk")
            await ask(session, "again")
            (error,) = (record.data["error"] for record in session.records if record.type == "error")
            assert error["message"] == f"the hook Program.{point} failed: ValueError: broken"

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


def test_settings_of_a_later_start_are_recorded(tmp_path):
    def ask_a_human(fault, ctx):
        return "A colleague will write to you." if fault.cause == "empty" else None

    async def scenario(recorder):
        for settings in ({}, {"parameters": {"seed": 1}, "reserve": 90}, {"rescue": (ask_a_human,)}, {}):
            async with await recorder.open(ScriptedModel([""] * 9), **settings) as session:
                await ask(session, "hi")
                await session.change_settings(replace(session.settings, placeholder="Hm?"))
                await ask(session, "and now?")

    done = record_and_replay(replace(SHOP, rescue=[ask_a_human]), scenario, tmp_path / "log.jsonl")
    assert [record.type for record in done.records].count("set") == 7


@pytest.mark.parametrize("limit", [None, 300, 10])
def test_a_context_that_is_too_long(limit, tmp_path):
    async def scenario(recorder):
        long = "word " * 60
        steps = [
            long,
            long,
            ContextTooLong("too long", limit=limit),
            "short",
            calls(("transfer_to_till", "{}")),
            "till",
        ]
        steps += [ContextTooLong("too long")] * 3
        async with await recorder.open(ScriptedModel(steps), context_window=1200) as session:
            for text in ("a", "b", "c", "d", "e"):
                await ask(session, text)
        # Another process knows nothing of the smaller window.
        async with await recorder.open(ScriptedModel([long, "x"], name="gpt-4"), context_window=3000) as session:
            await ask(session, "f")
            await ask(session, "g")
        # The marks of a cut depend on the window: a smaller one has others.
        steps = [long, long, ContextTooLong("too long", limit=limit), "x"]
        async with await recorder.open(ScriptedModel(steps), context_window=32_000) as session:
            for text in ("h", "i", "j"):
                await ask(session, text)

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


def test_policies_bans_and_what_was_never_sent(tmp_path):
    stop = asyncio.Event()
    waiting = []

    async def slow_rule(text):
        if text == "explode":
            raise RuntimeError("the rule is broken")
        if text == "wait" and not waiting:
            waiting.append(text)
            stop.set()
            await asyncio.Event().wait()
        return False

    swarm = Swarm(
        "s",
        [Agent("a", "x", tools=[note])],
        policies=[
            Policy("odd", reject_input=slow_rule),
            Policy("rude", reject_input=["damn"], ban=True, message="You are banned."),
            Policy("secret", reject_output=["password"], message="I will not tell."),
        ],
        states=SHOP.states,
    )

    async def scenario(recorder):
        steps = [
            "hello",
            "the password is x",
            calls(("note", '{"text":"p"}'), text="the password"),
            'password <tool_call>{"name": "note", "arguments": {"text": "q"}}</tool_call>',
            "",
            "password",
            "after",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            await ask(session, "explode")
            await ask(session, "wait", stop=stop)
            for text in ("hi", "tell", "tell more", "and more", "go"):
                await ask(session, text)
            await ask(session, "damn you")
            await ask(session, "sorry")
            bans = Primitives(swarm, recorder.backend, session.settings.lifetimes, "ann", "s").policy("rude")
            await bans.lift("ann")
            await ask(session, "thanks")
            await bans.ban("ann", "by hand", "2026-01-01T00:00:00.000Z")
            await ask(session, "what now?")

    done = record_and_replay(swarm, scenario, tmp_path / "log.jsonl")
    assert [record.type for record in done.records].count("unsent") == 2


def test_denied_calls_limits_and_rescue_settings(tmp_path):
    async def scenario(recorder):
        steps = [
            calls(("pay", '{"amount":1}'), ("note", '{"text":"x"}')),
            "denied",
            *[calls(("fail", "{}"))] * 3,
            "",
            "",
        ]

        async def approver(tool, call):
            return "2" in call.arguments

        async with await recorder.open(
            ScriptedModel(steps), rescue=("feedback", "placeholder"), max_repeats=2
        ) as session:
            await ask(session, "pay")
            await ask(session, "fail")
        options = {"approver": approver}
        steps = [calls(("pay", '{"amount":2}'), ("pay", '{"amount":3}')), "half", *[calls(("fail", "{}"))] * 3]
        async with await recorder.open(
            ScriptedModel(steps), rescue=("feedback", "placeholder"), max_repeats=2, options=options
        ) as session:
            await ask(session, "pay")
            await ask(session, "fail")

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


@pytest.mark.parametrize("mode", ["verify", "tools"])
def test_arguments_that_the_user_edited(mode, tmp_path):
    async def scenario(recorder):
        async def approver(tool, call):
            return '{"amount": 2}'

        steps = [calls(("pay", '{"amount":9}')), "paid", calls(("pay", '{"amount":-1}')), "sorry"]
        async with await recorder.open(ScriptedModel(steps), options={"approver": approver}) as session:
            await ask(session, "pay")
            broken.append(True)
            await ask(session, "pay")

    @tool(approve="ask")
    async def pay(ctx: Context, amount: int) -> str:
        """Pay."""
        if ctx.state("turns") and broken:
            raise ValueError("no money")
        return f"paid {amount}"

    broken: list[bool] = []
    agent = Agent("desk", "x", tools=[pay])
    swarm = Swarm("s", [agent], states=[State("turns", default=int)])
    done = record_and_replay(swarm, scenario, tmp_path / "log.jsonl")
    assert [comparison.now.calls for comparison in done.turns] == [[("pay", {"amount": 2})], []]
    assert [comparison.now.failed for comparison in done.turns] == [[], ["pay"]]


def test_limits_that_end_a_turn(tmp_path):
    async def scenario(recorder):
        steps = [calls(("fail", "{}"))] * 3 + [calls(("note", f'{{"text":"{n}"}}'), ids=f"n{n}") for n in range(4)]
        async with await recorder.open(ScriptedModel(steps), rescue=(), max_requests=3) as session:
            await ask(session, "a")
            await ask(session, "b")
            await ask(session, "c")

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


def test_models_and_parameters_of_agents(tmp_path):
    swarm = replace(SHOP, agents=[SHOP.agents[0], replace(SHOP.agents[1], model="gpt-4o", max_tool_calls=1)])

    def steps():
        two = calls(("note", '{"text":"1"}'), ("note", '{"text":"2"}'))
        return [calls(("transfer_to_till", "{}")), two, "hi"]

    async def with_models(recorder):
        shared = steps()

        def model_named(name):
            return ScriptedModel(shared[1:], name=name)

        first = ScriptedModel(shared[:1], name="small")
        async with await recorder.open(first, options={"models": model_named}, parameters={"seed": 1}) as session:
            await ask(session, "one")

    async def with_one(recorder):
        async with await recorder.open(ScriptedModel(steps(), name="small")) as session:
            await ask(session, "one")
        async with await recorder.open(ScriptedModel(["yes"], name="other"), context_window=500) as session:
            await ask(session, "two")

    record_and_replay(swarm, with_models, tmp_path / "models.jsonl")
    record_and_replay(swarm, with_one, tmp_path / "one.jsonl")


def test_thoughts_leaks_and_usage(tmp_path):
    leak = '<tool_call>{"name": "note", "arguments": {"text": "q"}}</tool_call>'

    async def scenario(recorder):
        steps = [
            [ReasoningChunk("hm, "), ReasoningChunk("well"), TextChunk("Yes.")],
            "<think>a thought</think>\n\nAn answer.",
            [ReasoningChunk("aside"), TextChunk(f"<think>inside</think>One. {leak}")],
            Answer("Done.", usage={"prompt_tokens": 90, "completion_tokens": 3}, reasoning="r"),
            [ReasoningChunk("nothing"), TextChunk("")],
            Answer("Then this.", usage={"prompt_tokens": 120}),
            Answer("cut of", finish="length"),
            Answer("held", finish="content_filter"),
            f"Here: {leak} and {leak} as well",
            "ok",
            "One\ntwo.\n" * 500,
            "sane",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            for text in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j"):
                await ask(session, text)

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


@pytest.mark.parametrize("told_apart", [True, False])
def test_cuts_follow_the_recorded_way_to_correct_the_count(told_apart, tmp_path):
    async def scenario(recorder):
        usage = [Answer("word " * 20, usage={"prompt_tokens": 500 + 40 * n}) for n in range(20)]
        async with await recorder.open(ScriptedModel(usage, context_window=1500), reserve=200) as session:
            # Older logs do not tell what a server adds for tools.
            session.conversation.measures_overhead = told_apart
            for number in range(20):
                await ask(session, f"question {number} " + "x " * 40)

    done = record_and_replay(SHOP, scenario, tmp_path / "log")
    requests = [record.data for record in done.records if record.type == "request"]
    assert all(("overhead" in data) == told_apart for data in requests)
    assert any(record.type == "rotate" for record in done.records)


def test_a_cut_of_a_long_session_that_was_reopened_with_a_smaller_window(tmp_path):
    async def scenario(recorder):
        for window, turns in ((50_000, 50), (800, 1)):
            model = ScriptedModel([Answer("word " * 20)] * turns, context_window=window)
            async with await recorder.open(model, reserve=100) as session:
                for number in range(turns):
                    events = [event async for event in session.run_turn(f"question {number}")]
        (cut,) = (event for event in events if isinstance(event, Rotated))
        assert (cut.groups, cut.tokens_before) == (None, None)

    done = record_and_replay(SHOP, scenario, tmp_path / "log")
    (cut,) = (record.data for record in done.records if record.type == "rotate")
    assert cut["dropped"]["from"] == 1


def test_a_log_without_marks_was_cut_at_the_former_ones(tmp_path):
    async def scenario():
        recorder = Recorder(open_backend("memory:"), SHOP)
        model = ScriptedModel(["word " * 20] * 20, context_window=1500)
        async with await recorder.open(model, high=0.9, low=0.7) as session:
            for number in range(20):
                await ask(session, f"question {number} " + "x " * 40)
        log = await recorder.log()
        older = log.replace(b',"marks":[0.9,0.7]', b"").replace(b',"settings":{"high":0.9,"low":0.7}', b"")
        assert len(older) < len(log) - 20 * 18
        return await again(older, tmp_path / "log", SHOP)

    done = asyncio.run(scenario())
    assert list(map(str, done.differences)) == []
    assert any(record.type == "rotate" for record in done.records)


def test_changes_by_the_client_and_others_between_turns(tmp_path):
    async def scenario(recorder):
        shared = Primitives(
            SHOP, recorder.backend, (await recorder.open(ScriptedModel())).settings.lifetimes, "ann", "o"
        )
        await shared.memory.set("name", "Ann")

        await recorder.backend.commit(Delete(keys.session_lease("ann", "s")))
        steps = [calls(("gamble", "{}")), "lost", "till", "desk", "reset", "named", "noted"]
        async with await recorder.open(ScriptedModel(steps[:5])) as session:
            await session.go_to("till")
            await session.go_back()
            await ask(session, "gamble")
            await session.go_to("till")
            await ask(session, "here?")
            await session.go_back()
            await ask(session, "and here?")
            await session.reset()
            await ask(session, "what?")
        info = await find_session(recorder.backend, "ann", "s")
        await rename_session(recorder.backend, info, "other", session.conversation.journal.now())
        async with await recorder.open(ScriptedModel(steps[5:])) as session:
            await ask(session, "name?")
            await session.change_memory(lambda memory: memory.set("name", "Anna"))
            await session.change_memory(lambda memory: memory.set("city", "Bonn"))
            changes = ChangeSet()
            await note.run(session.conversation.tool_context("command line", changes), {"text": "by hand"})
            await session.conversation.commit(None, changes)
            await ask(session, "noted?")

    done = record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")
    assert {"rename", "state", "reset", "handoff"} <= {record.type for record in done.records}


def test_undo_and_redo(tmp_path):
    async def scenario(recorder):
        steps = [
            calls(("note", '{"text":"1"}')),
            "one",
            calls(("transfer_to_till", "{}")),
            "two",
            "three",
            "four",
            "five",
        ]
        async with await recorder.open(ScriptedModel(steps)) as session:
            await ask(session, "a")
            await ask(session, "b")
            await session.undo()
            await ask(session, "c")
            await session.undo(2)
            await session.redo()
            await session.redo()
            await session.undo(3)
            await ask(session, "d")

    record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")


def test_functions_as_steps_of_the_rescue(tmp_path):
    def ask_a_human(fault, ctx):
        return f"{ctx.client}, a colleague will write to you." if fault.cause == "empty" else None

    async def scenario(recorder):
        model = ScriptedModel(["", calls(("nothing", "{}")), "hm"])
        async with await recorder.open(model, rescue=("repair", ask_a_human, "feedback")) as session:
            await ask(session, "a")
            await ask(session, "b")

    record_and_replay(replace(SHOP, rescue=[ask_a_human]), scenario, tmp_path / "swarm.jsonl")
    record_and_replay(SHOP, scenario, tmp_path / "given.jsonl", settings=SessionSettings(rescue=[ask_a_human]))


def test_messages_from_outside_and_the_turns_that_they_start(tmp_path):
    async def scenario(recorder):
        steps = ["Hello.", "It has shipped.", calls(("note", '{"text":"pay"}')), "Pay, please.", "Sure.", "Late."]
        async with await recorder.open(ScriptedModel(steps)) as session:
            await session.tell("welcome", sender="shop")
            await ask(session, "hi")
            await session.tell("on its way")
            await session.tell("shipped", wake=True)
            await session.tell("bill them", agent="till", wake=True)
            assert [event async for event in session.receive()]
            await session.undo()
            await session.tell("no more")
            await ask(session, "thanks")
            await tell(session.backend, "ann", "s", "late", agent="nobody", wake=True)
            assert [event async for event in session.receive()]
            assert (session.turns, session.info.highest_turn) == (4, 5)

    done = record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")
    assert [turn.now.answer for turn in done.turns] == ["Hello.", "It has shipped.", "Pay, please.", "Sure.", "Late."]


def test_messages_to_the_running_turn(tmp_path):
    async def scenario(recorder):
        def steering(answer, *texts):
            def step(request):
                for text in texts:
                    session.steering.add(text)
                return answer

            return step

        steps = [
            steering(calls(("note", '{"text":"tea"}')), "no, coffee", "with milk"),
            steering(calls(("transfer_to_till", "{}")), "pay later"),
            steering("Coffee, then.", "too late"),
            "Next.",
        ]
        model = ScriptedModel(steps)
        async with await recorder.open(model) as session:
            await ask(session, "a tea")
            assert [message["content"] for message in sent(model, 1)][-2:] == ["no, coffee", "with milk"]
            assert [message["content"] for message in sent(model, 2)][-1] == "pay later"
            assert session.steering.take_unsent() == ["too late"]
            assert session.turns == 1
            await ask(session, "too late")
            assert (await session.undo(2)).text == "a tea"

    done = record_and_replay(SHOP, scenario, tmp_path / "log.jsonl")
    assert [turn.now.answer for turn in done.turns] == ["Coffee, then.", "Next."]


def test_a_policy_sees_messages_to_the_running_turn(tmp_path):
    swarm = replace(SHOP, policies=[Policy("polite", reject_input=lambda text: "damn" in text)])

    async def scenario(recorder):
        def step(request):
            session.steering.add("damn")
            session.steering.add("please")
            return calls(("note", '{"text":"tea"}'))

        model = ScriptedModel([step, "Fine."])
        async with await recorder.open(model) as session:
            await ask(session, "a tea")
            assert [message["content"] for message in sent(model)][-1] == "please"
            assert session.steering.take_unsent() == ["damn"]

    record_and_replay(swarm, scenario, tmp_path / "log.jsonl")

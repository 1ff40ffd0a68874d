"""Hooks around turns, requests, tools and handoffs: they see, change and refuse."""

import asyncio
from dataclasses import replace

import pytest
from recorded import record_and_replay
from swarmchat.swarm import (
    Agent,
    Context,
    Denied,
    HandedOver,
    HookError,
    Hooks,
    Policy,
    Refused,
    RequestDenied,
    ScriptedModel,
    Session,
    State,
    Swarm,
    TextDelta,
    Warned,
    tool,
)
from swarmchat.swarm.testing import call


@tool
async def buy(ctx: Context, count: int) -> str:
    """Buy some."""
    await ctx.state("bought").update(lambda old: old + count)
    return f"bought {count}"


@tool
async def give_up(ctx: Context) -> str:
    """Hand over."""
    ctx.handoff("till")
    return "gone"


SWARM = Swarm(
    "shop",
    [Agent("desk", tools=[buy, give_up], handoffs=["till", "boss"]), Agent("till", tools=[buy]), Agent("boss")],
    states=[State("bought", 0)],
    policies=[Policy("polite", reject_input=["damn"], message="Please.")],
)


def hold(hooks, steps, text="go", swarm=SWARM):
    """Run a turn; return the session, its events and the model."""
    model = ScriptedModel(steps)

    async def scenario():
        async with Session.open("memory:", model, swarm, hooks=hooks) as session:
            events = [event async for event in session.run_turn(text)]
            return session, events, await session.primitives.state("bought").get()

    session, events, bought = asyncio.run(scenario())
    return session, events, model, bought


class Watch(Hooks):
    def __init__(self):
        self.seen = []

    def before_turn(self, ctx, text):
        self.seen.append(("before_turn", ctx.agent, text))

    async def after_turn(self, ctx, answer, error):
        self.seen.append(("after_turn", ctx.agent, answer.text, error))

    async def before_request(self, ctx, request):
        self.seen.append(("before_request", ctx.agent, len(request.messages)))

    async def after_request(self, ctx, request, answer):
        self.seen.append(("after_request", ctx.agent, answer.text))

    async def before_tool(self, ctx, call):
        self.seen.append(("before_tool", ctx.call_id, call.name, call.arguments))

    async def after_tool(self, ctx, call, result):
        self.seen.append(("after_tool", call.name, result))

    async def before_handoff(self, ctx, target):
        self.seen.append(("before_handoff", ctx.agent, target))

    async def after_handoff(self, ctx, source):
        self.seen.append(("after_handoff", ctx.agent, source))


def test_hooks_see_all_of_a_turn():
    watch = Watch()
    hold([watch], [[call(buy, {"count": 2}), call("transfer_to_till")], "Done."])
    assert watch.seen == [
        ("before_turn", "desk", "go"),
        ("before_request", "desk", 2),
        ("after_request", "desk", ""),
        ("before_tool", "call_1_1", "buy", '{"count":2}'),
        ("before_handoff", "desk", "till"),
        ("after_tool", "buy", "bought 2"),
        ("after_handoff", "till", "desk"),
        ("before_request", "till", 2),
        ("after_request", "till", "Done."),
        ("after_turn", "till", "Done.", None),
    ]


class Change(Hooks):
    async def before_turn(self, ctx, text):
        return text.replace("go", "please go")

    async def before_request(self, ctx, request):
        return replace(request, parameters={**request.parameters, "temperature": 0})

    async def after_request(self, ctx, request, answer):
        return replace(answer, text=answer.text.upper()) if answer.text else None

    async def before_tool(self, ctx, call):
        return replace(call, arguments='{"count": 6}')

    async def after_tool(self, ctx, call, result):
        return result.replace("bought", "paid")

    async def before_handoff(self, ctx, target):
        return "boss"


STEPS = [[call(buy, {"count": 2}), call("transfer_to_till")], "Done."]


def test_hooks_change_all_of_a_turn():
    session, events, model, bought = hold([Change()], STEPS)
    assert model.requests[0].decoded_messages()[-1]["content"] == "please go"
    assert model.requests[0].parameters["temperature"] == 0
    user = next(record for record in session.records if record.type == "user")
    assert user.data["entered"] == "go"
    assert bought == 6
    result = next(record for record in session.records if record.type == "tool").message["content"]
    assert result == 'The user changed the arguments to {"count": 6}.\npaid 6'
    assert [event.target for event in events if isinstance(event, HandedOver)] == ["boss"]
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["DONE."]
    assert session.records[-1].data["replaced"] == "Done."
    # An equal copy is no change.
    assert "replaced" not in hold([Change()], ["DONE."])[0].records[-1].data


class Refuse(Hooks):
    def __init__(self, *points):
        self.points = points

    def _say(self, point):
        return Denied(f"no {point}") if point in self.points else None

    async def before_turn(self, ctx, text):
        return self._say("turn")

    async def before_request(self, ctx, request):
        return self._say("request")

    async def after_request(self, ctx, request, answer):
        return self._say("answer") if answer.text else None

    async def before_tool(self, ctx, call):
        return self._say("tool")

    async def after_tool(self, ctx, call, result):
        return self._say("result")

    async def before_handoff(self, ctx, target):
        return self._say("handoff")


def test_a_turn_is_refused():
    session, events, _, _ = hold([Refuse("turn")], [])
    assert events[0] == Refused("hook", "input", False, "no turn")
    assert events[-1].text == "no turn"
    assert [record.type for record in session.records] == ["session", "policy"]


def test_a_request_is_refused():
    with pytest.raises(RequestDenied, match="a hook refused the request: no request"):
        hold([Refuse("request")], [])


def test_an_answer_is_refused():
    session, events, _, _ = hold([Refuse("answer")], ["Bad words."])
    assert Refused("hook", "output", False, "no answer") in events
    assert (events[-1].text, events[-1].finish) == ("no answer", "refused")
    assert "Bad" not in "".join(event.text for event in events if isinstance(event, TextDelta))
    assert session.records[-1].data["replaced"] == "Bad words."


@pytest.mark.parametrize(
    ("point", "results", "bought"),
    [
        ("tool", ["Denied: this call was not allowed: no tool", '{"handed_over_to": "till"}'], 0),
        ("result", ["Error: no result", '{"handed_over_to": "till"}'], 0),
        ("handoff", ["bought 2", "Denied: this call was not allowed: no handoff"], 2),
    ],
)
def test_calls_are_refused(point, results, bought):
    session, _, _, value = hold([Refuse(point)], STEPS)
    told = [record.message["content"] for record in session.records if record.type == "tool"]
    assert (told, value) == (results, bought)
    assert session.agent.name == ("desk" if point == "handoff" else "till")


def test_the_handoff_of_a_tool_is_refused_and_changed():
    session, _, _, _ = hold([Refuse("handoff")], [call(give_up), "Done."])
    assert session.agent.name == "desk"
    assert "gone\nNot handed over: no handoff" in [
        record.message["content"] for record in session.records if record.type == "tool"
    ]

    class Redirect(Hooks):
        async def before_handoff(self, ctx, target):
            return "boss"

    assert hold([Redirect()], [call(give_up), "Done."])[0].agent.name == "boss"


def test_policies_check_what_a_hook_made_of_the_text():
    class Rude(Hooks):
        def before_turn(self, ctx, text):
            return f"damn {text}"

    _, events, _, _ = hold([Rude()], [])
    assert events[-1].text == "Please."


def test_each_hook_gets_what_the_one_before_made_of_it():
    class Add(Hooks):
        def before_turn(self, ctx, text):
            return text + "!"

    _, _, model, _ = hold([Add(), Hooks(), Add()], ["Done."])
    assert model.requests[0].decoded_messages()[-1]["content"] == "go!!"


def test_a_hook_may_change_states():
    class Count(Hooks):
        async def after_turn(self, ctx, answer, error):
            await ctx.state("bought").set(9)

    assert hold([Count()], ["Done."])[3] == 9


class Broken(Hooks):
    def __init__(self, result=None):
        self.result = result

    def before_tool(self, ctx, call):
        return self.result or 1 / 0


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        (Broken(), "the hook Broken.before_tool failed: ZeroDivisionError"),
        (Broken("yes"), "the hook Broken.before_tool returned 'yes', expected ToolCall, Denied or None"),
        (Broken(call(buy, {"count": "x"})), "a hook changed the arguments of buy to invalid ones: count"),
    ],
)
def test_a_broken_hook_ends_the_turn(hook, words):
    with pytest.raises(HookError) as error:
        hold([hook], STEPS)
    assert words in str(error.value)


def test_a_broken_hook_at_the_end_is_a_warning():
    class Late(Hooks):
        def after_turn(self, ctx, answer, error):
            raise ValueError("too late")

    events = hold([Late()], ["Done."])[1]
    assert Warned("the hook Late.after_turn failed: ValueError: too late") in events
    assert events[-1].text == "Done."


def test_the_end_of_a_failed_turn_is_seen():
    watch = Watch()
    with pytest.raises(RequestDenied):
        hold([watch, Refuse("request")], [])
    assert isinstance(watch.seen[-1][-1], RequestDenied)


@pytest.mark.parametrize(
    "hooks",
    [[Change()], *([Refuse(point)] for point in ("turn", "request", "answer", "tool", "result", "handoff"))],
)
@pytest.mark.parametrize("mode", ["verify", "tools"])
def test_a_replay_needs_no_hooks(tmp_path, hooks, mode):
    async def scenario(recorder):
        steps = [*STEPS, call(buy, {"count": 1}), "Again."]
        async with await recorder.open(ScriptedModel(steps), options={"hooks": hooks}) as session:
            for text in ("go", "go on"):
                try:
                    await session.ask(text)
                except RequestDenied:
                    continue

    record_and_replay(SWARM, scenario, tmp_path / "log.jsonl", mode=mode)


def test_a_changed_answer_of_a_type_is_checked():
    class Edit(Hooks):
        def __init__(self, text):
            self.text = text

        async def after_request(self, ctx, request, answer):
            return replace(answer, text=self.text)

    async def ask(text):
        async with Session.open("memory:", ScriptedModel(['{"answer": 1}']), hooks=[Edit(text)]) as session:
            return (await session.ask("a number", output=int)).output

    assert asyncio.run(ask('{"answer": 2}')) == 2
    with pytest.raises(HookError, match="a hook changed the answer to one that does not fit int: it is not JSON"):
        asyncio.run(ask("two"))

"""A swarm at work: tools that change things, handoffs, limits, policies, presence."""

import asyncio
import json
import subprocess
import threading
from dataclasses import dataclass, field

import pytest
import warm
from chat_rules import check_messages
from chats import Faulty, contents, open_session, say, sent, text_of
from steps import steps
from swarmchat.backends import BackendUnavailable, open_backend
from swarmchat.swarm import Agent, Context, Policy, State, Swarm, tool
from swarmchat.swarm.common.encoding import _PIECE, folded_text
from swarmchat.swarm.conversation.events import HandedOver, Refused, ToolFinished, ToolStarted
from swarmchat.swarm.errors import ClientBanned, DefinitionError, HandoffLoop, HookError, RepeatedCall, StateError
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.persistence.store import Lifetimes, Store
from swarmchat.swarm.primitives.memory import PersistMemory
from swarmchat.swarm.primitives.navigation import Navigation, PersistSwarm
from swarmchat.swarm.primitives.policy import PersistPolicy
from swarmchat.swarm.primitives.presence import PersistAlive
from swarmchat.swarm.primitives.state import PersistState


@dataclass
class Order:
    item: str = ""
    count: int = 0
    notes: list[str] = field(default_factory=list)


def refuse_negative(old: Order, new: Order) -> Order:
    if new.count < 0:
        raise ValueError("a count below 0")
    return new


@tool
async def fill(ctx: Context, item: str = "", add: int = 0) -> Order:
    """Fill in the order."""

    def change(order: Order) -> Order:
        return Order(item or order.item, order.count + add, order.notes)

    return await ctx.state("order").update(change)


@tool
async def fill_and_fail(ctx: Context) -> None:
    await ctx.state("order").update(lambda order: Order("lost", 99))
    await ctx.memory.set("lost", True)
    raise RuntimeError("the printer is on fire")


@tool
async def remember(ctx: Context, name: str, value: str) -> str:
    await ctx.memory.set(name, value)
    return "noted"


@tool
def slow(ctx: Context) -> str:
    ctx.cancelled.wait(30)
    return "late"


@tool(approve="ask")
def pay() -> str:
    return "paid"


@tool(available=lambda ctx: ctx.client == "bob")
def secret() -> str:
    return "for bob"


ORDER = State("order", default=Order, reducers=[refuse_negative])
TRIAGE = Agent(
    "triage", "You are triage.", tools=[fill, fill_and_fail, remember, slow, pay, secret], handoffs=["sales"]
)
SALES = Agent(
    "sales",
    lambda ctx: f"You sell to {ctx.client}.",
    tools=[fill],
    handoffs=["triage", "refunds"],
    description="Sells.",
)
REFUNDS = Agent("refunds", "You refund.", handoffs=["triage"])
SWARM = Swarm("shop", [TRIAGE, SALES, REFUNDS], states=[ORDER])


def call(tool_name, call_id="c", /, **arguments):
    return ToolCall(call_id, tool_name, json.dumps(arguments))


def calling(*calls, text=""):
    return Answer(text, tuple(calls), "tool_calls")


def run(scenario):
    return asyncio.run(scenario)


async def stored(backend, name="s"):
    return [parse_record(line) for line in await backend.slice(keys.session_log("ann", name), 0)]


def offered(model, index=-1):
    return [definition["function"]["name"] for definition in model.requests[index].tools]


def test_a_tool_changes_state_and_its_result_is_stored_with_it(backend_url):
    async def scenario():
        inner = open_backend(backend_url)
        backend = Faulty(inner)
        model = ScriptedModel([calling(call("fill", item="pen", add=2)), "Done."])
        async with await open_session(backend, model, swarm=SWARM) as session:
            events = await say(session, "two pens")
            assert events[0] == ToolStarted("fill", '{"item": "pen", "add": 2}', "triage")
            assert isinstance(events[1], ToolFinished)
            assert (events[1].status, events[1].result) == ("ok", '{"item":"pen","count":2,"notes":[]}')
            assert await session.primitives.state("order").get() == Order("pen", 2)
            # The answer with the call, its result with the change and the next request, the answer: and the first one.
            assert backend.commits == 4
        records = await stored(inner)
        kinds = [record.type for record in records]
        assert kinds == ["session", "user", "request", "assistant", "tool", "request", "state", "assistant"]
        assert records[6].data == {"name": "order", "value": {"item": "pen", "count": 2, "notes": []}}
        assert offered(model, 0) == ["fill", "fill_and_fail", "remember", "slow", "pay", "transfer_to_sales"]
        assert check_messages(sent(model)) is None
        await backend.close()

    run(scenario())


def test_calls_run_together_and_are_stored_in_their_order():
    gate = threading.Event()

    @tool
    def first() -> str:
        assert gate.wait(20)
        return "first"

    @tool
    async def second() -> str:
        gate.set()
        return "second"

    async def scenario():
        model = ScriptedModel([calling(call("first", "1"), call("second", "2")), "ok"])
        async with await open_session(
            open_backend("memory:"), model, swarm=Agent("a", tools=[first, second])
        ) as session:
            await say(session, "go")
        assert contents(model)[-2:] == ["first", "second"]

    run(scenario())


def test_concurrent_tools_lose_no_update_of_one_state():
    async def scenario():
        calls = [call("fill", str(number), add=1) for number in range(20)]
        model = ScriptedModel([calling(*calls), "ok"])
        async with await open_session(open_backend("memory:"), model, swarm=SWARM) as session:
            await say(session, "go")
            assert (await session.primitives.state("order").get()).count == 20

    run(scenario())


def test_a_tool_that_fails_changes_nothing(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([calling(call("fill_and_fail", "1"), call("fill", "2", add=1)), "sorry"])
        async with await open_session(backend, model, swarm=SWARM) as session:
            events = await say(session, "go")
            assert [event.status for event in events if isinstance(event, ToolFinished)].count("error") == 1
            assert await session.primitives.state("order").get() == Order("", 1)
            assert await session.primitives.memory.all() == {}
        assert contents(model)[-2] == "Error: RuntimeError: the printer is on fire"
        await backend.close()

    run(scenario())


def test_a_change_that_cannot_follow_another_fails_alone():
    async def scenario():
        model = ScriptedModel([calling(call("fill", "1", add=-1), call("fill", "2", add=3)), "ok"])
        async with await open_session(open_backend("memory:"), model, swarm=SWARM) as session:
            await say(session, "go")
            assert (await session.primitives.state("order").get()).count == 3
        assert contents(model)[-2] == "Error: ValueError: a count below 0"

    run(scenario())


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ([call("fil")], ["Error: unknown tool 'fil'; did you mean 'fill'?"]),
        ([call("secret")], ["Error: unknown tool 'secret'; available: fill,"]),
        ([call("fill", add="many")], ["Error: add: Input should be a valid integer"]),
        ([ToolCall("c", "fill", "{")], ["Error: the call of fill is cut off"]),
        ([call("pay")], ["Denied: "]),
        ([call("transfer_back")], ["Error: unknown tool 'transfer_back'"]),
        (
            [call("transfer_to_sales", "1"), call("transfer_to_sales", "2"), call("fill", "3", add=1)],
            ['{"handed_over_to": "sales"}', "Error: the user was already handed over", '{"item":""'],
        ),
    ],
)
def test_calls_that_cannot_be_carried_out(calls, results):
    async def scenario():
        model = ScriptedModel([calling(*calls), "ok"])
        async with await open_session(open_backend("memory:"), model, swarm=SWARM) as session:
            await say(session, "go")
            found = [record.message["content"] for record in session.records if record.type == "tool"]
        assert len(found) == len(results)
        for got, start in zip(found, results, strict=True):
            assert got.startswith(start)

    run(scenario())


def test_the_user_may_be_asked_and_settings_go_first():
    async def scenario(approve, approver, expected):
        model = ScriptedModel([calling(call("pay")), "ok"])
        options = {"approver": approver}
        async with await open_session(
            open_backend("memory:"), model, swarm=SWARM, options=options, approve=approve
        ) as session:
            await say(session, "pay")
            assert session.records[4].data["status"] == expected

    asked = []

    async def yes(asked_tool, asked_call):
        asked.append(asked_tool.name)
        return True

    async def no(asked_tool, asked_call):
        return False

    run(scenario({}, None, "denied"))
    run(scenario({}, yes, "ok"))
    run(scenario({}, no, "denied"))
    run(scenario({"p*": "auto"}, no, "ok"))
    run(scenario({"p*": "deny", "pay": "auto"}, yes, "denied"))
    assert asked == ["pay"]


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (None, 100)])
def test_no_more_calls_than_an_agent_may_make(limit, most):
    async def scenario():
        agent = Agent("a", tools=[fill], max_tool_calls=limit)
        calls = [call("fill", str(number), add=number) for number in range(1, most + 2)]
        model = ScriptedModel([calling(*calls), "ok"])
        swarm = Swarm("s", [agent], states=[ORDER])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            await say(session, "go")
            assert (await session.primitives.state("order").get()).count == sum(range(1, most + 1))
        assert contents(model)[-1].startswith(f"Error: only {most} calls")

    run(scenario())


def test_a_handoff_and_the_way_back(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel(
            [
                calling(call("transfer_to_sales"), text="One moment."),
                "Sales here.",
                calling(call("transfer_to_refunds", "2")),
                "Refunds here.",
                calling(call("transfer_back", "3")),
                "Sales again.",
            ]
        )
        async with await open_session(backend, model, swarm=SWARM) as session:
            events = await say(session, "I want to buy")
            assert HandedOver("triage", "sales", ("triage",)) in events
            assert contents(model) == ["You sell to ann.", "I want to buy", "One moment.", "Sales here."][:3]
            assert "transfer_back" in offered(model)
            await say(session, "refund me")
            assert session.navigation == Navigation("refunds", ("triage", "sales"))
        async with await open_session(backend, model, swarm=SWARM) as session:
            assert session.navigation == Navigation("refunds", ("triage", "sales"))
            await say(session, "no, go back")
            assert session.agent.name == "sales"
            assert await session.go_back() == Navigation("triage")
            assert await session.go_to("refunds") == Navigation("refunds", ("triage",))
            with pytest.raises(DefinitionError, match="did you mean 'sales'"):
                await session.go_to("sale")
        for request in range(6):
            assert check_messages(sent(model, request)) is None
        handoffs = [record.data for record in await stored(backend) if record.type == "handoff"]
        assert [(handoff["from"], handoff["to"]) for handoff in handoffs] == [
            ("triage", "sales"),
            ("sales", "refunds"),
            ("refunds", "sales"),
            ("sales", "triage"),
            ("triage", "refunds"),
        ]
        assert handoffs[0]["via"] == "c"
        await backend.close()

    run(scenario())


def test_an_agent_sees_all_texts_and_its_own_calls_only():
    async def scenario():
        model = ScriptedModel(
            [
                calling(call("fill", "1", add=1), text="Let me see."),
                calling(call("transfer_to_sales", "2")),
                calling(call("fill", "3", add=1)),
                calling(call("transfer_to_triage", "4")),
                "Back.",
            ]
        )
        async with await open_session(open_backend("memory:"), model, swarm=SWARM) as session:
            await say(session, "go")
        assert contents(model, 2) == ["You sell to ann.", "go", "Let me see."]
        names = [c["function"]["name"] for m in sent(model) for c in m.get("tool_calls", ())]
        assert names == ["fill", "transfer_to_sales"]
        assert sent(model)[0]["content"] == "You are triage."

    run(scenario())


def test_agents_that_go_in_a_circle_are_stopped():
    async def scenario():
        circle = [
            calling(call("transfer_to_sales", "1")),
            calling(call("transfer_to_triage", "2")),
            calling(call("transfer_to_sales", "3")),
            "fine",
        ]
        model = ScriptedModel(circle)
        async with await open_session(open_backend("memory:"), model, swarm=SWARM, rescue=()) as session:
            with pytest.raises(HandoffLoop, match="second time"):
                await say(session, "go")
            assert session.agent.name == "triage"
            await say(session, "still there?")
            assert check_messages(sent(model)) is None

    run(scenario())


def test_the_same_call_again_and_again_is_stopped():
    async def scenario():
        same = [calling(call("remember", str(n), name="a", value="b")) for n in range(3)]
        model = ScriptedModel([*same, "fine"])
        async with await open_session(open_backend("memory:"), model, swarm=SWARM, rescue=()) as session:
            with pytest.raises(RepeatedCall, match="3 times"):
                await say(session, "go")
            await say(session, "and?")
            assert check_messages(sent(model)) is None

    run(scenario())


def test_a_removed_agent_is_replaced_and_reported(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([calling(call("transfer_to_sales")), "Sales here."])
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "go")
        smaller = Swarm("shop", [Agent("triage"), REFUNDS])
        async with await open_session(backend, ScriptedModel(), swarm=smaller) as session:
            assert session.navigation == Navigation("triage")
            (notice,) = session.conversation.take_notices()
            assert notice == "agent 'sales' is no longer in the swarm; active agent: triage"
        async with await open_session(backend, ScriptedModel(), swarm=smaller) as session:
            assert session.conversation.take_notices() == []
        await backend.close()

    run(scenario())


def test_an_agent_may_have_its_own_model_and_parameters():
    async def scenario():
        ours, theirs = ScriptedModel([calling(call("transfer_to_expert"))]), ScriptedModel(["Hm."], name="big")
        created = []

        def models(name):
            created.append(name)
            return theirs

        swarm = Swarm(
            "s", [Agent("a", handoffs=["expert"]), Agent("expert", model="big", parameters={"temperature": 0})]
        )
        async with await open_session(
            open_backend("memory:"), ours, swarm=swarm, options={"models": models}
        ) as session:
            await say(session, "go")
        assert created == ["big"]
        assert theirs.requests[0].parameters == {"temperature": 0}
        assert theirs.requests[0].model == "big"

    run(scenario())


def test_cancelling_reaches_the_tools_and_keeps_what_is_done(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([calling(call("fill", "1", add=1), call("slow", "2")), "after"])
        async with await open_session(backend, model, swarm=SWARM) as session:
            async for event in (events := session.run_turn("go")):
                if isinstance(event, ToolFinished):
                    break
            await events.aclose()
            results = {
                record.data["name"]: record.data["status"] for record in session.records if record.type == "tool"
            }
            assert results == {"fill": "ok", "slow": "interrupted"}
            assert (await session.primitives.state("order").get()).count == 1
            await say(session, "next")
            assert check_messages(sent(model)) is None
        await backend.close()

    run(scenario())


def test_a_tool_that_is_stopped_has_changed_nothing():
    @tool
    async def halfway(ctx: Context) -> None:
        await ctx.memory.set("half", True)
        await asyncio.Event().wait()

    async def scenario():
        model = ScriptedModel([calling(call("halfway", "1"), call("remember", "2", name="whole", value="1"))])
        agent = Agent("a", tools=[halfway, remember])
        async with await open_session(open_backend("memory:"), model, swarm=agent) as session:
            async for event in (events := session.run_turn("go")):
                if isinstance(event, ToolFinished):
                    break
            await events.aclose()
            assert await session.primitives.memory.all() == {"whole": "1"}

    run(scenario())


def test_results_that_could_not_be_stored_are_stored_with_what_they_changed():
    async def scenario(lands):
        inner = open_backend("memory:")
        backend = Faulty(inner)

        @tool
        async def last(ctx: Context) -> str:
            await ctx.state("order").update(lambda order: Order("kept", order.count + 1))
            backend.fail, backend.lands = 1, lands
            return "done"

        swarm = Swarm("s", [Agent("a", tools=[last])], states=[ORDER])
        model = ScriptedModel([calling(call("last")), "fine"])
        async with await open_session(backend, model, swarm=swarm) as session:
            with pytest.raises(BackendUnavailable):
                await say(session, "go")
            await say(session, "and?")
            assert contents(model)[-2:] == ["done", "and?"]
            assert await session.primitives.state("order").get() == Order("kept", 1)
        records = await stored(inner)
        assert [record.seq for record in records] == list(range(len(records)))
        assert sum(record.type == "state" for record in records) == 1

    run(scenario(True))
    run(scenario(False))


POLICY = Policy("no-weather", reject_input=r"\bweather\b", reject_output=["rain", "C++"], ban=True, message="Not that.")


def test_a_policy_refuses_and_bans_for_every_process(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        swarm = Swarm("s", [Agent("a")], policies=[POLICY])
        model = ScriptedModel(["fine"])
        async with (
            await open_session(backend, model, swarm=swarm) as session,
            await open_session(backend, model, name="other", swarm=swarm) as other,
            await open_session(backend, model, swarm=swarm, client="bob") as bobs,
        ):
            events = await say(session, "How is the Weather?")
            assert events[0] == Refused("no-weather", "input", True, "Not that.")
            assert events[-1].text == "Not that."
            assert isinstance((await say(other, "hello"))[0], Refused)
            assert text_of(await say(bobs, "hello")) == "fine"
            assert "Weather" not in str(model.requests)
            bans = PersistPolicy(Store(backend), "s", "no-weather")
            assert [(ban.client, ban.why) for ban in await bans.list()] == [("ann", "How is the Weather?")]
            assert await bans.lift("ann")
            assert not await bans.lift("ann")
            model._scripts[""].append("again")
            assert text_of(await say(session, "hello")) == "again"
            assert contents(model)[1:] == ["hello"]
        [record] = [record for record in await stored(backend) if record.type == "policy"]
        assert record.data == {
            "policy": "no-weather",
            "direction": "input",
            "text": "How is the Weather?",
            "banned": True,
            "ban_for": None,
            "reply": "Not that.",
        }
        await backend.close()

    run(scenario())


@pytest.mark.parametrize("name", ["Ann", "ＡＮＮ", "a\u200bnn", "\u2066ann\u2069", " ann ", "a\x01nn", "ann\ufe0f"])
def test_a_ban_is_not_evaded_by_another_form_of_the_name(name):
    async def scenario(normalize: bool) -> bool:
        backend = open_backend("memory:")
        policy = Policy("p", reject_input=["bad"], ban=True, normalize=normalize)
        swarm = Swarm("s", [Agent("a")], policies=[policy])
        async with await open_session(backend, ScriptedModel(), swarm=swarm) as session:
            await say(session, "bad")
            bans = session.primitives.policy("p")
            banned = await bans.find(name) is not None
            assert await bans.lift(name) is banned
        return banned

    assert asyncio.run(scenario(True))
    assert not asyncio.run(scenario(False))


BAD = ["bad", "BAD", "ｂａｄ", "b\u200bad", "ba\u00add", "𝐛𝐚𝐝", "b\u2060ad!", "b\u034fad", "very\nbad"]


@pytest.mark.parametrize("rule", [["bad", "straße"], "bad|straße", ["ＢＡＤ", "STRASSE"]])
def test_words_are_found_in_every_form(rule):
    policy = Policy("p", reject_input=rule, normalize=True)
    for text in [*BAD, "STRASSE" if isinstance(rule, list) else "straße"]:
        assert asyncio.run(policy.rejects_input(text)), text
    for text in ("badge" if isinstance(rule, list) else "ba", "good", "b a d", "6ad"):
        assert not asyncio.run(policy.rejects_input(text)), text


def test_without_normalizing_words_are_those_that_stand_there():
    policy = Policy("p", reject_input=["bad"], normalize=False)
    assert [text for text in BAD if asyncio.run(policy.rejects_input(text))] == ["bad", "BAD", "very\nbad"]


def test_normalizing_takes_linear_work():
    work = steps(lambda: folded_text("a" + "\u0323\u0301" * 2_000))
    assert steps(lambda: folded_text("a" + "\u0323\u0301" * 8_000)) < 5 * work
    # Python's own function is quadratic in a run of marks, which its steps do not show: no piece is a long one.
    assert max(map(len, _PIECE.findall("\u0323\u0301" * 8_000))) == 128


def test_a_banned_client_cannot_act_by_commands():
    async def scenario():
        backend = open_backend("memory:")
        looking = tool(look_up)
        swarm = Swarm("s", [Agent("a", tools=[looking]), Agent("b")], policies=[Policy("p", reject_input=["bad"])])
        async with await open_session(backend, ScriptedModel(["fine", "again"]), swarm=swarm) as session:
            await say(session, "hello")
            await session.pin(1)
            bans = session.primitives.policy("p")
            await bans.ban("ANN", "why", "2026-01-02T03:04:05.000Z", 60)
            before = len(session.records)
            for action in (
                *(lambda: session.call_tool(looking, {"name": "x"}, agent="a"), lambda: session.go_to("b")),
                *(session.go_back, session.reset, session.compact, session.undo, lambda: session.unpin(1)),
            ):
                with pytest.raises(ClientBanned, match="client 'ann' is banned by policy 'p' until 2026-01-02T03:05"):
                    await action()
            assert len(session.records) == before
            await session.rename("other")
            assert (await session.context()).messages
            await bans.lift("ann")
            assert (await session.go_to("b")).active == "b"

    run(scenario())


def look_up(name: str) -> str:
    """Look it up."""
    return name


def test_a_ban_can_end_by_itself():
    async def scenario():
        from swarmchat.backends.memory import MemoryBackend

        now = [1000.0]
        backend = MemoryBackend(clock=lambda: now[0])
        policy = Policy("p", reject_input=lambda text: text == "bad", ban=True, ban_for=60)
        model = ScriptedModel(["ok"])
        async with await open_session(
            backend, model, swarm=Swarm("s", [Agent("a")], policies=[policy]), lease=9999
        ) as session:
            await say(session, "bad")
            assert isinstance((await say(session, "good"))[0], Refused)
            now[0] += 61
            assert text_of(await say(session, "good")) == "ok"

    run(scenario())


@pytest.mark.parametrize("problem", [RuntimeError("no dictionary"), SystemExit("no dictionary")], ids=type)
def test_a_policy_that_fails_lets_nothing_through_and_loses_nothing(problem):
    def broken(text):
        raise problem

    async def scenario():
        swarm = Swarm("s", [Agent("a")], policies=[Policy("p", reject_input=broken)])
        async with await open_session(open_backend("memory:"), ScriptedModel(), swarm=swarm) as session:
            with pytest.raises(HookError, match=r"policy 'p' failed: RuntimeError: .*no dictionary"):
                await say(session, "hello")
            assert [record.type for record in session.records] == ["session", "unsent", "error"]
            assert session.records[1].data["text"] == "hello"
            assert len((await session.context()).messages) == 1

    run(scenario())


@pytest.mark.parametrize(
    ("agent", "message"),
    [
        (Agent("a", lambda ctx: 1 / 0), "the prompt of agent 'a' failed: ZeroDivisionError"),
        (Agent("a", tools=[tool(name="t", available=lambda ctx: 1 / 0)(lambda: None)]), "the condition of tool 't'"),
    ],
)
def test_functions_of_the_author_that_fail_are_named(agent, message):
    async def scenario():
        async with await open_session(open_backend("memory:"), ScriptedModel(["ok"]), swarm=agent) as session:
            with pytest.raises(HookError, match=message):
                await say(session, "hello")
            assert [record.type for record in session.records] == ["session", "user", "error"]

    run(scenario())


def test_what_an_agent_may_not_say_is_not_shown_nor_sent_again():
    async def scenario():
        swarm = Swarm("s", [Agent("a")], policies=[POLICY])
        model = ScriptedModel(["It will Rain today.", "Training is good. I like C++", "sunny", "x"])
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            for _ in range(2):
                events = await say(session, "hello")
                assert Refused("no-weather", "output", False, "Not that.") in events
                assert text_of(events) == "Not that."
            assert text_of(await say(session, "hello")) == "sunny"
            await say(session, "more")
        assert contents(model)[1:] == ["hello", "Not that.", "hello", "Not that.", "hello", "sunny", "more"]

    run(scenario())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Policy("p"), "reject_input"),
        (lambda: Policy("p", reject_input="("), "not a valid regular expression"),
        (lambda: Policy("p", reject_input=["bad", "\u200b"]), "a word without a letter"),
        (lambda: Policy("p", reject_input="x", ban_for=0), "ban_for"),
        (lambda: Agent("a b"), "agent 'a b'"),
        (lambda: Agent("a", tools=[fill, fill]), "two tools named 'fill'"),
        (lambda: Agent("a", max_tool_calls=-1), "max_tool_calls"),
        (lambda: Swarm("s", []), "no agents"),
        (lambda: Swarm("s", [Agent("a"), Agent("a")]), "two of its agents"),
        (lambda: Swarm("s", [Agent("sales")], default="sale"), "did you mean 'sales'"),
        (lambda: Swarm("s", [Agent("sales"), Agent("b", handoffs=["sale"])]), "did you mean 'sales'"),
        (lambda: Swarm("s", [Agent("a", handoffs=["a"])]), "itself"),
        (lambda: Swarm("s", [Agent("a")], states=[ORDER, ORDER]), "two of its states"),
        (
            lambda: Swarm(
                "s", [Agent("a", tools=[tool(name="transfer_to_b")(lambda: None)], handoffs=["b"]), Agent("b")]
            ),
            "reserved for a handoff",
        ),
    ],
)
def test_invalid_definitions_are_named(make, message):
    with pytest.raises(DefinitionError, match=message):
        make()


def test_undeclared_states_and_storages_are_named():
    async def scenario():
        async with await open_session(open_backend("memory:"), ScriptedModel(), swarm=SWARM) as session:
            with pytest.raises(DefinitionError, match="did you mean 'order'"):
                session.primitives.state("ordr")
            with pytest.raises(DefinitionError, match="none defined"):
                session.primitives.storage("facts")

    run(scenario())


def test_a_state_has_its_own_default_and_stays_cleared(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        state = PersistState(ORDER, Store(backend), "ann", "s")
        first = await state.get()
        first.notes.append("mine")
        assert await state.get() == Order()
        await state.set(Order("pen", 1, ["a"]))
        assert await state.get() == Order("pen", 1, ["a"])
        with pytest.raises(ValueError, match="below 0"):
            await state.set(Order("pen", -1))
        assert (await state.get()).count == 1
        await state.clear()
        assert await state.get() == Order()
        assert await backend.get(keys.session_state("ann", "s", "order")) is None
        await backend.close()

    run(scenario())


def test_a_state_that_is_not_of_its_type_is_reported_and_kept():
    async def scenario():
        from swarmchat.backends import Put

        backend = open_backend("memory:")
        key = keys.session_state("ann", "s", "order")
        await backend.commit(Put(key, b'{"count": "many"}'))
        state = PersistState(ORDER, Store(backend), "ann", "s")
        for attempt in (state.get, lambda: state.update(lambda order: order)):
            with pytest.raises(StateError, match="count"):
                await attempt()
        assert await backend.get(key) == b'{"count": "many"}'

    run(scenario())


UPDATER = """if True:
    import asyncio, sys
    from swarmchat.backends import open_backend
    from swarmchat.swarm import State
    from swarmchat.swarm.persistence.store import Store
    from swarmchat.swarm.primitives.state import PersistState

    async def main():
        backend = open_backend(sys.argv[1])
        state = PersistState(State("n", default=0), Store(backend), "ann", "s")
        await asyncio.gather(*(state.update(lambda n: n + 1) for _ in range(50)))
        await backend.close()

    asyncio.run(main())
"""


def test_the_log_names_each_changed_state():
    @tool
    async def count(ctx: Context) -> int:
        await ctx.memory.set("seen", True)
        await ctx.state("my: count").update(lambda number: number + 1)
        return await ctx.state("my: count").update(lambda number: number + 1)

    async def scenario():
        swarm = Swarm("s", [Agent("a", tools=[count])], states=[State("my: count", default=0)])
        async with await open_session(
            open_backend("memory:"), ScriptedModel([calling(call("count")), "ok"]), swarm=swarm
        ) as session:
            await say(session, "go")
            changes = [(record.type, record.data) for record in session.records if record.type in ("state", "memory")]
        assert changes == [("memory", {"value": {"seen": True}}), ("state", {"name": "my: count", "value": 2})]

    run(scenario())


def test_every_turn_lets_all_of_a_session_live_on(redis_url):
    import redis

    async def scenario():
        backend = open_backend(redis_url)
        model = ScriptedModel([calling(call("fill", item="pen")), calling(call("transfer_to_sales")), "a", "b"])
        async with await open_session(backend, model, swarm=SWARM, lifetimes=Lifetimes(session=1000)) as session:
            await say(session, "go")
            with redis.Redis.from_url(redis_url) as client:
                names = [key for key in client.scan_iter("swarmchat:1:{ann}:s*") if not key.endswith(b":lease")]
                for key in names:
                    client.expire(key, 10)
                await say(session, "more")
                assert len(names) == 4
                assert min(client.ttl(key) for key in names) > 900
        await backend.close()

    run(scenario())


@pytest.mark.parametrize("kind", ["disk", "redis"])
def test_a_hundred_updates_from_two_processes_lose_none(kind, tmp_path, request):
    url = f"disk:{tmp_path}" if kind == "disk" else request.getfixturevalue("redis_url")
    both = [warm.start_python("-c", UPDATER, url, stdin=subprocess.DEVNULL) for _ in range(2)]
    assert [process.communicate(timeout=60) for process in both] == [("", "")] * 2

    async def value():
        backend = open_backend(url)
        number = await PersistState(State("n", default=0), Store(backend), "ann", "s").get()
        await backend.close()
        return number

    assert run(value()) == 100


def test_memory_is_of_the_client_and_of_all_its_sessions(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([calling(call("remember", name="locale", value="de")), "ok"])
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "Deutsch, bitte")
        async with await open_session(backend, ScriptedModel(), name="other", swarm=SWARM) as session:
            memory = session.primitives.memory
            assert await memory.get("locale") == "de"
            await memory.update({"name": "Ann", "locale": "fr"})
            await memory.remove("locale")
            assert await memory.all() == {"name": "Ann"}
            await memory.clear()
        memory = PersistMemory(Store(backend), "ann", SWARM.scope)
        assert await memory.all() == {}
        assert await backend.get(memory.key) is None
        with pytest.raises(DefinitionError, match="expected a JSON value"):
            await memory.set("x", object())
        await backend.close()

    run(scenario())


def test_a_reset_of_the_history_leaves_states_and_agent(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        model = ScriptedModel([calling(call("fill", item="pen")), calling(call("transfer_to_sales")), "Sales.", "ok"])
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "a pen")
            await session.reset()
            await say(session, "go on")
            assert contents(model) == ["You sell to ann.", "go on"]
            assert (await session.primitives.state("order").get()).item == "pen"
        await backend.close()

    run(scenario())


def test_navigation_has_no_circles():
    start = Navigation("a")
    there = start.to("b").to("c")
    assert there == Navigation("c", ("a", "b"))
    assert there.to("a") == Navigation("a")
    assert there.to("c") == there
    assert there.back() == Navigation("b", ("a",))
    assert start.back() == start
    assert there.healed(frozenset({"a", "b"}), "a") == Navigation("a", ("b",))


def test_navigation_that_cannot_be_read_is_a_new_one():
    async def scenario():
        from swarmchat.backends import Put

        backend = open_backend("memory:")
        await backend.commit(Put(keys.session_swarm("ann", "s"), b'{"active": 1'))
        assert await PersistSwarm(Store(backend), "ann", "s").get("triage") == Navigation("triage")

    run(scenario())


def test_presence_while_a_session_is_open(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        watcher = PersistAlive(backend, "shop")
        assert await watcher.online() == []
        async with (
            await open_session(backend, ScriptedModel(), swarm=SWARM) as mine,
            await open_session(backend, ScriptedModel(), name="t", swarm=SWARM, client="bob"),
        ):
            online = await watcher.online()
            assert {(presence.client, presence.session, presence.agent) for presence in online} == {
                ("ann", "s", "triage"),
                ("bob", "t", "triage"),
            }
            await mine.go_to("sales")
            assert {presence.agent for presence in await watcher.online()} == {"sales", "triage"}
            # Another process that announces the same leaves ours alone, and takes nothing with it when it goes.
            stranger = PersistAlive(backend, "shop")
            await stranger.announce("ann", "s", "triage", "now")
            await stranger.leave()
            assert len(await watcher.online()) == 2
        assert await watcher.online() == []
        await backend.close()

    run(scenario())


def test_a_resumed_session_takes_over_the_presence_of_a_dead_process(backend_url):
    async def scenario():
        backend = open_backend(backend_url)
        dead = PersistAlive(backend, "shop")
        await dead.announce("ann", "s", "triage", "before")
        async with await open_session(backend, ScriptedModel(), swarm=SWARM):
            [presence] = await dead.online()
            assert presence.since != "before"
        assert await dead.online() == []
        await dead.leave()
        await backend.close()

    run(scenario())


def test_presence_ends_by_itself_when_its_process_is_gone():
    async def scenario():
        from swarmchat.backends.memory import MemoryBackend

        now = [0.0]
        backend = MemoryBackend(clock=lambda: now[0])
        lifetimes = Lifetimes(alive=60)
        session = await open_session(backend, ScriptedModel(), swarm=SWARM, lifetimes=lifetimes)
        assert len(await PersistAlive(backend, "shop").online()) == 1
        now[0] += 61
        assert await PersistAlive(backend, "shop").online() == []
        await session.close()

    run(scenario())


def test_the_author_of_a_failing_tool_gets_its_traceback(caplog):
    @tool
    def divide() -> str:
        """Divide."""
        return str(1 // 0)

    async def scenario():
        model = ScriptedModel([calling(call("divide")), "ok"])
        agent = Agent("assistant", "Be brief.", tools=[divide])
        async with await open_session(open_backend("memory:"), model, swarm=agent) as session:
            (finished,) = [event for event in await say(session, "go") if isinstance(event, ToolFinished)]
        assert isinstance(finished.error, ZeroDivisionError)
        assert finished.error.__traceback__ is not None
        # The model is told in one line.
        assert "Traceback" not in finished.result
        (record,) = [record for record in caplog.records if record.name == "swarmchat.tools"]
        assert record.getMessage() == "tool divide failed"
        assert record.exc_info[1] is finished.error

    run(scenario())

"""The rescue ladder: what a model does wrong, what is done about it, and what the user and the log get to see."""

import asyncio
import json

import pytest
from chat_rules import check_messages
from chats import contents, open_session, say, sent, text_of
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.backends import open_backend
from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.agents.rescue_steps import PLACEHOLDER, STEPS
from swarmchat.swarm.conversation.events import HandedOver, Refused, Rescued, TextDelta, ToolFinished, TurnEnded
from swarmchat.swarm.errors import DefinitionError, HookError, ModelRefused, ModelUnavailable
from swarmchat.swarm.models.base import Answer, ReasoningChunk, TextChunk, ToolCall
from swarmchat.swarm.models.scripted import ScriptedModel
from swarmchat.swarm.parsing.call_repair import repair_calls
from swarmchat.swarm.parsing.repetition import RepetitionGuard, cut_repetition, repeated_piece
from swarmchat.swarm.persistence import keys
from swarmchat.swarm.persistence.records import parse_record
from swarmchat.swarm.primitives.policy import Policy
from swarmchat.swarm.primitives.state import State
from swarmchat.swarm.tools.context import Context
from swarmchat.swarm.tools.tool import as_tool, tool
from swarmchat.swarm.tools.toolset import Toolset

BOOKED = []


@tool
def find_fact(about: str, limit: int = 1) -> str:
    """Find facts."""
    return f"{limit} about {about}"


@tool
async def book(ctx: Context, what: str) -> str:
    """Book something."""
    await ctx.state("booked").set(what)
    BOOKED.append(what)
    return f"booked {what}"


TRIAGE = Agent("triage", "You are triage.", [find_fact, book], ["sales"])
SALES = Agent("sales", "You are sales.", [find_fact], ["triage"])
SWARM = Swarm("shop", [TRIAGE, SALES], states=[State("booked", default="")])
LEAK = '<tool_call>{"name": "find_fact", "arguments": {"about": "bananas"}}</tool_call>'
RESET = "reset"


def calling(name, call_id="c", text="", /, **arguments):
    return Answer(text, (ToolCall(call_id, name, json.dumps(arguments)),), "tool_calls")


def rescues(events):
    return [(event.cause, event.step) for event in events if isinstance(event, Rescued)]


async def log(backend):
    return [parse_record(line) for line in await backend.slice(keys.session_log("ann", "s"), 0)]


def turn(steps, text="go", swarm=SWARM, **options):
    """Run one turn; return its events, the records of the log, and the model."""

    async def scenario():
        BOOKED.clear()
        backend = open_backend("memory:")
        model = ScriptedModel(steps)
        async with await open_session(backend, model, swarm=swarm, **options) as session:
            events = await say(session, text)
            assert session.info.rescues == len(rescues(events)) == events[-1].rescues
        model.assert_finished()
        for request in range(len(model.requests)):
            assert check_messages(sent(model, request)) is None
        return events, await log(backend), model

    return asyncio.run(scenario())


def data_of(records, kind):
    return [record.data for record in records if record.type == kind]


def test_a_call_written_as_text_is_carried_out():
    events, records, model = turn([f"Let me see.\n{LEAK}", "Yes."])
    assert rescues(events) == [("leaked_call", "repair")]
    assert text_of(events) == "Let me see.Yes."
    finished = next(event for event in events if isinstance(event, ToolFinished))
    assert (finished.name, finished.status, finished.result) == ("find_fact", "ok", "1 about bananas")
    assistant = data_of(records, "assistant")[0]
    assert assistant["message"]["content"] == "Let me see."
    assert assistant["message"]["tool_calls"][0]["function"]["name"] == "find_fact"
    assert assistant["finish"] == "tool_calls"
    rescue = data_of(records, "rescue")[0]
    assert rescue["bad"]["content"] == f"Let me see.\n{LEAK}"
    assert [message["role"] for message in sent(model)] == ["system", "user", "assistant", "tool"]


def test_a_call_that_came_twice_is_carried_out_once():
    both = Answer(LEAK, (ToolCall("c", "find_fact", '{"about":"bananas"}'),), "tool_calls")
    events, _, _ = turn([both, "Yes."])
    assert len([event for event in events if isinstance(event, ToolFinished)]) == 1
    assert text_of(events) == "Yes."


@pytest.mark.parametrize(
    ("name", "arguments", "fitting"),
    [
        ("Find-Fact", '{"about": "x"}', '{"about": "x"}'),
        ("functions.find_fact", '{"about": "x"}', '{"about": "x"}'),
        ("findFact", "{'about': 'x',}", '{"about": "x"}'),
        ("find_fact", '"{\\"about\\": \\"x\\"}"', '{"about": "x"}'),
        ("find_fact", '{"about": "x", "limit": null}', '{"about": "x"}'),
        ("find_fact", '{"about": "x", "limit": "null"}', '{"about": "x"}'),
        ("find_fact", '[{"about": "x"}]', '{"about": "x"}'),
        ("find_fact", '{"about": {"type": "string", "value": "x"}}', '{"about": "x"}'),
        ("find_fact", '{"about": "x", "mode": "fast"}', '{"about": "x"}'),
        ("find_fact", '{"parameters": {"about": "x"}}', '{"about": "x"}'),
        ("find_fact", '{"type": "object", "properties": {"about": "x"}}', '{"about": "x"}'),
        ("find_fact<|channel|>commentary", '{"about": "x"}', '{"about": "x"}'),
    ],
)
def test_calls_whose_form_is_wrong_are_repaired(name, arguments, fitting):
    events, records, _ = turn([Answer("", (ToolCall("c", name, arguments),), "tool_calls"), "Yes."])
    assert {step for _, step in rescues(events)} == {"repair"}
    function = data_of(records, "assistant")[0]["message"]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("find_fact", json.loads(fitting))
    assert data_of(records, "rescue")[0]["bad"]["tool_calls"][0]["function"] == {"name": name, "arguments": arguments}


@pytest.mark.parametrize(
    "arguments", ['{"abut": "x"}', "about x", "[1]", '{"about": ["x"]}', '{"about": "x", "limt": 2}']
)
def test_arguments_that_leave_a_doubt_are_not_guessed(arguments):
    events, _, model = turn([Answer("", (ToolCall("c", "find_fact", arguments),), "tool_calls"), "I cannot."])
    assert rescues(events) == [("bad_arguments", "feedback")]
    assert "The parameters are:" in contents(model)[-1]
    assert next(event for event in events if isinstance(event, ToolFinished)).status == "error"


@pytest.mark.parametrize("finish", ["tool_calls", "stop", "length", "content_filter"])
@pytest.mark.parametrize("arguments", ["{", '{"about": "x"', '{"about": "x", ', '{"about": "ban'])
def test_a_call_that_was_cut_off_is_not_completed(arguments, finish):
    events, _, model = turn([Answer("", (ToolCall("c", "find_fact", arguments),), finish), "I cannot."])
    assert rescues(events) == [("bad_arguments", "feedback")]
    assert contents(model)[-1] == "Error: the call of find_fact is cut off: write it again, whole"


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_the_last_call_of_an_answer_that_was_stopped_is_not_carried_out(finish):
    whole = Answer("", (ToolCall("c", "book", '{"what": "x"}'),), finish)
    leaked = Answer('<tool_call>{"name": "book", "arguments": {"what": "x"}}</tool_call>', (), finish)
    for answer in (whole, leaked):
        events, _, _ = turn([answer, "I cannot."])
        assert rescues(events)[-1] == ("bad_arguments", "feedback")
        assert BOOKED == []


def test_two_calls_in_one_are_taken_apart():
    uses = [{"recipient_name": f"functions.{name}", "parameters": {"about": "x"}} for name in ("find_fact", "book")]
    uses[1]["parameters"] = {"what": "tea"}
    packed = ToolCall("c", "multi_tool_use.parallel", json.dumps({"tool_uses": uses}))
    events, _, _ = turn([Answer("", (packed,), "tool_calls"), "Done."])
    assert {event.name for event in events if isinstance(event, ToolFinished)} == {"find_fact", "book"}
    assert BOOKED == ["tea"]


def test_an_unknown_tool_is_reported_with_the_nearest_name():
    events, records, model = turn([calling("find_fakt", about="x"), calling("find_fact", about="x"), "Yes."])
    assert rescues(events) == [("unknown_tool", "feedback")]
    assert contents(model, 1)[-1] == "Error: unknown tool 'find_fakt'; did you mean 'find_fact'?"
    assert "bad" not in data_of(records, "rescue")[0]


def test_a_bad_call_does_not_keep_the_good_ones_from_being_made():
    two = Answer("", (ToolCall("a", "book", '{"what": "tea"}'), ToolCall("b", "bok", "{}")), "tool_calls")
    events, _, _ = turn([two, "Done."])
    assert BOOKED == ["tea"]
    assert rescues(events) == [("unknown_tool", "feedback")]


def test_feedback_that_does_not_help_is_followed_by_the_next_steps():
    wrong = [calling("nothing_like_it", str(number), x=number) for number in range(4)]
    events, records, model = turn(wrong)
    assert rescues(events) == [("unknown_tool", step) for step in STEPS[1:]]
    assert text_of(events) == PLACEHOLDER
    ended = events[-1]
    assert isinstance(ended, TurnEnded)
    assert (ended.finish, ended.recovered, ended.rescues) == ("placeholder", False, 4)
    assert data_of(records, "rescue")[-1]["recovered"] is False
    # Asked again with the reason: the bad answer is in that request and nowhere else.
    assert [message["role"] for message in sent(model, 2)[-2:]] == ["assistant", "user"]
    assert "nothing_like_it" in sent(model, 2)[-1]["content"]
    assert sent(model, 2)[-1]["content"].endswith("\n\ngo")
    # On the clean slate there are the instructions and the question.
    assert contents(model, 3) == ["You are triage.", "go"]


def test_an_empty_answer_is_asked_for_again():
    events, records, model = turn(["", "Here I am."])
    assert rescues(events) == [("empty", "recomplete")]
    assert text_of(events) == "Here I am."
    assert contents(model, 1)[:2] == ["You are triage.", "go"]
    assert contents(model, 1)[2] == "Let me think about that again."
    assert contents(model, 1)[3].endswith("\n\ngo")
    assert [record.type for record in records] == ["session", "user", "request", "rescue", "request", "assistant"]


@pytest.mark.parametrize("empty", ["", " \n ", "<|im_end|>", "</s>"])
def test_all_that_says_nothing_is_empty(empty):
    events, _, _ = turn([empty, "Here I am."])
    assert ("empty", "recomplete") in rescues(events)
    assert text_of(events).strip() == "Here I am."


@pytest.mark.parametrize("text", ["", "<think>Hm. Paris", "<think>Hm.</think>"])
def test_thoughts_that_used_up_the_limit_are_an_error_and_no_fault(text):
    with pytest.raises(ModelRefused, match="raise max_tokens"):
        turn([Answer(text, finish="length", reasoning="" if text else "Hm."), "Here I am."])


def test_an_answer_that_the_provider_withholds_is_an_error_and_no_fault():
    with pytest.raises(ModelRefused, match="the provider's content filter withheld the whole answer"):
        turn([Answer("", finish="content_filter"), "Here I am."])


def test_silence_ends_with_the_placeholder_and_the_next_turn_works():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel(["one", "", "", "", "two"])
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "first")
            events = await say(session, "second")
            assert rescues(events) == [("empty", step) for step in STEPS[2:]]
            assert text_of(events) == PLACEHOLDER
            assert text_of(await say(session, "third")) == "two"
        # The flush hid what was said before it; the question of that turn stayed.
        assert contents(model) == ["You are triage.", "second", PLACEHOLDER, "third"]
        # A new process sees the same.
        again = ScriptedModel(["three"])
        async with await open_session(backend, again, swarm=SWARM) as session:
            await say(session, "fourth")
        assert contents(again) == ["You are triage.", "second", PLACEHOLDER, "third", "two", "fourth"]

    asyncio.run(scenario())


def test_a_flush_keeps_what_was_carried_out_and_hides_the_rest_from_this_agent_only():
    async def scenario():
        BOOKED.clear()
        backend = open_backend("memory:")
        steps = ["old", calling("book", what="tea"), "", "", "Booked.", calling("transfer_to_sales"), "Sales."]
        model = ScriptedModel(steps)
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "before")
            events = await say(session, "a tea")
            assert rescues(events) == [("empty", "recomplete"), ("empty", "flush")]
            # Booked once, though the question was asked again: the call and its result are still there.
            assert contents(model, 4) == ["You are triage.", "a tea", None, "booked tea"]
            assert BOOKED == ["tea"]
            assert await session.primitives.state("booked").get() == "tea"
            await say(session, "sales, please")
        assert contents(model) == ["You are sales.", "before", "old", "a tea", "Booked.", "sales, please"]

    asyncio.run(scenario())


def test_what_a_flush_keeps_is_read_again_however_far_back_it_is(tmp_path):
    async def scenario():
        backend = open_backend(f"disk:{tmp_path}")
        many = [calling("find_fact", f"c{number}", about=f"x{number}") for number in range(15)]
        model = ScriptedModel([*(f"word {number} " * 20 for number in range(120)), *many, "", "", "At last."])
        async with await open_session(backend, model, swarm=SWARM) as session:
            for number in range(120):
                await say(session, f"question {number}")
            await say(session, "many")
        again = ScriptedModel(["fine"])
        async with await open_session(backend, again, swarm=SWARM) as session:
            await say(session, "and now?")
        assert contents(again)[1] == "many"
        assert contents(again)[-2:] == ["At last.", "and now?"]
        assert len(contents(again)) == 2 + 2 * 15 + 2
        assert check_messages(sent(again)) is None
        await backend.close()

    asyncio.run(scenario())


def test_an_answer_that_repeats_itself_is_stopped_and_asked_for_again():
    async def scenario():
        said = 0

        def endless():
            nonlocal said
            while True:
                said += 1
                yield TextChunk("I am stuck on this line.\n")

        class Stuck(ScriptedModel):
            async def stream(self, request):
                if self.requests:
                    async for event in super().stream(request):
                        yield event
                    return
                self.requests.append(request)
                for chunk in endless():
                    yield chunk

        model = Stuck(["unused", "Better."])
        async with await open_session(open_backend("memory:"), model, swarm=SWARM) as session:
            events = await say(session, "go")
        assert rescues(events) == [("repetition", "recomplete")]
        assert said < 250
        assert events[-1].text == "Better."
        assert len(contents(model)[-2]) < 2100

    asyncio.run(scenario())


def test_an_answer_that_gets_stuck_at_its_end_is_cut_there():
    start = "A real answer with sense in it. " * 10
    story = "".join(f"{start[:-2]} number {number}. " for number in range(3))
    chunks = [story, *["and so on, " for _ in range(600)]]
    events, records, _ = turn([chunks])
    assert rescues(events) == [("repetition", "repair")]
    text = data_of(records, "assistant")[0]["message"]["content"]
    assert text.startswith(story)
    assert len(text) <= len(story) + 2 * len("and so on, ")


def test_thoughts_that_repeat_themselves_are_stopped():
    chunks = [ReasoningChunk("Wait, let me think about that again. ") for _ in range(400)]
    events, _, _ = turn([chunks, "Fine."])
    assert rescues(events) == [("repetition", "recomplete")]
    assert text_of(events) == "Fine."


def test_the_same_call_again_is_refused_and_then_asked_about():
    same = [calling("book", str(number), what="tea") for number in range(4)]
    events, _, model = turn([*same, "It is booked."])
    assert BOOKED == ["tea", "tea"]
    assert rescues(events) == [("repeated_call", "feedback"), ("repeated_call", "recomplete")]
    assert "was called 3 times" in contents(model, 3)[-1]
    assert text_of(events) == "It is booked."


def test_agents_that_hand_over_in_a_circle_are_told_to_answer():
    circle = [calling(f"transfer_to_{name}", str(number)) for number, name in enumerate(["sales", "triage", "sales"])]
    events, _, model = turn([*circle, "I am triage, then."])
    assert rescues(events) == [("handoff_loop", "feedback")]
    assert [event.target for event in events if isinstance(event, HandedOver)] == ["sales", "triage"]
    assert text_of(events) == "I am triage, then."
    assert "answer the user yourself" in contents(model)[-1]


def test_tools_that_hand_over_in_a_circle_do_not_either():
    def to(name):
        async def go(ctx: Context) -> str:
            ctx.handoff(name)
            return "going"

        go.__name__ = f"go_to_{name}"
        return as_tool(go)

    swarm = Swarm("circle", [Agent("one", "1", [to("two")]), Agent("two", "2", [to("one")])])
    steps = [calling(f"go_to_{name}", str(number)) for number, name in enumerate(["two", "one", "two"])]
    events, _, model = turn([*steps, "Fine."], swarm=swarm)
    assert [event.target for event in events if isinstance(event, HandedOver)] == ["two", "one"]
    assert "was there before in this turn" in contents(model)[-1]


def test_a_model_that_only_calls_tools_is_made_to_answer():
    calls = [calling("find_fact", str(number), about=str(number)) for number in range(4)]
    events, _, model = turn([*calls, "That is all I found."], max_requests=4)
    assert rescues(events) == [("request_limit", "recomplete")]
    assert model.requests[-1].parameters == {"tool_choice": "none"}
    assert text_of(events) == "That is all I found."
    events, _, _ = turn([*calls, calling("find_fact", "x", about="more")], max_requests=4)
    assert rescues(events) == [("request_limit", "recomplete"), ("request_limit", "placeholder")]


@pytest.mark.parametrize("is_async", [False, True])
def test_an_agent_may_check_its_answers_itself(is_async):
    def polite(text):
        return None if "please" in text else "it is not polite"

    async def polite_async(text):
        return polite(text)

    swarm = Swarm("s", [Agent("a", "Be polite.", validate=polite_async if is_async else polite)])
    events, records, model = turn(["Go away.", "Wait, please."], swarm=swarm)
    assert rescues(events) == [("rejected", "recomplete")]
    assert text_of(events) == "Wait, please."
    assert "it is not polite" in contents(model)[-1]
    assert data_of(records, "rescue")[0]["bad"]["content"] == "Go away."


def test_a_failing_check_is_reported_and_the_answer_is_kept():
    def broken(text):
        raise ValueError("oops")

    async def scenario():
        backend = open_backend("memory:")
        agent = Agent("a", "", validate=broken)
        async with await open_session(backend, ScriptedModel(["Yes."]), swarm=agent) as session:
            with pytest.raises(HookError, match="the check of agent 'a' failed: ValueError: oops"):
                await say(session, "go")
        assert [record.type for record in await log(backend)][-1] == "error"

    asyncio.run(scenario())


def test_an_output_policy_sees_what_the_rescue_has_made():
    swarm = Swarm("s", [TRIAGE, SALES], states=SWARM.states, policies=[Policy("quiet", reject_output="secret")])
    events, _, _ = turn([LEAK, "", "a secret"], swarm=swarm)
    assert rescues(events) == [("leaked_call", "repair"), ("empty", "recomplete")]
    assert any(isinstance(event, Refused) for event in events)
    assert text_of(events) == "I cannot talk about that."


def test_steps_can_be_left_out_and_put_in_another_order():
    events, _, _ = turn(["", "", "Fine."], rescue=("flush", "recomplete"))
    assert rescues(events) == [("empty", "flush"), ("empty", "recomplete")]
    events, records, _ = turn([""], rescue=())
    assert rescues(events) == []
    assert data_of(records, "assistant")[0]["message"]["content"] == ""
    events, _, _ = turn([LEAK], rescue=("placeholder",))
    assert text_of(events) == LEAK
    events, _, _ = turn([calling("nothing_like_it"), "Well."], rescue=())
    assert next(event for event in events if isinstance(event, ToolFinished)).status == "error"


def test_a_step_may_be_a_function():
    seen = []

    async def ask_a_human(fault, ctx):
        seen.append((fault.cause, ctx.agent, await ctx.state("booked").get()))
        return "A person will call you."

    def pass_on(fault, ctx):
        return None

    swarm = Swarm("s", [TRIAGE, SALES], states=SWARM.states, rescue=[pass_on, "recomplete", ask_a_human])
    events, records, _ = turn(["", ""], swarm=swarm)
    assert rescues(events) == [("empty", "recomplete"), ("empty", "ask_a_human")]
    assert text_of(events) == "A person will call you."
    assert seen == [("empty", "triage", "")]
    assert events[-1].recovered
    assert data_of(records, "assistant")[0]["finish"] == "rescued"


def test_an_unknown_step_is_named():
    with pytest.raises(DefinitionError, match="unknown rescue step 'flosh'; did you mean 'flush'"):
        turn(["x"], rescue=("flosh",))


def test_the_placeholder_can_be_said_otherwise():
    swarm = Swarm("s", [Agent("a", "")], placeholder="Pardon?")
    assert text_of(turn([""] * 3, swarm=swarm)[0]) == "Pardon?"
    assert text_of(turn([""] * 3, swarm=swarm, placeholder="Wie bitte?")[0]) == "Wie bitte?"


def test_an_error_of_the_provider_is_not_rescued():
    async def scenario():
        backend = open_backend("memory:")
        model = ScriptedModel(["one", ModelUnavailable("no connection"), ["half", ModelUnavailable("cut off")]])
        async with await open_session(backend, model, swarm=SWARM) as session:
            await say(session, "first")
            for _ in range(2):
                with pytest.raises(ModelUnavailable):
                    await say(session, "second")
        kinds = [record.type for record in await log(backend)]
        assert "rescue" not in kinds
        assert RESET not in kinds

    asyncio.run(scenario())


def test_every_combination_of_faults_ends_in_an_answer():
    bad = ["", LEAK, "<|im_end|>", calling("nope"), calling("find_fact"), calling("transfer_to_sales"), LEAK[:30]]

    @given(st.lists(st.sampled_from(bad), min_size=0, max_size=12))
    def check(steps):
        async def scenario():
            backend = open_backend("memory:")
            # After its script, the model answers.
            model = ScriptedModel([*steps, *["Sense."] * 8])
            async with await open_session(backend, model, swarm=SWARM) as session:
                events = await say(session, "go")
                ended = events[-1]
                assert isinstance(ended, TurnEnded)
                assert ended.text.strip()
                assert "tool_call" not in text_of(events)
                assert "<|" not in text_of(events)
                assert isinstance(await session.context(), object)
            for request in range(len(model.requests)):
                assert check_messages(sent(model, request)) is None

        asyncio.run(scenario())

    check()


def test_nothing_is_streamed_twice_or_late():
    events, _, _ = turn(["one two three"])
    assert len([event for event in events if isinstance(event, TextDelta)]) >= 2


def test_names_that_differ_by_nothing_but_form_are_not_guessed():
    def find__fact(about: str) -> str:
        """Find."""
        return about

    toolset = Toolset([find_fact, as_tool(find__fact)], ["transfer_to_sales"])
    assert toolset.resolve("find_fact") == "find_fact"
    assert toolset.resolve("FindFact") is None
    assert toolset.resolve("Transfer-To Sales") == "transfer_to_sales"


@given(st.text(max_size=40), st.text(max_size=200))
def test_repairing_never_raises_and_changes_nothing_that_fits(name, arguments):
    toolset = Toolset([find_fact], ["transfer_to_sales"])
    calls, _ = repair_calls([ToolCall("a", name, arguments)], toolset)
    assert len(calls) == 1
    good = ToolCall("b", "find_fact", json.dumps({"about": arguments}))
    assert repair_calls([good], toolset) == ((good,), [])


@given(st.text(min_size=1, max_size=60), st.text(max_size=500), st.integers(1, 7))
def test_a_repetition_is_found_wherever_its_pieces_end(piece, before, chunk):
    text = before + piece * (9000 // len(piece))
    guard = RepetitionGuard()
    for start in range(0, len(text), 100 * chunk):
        guard.add(text[start : start + 100 * chunk])
    assert guard.stuck
    head, once = cut_repetition(text)
    assert text.startswith(once)
    assert len(once) - len(head) <= len(piece)
    assert len(head) <= len(before)


def test_what_is_no_repetition():
    assert repeated_piece("-" * 1999) is None
    assert repeated_piece(" ".join(str(number) for number in range(5000))) is None
    table = "".join(f"| row {number} | {'x' * 40} |\n" for number in range(500))
    assert repeated_piece(table) is None


def test_a_turn_can_be_stopped_at_any_event_of_a_rescue():
    steps = [
        f"Let me see.\n{LEAK}",
        "",
        calling("nope", "c1"),
        calling("nope", "c2"),
        calling("book", "c3", what="tea"),
        "",
        ["one ", "two ", "three"],
    ]

    async def stop_after(count):
        BOOKED.clear()
        backend = open_backend("memory:")
        model = ScriptedModel([*steps, *["Fine."] * 4])
        async with await open_session(backend, model, swarm=SWARM) as session:
            seen = 0
            events = session.run_turn("go")
            async for _ in events:
                seen += 1
                if seen > count:
                    break
            await events.aclose()
            assert len(BOOKED) <= 1
            assert text_of(await say(session, "and now?"))
            for request in range(len(model.requests)):
                assert check_messages(sent(model, request)) is None
            again = ScriptedModel(["Yes."])
        async with await open_session(backend, again, swarm=SWARM) as session:
            await say(session, "still there?")
            assert check_messages(sent(again)) is None
        return seen > count

    async def scenario():
        count = 0
        while await stop_after(count):
            count += 1
        assert count > 8

    asyncio.run(scenario())


BOOK = '<tool_call>{"name": "book", "arguments": {"what": "tea"}}</tool_call>'
CUT = '<tool_call>{"name": "book", "arguments": {"what": "tea"}'


@pytest.mark.parametrize(
    "text",
    [
        CUT,
        f"Let me see.\n{CUT}",
        '{"name": "book", "arguments": {"what": "te',
        "<toolcall> book what=tea",
        f"You would write this, for example:\n{BOOK}",
        '<tool_call>{"name": "book", "arguments": {"what": "string"}}</tool_call>',
    ],
)
def test_a_cut_call_and_an_example_are_fed_back_and_not_carried_out(text):
    events, _, model = turn([text, "I cannot."])
    assert BOOKED == []
    assert rescues(events)[-1] == ("bad_arguments", "feedback")
    assert "the call of book" in contents(model)[-1]
    assert not any(sign in text_of(events) for sign in "<>{}")


def test_the_answer_to_a_question_about_a_tool_is_not_carried_out():
    shown = '{"name": "book", "arguments": {"what": "tea"}}'
    events, _, _ = turn([shown], "What arguments does book take?")
    assert (BOOKED, text_of(events)) == ([], shown)


def test_a_call_without_a_name_is_asked_for_again_in_plain_words():
    text = "<toolcall> tea, please </toolcall>"
    events, records, model = turn([text, "Here it is."])
    assert rescues(events) == [("leaked_call", "recomplete")]
    assert text_of(events) == "Here it is."
    assert contents(model)[-2] == text
    assert contents(model)[-1].endswith("\n\ngo")
    assert not any(sign in contents(model)[-1] for sign in "[]<>{}")
    assert [record["message"]["content"] for record in data_of(records, "assistant")] == ["Here it is."]


def test_a_turn_that_ends_in_markup_alone_has_no_usable_answer():
    events, _, _ = turn(["<toolcall> tea, please </toolcall>"], rescue=["repair"])
    assert (events[-1].text, events[-1].recovered) == ("", False)
    events, _, _ = turn([calling("bok"), "It is booked."], rescue=["repair"])
    assert (events[-1].text, events[-1].recovered) == ("It is booked.", True)


def test_the_same_error_is_explained_once_in_a_turn():
    wrong = Answer("", (ToolCall("a", "book", "{}"), ToolCall("b", "book", "{}"), ToolCall("c", "bok", "{}")), "stop")
    _, _, model = turn([wrong, "I cannot."])
    results = [message["content"] for message in sent(model) if message["role"] == "tool"]
    assert "The parameters are:" in results[0]
    assert results[1] == "Error: the same error as before"
    assert "bok" in results[2]


def test_surplus_arguments_are_left_out_with_a_note():
    _, records, _ = turn([calling("book", what="tea", fast=True, note="x"), "Done."])
    assert BOOKED == ["tea"]
    assert (
        data_of(records, "rescue")[0]["detail"] == "the arguments of book, without fast, note, which it does not know"
    )


def test_text_that_is_the_json_of_a_list_is_decoded():
    @tool
    def pack(things: list[str], notes: dict[str, str] = {}, box: str | None = None) -> str:  # noqa: B006 - read only
        """Pack things."""
        return f"{things} {notes} {box}"

    swarm = Swarm("shop", [Agent("clerk", "You are a clerk.", [pack])])
    for arguments in ('{"things": "[\\"tea\\"]", "notes": null}', '{"things": "[\\"tea\\"]", "box": null}'):
        events, _, _ = turn([Answer("", (ToolCall("c", "pack", arguments),), "stop"), "Done."], swarm=swarm)
        assert rescues(events) == [("bad_arguments", "repair")]
        assert next(event for event in events if isinstance(event, ToolFinished)).result == "['tea'] {} None"


def questions(texts, answers, swarm=SWARM):
    """Ask ``texts``; return the events of each turn, and the model."""

    async def scenario():
        model = ScriptedModel(answers)
        async with await open_session(open_backend("memory:"), model, swarm=swarm) as session:
            turns = [await say(session, text) for text in texts]
        model.assert_finished()
        return turns, model

    return asyncio.run(scenario())


SAME = "I am sorry, but I can only help you with tea."


def test_the_same_answer_turn_after_turn_is_asked_for_again_once():
    turns, model = questions(["Coffee?", "Cake?", "And a spoon?"], [SAME, SAME, SAME, "Here is a spoon."])
    assert [rescues(events) for events in turns] == [[], [], [("repetition", "recomplete")]]
    assert contents(model)[-2:] == [SAME, contents(model)[-1]]
    assert contents(model)[-1].endswith("\n\nAnd a spoon?")
    turns, _ = questions(["Coffee?", "Cake?", "And a spoon?"], [SAME, SAME, SAME, SAME])
    assert (turns[-1][-1].text, turns[-1][-1].recovered) == (SAME, True)


@pytest.mark.parametrize(
    ("texts", "answers"),
    [
        (["Coffee?", "Coffee?", "coffee"], [SAME] * 3),
        (["Coffee 1?", "Coffee 2?", "Coffee 3?"], [SAME] * 3),
        (["Coffee?", "Cake?", "Thanks"], ["You are welcome."] * 3),
        (["Coffee?", "Cake?", "Tea?"], [SAME, SAME, calling("find_fact", about="tea"), SAME]),
    ],
)
def test_an_answer_that_may_well_be_the_same_is_no_fault(texts, answers):
    turns, _ = questions(texts, answers)
    assert [rescues(events) for events in turns] == [[], [], []]


def test_an_answer_that_repeats_the_instructions_is_asked_for_again():
    instructions = "You are the clerk of a tea shop. Answer in one sentence.  Never promise a discount to anybody."
    swarm = Swarm("shop", [Agent("clerk", instructions)])
    (events,), _ = questions(["Hello"], [f"Sure! {instructions}", "Hello!"], swarm)
    assert rescues(events) == [("repetition", "recomplete")]
    assert events[-1].text == "Hello!"


def confirmed(answer, allowed, *, approver=True, **options):
    """Run a turn in which the user allows calls or not; return what was asked for, and whether it was booked."""
    asked = []

    async def approve(called, call):
        asked.append(called.name)
        return allowed

    async def scenario():
        BOOKED.clear()
        model = ScriptedModel([answer, "Done."])
        about = {"options": {"approver": approve if approver else None}, **options}
        async with await open_session(open_backend("memory:"), model, swarm=SWARM, **about) as session:
            await say(session, "go")

    asyncio.run(scenario())
    return asked, BOOKED


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        (BOOK, {}, (["book"], ["tea"])),
        (BOOK, {"allowed": False}, (["book"], [])),
        (BOOK, {"approver": False}, ([], ["tea"])),
        (BOOK, {"rescue_confirm": "never"}, ([], ["tea"])),
        (BOOK, {"rescue_confirm": "always", "approver": False}, ([], [])),
        (BOOK, {"approve": {"book": "auto"}}, ([], ["tea"])),
        (calling("book", what="tea"), {}, ([], ["tea"])),
    ],
)
def test_a_call_made_of_text_is_asked_for_if_it_changes_something(answer, options, expected):
    assert confirmed(answer, **{"allowed": True, **options}) == expected


def test_a_tool_that_only_looks_is_not_asked_for():
    @tool(effects=False)
    def look(about: str) -> str:
        """Look."""
        BOOKED.append(about)
        return "seen"

    swarm = Swarm("shop", [Agent("clerk", "You are a clerk.", [look])])
    leak = '<tool_call>{"name": "look", "arguments": {"about": "tea"}}</tool_call>'

    async def denies(called, call):
        return False

    async def scenario():
        BOOKED.clear()
        async with await open_session(
            open_backend("memory:"), ScriptedModel([leak, "Done."]), swarm=swarm, options={"approver": denies}
        ) as session:
            await say(session, "go")

    asyncio.run(scenario())
    assert BOOKED == ["tea"]

"""The rules of the demo model: which one holds, what is called, and what is answered."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from swarmchat.examples import helpdesk, phone_shop
from swarmchat.swarm import DemoRule
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.models.base import Answer, ModelRequest, TextChunk
from swarmchat.swarm.models.demo import DemoModel, follow_rules

ALL_RULES = [*helpdesk.swarm.demo, *phone_shop.swarm.demo]
ALL_TOOLS = sorted({rule.call for rule in ALL_RULES if rule.call})


def user(content):
    return {"role": "user", "content": content}


def called(name, result, call_id="c"):
    call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call_id, "content": result},
    ]


def follow(rules, *messages, tools=()):
    definitions = [{"type": "function", "function": {"name": name}} for name in tools]
    rules = [rules] if isinstance(rules, DemoRule) else rules
    return follow_rules(rules, messages, definitions, "call_1")


def arguments(answer):
    (call,) = answer.tool_calls
    return call.name, json.loads(call.arguments)


def test_the_first_rule_that_fits_answers():
    rules = [DemoRule("tea", reply="Tea."), DemoRule("t", reply="{text}!")]
    assert follow(rules, user("Some TEA please")) == Answer("Tea.")
    assert follow(rules, user("cat")) == Answer("cat!")
    assert follow(rules, user("dog")) is None
    assert follow(rules) is None


def test_only_the_last_message_of_the_user_counts():
    rule = DemoRule("tea", reply="Tea.")
    assert follow(rule, user("tea"), {"role": "assistant", "content": "Tea."}, user("thanks")) is None


def test_groups_become_arguments_and_empty_ones_are_left_out():
    rule = DemoRule(
        r"(?P<count>\d+)? ?(?P<what>tea|milk)", "add", {"what": "{what}", "count": "{count}", "all": "{text}"}
    )
    assert arguments(follow(rule, user("2 tea"), tools=["add"])) == (
        "add",
        {"what": "tea", "count": "2", "all": "2 tea"},
    )
    assert arguments(follow(rule, user("milk"), tools=["add"])) == ("add", {"what": "milk", "all": "milk"})


def test_a_function_may_make_the_arguments():
    rule = DemoRule("tea", "add", lambda text: {"words": len(text.split())})
    assert arguments(follow(rule, user("a cup of tea"), tools=["add"])) == ("add", {"words": 4})


def test_a_tool_that_the_agent_does_not_have_leaves_it_to_the_next_rule():
    rules = [DemoRule("tea", "add"), DemoRule("tea", "transfer_to_bar"), DemoRule("tea", reply="No tea.")]
    assert arguments(follow(rules, user("tea"), tools=["add", "transfer_to_bar"])) == ("add", {})
    assert arguments(follow(rules, user("tea"), tools=["transfer_to_bar"])) == ("transfer_to_bar", {})
    assert follow(rules, user("tea")) == Answer("No tea.")


def test_a_handoff_is_announced_so_that_the_next_agent_hands_nobody_over():
    rules = [DemoRule("back", "transfer_back"), DemoRule("back", reply="Here I am.")]
    first = follow(rules, user("back"), tools=["transfer_back"])
    assert (first.text, first.tool_calls[0].name) == ("One moment.", "transfer_back")
    seen_by_the_next = {"role": "assistant", "content": first.text}
    assert follow(rules, user("back"), seen_by_the_next, tools=["transfer_back"]) == Answer("Here I am.")
    assert follow(DemoRule("back", "look"), user("back"), seen_by_the_next, tools=["look"]).tool_calls[0].name == "look"
    assert follow(DemoRule("back", "transfer_back", say="To {text}."), user("back"), tools=["transfer_back"]).text == (
        "To back."
    )


@pytest.mark.parametrize(
    ("reply", "result", "answer"),
    [
        ("{result}", "as it is", "as it is"),
        ("{result}", '{"a": [true, null]}', '{"a": [true, null]}'),
        ("Found {result[a]}.", '{"a": "tea"}', "Found tea."),
        ("{result[1][b]:,} of {text}", '[0, {"b": 1000}]', "1,000 of tea"),
        ("{result[a]}", "no JSON", "no JSON"),
        ("{result[a]}", '{"b": 1}', '{"b": 1}'),
        ("{result[a]}", "7", "7"),
        ("{result[a]}", "[" * 100_000, "[" * 100_000),
        ("{result.a}", "{}", "{}"),
        ("All is well.", "Error: ValueError: the cup\nis full", "That did not work: the cup\nis full"),
        ("All is well.", "Error: no such tool", "That did not work: no such tool"),
        ("All is well.", "Errors: 0", "All is well."),
    ],
)
def test_what_is_made_of_a_result(reply, result, answer):
    assert follow(DemoRule("tea", "find", reply=reply), user("tea"), *called("find", result)).text == answer


def test_a_message_may_have_parts_and_a_text_may_have_braces():
    parts = [{"type": "text", "text": "some {tea}"}, {"type": "image_url"}, "?"]
    assert follow(DemoRule("tea", reply="{text}"), user(parts)).text.strip() == "some {tea}"
    assert follow(DemoRule("^$", reply="Nothing."), user(None)) == Answer("Nothing.")


def test_long_messages_are_searched_at_their_start_and_handed_on_whole():
    rule = DemoRule("tea", "find", {"about": "{text}"})
    long = "tea" + " and milk" * 10_000
    assert arguments(follow(rule, user(long), tools=["find"])) == ("find", {"about": long})
    assert follow(rule, user(" " * 1000 + "tea"), tools=["find"]) is None
    # Without the limit some rules begin again at each word, and this takes many minutes.
    assert follow(ALL_RULES, user("show " * 100_000)) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"pattern": "a", "reply": "{reslt}"}, "uses 'reslt'; available: result, text"),
        ({"pattern": "a", "reply": "{"}, "not a format string"),
        ({"pattern": "(?P<b>a)", "call": "t", "arguments": {"b": "{result}"}}, "uses 'result'; available: b, text"),
        ({"pattern": "a", "call": "t", "say": "{0}"}, "uses '0'"),
    ],
)
def test_rules_that_cannot_be_used(fields, message):
    with pytest.raises(DefinitionError, match=message):
        DemoRule(**fields)


def test_the_model_says_what_goes_with_a_call_before_the_call():
    async def run():
        model = DemoModel(rules=[DemoRule("back", "transfer_back")])
        tools = ({"type": "function", "function": {"name": "transfer_back"}},)
        request = ModelRequest("demo", (b'{"role":"user","content":"back"}',), tools)
        return [event async for event in model.stream(request)]

    *chunks, answer = asyncio.run(run())
    assert chunks == [TextChunk("One"), TextChunk(" moment.")]
    assert (answer.text, answer.finish, answer.model) == ("One moment.", "tool_calls", "demo")
    assert answer.tool_calls[0].id.startswith("call_")


contents = st.one_of(
    st.none(), st.text(), st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text()}))
)
words = (
    "back help play 5 12 phone red two my name is order refund broken tell about ? check out basket add put the".split()
)
sentences = st.lists(st.one_of(st.sampled_from(words), st.text(max_size=5)), max_size=8).map(" ".join)
results = st.one_of(st.text(), st.recursive(st.none() | st.text(), lambda inner: st.lists(inner)).map(json.dumps))


@given(
    text=st.one_of(contents, sentences),
    offered=st.sets(st.sampled_from(ALL_TOOLS)),
    done=st.lists(st.tuples(st.sampled_from(ALL_TOOLS), results), max_size=3),
    announced=st.booleans(),
)
def test_no_text_makes_the_rules_raise(text, offered, done, announced):
    after = [{"role": "assistant", "content": "One moment."}] if announced else []
    for number, (name, result) in enumerate(done):
        after += called(name, result, str(number))
    answer = follow(ALL_RULES, user(text), *after, tools=offered)
    for call in answer.tool_calls if answer else ():
        assert call.name in offered
        assert not done
        assert isinstance(json.loads(call.arguments), dict)
        assert not (announced and call.name.startswith("transfer_"))

"""The fields of an ``expect`` line: which outcomes pass, and what is said of the others."""

import pytest
from swarmchat.swarm.errors import TranscriptError
from swarmchat.swarm.replay.assertions import ASSERTIONS, check_fields, unmet_expectations
from swarmchat.swarm.replay.expectations import TurnOutcome
from swarmchat.swarm.replay.matchers import MATCHERS, Matching
from swarmchat.swarm.replay.places import Place

OUTCOME = TurnOutcome(
    1,
    agent="sales",
    answer='Your order: {"id": 17, "items": [{"name": "Phone", "ok": true}, {"name": "case"}]}',
    calls=[("find", {"about": "Red tea", "limit": 3}), ("fill", {"item": "phone"}), ("fill", {"item": "case"})],
    failed=["pay"],
    results=[("find", "2 kinds of tea"), ("fill", '{"missing": ["colour"]}'), ("pay", "Error: no card")],
    handoffs=["sales"],
    rescues=["leaked_call"],
    tokens=900,
    requests=3,
    states={"order": {"item": "phone", "quantity": 2}},
    memory={"name": "Ann"},
    cost=0.02,
    seconds=1.5,
)

PASSES = [
    {"equals": f" {OUTCOME.answer}\n"},
    {"contains": ["your  ORDER", "17"]},
    {"not_contains": ["sorry", "banana"]},
    {"any_of": ["banana", "phone"]},
    {"matches": "^Your.*}$"},
    {"not_matches": ["^Sorry"]},
    {"json": {"id": 17, "items[0].name": "Phone", "items[*].name": "case", "gift": {"$exists": False}}},
    {"json": {"$": {"$type": "object"}, "items": {"$length": 2}}},
    {"schema": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}},
    {"agent": "sales", "handoffs": ["sales"], "failed": ["pay"], "rescues": 1, "refused": False, "error": False},
    {"rescues": ["leaked_call"]},
    {"tools": ["find", "fill", {"fill": {"item": "case"}}]},
    {"tools": [{"find": {"about": {"$contains": "tea"}, "limit": {"$min": 1, "$max": 3}}}, "fill", "fill"]},
    {"tools_unordered": ["fill", {"fill": {"item": "phone"}}, "find"]},
    {"tools_at_least": [{"fill": {"item": {"$any_of": ["case", "cover"]}}}]},
    {"tools_never": ["pay", {"find": {"about": "coffee"}}]},
    {
        "results": {
            "find": {"$matches": "[0-9] kinds"},
            "fill": {"missing": {"$contains": "colour"}},
            "pay": {"$not": "ok"},
        }
    },
    {"states": {"order": {"quantity": {"$type": "number"}}}},
    {"memory": {"name": "Ann", "age": {"$exists": False}}},
    {"max_tokens": 900, "max_requests": 3, "max_cost": 0.02, "max_seconds": 2},
]

FAILS = [
    ({"equals": "x"}, 'expected the answer "x", got "Your order'),
    ({"contains": ["order", "banana"]}, 'contains "banana", got'),
    ({"not_contains": "PHONE"}, 'without "PHONE", got'),
    ({"any_of": ["banana", "tea"]}, 'contains "banana" or "tea", got'),
    ({"matches": "^Sorry"}, "matches ^Sorry, got"),
    ({"not_matches": "Your"}, "does not match Your, got"),
    ({"json": {"items[0].ok": 1}}, "items[0].ok of the answer is true, expected 1"),
    ({"json": {"items[5]": "x"}}, 'items[5] of the answer is missing, expected "x"'),
    ({"schema": {"properties": {"id": {"type": "string"}}}}, "the answer does not fit the schema: id"),
    ({"agent": "triage"}, "expected the agent 'triage' at the end, got 'sales'"),
    ({"handoffs": []}, "expected handoffs to: none, got sales"),
    ({"tools": ["find", "fill"]}, "expected the calls find, fill, got find, fill, fill; not carried out: pay"),
    ({"tools": ["find", "fill", {"fill": {"item": "phone"}}]}, 'call 3, of fill: item is "case", expected "phone"'),
    ({"tools_unordered": ["fill", "find"]}, "expected only the calls fill, find, in any order"),
    ({"tools_at_least": ["find", "find"]}, "expected also the calls find, got"),
    ({"tools_never": ["fill"]}, 'expected no call of fill, got fill({"item": "phone"}), fill({"item": "case"})'),
    ({"results": {"find": {"$contains": "coffee"}}}, 'the result of find is "2 kinds of tea", expected something that'),
    ({"results": {"sell": "x"}}, "expected a result of sell, but it was not called"),
    ({"states": {"order": {"quantity": 3}}}, "the state order.quantity is 2, expected 3"),
    ({"states": {"ordr": 1}}, "unknown state 'ordr', expected 1; did you mean 'order'?"),
    ({"memory": {"name": {"$not": {"$matches": "A"}}}}, 'the memory name is "Ann", expected anything but'),
    ({"rescues": 0}, "expected rescue steps: 0, got leaked_call"),
    ({"refused": True}, "expected a refusal, got none"),
    ({"error": "OverBudget"}, "expected the failure OverBudget, got none"),
    ({"max_tokens": 800}, "expected at most 800 tokens in a request, got 900"),
    ({"max_cost": 0.01}, "expected a cost of at most 0.01, got 0.02"),
]


@pytest.mark.parametrize("expected", PASSES)
def test_an_outcome_passes(expected):
    check_fields(expected, Place("t", 1))
    assert [str(each) for each in unmet_expectations(expected, OUTCOME, Matching())] == []


@pytest.mark.parametrize(("expected", "words"), FAILS)
def test_an_outcome_fails_in_words(expected, words):
    check_fields(expected, Place("t", 1))
    (unmet,) = unmet_expectations(expected, OUTCOME, Matching())
    assert str(unmet).startswith("turn 1: ")
    assert words in str(unmet)


def test_every_field_and_matcher_is_tried():
    tried = {name for each in (*PASSES, *(fails for fails, _ in FAILS)) for name in each}
    assert ASSERTIONS.keys() - tried == {"similar_to", "judge"}
    assert [name for name in MATCHERS if name not in repr((PASSES, FAILS))] == ["$equals", "$schema"]


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"contians": "x"}, "unknown field 'contians' in an 'expect'; did you mean 'contains'?"),
        ({"contains": 5}, "'contains' is 5, expected a text, or a list of texts"),
        ({"contains": []}, "'contains' is [], expected a text, or a list of texts"),
        ({"matches": ["a", "("]}, "'matches' is not a regular expression"),
        ({"json": {"a[x]": 1}}, "'a[x]' is not a path"),
        ({"json": {"a": {"$contians": 1}}}, "unknown matcher '$contians'; did you mean '$contains'?"),
        ({"states": {"a": {"$min": 1, "b": 2}}}, "'$min' is next to 'b'"),
        ({"states": {"a": {"$min": "1"}}}, "'$min' is '1', expected a number"),
        ({"states": {"a": [{"$type": "int"}]}}, "'$type' is 'int', expected one of text"),
        ({"schema": {"type": "strin"}}, "the JSON schema cannot be used"),
        ({"schema": {"properties": []}}, "the JSON schema cannot be used"),
        ({"tools": [{"a": 1}]}, "'tools' has {\"a\": 1}, expected a name"),
        ({"tools": [{"a": {"x": {"$foo": 1}}}]}, "unknown matcher '$foo'"),
        ({"max_tokens": True}, "'max_tokens' is true, expected a number of tokens"),
        ({"similar_to": {"text": "a", "min": 2}}, "'similar_to' is"),
        ({"judge": {"rubic": "a"}}, "'judge' is"),
    ],
)
def test_what_a_field_does_not_take(expected, message):
    with pytest.raises(TranscriptError) as caught:
        check_fields(expected, Place("t.jsonl", 7))
    assert str(caught.value).startswith("t.jsonl, line 7: ")
    assert message in str(caught.value)


def test_true_is_not_one_and_an_exact_object_has_no_further_fields():
    matching = Matching()
    assert matching.mismatch(1, True) is not None
    assert matching.mismatch(1, 1.0) is None
    assert matching.mismatch({"a": 1}, {"a": 1, "b": 2}) is None
    assert matching.mismatch({"$equals": {"a": 1}}, {"a": 1, "b": 2}) is not None
    assert (
        matching.mismatch({"$schema": {"type": "string"}}, 5)
        == "it does not fit the schema: the value: is 5, expected string"
    )

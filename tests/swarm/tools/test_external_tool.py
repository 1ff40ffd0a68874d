"""Tools that another program describes."""

import json

import pytest
from swarmchat.swarm.providers.schemas import portable_tools
from swarmchat.swarm.tools.context import ArgumentsError
from swarmchat.swarm.tools.external_tool import ExternalTool, recorded_tool

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "names": {"type": "array", "items": {"type": "string"}},
        "text": {"type": "string"},
    },
    "required": ["n"],
    "additionalProperties": False,
}


async def run(ctx, arguments):
    return json.dumps(arguments)


TOOL = ExternalTool("s/t", run, description="Do it.", parameters=SCHEMA, effects=False)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('{"n": 2}', {"n": 2}),
        ('{"n": "2", "names": "[\\"a\\"]", "text": "3"}', {"n": 2, "names": ["a"], "text": "3"}),
    ],
)
def test_arguments_that_fit(given, read):
    assert TOOL.read_arguments(given) == {"arguments": read}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("{", "the arguments are not valid JSON"),
        ("[1]", r"the arguments are \[1\], expected a JSON object"),
        ("", "n: missing"),
        ('{"n": 0}', "n: is 0, expected at least 1"),
        ('{"n": "many", "x": 1}', 'n: is "many", expected integer; x: not expected'),
    ],
)
def test_arguments_that_do_not_fit(given, problem):
    with pytest.raises(ArgumentsError, match=problem):
        TOOL.read_arguments(given)


def test_a_schema_that_is_wrong_refuses_nothing():
    tool = ExternalTool("s/t", run, parameters={"properties": {"n": {"type": "number", "minimum": "x"}}})
    assert tool.read_arguments('{"n": 1}') == {"arguments": {"n": 1}}


def test_a_schema_that_is_a_reference_has_its_properties():
    parameters = {"$ref": "#/$defs/A", "properties": {"m": {"type": "string"}}, "$defs": {"A": SCHEMA}}
    tool = ExternalTool("s/t", run, parameters=parameters)
    assert tool.read_arguments('{"n": "2", "m": "x"}') == {"arguments": {"n": 2, "m": "x"}}
    (sent,) = portable_tools([tool.definition], empty_parameters=False)
    assert list(sent["function"]["parameters"]["properties"]) == ["n", "names", "text", "m"]
    assert sent["function"]["parameters"]["required"] == ["n"]
    for nowhere in ("#/$defs/B", "#"):
        assert ExternalTool("s/t", run, parameters={"$ref": nowhere}).definition


def test_the_log_keeps_what_a_replay_offers():
    again = recorded_tool(json.loads(json.dumps(TOOL.for_record())))
    assert again is not None
    assert (again.definition, again.effects) == (TOOL.definition, False)
    for damaged in (None, {}, {"name": "", "parameters": {}}, {"name": "x", "parameters": []}):
        assert recorded_tool(damaged) is None


def test_a_schema_that_doubles_with_each_level_or_has_a_slow_pattern_takes_no_time():
    levels = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    schema = {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/d0"}, "b": {"pattern": "^(a+)+$"}},
        "$defs": {**levels, "d60": {"type": "integer", "exclusiveMaximum": float("inf")}, "none": None},
    }
    tool = ExternalTool("s/t", run, parameters=schema)
    arguments = {"a": "x", "b": "a" * 60 + "b"}
    assert tool.read_arguments(json.dumps(arguments)) == {"arguments": arguments}, "its owner checks them"
    definition = {"type": "function", "function": {"name": "t", "parameters": schema}}
    assert len(json.dumps(portable_tools([definition], empty_parameters=True))) < 1_000_000

"""Values against JSON schemas."""

import pytest
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.tools.json_schema import check_schema, problems

TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({}, {"anything": 1}, None),
        (True, 1, None),
        (False, 1, "the value: is 1, expected nothing"),
        ({"type": "integer"}, 1.0, None),
        ({"type": "integer"}, True, "the value: is true, expected integer"),
        ({"type": "number"}, "1", 'the value: is "1", expected number'),
        ({"type": ["string", "null"]}, None, None),
        ({"type": ["string", "null"]}, 1, "the value: is 1, expected string or null"),
        ({"enum": ["a", 1]}, True, 'the value: is true, expected one of "a", 1'),
        ({"const": "a"}, "b", 'the value: is "b", expected "a"'),
        ({"minimum": 3}, 2, "the value: is 2, expected at least 3"),
        ({"exclusiveMaximum": 3}, 3, "the value: is 3, expected less than 3"),
        ({"multipleOf": 0.1}, 0.3, None),
        ({"minLength": 2}, "a", 'the value: is "a", expected at least 2 characters'),
        ({"minLength": 2}, 1, None),
        ({"pattern": "^a"}, "b", 'the value: is "b", expected a text that matches ^a'),
        ({"maxItems": 1}, [1, 2], "the value: is [1, 2], expected at most 1 items"),
        ({"items": {"type": "string"}}, ["a", 1], "[1]: is 1, expected string"),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a", 1], "[1]: is 1, expected nothing"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "the value: is 1, expected string"),
        ({"oneOf": [{"minimum": 1}, {"maximum": 5}]}, 3, "the value: is 3, expected a value that fits one of the"),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}]}, 7, "the value: is 7, expected at most 5"),
        (TREE, {"name": "a", "below": [{"name": "b"}]}, None),
        (TREE, {"below": []}, "name: missing"),
        (TREE, {"name": "a", "below": [{"name": "b", "x": 1}]}, "below[0].x: not expected"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, 1, "the value: is 1, expected null"),
        ({"additionalProperties": {"type": "integer"}}, {"a": "b"}, 'a: is "b", expected integer'),
    ],
)
def test_values_and_what_is_wrong_with_them(schema, value, problem):
    check_schema(schema)
    found = list(problems(value, schema, schema))
    assert found == [] if problem is None else found[0].startswith(problem)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([], "the schema has [] at #"),
        ({"type": "text"}, "the type 'text' at #"),
        ({"properties": {"a": {"patternProperties": {}}}}, "the keyword 'patternProperties' at #/properties/a"),
        ({"items": {"pattern": "("}}, "the pattern '(' at #/items"),
        ({"anyOf": [{"typ": "string"}]}, "the keyword 'typ' at #/anyOf/0"),
        ({"$ref": "#/$defs/none"}, "refers to '#/$defs/none'"),
    ],
)
def test_schemas_that_cannot_be_checked(schema, words):
    def check() -> None:
        check_schema(schema)
        list(problems(1, schema, schema))

    with pytest.raises(DefinitionError) as raised:
        check()
    assert words in str(raised.value)

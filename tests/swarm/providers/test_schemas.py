"""Tool schemas in the subset of all servers."""

import datetime
import json
import uuid
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter
from swarmchat.swarm.providers.schemas import portable_schema, portable_tools

KNOWN = (
    "type title description enum items properties required anyOf default minimum maximum minItems maxItems minLength "
    "maxLength minProperties maxProperties format"
).split()


def complaints(schema: Any, path: str = "") -> list[str]:
    """What Gemini would say about ``schema``: ai.google.dev/api/caching#Schema, and the wordings of its errors."""
    problems = [f'Unknown name "{key}" at {path}' for key in schema if key not in KNOWN]
    kind = schema.get("type")
    if isinstance(kind, list):
        problems.append(f"{path}.type: Proto field is not repeating")
    if "enum" in schema and (kind != "string" or not all(isinstance(value, str) for value in schema["enum"])):
        problems.append(f"{path}.enum: only allowed for STRING type")
    if kind == "array" and "items" not in schema:
        problems.append(f"{path}.items: missing field")
    if kind == "object" and schema.get("properties") == {}:
        problems.append(f"{path}.properties: should be non-empty for OBJECT type")
    if kind is None and "anyOf" not in schema:
        problems.append(f"{path}.type: must be specified when not using one_of, any_of or all_of fields")
    if "anyOf" in schema and len(schema) > 1:
        problems.append(f"{path}: specified other fields alongside any_of")
    problems += [
        f"{path}.{key}: only allowed for OBJECT type"
        for key in ("properties", "required")
        if key in schema and kind != "object"
    ]
    problems += [
        f"{path}.required: property is not defined"
        for name in schema.get("required", [])
        if name not in schema.get("properties", {})
    ]
    if schema.get("format") not in (None, "enum", "date-time"):
        problems.append(f"{path}.format: only 'enum' and 'date-time' are supported")
    for name, part in schema.get("properties", {}).items():
        problems += complaints(part, f"{path}.{name}")
    for part in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        problems += complaints(part, f"{path}[]")
    return problems


ANYTHING = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, {"type": "object"}]}


class Address(BaseModel):
    """Where somebody lives."""

    street: str
    number: int | None = None


class Node(BaseModel):
    """A tree."""

    name: str
    children: "list[Node]" = []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Literal["x"], {"type": "string", "enum": ["x"]}),
        (Literal[1, 2], {"type": "integer", "description": "One of: 1, 2."}),
        (Annotated[int, Field(gt=0, lt=9)], {"type": "integer", "minimum": 1, "maximum": 8}),
        (Annotated[float, Field(gt=0)], {"type": "number", "minimum": 0, "description": "More than 0."}),
        (Annotated[int, Field(multiple_of=5)], {"type": "integer", "description": "A multiple of 5."}),
        (Annotated[str, Field(pattern="^a")], {"type": "string", "description": "Matches the pattern ^a"}),
        (datetime.date, {"type": "string", "description": "Format: date."}),
        (datetime.datetime, {"type": "string", "format": "date-time"}),
        (uuid.UUID, {"type": "string", "description": "Format: uuid."}),
        (dict[str, int], {"type": "object", "description": "Each value is of type integer."}),
        (list[str], {"type": "array", "items": {"type": "string"}}),
        (list, {"type": "array", "items": ANYTHING}),
        (Any, ANYTHING),
        (
            Annotated[int | str, Field(description="A size.")],
            {"anyOf": [{"type": "integer", "description": "A size."}, {"type": "string"}]},
        ),
        (
            tuple[int, str],
            {
                "type": "array",
                "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "minItems": 2,
                "maxItems": 2,
                "description": "The items are, in order: integer, string.",
            },
        ),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
    ids=str,
)
def test_types_in_the_common_subset(kind: Any, expected: dict[str, Any]):
    schema = portable_schema(TypeAdapter(kind).json_schema())
    assert schema == expected
    assert complaints(schema) == []


def test_an_optional_argument_needs_no_null():
    schema = {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "N"}
    assert portable_schema(schema) == {"type": "integer", "title": "N"}


def test_references_are_inlined():
    schema = portable_schema(TypeAdapter(list[Address]).json_schema())
    assert schema["items"]["properties"]["street"] == {"title": "Street", "type": "string"}
    assert "$" not in json.dumps(schema)


@pytest.mark.parametrize(
    "part",
    [
        {"anyOf": [{"$ref": "#/$defs/Address"}, {"type": "null"}], "default": None},
        {"allOf": [{"$ref": "#/$defs/Address"}]},
        {"allOf": [{"properties": {"street": {"type": "string"}}, "required": ["street"]}, {"$ref": "#/$defs/Rest"}]},
    ],
)
def test_an_optional_or_joined_object_keeps_its_properties(part: dict[str, Any]):
    street, number = {"street": {"type": "string"}}, {"number": {"type": "integer"}}
    address = {"type": "object", "properties": street | number, "required": ["street"]}
    definitions = {"Address": address, "Rest": {"type": "object", "properties": number}}
    schema = portable_schema({"type": "object", "properties": {"where": part}, "$defs": definitions})
    assert schema["properties"]["where"] == address
    own = {"allOf": [{"$ref": "#/$defs/A"}]}
    assert portable_schema({**own, "$defs": {"A": {"properties": {"a": own}}}})["properties"].keys() == {"a"}


def test_a_recursive_structure_ends():
    schema = portable_schema(TypeAdapter(Node).json_schema())
    assert schema["properties"]["children"]["items"] == {"type": "object"}


def test_a_function_without_parameters_has_none_or_an_empty_object():
    function = {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}
    tools = [{"type": "function", "function": function}]
    (omitted,) = portable_tools(tools, empty_parameters=False)
    assert omitted["function"] == {"name": "now", "description": "The time."}
    (empty,) = portable_tools(tools, empty_parameters=True)
    assert empty["function"]["parameters"] == {"type": "object", "properties": {}}


def test_the_form_of_a_tool_is_made_once():
    tool = {"type": "function", "function": {"name": "f", "parameters": TypeAdapter(Node).json_schema()}}
    first, second, other = (portable_tools([tool], empty_parameters=empty)[0] for empty in (False, False, True))
    assert first is second
    assert other is not first
    # Whatever object says it: a tool that was changed in place has another form.
    tool["function"]["name"] = "g"
    assert portable_tools([tool], empty_parameters=False)[0]["function"]["name"] == "g"


def function_of(parameters: dict[str, Any], **rules: bool) -> dict[str, Any]:
    """Return the parameters of a tool as they are sent."""
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    (portable,) = portable_tools([tool], empty_parameters=False, **rules)
    sent: dict[str, Any] = portable["function"].get("parameters", {})
    return sent


def test_parameters_are_one_object():
    one = {"properties": {"path": {"type": "string"}, "how": {"type": "string"}}, "required": ["path", "how"]}
    many = {
        "properties": {"paths": {"type": "array", "items": {"type": "string"}}, "how": {}},
        "required": ["paths", "how"],
    }
    parameters = function_of({"type": "object", "oneOf": [one, many]})
    assert list(parameters["properties"]) == ["paths", "how", "path"]
    assert (parameters["type"], parameters["required"]) == ("object", ["how"])
    assert parameters["description"] == "Give one of these: path; paths."
    assert complaints(parameters) == []
    beside = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    assert function_of(beside) == {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "description": "Give one of these: a; b.",
    }
    assert (
        function_of({"$ref": "#/$defs/P", "$defs": {"P": {"properties": {"a": {"type": "string"}}}}})["type"]
        == "object"
    )
    assert function_of({"type": "object", "additionalProperties": {"type": "string"}}) == {
        "type": "object",
        "description": "Each value is of type string.",
    }


def test_what_a_server_was_found_not_to_know():
    parameters = {"type": "object", "properties": {"size": {"type": ["integer", "string"]}, "more": {"type": "object"}}}
    assert function_of(parameters, alternatives=False, open_objects=False)["properties"] == {
        "size": {"type": "integer", "description": "Or: string."},
        "more": {"type": "string", "description": "The JSON text of an object."},
    }


def test_a_strict_function_stays_as_it_is():
    function = {"name": "f", "strict": True, "parameters": {"type": "object", "additionalProperties": False}}
    assert (
        portable_tools([{"type": "function", "function": function}], empty_parameters=False)[0]["function"] == function
    )


scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3)
keywords = st.sampled_from(
    "type enum const anyOf oneOf allOf items prefixItems properties additionalProperties $ref $defs format default "
    "exclusiveMinimum exclusiveMaximum multipleOf pattern description required not".split()
)
names = st.sampled_from(["a", "b", "string", "integer", "array", "object", "#/$defs/a"])
schemas = st.recursive(
    scalars | names,
    lambda inner: st.dictionaries(keywords | names, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(keywords, schemas, max_size=5))
def test_no_schema_breaks_it(schema: dict[str, Any]):
    json.dumps(portable_schema(schema))
    json.dumps(function_of(schema))


kinds = st.recursive(
    st.sampled_from([int, str, bool, float, Literal["a", "b"], datetime.date, uuid.UUID, Address, Node, Any]),
    lambda inner: (
        inner.map(lambda kind: list[kind])
        | inner.map(lambda kind: dict[str, kind])
        | inner.map(lambda kind: kind | None if kind is not Any else kind)
        | st.tuples(inner, inner).map(lambda pair: tuple[pair])
    ),
    max_leaves=4,
)


@given(kinds)
def test_every_type_is_in_the_common_subset(kind: Any):
    assert complaints(portable_schema(TypeAdapter(kind).json_schema())) == []

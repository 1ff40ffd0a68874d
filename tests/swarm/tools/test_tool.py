"""Tools: what the model is told of a function, what reaches the function, and what comes back."""

import asyncio
import contextvars
import enum
import json
import threading
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from swarmchat.swarm import Context, Tool, tool
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.tools.context import ArgumentsError, ToolTimeoutError
from swarmchat.swarm.tools.tool import as_tool


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Address(BaseModel):
    city: str
    zip: str | None = None


@dataclass
class Item:
    name: str
    title: str = ""
    count: int = 1


class Tree(BaseModel):
    label: str
    children: list["Tree"] = []


def context():
    return Context("ann", "s", "assistant", None)


def run(tool, arguments, ctx=None):
    return asyncio.run(tool.run(ctx or context(), tool.read_arguments(arguments)))


@tool
async def order(
    ctx: Context,
    items: list[Item],
    size: Size,
    to: Address,
    speed: Literal["slow", "fast"] = "slow",
    note: str | None = None,
    discount: Annotated[float, Field(ge=0, le=1)] = 0,
) -> str:
    """Place an order.

    Prices are in euros.

    items: what to send,
        one entry each
    speed: how fast it should come

    Returns: the number of the order
    """
    return f"{ctx.client}: {items[0].count} {size.name} to {to.city}, {speed}, {note}, {discount}"


def test_the_model_is_told_of_signature_and_docstring():
    function = order.definition["function"]
    assert function["name"] == "order"
    assert function["description"] == "Place an order.\n\nPrices are in euros."
    parameters = function["parameters"]
    assert parameters["required"] == ["items", "size", "to"]
    assert "ctx" not in parameters["properties"]
    assert parameters["properties"]["items"] == {
        "type": "array",
        "description": "what to send, one entry each",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "title": {"type": "string", "default": ""},
                "count": {"type": "integer", "default": 1},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    }
    assert parameters["properties"]["size"] == {"type": "string", "enum": ["small", "large"]}
    assert parameters["properties"]["speed"]["enum"] == ["slow", "fast"]
    assert parameters["properties"]["note"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert "$ref" not in json.dumps(parameters)


def test_arguments_are_checked_and_coerced():
    arguments = {"items": [{"name": "pen", "count": "3"}], "size": "large", "to": {"city": "Rome"}, "discount": "0.5"}
    assert run(order, json.dumps(arguments)) == "ann: 3 LARGE to Rome, slow, None, 0.5"


def test_a_parameter_may_have_any_name():
    @tool
    def send(_id: int, json: str, model_config: str = "a", schema: list[str] | None = None) -> str:
        """Send."""
        return f"{_id} {json} {model_config} {schema}"

    assert list(send.signature.parameters["properties"]) == ["_id", "json", "model_config", "schema"]
    assert run(send, '{"_id": "1", "json": "{}", "schema": ["b"]}') == "1 {} a ['b']"
    with pytest.raises(ArgumentsError, match="_id: Field required"):
        send.read_arguments('{"json": ""}')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('{"items": []}', "size: Field required; to: Field required"),
        ('{"items": [], "size": "huge", "to": {"city": "x"}}', "size: .*'small' or 'large'"),
        ('{"items": [], "size": "small", "to": {"city": "x"}, "colour": "red"}', "colour: Extra inputs"),
        ('{"items": [], "size": "small", "to": {"city": "x"}, "discount": 2}', "discount: .*less than or equal to 1"),
        ('{"items": [{"name": "x", "count": "many"}], "size": "small", "to": {"city": "x"}}', "items.0.count"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(ArgumentsError, match=message):
        order.read_arguments(arguments)


@given(
    st.text(max_size=40)
    | st.recursive(st.none() | st.text(max_size=3), lambda x: st.lists(x, max_size=2)).map(json.dumps)
)
def test_no_arguments_make_the_check_fail_in_another_way(text):
    try:
        order.read_arguments(text)
    except ArgumentsError:
        return


def test_a_recursive_type_keeps_its_reference():
    @tool
    def plant(tree: Tree) -> str:
        return tree.children[0].label

    assert "Tree" in plant.definition["function"]["parameters"]["$defs"]
    assert run(plant, '{"tree": {"label": "a", "children": [{"label": "b"}]}}') == "b"


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain", "plain"),
        (None, "null"),
        ({"a": [1, True]}, '{"a":[1,true]}'),
        ([Item("x")], '[{"name":"x","title":"","count":1}]'),
        (Address(city="é"), '{"city":"é","zip":null}'),
        ({1, 2}, "[1,2]"),
        (1j, "1j"),
    ],
)
def test_results_are_text_or_json(result, text):
    tool = Tool("f", lambda: result)
    got = run(tool, "")
    assert got == text or json.loads(got) == text


def test_a_function_that_is_not_async_runs_in_a_thread_with_its_context():
    variable = contextvars.ContextVar("variable", default="unset")

    @tool
    def where(ctx: Context) -> list[Any]:
        async def look():
            return ctx.client

        return [threading.current_thread().daemon, variable.get(), ctx.wait(look())]

    async def scenario():
        variable.set("set")
        ctx = Context("ann", "s", "assistant", None, loop=asyncio.get_running_loop())
        return await where.run(ctx, {})

    assert asyncio.run(scenario()) == '[true,"set","ann"]'


@pytest.mark.parametrize("error", [ValueError("no"), StopIteration("over"), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_function_raises_comes_through(error):
    def fail() -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration | SystemExit) else type(error)
    if isinstance(error, KeyboardInterrupt):
        expected = BaseException
    with pytest.raises(expected):
        run(Tool("f", fail), "")


def test_a_tool_that_takes_too_long_is_given_up():
    stopped = threading.Event()

    @tool(timeout=0.01)
    def endless(ctx: Context) -> None:
        ctx.cancelled.wait(20)
        stopped.set()

    @tool(timeout=0.01)
    async def endless_too() -> None:
        await asyncio.Event().wait()

    for slow_tool in (endless, endless_too):
        with pytest.raises(ToolTimeoutError, match=r"0.01 s"):
            run(slow_tool, "")
    assert stopped.wait(20)


def test_a_timeout_of_the_functions_own_is_its_own():
    async def impatient() -> None:
        raise TimeoutError("the shop does not answer")

    with pytest.raises(TimeoutError, match="shop"):
        run(Tool("f", impatient), "")


def test_whether_a_tool_is_available_may_be_asked():
    async def later(ctx):
        return ctx.client == "ann"

    for available, expected in ((None, True), (lambda ctx: ctx.client == "bob", False), (later, True)):
        tool = Tool("f", lambda: None, available=available)
        assert asyncio.run(tool.is_available(context())) is expected


def variadic(*args: int) -> None: ...
def keywords(**kwargs: int) -> None: ...
def positional(a: int, /) -> None: ...
def unknown(a: "Missing") -> None: ...  # noqa: F821 - that is the point
def odd(a: threading.Lock) -> None: ...


@pytest.mark.parametrize("function", [variadic, keywords, positional, unknown, odd])
def test_a_signature_that_no_model_can_be_told_of(function):
    with pytest.raises(DefinitionError, match=f"tool '{function.__name__}'"):
        as_tool(function)


@pytest.mark.parametrize(
    "options",
    [{"name": " a"}, {"name": "a\nb"}, {"name": "a" * 201}, {"name": ""}, {"timeout": 0}, {"approve": "maybe"}],
)
def test_invalid_options(options):
    with pytest.raises(DefinitionError, match="tool"):
        tool(**options)(lambda: None)


def test_docstrings_in_other_styles():
    def google(city: str, days: int = 1) -> str:
        """Tell the weather.

        Args:
            city (str): where
            days: how many

        Returns:
            A sentence.
        """

    def sphinx(city: str) -> str:
        """Tell the weather.

        :param city: where
        :returns: A sentence.
        """

    def note(city: str) -> str:
        """Tell the weather. Note: in Celsius.

        Cities: any will do.
        """

    definition = as_tool(google).definition["function"]
    assert definition["description"] == "Tell the weather."
    assert definition["parameters"]["properties"]["city"]["description"] == "where"
    assert definition["parameters"]["properties"]["days"]["description"] == "how many"
    assert as_tool(sphinx).definition["function"]["parameters"]["properties"]["city"]["description"] == "where"
    assert (
        as_tool(note).definition["function"]["description"]
        == "Tell the weather. Note: in Celsius.\n\nCities: any will do."
    )

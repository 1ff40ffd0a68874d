"""Scripted conversations that probe a model server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.models.base import Answer, ToolCall
from swarmchat.swarm.tools.tool import Tool, tool

CODE_WORD = "HERON-42"
_FILLER = "The ferry left the harbour at noon and the gulls went with it, as they do on every day of the summer."
_LONG = f"Here are the notes of a ferryman, which begin with a code word.\nIt is {CODE_WORD}.\n" + "\n".join(
    f"{n}. {_FILLER}" for n in range(1, 201)
)
"""Some 5,200 tokens: more than the 4,096 that Ollama loads a model with unless told otherwise."""


@dataclass(frozen=True)
class ProbeExchange:
    """One scripted conversation: a swarm, and the user's messages to it."""

    name: str
    swarm: Swarm
    messages: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of its requests."""
    history: tuple[Answer, ...] = ()
    """Answers of another server, which are given before this one is asked."""
    long: bool = False
    """Whether it is expensive, and skipped in a quick run."""

    @property
    def needs_tools(self) -> bool:
        """Whether its requests offer tools."""
        return any(agent.tools or agent.targets for agent in self.swarm.agents)


@dataclass
class Item:
    """An item of an order."""

    name: str
    count: int


@dataclass
class Address:
    """The address that an order is sent to."""

    street: str
    town: str


@tool
def get_weather(city: str, unit: Literal["celsius", "fahrenheit"], day: str = "today") -> str:
    """Return the weather of a city.

    city: the name of the city
    unit: the unit of the temperature
    day: leave it out for today
    """
    return f"{city}, {day}: hail, 37 degrees {unit} below zero"


@tool
def place_order(items: list[Item], address: Address) -> str:
    """Order items.

    items: what is ordered
    address: where it is sent
    """
    return f"ordered {len(items)} kinds of items, to {address.town}: order number 7731"


@tool(name="door-code")
def door_code() -> str:
    """Return the code of the front door, which changes every day."""
    return "the code is 4711"


@tool
def read_meter(number: int) -> str:
    """Read an electricity meter.

    number: the number of the meter
    """
    raise ValueError(f"meter {number} is out of order; no other can be read today")


def _swarm(prompt: str, *tools: Tool) -> Swarm:
    return Swarm("probe", [Agent("probe", prompt, tools=tools)])


def _two_agents() -> Swarm:
    desk = Agent("desk", "You greet callers. Hand over to billing for anything about invoices.", handoffs=["billing"])
    billing = Agent(
        "billing", "You are the billing desk. Ask in one short sentence for the number.", description="Invoices."
    )
    return Swarm("probe", [desk, billing])


_BRIEF = "Answer in one short sentence."
_WITH_TOOLS = f"Use your tools where they help. {_BRIEF}"


_FOREIGN = Answer(
    "I will look both up.",
    tuple(
        ToolCall(f"call_{name}Zk2r8nQ0fL5xW1uB7y", "get_weather", f'{{"city":"{name}","unit":"celsius"}}')
        for name in ("Oslo", "Lima")
    ),
    "tool_calls",
)
"""Calls with long ids, and without the data that some servers attach to their own calls."""


def exchanges() -> list[ProbeExchange]:
    """Return all exchanges in the order in which they run."""
    weather = _swarm(_WITH_TOOLS, get_weather)
    paris = "What is the weather in Paris, in celsius?"
    order = "Order 3 pieces of 🦊 and 2 of 緑茶, to Bühlstraße 1 in Köln. Write all names as I do."
    return [
        ProbeExchange("plain", _swarm(_BRIEF), ("Hello! Which town is the capital of France?",)),
        ProbeExchange(
            "count", _swarm("Do as you are told, without further words."), ("Please count to 20, in digits.",)
        ),
        ProbeExchange("system", _swarm("End every answer with the word LANTERN."), ("Say hello in a few words.",)),
        ProbeExchange("weather", weather, (paris, "And in Rome, in fahrenheit?")),
        ProbeExchange("two", weather, ("Compare the weather in Oslo and in Lima, in celsius. Ask for both at once.",)),
        ProbeExchange("order", _swarm(_WITH_TOOLS, place_order), (order,)),
        ProbeExchange("door", _swarm(_WITH_TOOLS, door_code), ("What is the code of the front door today?",)),
        ProbeExchange(
            "error", _swarm(_WITH_TOOLS, read_meter), ("Read meter 5 for me. If that does not work, say so.",)
        ),
        ProbeExchange("sum", weather, ("How much is two plus two? Answer with the number.",)),
        ProbeExchange("handoff", _two_agents(), ("I want to talk about an invoice.",)),
        ProbeExchange(
            "history",
            weather,
            ("What is the weather in Oslo and in Lima, in celsius?", "And in Rome, in fahrenheit?"),
            history=(_FOREIGN, Answer("There is hail in both towns.")),
        ),
        ProbeExchange("choice", weather, (paris,), {"tool_choice": "none"}),
        ProbeExchange(
            "long", _swarm(_BRIEF), (f"{_LONG}\nWith which code word do the notes begin? Answer with it.",), long=True
        ),
    ]

"""The scripted conversations that probe a model server, and the transcript of one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from swarmchat.swarm.agents.agent import Agent, Swarm
from swarmchat.swarm.conversation.events import Event, Rescued, ToolFinished, TurnEnded
from swarmchat.swarm.errors import SwarmError
from swarmchat.swarm.probes.recording_model import RecordedExchange
from swarmchat.swarm.tools.tool import tool

CODE_WORD = "HERON-42"
_FILLER = "The ferry left the harbour at noon and the gulls went with it, as they do on every day of the summer."
_LONG = f"Here are the notes of a ferryman, which begin with a code word.\nIt is {CODE_WORD}.\n" + "\n".join(
    f"{n}. {_FILLER}" for n in range(1, 201)
)
"""Some 5,200 tokens: more than the 4,096 that Ollama loads a model with unless told otherwise."""


@dataclass(frozen=True)
class Exchange:
    """One scripted conversation: a swarm, and the user's messages to it."""

    name: str
    swarm: Swarm
    says: tuple[str, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of its requests."""
    long: bool = False

    @property
    def needs_tools(self) -> bool:
        """Whether its requests offer tools."""
        return any(agent.tools or agent.handoffs for agent in self.swarm.agents)


@dataclass(frozen=True, slots=True)
class ExchangeOutcome:
    """An event, with the turn and the request that it belongs to, both counted from 0."""

    turn: int
    request: int
    event: Event


@dataclass
class ProbeTranscript:
    """The record of an exchange: the server's replies, and the events that the session made of them."""

    replies: list[RecordedExchange]
    outcomes: list[ExchangeOutcome]
    error: SwarmError | None = None
    """The error that ended the exchange early."""

    @property
    def rescued(self) -> list[Rescued]:
        """The rescue steps that were taken."""
        return [each.event for each in self.outcomes if isinstance(each.event, Rescued)]

    @property
    def ends(self) -> list[TurnEnded]:
        """The ends of the turns that were completed."""
        return [each.event for each in self.outcomes if isinstance(each.event, TurnEnded)]

    @property
    def text(self) -> str:
        """The last answer; empty if there is none but the placeholder."""
        return self.ends[-1].text.strip() if self.ends and self.ends[-1].recovered else ""

    @property
    def native_calls(self) -> bool:
        """Whether the server sent tool calls as such, not as text."""
        return any(reply.answer is not None and reply.answer.tool_calls for reply in self.replies)

    def calls(self, turn: int | None = None, *, carried_out: bool = False) -> list[ToolFinished]:
        """Return the tool calls and handoffs, failed ones included unless ``carried_out`` is set."""
        return [
            each.event
            for each in self.outcomes
            if isinstance(each.event, ToolFinished)
            and turn in (None, each.turn)
            and (each.event.status == "ok" or not carried_out)
        ]

    def most_at_once(self) -> int:
        """Return the number of calls in the message that has most."""
        requests = [each.request for each in self.outcomes if isinstance(each.event, ToolFinished)]
        return max((requests.count(request) for request in requests), default=0)


def arguments_of(call: ToolFinished) -> dict[str, Any]:
    """Return the arguments of ``call``; empty if they are no object."""
    try:
        values = json.loads(call.arguments)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


@dataclass
class Item:
    """An item of an order."""

    name: str
    count: int


@dataclass
class Address:
    """Where it goes."""

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
    """Return the code of the front door, which is another one each day."""
    return "the code is 4711"


@tool
def read_meter(number: int) -> str:
    """Read an electricity meter.

    number: the number of the meter
    """
    raise ValueError(f"meter {number} is out of order; no other can be read today")


def _with(tools: list[Any], prompt: str = "Use your tools where they help. Answer in one short sentence.") -> Swarm:
    return Swarm("probe", [Agent("probe", prompt, tools=tools)])


def _chat(prompt: str) -> Swarm:
    return Swarm("probe", [Agent("probe", prompt)])


def _two_agents() -> Swarm:
    desk = Agent(
        "desk", "You greet callers. For whatever has to do with invoices, hand over to billing.", handoffs=["billing"]
    )
    billing = Agent(
        "billing", "You are the billing desk. Ask in one short sentence for the number.", description="Invoices."
    )
    return Swarm("probe", [desk, billing])


_MAKERS: tuple[Callable[[], Exchange], ...] = (
    lambda: Exchange("plain", _chat("Answer in one short sentence."), ("Hello! Which town is the capital of France?",)),
    lambda: Exchange("count", _chat("Do as you are told, without further words."), ("Please count to 20, in digits.",)),
    lambda: Exchange("system", _chat("End every answer with the word LANTERN."), ("Say hello in a few words.",)),
    lambda: Exchange(
        "weather", _with([get_weather]), ("What is the weather in Paris, in celsius?", "And in Rome, in fahrenheit?")
    ),
    lambda: Exchange(
        "two", _with([get_weather]), ("Compare the weather in Oslo and in Lima, in celsius. Ask for both at once.",)
    ),
    lambda: Exchange(
        "order",
        _with([place_order]),
        ("Order 3 pieces of 🦊 and 2 of 緑茶, to Bühlstraße 1 in Köln. Write all names as I do.",),
    ),
    lambda: Exchange("door", _with([door_code]), ("What is the code of the front door today?",)),
    lambda: Exchange("error", _with([read_meter]), ("Read meter 5 for me. If that does not work, say so.",)),
    lambda: Exchange("sum", _with([get_weather]), ("How much is two plus two? Answer with the number.",)),
    lambda: Exchange("handoff", _two_agents(), ("I want to talk about an invoice.",)),
    lambda: Exchange(
        "choice", _with([get_weather]), ("What is the weather in Paris, in celsius?",), {"tool_choice": "none"}
    ),
    lambda: Exchange(
        "long",
        _chat("Answer in one short sentence."),
        (f"{_LONG}\nWith which code word do the notes begin? Answer with it.",),
        long=True,
    ),
)


def exchanges() -> list[Exchange]:
    """Return the exchanges, in the order in which they are held."""
    return [make() for make in _MAKERS]

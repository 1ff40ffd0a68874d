"""What is offered while the corpora of leaked calls and of ordinary outputs are read: tools of many shapes."""

from dataclasses import dataclass
from typing import Any, Literal

from swarmchat.swarm import Tool, tool
from swarmchat.swarm.tools.toolset import Toolset


@dataclass
class Item:
    sku: str
    quantity: int = 1
    note: str | None = None


@tool
async def find_fact(about: str, limit: int = 1) -> str:
    """Find the facts that best match a description.

    about: what the client wants to know
    limit: how many facts to return at most
    """
    return f"{limit} about {about}"


@tool
async def get_weather(city: str, unit: Literal["celsius", "fahrenheit"] = "celsius") -> str:
    """Tell the weather of a city."""
    return f"18 degrees {unit} in {city}"


@tool
async def create_order(items: list[Item], express: bool = False) -> str:
    """Order items.

    express: whether they are needed tomorrow
    """
    return f"{len(items)} ordered, express: {express}"


@tool
async def set_alarm(hour: int, minute: int, days: tuple[str, ...] = ()) -> str:
    """Set an alarm.

    days: on which days it rings, none for once
    """
    return f"{hour}:{minute:02} {days}"


@tool
async def list_orders() -> str:
    """List the client's orders."""
    return "none"


@tool
async def run_query(sql: str) -> str:
    """Run a query on the database."""
    return sql


@tool
async def write_file(path: str, content: str) -> str:
    """Write a file."""
    return f"{len(content)} characters in {path}"


@tool(name="send-mail")
async def send_mail(to: str, subject: str, body: str = "") -> str:
    """Send a mail."""
    return f"{to}: {subject} {body}"


TOOLS: tuple[Tool, ...] = (
    find_fact,
    get_weather,
    create_order,
    set_alarm,
    list_orders,
    run_query,
    write_file,
    send_mail,
)
TOOLSET = Toolset(TOOLS, ["transfer_to_sales"])


def meaning(name: str, arguments: str) -> dict[str, Any]:
    """Return the arguments of a call as its tool gets them; a handoff has none.

    Raises ArgumentsError when they do not fit.
    """
    chosen = TOOLSET.tools.get(name)
    return {} if chosen is None else chosen.read_arguments(arguments)

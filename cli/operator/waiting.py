"""The list of users who wait for an operator."""

from dataclasses import asdict
from datetime import UTC, datetime

from swarmchat.cli.render.renderer import remark
from swarmchat.cli.terminal.printing import duration, print_json
from swarmchat.cli.terminal.sanitize import one_line
from swarmchat.swarm.persistence.session_index import SessionInfo, find_session
from swarmchat.swarm.persistence.tickets import Ticket
from swarmchat.swarm.session.desk import OperatorDesk

Waiting = tuple[Ticket, SessionInfo]

_LINE = 200
"""Characters of a reason or a summary in the list."""


async def who_waits(desk: OperatorDesk) -> list[Waiting]:
    """Return the tickets of existing sessions: waiting ones, longest wait first, then taken ones."""
    waiting = []
    for ticket in await desk.tickets():
        info = await find_session(desk.backend, ticket.client, ticket.session)
        if info is not None:
            waiting.append((ticket, info))
    return sorted(waiting, key=lambda each: bool(each[0].taken_by))


async def print_waiting(desk: OperatorDesk, as_json: bool) -> None:
    """Print the waiting users as text or as JSON."""
    waiting = await who_waits(desk)
    if desk.unreadable:
        remark(unreadable_line(desk.unreadable))
    if as_json:
        rows = []
        for ticket, info in waiting:
            fields = asdict(ticket)
            del fields["nonce"]
            rows.append({**fields, "name": info.name, "title": info.title})
        print_json(rows)
        return
    for line in waiting_lines(waiting):
        print(line)


def unreadable_line(number: int) -> str:
    """Return the line that says how many entries of the queue are damaged."""
    return f"entries that cannot be read: {number:,}; each is repaired when its session is opened"


def waiting_lines(waiting: list[Waiting]) -> list[str]:
    """Return the lines of the list, with a number for each."""
    lines = []
    for number, (ticket, info) in enumerate(waiting, 1):
        since = duration((datetime.now(UTC) - ticket.waiting_since).total_seconds())
        state = f"with {one_line(ticket.taken_by, 40)}" if ticket.taken_by else f"waits {since}"
        client, name, operator = (one_line(text, 40) for text in (ticket.client, info.name, ticket.operator))
        lines.append(f"{number}  {client}/{name}  {operator}  {state}")
        lines += [f"   {one_line(text, _LINE)}" for text in (ticket.reason, ticket.summary or info.title) if text]
    return lines or ["nobody waits"]

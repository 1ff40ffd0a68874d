"""Resources of MCP servers in a message: ``@SERVER:URI`` attaches one, and Tab completes it."""

import asyncio
import re
from collections.abc import Callable, Sequence

from swarmchat.cli.attachments.message import with_content
from swarmchat.cli.attachments.paths import mentions
from swarmchat.cli.errors import UsageError
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.offers import Offers, Resource
from swarmchat.swarm.mcp.servers import McpServers

_VARIABLE = re.compile(r"\{([^{}]*)\}")


async def with_resources(message: str, typed: str, servers: McpServers, limit: int, tell: Callable[[str], None]) -> str:
    """Return ``message`` with the resources that ``typed``, the part of it that was not pasted, mentions.

    ``tell`` gets a line for each. ``limit`` is the most bytes of the message. Raises McpError and UsageError.
    """
    for readings in mentions(typed):
        server, colon, _ = readings[0].partition(":")
        offers = servers.offers.get(server)
        if offers is None or not colon:
            continue
        uris = [reading.removeprefix(f"{server}:") for reading in readings if reading != f"{server}:"]
        if not uris:
            continue
        listed = {each.uri for each in await offers.resources() if not each.is_template}
        uri = next((uri for uri in uris if uri in listed), uris[-1])
        if variable := _VARIABLE.search(uri):
            raise UsageError(f"@{server}:{uri}: fill in {variable[0]}, as Tab does")
        message, remark = with_content(message, f"Resource {server}:{uri}", await offers.read(uri), limit)
        if remark:
            tell(remark)
    return message


async def resource_choices(typed: str, servers: McpServers) -> list[tuple[str, str, str]]:
    """Return what ``typed``, the text after ``@``, may become: the text to insert, the one to show, and what it is.

    Servers that do not run are left out.
    """
    name, colon, start = typed.partition(":")
    ready = {each: offers for each, offers in servers.offers.items() if offers.connection.is_ready}
    if not colon:
        fitting = [each for each in ready if each.startswith(name)]
        listed = await asyncio.gather(*(_resources(ready[each]) for each in fitting))
        return [
            (f"{each}:", f"{each}:", "resources") for each, resources in zip(fitting, listed, strict=True) if resources
        ]
    if name not in ready:
        return []
    choices = []
    for each in await _resources(ready[name]):
        if each.is_template:
            filled = await _fill(ready[name], each, start)
            choices += [(f"{name}:{uri}", f"{name}:{shown}", each.about) for uri, shown in filled]
        elif each.uri.startswith(start):
            choices.append((f"{name}:{each.uri}", f"{name}:{each.uri}", each.about))
    return choices


async def _fill(offers: Offers, template: Resource, start: str) -> list[tuple[str, str]]:
    """Return what the address ``start`` may become by ``template``, as text to insert and to show.

    That is the text of the template up to its next variable, or the values of the variable that is being typed.
    """
    pieces = _VARIABLE.split(template.uri)
    typed = offset = 0
    for literal, variable, following in zip(pieces[::2], pieces[1::2], pieces[2::2], strict=False):
        rest = start[typed:]
        if literal.startswith(rest) and rest != literal:
            inserted = start[:typed] + literal
            return [(inserted, inserted + template.uri[offset + len(literal) :])]
        if not rest.startswith(literal):
            return []
        typed += len(literal)
        offset += len(literal) + len(variable) + 2
        value = start[typed:]
        if not following or following[0] not in value:
            values = await offers.complete(template, variable, value)
            return [(start[:typed] + each + following, start[:typed] + each + following) for each in values]
        typed += value.index(following[0])
    return []


async def _resources(offers: Offers) -> Sequence[Resource]:
    try:
        return await offers.resources()
    except McpError:
        return ()

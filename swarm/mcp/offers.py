"""What an MCP server offers besides tools: resources, which a user attaches to messages, and prompts."""

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.connection import STALE, Connection
from swarmchat.swarm.mcp.texts import block_text, visible

if TYPE_CHECKING:
    from mcp.client.client import Client

MAX_ENTRIES = 500
"""How many resources, templates or prompts of one server are taken."""
_LABEL = 200
"""Characters of names and descriptions in lists."""


@dataclass(frozen=True)
class Resource:
    """A resource of a server, or a template of the addresses of resources."""

    uri: str
    """The address; that of a template has variables in braces: ``notes://{day}``."""
    about: str = ""
    is_template: bool = False


@dataclass(frozen=True)
class PromptArgument:
    """An argument of a prompt; its value is a text."""

    name: str
    about: str = ""
    required: bool = False


@dataclass(frozen=True)
class Prompt:
    """A prompt of a server: a message that it writes for the user."""

    name: str
    about: str = ""
    arguments: Sequence[PromptArgument] = ()


class Offers:
    """The resources and prompts of one server. Lists are fetched when they are needed, and again after a while.

    All methods raise McpError if the server cannot be reached, or refuses.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._lists: dict[str, tuple[float, int, list[Any]]] = {}
        """The lists with the times and revisions of their requests, by the name of what they list."""

    async def resources(self) -> list[Resource]:
        """Return the resources, then the templates."""

        async def fetch(client: "Client") -> list[Resource]:
            listed = [
                Resource(each.uri, _about(each.title or each.name, each.description, each.mime_type))
                for each in await _all_pages(client.list_resources, "resources")
            ]
            templates = [
                Resource(each.uri_template, _about(each.title or each.name, each.description, each.mime_type), True)
                for each in await _all_pages(client.list_resource_templates, "resource_templates")
            ]
            return [
                each
                for each in (*listed, *templates)
                if self._is_plain("resources", each.uri, visible(each.uri, 2000) == each.uri)
            ]

        return await self._listed("resources", fetch)

    async def prompts(self) -> list[Prompt]:
        """Return the prompts."""

        async def fetch(client: "Client") -> list[Prompt]:
            return [
                Prompt(
                    each.name,
                    _about(each.title, each.description),
                    [
                        PromptArgument(
                            argument.name, visible(argument.description or "", _LABEL), bool(argument.required)
                        )
                        for argument in each.arguments or ()
                    ],
                )
                for each in await _all_pages(client.list_prompts, "prompts")
                if self._is_plain(
                    "prompts", each.name, visible(each.name, _LABEL) == each.name and " " not in each.name
                )
            ]

        return await self._listed("prompts", fetch)

    async def complete(self, offer: Resource | Prompt, argument: str, typed: str) -> list[str]:
        """Return the server's completions of ``typed``, the value of ``argument`` of a prompt or a template."""
        from mcp_types import PromptReference, ResourceTemplateReference

        async with self._client() as client:
            if client.server_capabilities.completions is None:
                return []
            result = await client.complete(
                PromptReference(name=offer.name)
                if isinstance(offer, Prompt)
                else ResourceTemplateReference(uri=offer.uri),
                {"name": argument, "value": typed},
            )
        return [value for value in result.completion.values if visible(value, _LABEL) == value]

    async def read(self, uri: str) -> str:
        """Return the text of the resource ``uri``. Raises McpError also for one that is no text."""
        async with self._client() as client:
            result = await client.read_resource(uri)
        return "\n".join(_resource_text(uri, each) for each in result.contents)

    async def fill_prompt(self, name: str, arguments: Mapping[str, str]) -> str:
        """Return the message that the prompt ``name`` makes of ``arguments``.

        A prompt of several messages, which has answers of a model in it, is one text that says whose each is.
        """
        async with self._client() as client:
            result = await client.get_prompt(name, dict(arguments))
        messages = [(str(each.role), visible(block_text(each.content), limit=10**9)) for each in result.messages]
        if all(role == "user" for role, _ in messages):
            return "\n\n".join(text for _, text in messages)
        return "\n\n".join(f"{role.capitalize()}: {text}" for role, text in messages)

    def _is_plain(self, kind: str, name: str, is_plain: bool) -> bool:
        """Return ``is_plain``; note a ``name`` that is not what it seems, or cannot be typed: it is not offered."""
        if not is_plain:
            self.connection.leave_out(kind, name, "it has hidden characters or spaces, or is too long")
        return is_plain

    async def _listed(self, kind: str, fetch: Callable[["Client"], Awaitable[list[Any]]]) -> list[Any]:
        now = asyncio.get_running_loop().time()
        fetched_at, revision, entries = self._lists.get(kind, (0.0, -1, []))
        if now - fetched_at > STALE or revision != self.connection.revision:
            async with self._client() as client:
                revision = self.connection.revision
                entries = [] if getattr(client.server_capabilities, kind) is None else await fetch(client)
            self._lists[kind] = now, revision, entries
        return entries

    @asynccontextmanager
    async def _client(self) -> AsyncIterator["Client"]:
        """Return the SDK's client; translate its errors, and those of the server."""
        server = self.connection.server
        client = await self.connection.client()
        try:
            async with asyncio.timeout(server.timeout):
                yield client
        except McpError:
            raise
        except TimeoutError as error:
            raise McpError(f"MCP server {server.name} did not answer within {server.timeout:g} s") from error
        except Exception as error:
            raise McpError(f"MCP server {server.name}: {self.connection.reason(error)}") from error


async def _all_pages(request: Callable[..., Awaitable[Any]], field: str) -> list[Any]:
    entries: list[Any] = []
    cursor = None
    while len(entries) < MAX_ENTRIES:
        page = await request(cursor=cursor)
        entries += getattr(page, field)
        cursor = page.next_cursor
        if cursor is None:
            break
    return entries[:MAX_ENTRIES]


def _about(*parts: str | None) -> str:
    return " · ".join(visible(" ".join(part.split()), _LABEL) for part in dict.fromkeys(parts) if part)


def _resource_text(uri: str, content: Any) -> str:
    text = getattr(content, "text", None)
    if text is None:
        # Some servers send text as bytes.
        try:
            text = base64.b64decode(content.blob, validate=True).decode()
        except (binascii.Error, ValueError) as error:
            kind = visible(content.mime_type or "unknown bytes", 80)
            raise McpError(f"the resource {visible(uri, 200)} is {kind}, and only text can be attached") from error
    return visible(text, limit=10**9)

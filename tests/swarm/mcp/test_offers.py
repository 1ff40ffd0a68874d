"""Resources and prompts of real MCP servers."""

import asyncio
from pathlib import Path

import pytest
import warm
from swarmchat.swarm.errors import McpError
from swarmchat.swarm.mcp.connection import Connection
from swarmchat.swarm.mcp.offers import Offers, Prompt, PromptArgument, Resource
from swarmchat.swarm.mcp.server import McpServer

HELPER = str(Path(__file__).parents[2] / "helpers" / "mcp_server.py")


def test_resources_and_prompts():
    command, *arguments = warm.line(HELPER)

    async def scenario() -> None:
        offers = Offers(Connection(McpServer("t", command, arguments), {}))
        resources = await offers.resources()
        assert resources == [
            Resource("notes://today", "today · What is new. · text/plain"),
            Resource("notes://logo.png", "logo · image/png"),
            Resource("notes://{year}/{day}", "of_day · text/plain", is_template=True),
        ]
        assert await offers.prompts() == [
            Prompt("greet", "Write a greeting.", [PromptArgument("name", "", True), PromptArgument("mood")]),
            Prompt("about", "", [PromptArgument("topic", "", True)]),
        ]
        assert await offers.read("notes://today") == "tea is ready"
        assert await offers.read("notes://2026/2") == "the note of 2 in 2026"
        assert await offers.complete(resources[2], "year", "202") == ["2025", "2026"]
        assert await offers.fill_prompt("greet", {"name": "Ann"}) == "Greet Ann, who is glad."
        for work, problem in (
            (offers.read("notes://logo.png"), "notes://logo.png is image/png, and only text can be attached"),
            (offers.read("nothing://x"), "MCP server t: .*nothing"),
            (offers.fill_prompt("greet", {}), "MCP server t: "),
        ):
            with pytest.raises(McpError, match=problem):
                await work
        await offers.connection.close()

    asyncio.run(scenario())


def test_a_server_that_is_not_there():
    async def scenario() -> None:
        offers = Offers(Connection(McpServer("t", "no-such-program"), {}))
        with pytest.raises(McpError, match="MCP server t is not available: there is no program 'no-such-program'"):
            await offers.prompts()

    asyncio.run(scenario())

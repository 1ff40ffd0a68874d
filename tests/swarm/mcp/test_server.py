"""Definitions of MCP servers, as tables and as files of other programs."""

import pytest
from swarmchat.swarm import Agent, Swarm
from swarmchat.swarm.errors import DefinitionError
from swarmchat.swarm.mcp.server import McpServer, merged, read_server, read_servers_file
from swarmchat.swarm.mcp.servers import matches


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "neither command nor url: give one of them"),
        ({"command": "a", "url": "http://b"}, "both command and url: give one of them"),
        ({"url": "ftp://b"}, "url is 'ftp://b', expected http://… or https://…"),
        ({"command": "a", "approve": "yes"}, "approve is 'yes', expected ask, auto, deny, read-only"),
        ({"command": "a", "timeout": 0}, "timeout is 0, expected seconds above 0"),
        ({"command": "a", "args": "b"}, "args is 'b', expected a list of strings"),
        ({"command": "a", "env": {"A": 1}}, "env is {'A': 1}, expected a table of strings"),
        ({"command": "a", "argz": []}, "has no setting 'argz'; did you mean 'args'?"),
        ("a", "is 'a', expected a table with command or url"),
        ({"url": "http://b", "client_secret": "s"}, "has client_secret, but no client_id: give both"),
        ({"command": "a", "client_id": "c"}, "has client_id, but no url to log in to: remove it"),
        ({"url": "http://b", "callback_port": 65536}, "callback_port is 65536, expected a port, 0 to 65535"),
    ],
)
def test_what_no_server_can_be(fields, problem):
    with pytest.raises(DefinitionError) as caught:
        read_server("files", fields)
    assert str(caught.value).startswith("MCP server 'files'")
    assert problem in str(caught.value)


def test_a_name_that_no_server_can_have():
    with pytest.raises(DefinitionError, match="MCP server 'a/b': expected a name of 1 to 40 letters"):
        McpServer("a/b", "x")


def test_a_file_of_another_program_is_read_as_it_is():
    servers = read_servers_file(
        {
            "mcpServers": {
                "files": {"type": "stdio", "command": "npx", "args": ["-y", "x"], "env": {"A": "b"}, "alwaysAllow": []},
                "hub": {"serverUrl": "https://hub/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
                "desk": {"httpUrl": "https://desk/mcp", "oauth": {"clientId": "c", "callbackPort": 8765, "x": 1}},
                "off": {"command": "x", "disabled": True},
            },
            "other": 1,
        }
    )
    assert servers == [
        McpServer("files", "npx", ["-y", "x"], {"A": "b"}),
        McpServer("hub", url="https://hub/mcp", headers={"Authorization": "Bearer ${TOKEN}"}),
        McpServer("desk", url="https://desk/mcp", client_id="c", callback_port=8765),
    ]
    for content in ({}, [], {"mcpServers": []}):
        with pytest.raises(DefinitionError, match="it has no servers"):
            read_servers_file(content)


def test_variables_of_the_environment():
    server = McpServer("hub", "x")
    assert server.expanded("Bearer ${TOKEN} ${NONE:-d} ${EMPTY:-} $TOKEN", {"TOKEN": "t"}) == "Bearer t d  $TOKEN"
    with pytest.raises(DefinitionError, match="'hub' needs the environment variable GONE, which is not set"):
        server.expanded("${GONE}", {})


def test_of_two_servers_with_one_name_the_later_counts():
    one, two, other = McpServer("a", "one"), McpServer("a", "two"), McpServer("b", "x")
    assert merged([one, other], [two]) == [two, other]
    with pytest.raises(DefinitionError, match="two of its MCP servers are named 'a'"):
        Swarm("s", [Agent("x")], mcp=[one, two])


def test_patterns():
    assert matches("files/read", ["files/*"])
    assert matches("files/read", ["*/*"])
    assert matches("files/a/b", ["files/*"])
    assert not matches("files/read", ["file/*", "files/write"])
    with pytest.raises(DefinitionError, match=r"tools\[0\] is 'find', expected functions, agents .* or names such as"):
        Agent("x", tools=["find"])

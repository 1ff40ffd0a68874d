"""A swarm with the tools of an MCP server, and changes of that server."""

from collections.abc import Mapping, Sequence
from typing import Any

from mutation import Scene, change, harmless
from recorded import ask, calls
from swarmchat.swarm import Session

DESK = """\
import sys

from swarmchat.swarm import Agent, McpServer, Swarm

PROGRAM = '''
import json, sys

TOOLS = [
    {
        "name": "find",
        "description": "Find a file.",
        "inputSchema": {
            "type": "object",
            "properties": {"name": {"type": "string", "description": "its name"}, "most": {"type": "integer"}},
            "required": ["name"],
        },
    },
    {"name": "count", "description": "Count files.", "inputSchema": {"type": "object", "properties": {}}},
]
RESULTS = {"tools/list": {"tools": TOOLS}, "tools/call": {"content": [{"type": "text", "text": "tea.txt"}]}}
for line in sys.stdin:
    message = json.loads(line)
    if "id" not in message:
        continue
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "initialize":
        version = message["params"]["protocolVersion"]
        about = {"name": "files", "version": "1"}
        answer["result"] = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
    elif message["method"] in RESULTS:
        answer["result"] = RESULTS[message["method"]]
    else:
        answer["error"] = {"code": -32601, "message": "unknown method"}
    print(json.dumps(answer), flush=True)
'''

files = McpServer("files", command=sys.executable, args=["-S", "-c", PROGRAM], approve="auto")
swarm = Swarm("desk", [Agent("desk", "You look after files.", tools=["files/*"])], mcp=[files])
"""

QUESTION = "Where is the tea?"
STEPS: Sequence[Any] = (calls(("files/find", '{"name": "tea"}'), ids="a"), "In tea.txt.")
WRITTEN: Sequence[Mapping[str, Any]] = (
    {"type": "user", "text": QUESTION},
    {"type": "assistant", "text": "I do not know."},
    {"type": "expect", "tools": []},
)


async def _talk(session: Session) -> None:
    await ask(session, QUESTION)


MUTATIONS = (
    change("a tool of an MCP server: its description", "Find a file.", "Find files."),
    change(
        "a tool of an MCP server: the type of a parameter", '"most": {"type": "integer"}', '"most": {"type": "number"}'
    ),
    change("a tool of an MCP server: a required parameter", '"required": ["name"]', '"required": ["name", "most"]'),
    change(
        "a tool of an MCP server: removed",
        '    {"name": "count", "description": "Count files.", "inputSchema": {"type": "object", "properties": {}}},\n',
        "",
    ),
    change("a tool of an MCP server that was called: removed", '"name": "find",', '"name": "look",'),
    change("a tool of an MCP server: asks for approval", 'approve="auto"', 'approve="ask"'),
    change("an MCP server removed", "mcp=[files]", "mcp=[]"),
    change("an MCP server that does not start", "import json, sys\n", "import json, sys; sys.exit(1)\n"),
    change("an agent without the tools of an MCP server", 'tools=["files/*"]', "tools=[]"),
    change("an agent with some tools of an MCP server", 'tools=["files/*"]', 'tools=["files/f*"]'),
    harmless("an MCP server started with other arguments", '"-S"', '"-S", "-E"'),
)

SCENE = Scene(DESK, STEPS, _talk, WRITTEN, MUTATIONS)

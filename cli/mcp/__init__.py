"""`swarmchat mcp`: list, test, add and remove MCP servers."""

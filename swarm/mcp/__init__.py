"""MCP servers: programs that offer tools to agents over the Model Context Protocol. Needs the extra `mcp`."""

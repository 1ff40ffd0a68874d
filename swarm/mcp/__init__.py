"""MCP servers: programs that offer tools to agents, spoken to in the Model Context Protocol. Needs the extra `mcp`."""

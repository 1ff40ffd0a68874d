"""The default limits on input from outside; each is a setting."""

MAX_ANSWER = 10_000_000
"""Characters of an answer; also bytes of a body, of a line in a stream, of comments in one, of an MCP message."""
MAX_ANSWER_TIME = 3600.0
"""Seconds from a request to the end of its answer."""
MAX_RESULT = 1_000_000
"""Characters of a tool's result."""
MAX_CALLS = 100
"""Tool calls of one message that are carried out."""
MAX_INPUT = 4_000_000
"""Bytes of a question or a script from standard input or a file."""
MAX_TASK_DEPTH = 2
"""How deep tasks of agents that are used as tools may be nested."""

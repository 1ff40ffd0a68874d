"""`swarmchat agents`, `tools`, `check` and `init`: show a swarm, call its tools, find its mistakes, or create one."""

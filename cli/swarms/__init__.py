"""`swarmchat agents`, `tools` and `init`: show a swarm, call its tools, or write a new one."""

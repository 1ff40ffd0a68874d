"""`swarmchat agents`, `tools` and `init`: look at a swarm, or start one."""

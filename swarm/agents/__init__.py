"""Agents, the swarm that they form, and the files that define them.

Read `agent` first.
"""

"""Who answers: agents, the swarm they form, and the files that define them.

Read `agent` first.
"""

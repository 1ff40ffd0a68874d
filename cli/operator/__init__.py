"""`swarmchat operator`: the desk of a person whom agents hand users over to.

Read `desk` first.
"""

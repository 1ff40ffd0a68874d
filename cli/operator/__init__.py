"""`swarmchat operator`: the desk of a person to whom agents hand users over.

Read `desk` first.
"""

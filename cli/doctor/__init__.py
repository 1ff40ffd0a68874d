"""`swarmchat doctor`: check everything a chat needs.

Read `run` first.
"""

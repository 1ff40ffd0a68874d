"""`swarmchat replay`: run recorded conversations again and report what changed.

Read `run` first.
"""

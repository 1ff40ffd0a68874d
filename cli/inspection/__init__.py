"""`swarmchat state`, `storage`, `memory`, `bans` and `online`: read and change the data beside the conversations.

Read `reader` first.
"""

"""`swarmchat state`, `storage`, `memory`, `bans` and `online`: read and change the data stored with conversations.

Read `reader` first.
"""

"""`swarmchat state`, `storage`, `memory`, `bans` and `online`: read and change what is stored with conversations.

Read `reader` first.
"""

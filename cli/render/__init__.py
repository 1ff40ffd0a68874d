"""The events of a turn as output: live on a terminal, as plain text, or as JSON.

Read `renderer` first.
"""

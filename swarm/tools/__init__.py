"""Functions that a model may call.

Read `tool` first, then `context`, with what a tool can use.
"""

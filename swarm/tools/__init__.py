"""Functions that a model may call.

Read `tool` first, then `context`: what a tool can reach.
"""

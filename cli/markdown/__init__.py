"""Write Markdown as it streams in: append-only, never drawn twice.

Read `stream` first.
"""

"""The line editor at the prompt.

Read `prompt` first.
"""

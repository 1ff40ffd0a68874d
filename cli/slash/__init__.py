"""Slash commands of the chat.

Read `registry` first; `builtin` registers the commands, which are in a module for each topic.
"""

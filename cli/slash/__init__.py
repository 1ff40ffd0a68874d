"""Slash commands of the chat.

Read `registry` first; each other module holds the commands of one topic.
"""

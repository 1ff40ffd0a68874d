"""One open conversation: what a turn works on.

Read `conversation` first.
"""

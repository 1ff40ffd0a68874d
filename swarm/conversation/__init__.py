"""One open conversation, which turns and other operations work on.

Read `conversation` first.
"""

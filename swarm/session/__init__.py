"""What a program does with a session: run turns, undo, compact, pin.

Read `session` first.
"""

"""Operations on a session: run turns, undo, compact, pin.

Read `session` first.
"""

"""Operations on stored sessions: list, copy, search, export, redact and repair.

Read `sessions` first.
"""

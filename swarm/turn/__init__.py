"""One turn, from the user's message to the end of the answer.

Read `loop` first.
"""
